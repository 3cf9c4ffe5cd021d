//! Tags of authorities: lists of `Key` and `Value`, the value optional.

use std::collections::BTreeSet;

use trellis_frame::tags::{self, MAX_TAGS, Tags};
use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_model::resource::lattice::Home;
use trellis_store::{Reader, Transaction};

use crate::authority::Authority;
use crate::policy::{self, Want};
use crate::{refuse, wire};

pub(crate) use trellis_frame::tags::forget;

/// `tags` as they are kept.
///
/// # Errors
/// `InvalidTagException` for texts with other characters than AWS takes, reserved keys, a key twice.
pub(crate) fn check(given: &[wire::Tag]) -> Result<Tags, Refusal> {
    let is_text = |text: &str| {
        text.chars()
            .all(|c| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c))
    };
    let mut checked = Tags::new();
    for wire::Tag { key, value } in given {
        let value = value.as_deref().unwrap_or_default();
        if !is_text(key) || !is_text(value) {
            let message = format_args!(
                "the tag {key:?} has characters other than letters, digits, spaces and _.:/=+-@"
            );
            return Err(refuse("InvalidTagException", message));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            let message =
                format_args!("the tag key {key:?} is reserved: keys of users do not begin with aws:");
            return Err(refuse("InvalidTagException", message));
        }
        if checked.insert(key.clone(), value.to_owned()).is_some() {
            return Err(refuse("InvalidTagException", format_args!("the tag key {key:?} is given twice")));
        }
    }
    Ok(checked)
}

/// Adds `new` to what the authority has.
///
/// # Errors
/// `TooManyTagsException`.
pub(crate) fn merge(tx: &mut Transaction<'_>, home: &Home, arn: &str, new: &Tags) -> Result<(), Refusal> {
    let before = tags::read(tx, home, arn)?;
    let all: BTreeSet<_> = before.keys().chain(new.keys()).collect();
    if all.len() > MAX_TAGS {
        let message = format_args!("a certificate authority has at most {MAX_TAGS} tags, not {}", all.len());
        return Err(refuse("TooManyTagsException", message));
    }
    tags::merge(tx, home, arn, new)
}

pub(crate) fn add(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::TagCertificateAuthorityInput,
) -> Result<wire::TagCertificateAuthorityOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    merge(tx, &authority.home, &authority.arn(), &check(&input.tags)?)?;
    Ok(Default::default())
}

/// "If you specify a value, the tag is removed only if it is associated with the specified value."
pub(crate) fn remove(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UntagCertificateAuthorityInput,
) -> Result<wire::UntagCertificateAuthorityOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    let arn = authority.arn();
    let have = tags::read(tx, &authority.home, &arn)?;
    let going = input.tags.iter().filter(|tag| match &tag.value {
        Some(value) => have.get(&tag.key) == Some(value),
        None => true,
    });
    tags::remove(tx, &authority.home, &arn, going.map(|tag| tag.key.as_str()))?;
    Ok(Default::default())
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListTagsInput,
    page: &Page,
) -> Result<Paged<wire::ListTagsOutput>, Refusal> {
    let want = Want::of(&ctx.caller, "ListTags");
    let authority = policy::reach_live(state, &ctx.home(), &input.certificate_authority_arn, want)?;
    let tags = tags::read(state, &authority.home, &authority.arn())?;
    let tags = tags.into_iter().map(|(key, value)| wire::Tag { key, value: Some(value) }).collect();
    let listing = page.cut(tags, |tag| tag.key.clone());
    Ok(listing.into_output(|tags| wire::ListTagsOutput { next_token: None, tags: Some(tags) }))
}
