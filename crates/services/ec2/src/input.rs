//! Inputs: the decoded request as a typed structure, and the structures several operations share.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trellis_frame::Refusal;

use super::fault;

/// A request without its `DryRun`.
pub(super) struct Request<T> {
    pub(super) input: T,
    dry_run: bool,
}

impl<T: DeserializeOwned> Request<T> {
    /// # Errors
    /// `UnsupportedOperation` for a member of the description that is not acted on here: better
    /// said than passed over.
    pub(super) fn read(mut value: Value) -> Result<Self, Refusal> {
        let dry_run = value
            .as_object_mut()
            .and_then(|members| members.shift_remove("DryRun"))
            .is_some_and(|flag| flag == Value::Bool(true));
        let input = serde_json::from_value(value).map_err(|error| {
            let text = error.to_string();
            match text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
                Some((name, _)) => fault::unsupported(format_args!("The parameter {name} is not supported.")),
                None => fault::invalid_value(text),
            }
        })?;
        Ok(Self { input, dry_run })
    }
}

impl<T> Request<T> {
    pub(super) fn into_parts(self) -> (T, bool) {
        (self.input, self.dry_run)
    }

    /// For operations that only read: a dry run ends here.
    pub(super) fn into_read(self) -> Result<T, Refusal> {
        if self.dry_run { Err(fault::dry_run()) } else { Ok(self.input) }
    }
}

/// Ends a transaction whose dry run found nothing wrong, so that it writes nothing.
pub(super) fn check_dry_run(dry_run: bool) -> Result<(), Refusal> {
    if dry_run { Err(fault::dry_run()) } else { Ok(()) }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Filter {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) values: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) key: String,
    pub(super) value: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TagSpecification {
    pub(super) resource_type: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

/// A boolean inside a structure of its own, as attributes are set.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Flag {
    #[serde(default)]
    pub(super) value: bool,
}
