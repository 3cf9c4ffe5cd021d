//! Updates: what was changed, in the form that callers wait for. Most are done when they are answered; those that make or
//! end nodes are in progress for as long as that takes.

use serde::{Deserialize, Serialize};
use trellis_frame::{Context, Page, Paged, Records, Refusal};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

use crate::input::choice;
use crate::{cluster, wire};

pub(crate) const UPDATES: Records<Update> = Records::new("eks", "update");
/// Of one cluster; an older one is forgotten for a new one.
const KEPT: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    InProgress,
    Successful,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) id: String,
    pub(crate) cluster: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nodegroup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) addon: Option<String>,
    /// As the wire spells it.
    pub(crate) kind: String,
    pub(crate) status: Status,
    /// Types and values.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) created_at: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Update {
    /// One that is done.
    pub(crate) fn new(
        ctx: &Context,
        cluster: &str,
        kind: wire::UpdateType,
        parameters: Vec<(wire::UpdateParamType, String)>,
    ) -> Self {
        let parameters = parameters.into_iter().map(|(kind, value)| (kind.as_str().to_owned(), value));
        Self {
            id: ctx.surroundings.random.uuid(),
            cluster: cluster.to_owned(),
            nodegroup: None,
            addon: None,
            kind: kind.as_str().to_owned(),
            status: Status::Successful,
            parameters: parameters.collect(),
            created_at: ctx.now,
            error: None,
        }
    }

    /// Keeps it, and its answer.
    pub(crate) fn record(self, tx: &mut Transaction<'_>, home: &Home) -> Result<wire::Update, Refusal> {
        let mut all = UPDATES.all_of(tx, home, &self.cluster)?;
        all.sort_by_key(|update| update.created_at);
        let over = (all.len() + 1).saturating_sub(KEPT);
        for old in all.iter().take(over) {
            forget(tx, home, old)?;
        }
        UPDATES.put(tx, home, format_args!("{}/{}", self.cluster, self.id), &self)?;
        Ok(self.into())
    }
}

/// Drops one.
pub(crate) fn forget(tx: &mut Transaction<'_>, home: &Home, update: &Update) -> Result<(), Refusal> {
    UPDATES.delete(tx, home, format_args!("{}/{}", update.cluster, update.id))
}

impl From<Update> for wire::Update {
    fn from(update: Update) -> Self {
        let parameter =
            |(kind, value): (String, String)| wire::UpdateParam { r#type: choice(&kind), value: Some(value) };
        let errors = update.error.into_iter().map(|message| wire::ErrorDetail {
            error_code: Some(wire::ErrorCode::NodeCreationFailure),
            error_message: Some(message),
            resource_ids: None,
        });
        Self {
            id: Some(update.id),
            status: Some(match update.status {
                Status::InProgress => wire::UpdateStatus::InProgress,
                Status::Successful => wire::UpdateStatus::Successful,
                Status::Failed => wire::UpdateStatus::Failed,
            }),
            r#type: choice(&update.kind),
            params: Some(update.parameters.into_iter().map(parameter).collect()),
            created_at: Some(update.created_at),
            errors: Some(errors.collect()),
            cancellation: None,
        }
    }
}

/// Updates of a node group that were waited for are done, or are not to be.
pub(crate) fn finish(
    tx: &mut Transaction<'_>,
    home: &Home,
    cluster: &str,
    nodegroup: &str,
    error: Option<&str>,
) -> Result<(), Refusal> {
    for mut update in UPDATES.all_of(tx, home, cluster)? {
        if update.nodegroup.as_deref() != Some(nodegroup) || update.status != Status::InProgress {
            continue;
        }
        update.status = if error.is_some() { Status::Failed } else { Status::Successful };
        update.error = error.map(str::to_owned);
        UPDATES.put(tx, home, format_args!("{cluster}/{}", update.id), &update)?;
    }
    Ok(())
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeUpdateInput,
) -> Result<wire::DescribeUpdateOutput, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.name)?;
    let update = UPDATES.get(state, &home, format_args!("{}/{}", input.name, input.update_id))?;
    let update = update.filter(|update| {
        update.nodegroup.as_deref() == input.nodegroup_name.as_deref()
            && update.addon.as_deref() == input.addon_name.as_deref()
    });
    let update = update.ok_or_else(|| {
        let id = trellis_frame::refusal::shown(&input.update_id);
        crate::missing(format_args!("No update found for ID: {id}"))
    })?;
    Ok(wire::DescribeUpdateOutput { update: Some(update.into()) })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListUpdatesInput,
    page: &Page,
) -> Result<Paged<wire::ListUpdatesOutput>, Refusal> {
    let home = ctx.home();
    cluster::find(state, &home, &input.name)?;
    let updates = UPDATES.list_of(state, &home, &input.name, page, |_, update| {
        let is_asked = update.nodegroup.as_deref() == input.nodegroup_name.as_deref()
            && update.addon.as_deref() == input.addon_name.as_deref();
        Ok(is_asked.then_some(update.id))
    })?;
    Ok(updates.into_output(|ids| wire::ListUpdatesOutput { update_ids: Some(ids), next_token: None }))
}
