//! Tags of certificates, in ACM's words: lists of `Key` and `Value`, the value optional.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_frame::tags::{self as tag_set, MAX_TAGS, Tags};
use trellis_frame::{Context, Refusal};
use trellis_store::{Reader, Transaction};

use super::record::Certificate;
use super::{Identify, invalid};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    key: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Change {
    certificate_arn: String,
    tags: Vec<Tag>,
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]*` of the model.
fn is_tag_text(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c))
}

/// `tags` as they are kept.
///
/// # Errors
/// Texts with other characters, reserved keys, a key twice.
pub(super) fn check(tags: &[Tag]) -> Result<Tags, Exception> {
    let mut checked = Tags::new();
    for Tag { key, value } in tags {
        let value = value.as_deref().unwrap_or_default();
        if !is_tag_text(key) || !is_tag_text(value) {
            return Err(invalid(format!(
                "the tag {key:?} has characters other than letters, digits, spaces and _.:/=+-@"
            )));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            let message = format!("the tag key {key:?} is reserved: keys of users do not begin with aws:");
            return Err(Exception::plain("InvalidTagException", 400, message));
        }
        if checked.insert(key.clone(), value.to_owned()).is_some() {
            let message = format!("the tag key {key:?} is given twice");
            return Err(Exception::plain("InvalidParameterException", 400, message));
        }
    }
    Ok(checked)
}

/// Adds `tags` to what the certificate `arn` has.
///
/// # Errors
/// `TooManyTagsException`.
pub(super) fn merge(tx: &mut Transaction<'_>, ctx: &Context, arn: &str, tags: &Tags) -> Result<(), Refusal> {
    let before = tag_set::read(tx, &ctx.home(), arn)?;
    let all: BTreeSet<_> = before.keys().chain(tags.keys()).collect();
    if all.len() > MAX_TAGS {
        let message = format!("a certificate has at most {MAX_TAGS} tags, not {}", all.len());
        return Err(Exception::plain("TooManyTagsException", 400, message).into());
    }
    tag_set::merge(tx, &ctx.home(), arn, tags)
}

pub(super) fn add(tx: &mut Transaction<'_>, ctx: &Context, input: &Change) -> Result<(), Refusal> {
    let certificate = Certificate::find(tx, &ctx.home(), &input.certificate_arn)?;
    merge(tx, ctx, &certificate.arn(), &check(&input.tags)?)
}

/// "If you specify a value, the tag is removed only if it is associated with the specified value."
pub(super) fn remove(tx: &mut Transaction<'_>, ctx: &Context, input: &Change) -> Result<(), Refusal> {
    let home = ctx.home();
    let arn = Certificate::find(tx, &home, &input.certificate_arn)?.arn();
    let have = tag_set::read(tx, &home, &arn)?;
    let going = input.tags.iter().filter(|tag| match &tag.value {
        Some(value) => have.get(&tag.key) == Some(value),
        None => true,
    });
    tag_set::remove(tx, &home, &arn, going.map(|tag| tag.key.as_str()))
}

pub(super) fn list(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Value, Refusal> {
    let home = ctx.home();
    let arn = Certificate::find(state, &home, &input.certificate_arn)?.arn();
    let tags = tag_set::read(state, &home, &arn)?;
    let tags: Vec<_> = tags.into_iter().map(|(key, value)| Tag { key, value: Some(value) }).collect();
    Ok(json!({"Tags": tags}))
}
