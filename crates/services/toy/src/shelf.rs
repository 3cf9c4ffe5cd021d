//! Shelves. One has a name of its own in its account and region, and is READY a moment after it was made.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Kind, Page, Paged, Quota, Records, Refusal, Workflow};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

use crate::wire;

/// `toy/{account}/{region}/shelf/{name}`.
const SHELVES: Records<Shelf> = Records::new("toy", "shelf");

static SHELF: Kind = Kind::new("Shelf", "SHELF");

pub(crate) static SHELVES_PER_REGION: Quota = Quota::new("toy", "L-70E70E70", 3, "shelves per region");

/// Makes what was created READY.
pub(crate) const SETTLING: Workflow = Workflow {
    kind: "shelf",
    advance: |surroundings, work| {
        Box::pin(async move {
            let (home, name) = (work.home.clone(), work.id.clone());
            let settle = move |tx: &mut Transaction<'_>| settle(tx, &home, &name);
            work.settle(&surroundings, settle).await
        })
    },
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shelf {
    home: Home,
    name: String,
    is_ready: bool,
    created_at: Moment,
}

impl From<Shelf> for wire::Shelf {
    fn from(shelf: Shelf) -> Self {
        let Shelf { home, name, is_ready, created_at } = shelf;
        let arn = Arn::new("toy", &home.region, &home.account, format_args!("shelf/{name}")).to_string();
        let status = if is_ready { wire::ShelfStatus::Ready } else { wire::ShelfStatus::Creating };
        Self { arn, name, status, created_at }
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateShelfInput,
) -> Result<wire::CreateShelfOutput, Refusal> {
    let (home, name) = (ctx.home(), input.name.clone());
    if SHELVES.get(tx, &home, &name)?.is_some() {
        let message = format!("a shelf with name {name} already exists");
        return Err(Refusal::conflict(&SHELF, name, message));
    }
    ctx.quotas().check(&SHELVES_PER_REGION, SHELVES.count(tx, &home)?, 1, &SHELF, None)?;
    let shelf = Shelf { home, name, is_ready: false, created_at: ctx.now };
    SHELVES.put_pending(tx, &shelf.home, &shelf.name, &shelf)?;
    Ok(wire::CreateShelfOutput { shelf: shelf.into() })
}

fn settle(tx: &mut Transaction<'_>, home: &Home, name: &str) -> Result<(), Refusal> {
    match SHELVES.get(tx, home, name)? {
        Some(shelf) => SHELVES.put(tx, home, name, &Shelf { is_ready: true, ..shelf }),
        None => Ok(()),
    }
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetShelfInput,
) -> Result<wire::GetShelfOutput, Refusal> {
    let shelf = SHELVES.get(state, &ctx.home(), &input.name)?;
    let shelf = shelf.ok_or_else(|| Refusal::missing(&SHELF, &input.name))?;
    Ok(wire::GetShelfOutput { shelf: shelf.into() })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListShelvesInput,
    page: &Page,
) -> Result<Paged<wire::ListShelvesOutput>, Refusal> {
    let shelves = SHELVES.list(state, &ctx.home(), page, |_, shelf| Ok(Some(shelf.into())))?;
    Ok(shelves.into_output(|shelves| wire::ListShelvesOutput { shelves, next_token: None }))
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteShelfInput,
) -> Result<wire::DeleteShelfOutput, Refusal> {
    let home = ctx.home();
    if SHELVES.get(tx, &home, &input.name)?.is_none() {
        return Err(Refusal::missing(&SHELF, &input.name));
    }
    SHELVES.delete(tx, &home, &input.name)?;
    Ok(wire::DeleteShelfOutput {})
}
