//! What a session is limited to and marked with, as calls ask for it and before it is sealed: session policies, tags,
//! how long.

use trellis_frame::{Refusal, key, record::Records};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, ManagedPolicy, Named};
use trellis_policy::{Policy, PolicyKind};
use trellis_store::Read;

use crate::{fault, wire};

/// "The plaintext that you use for both inline and managed session policies can't exceed 2,048 characters."
const POLICY_CHARACTERS: usize = 2048;
/// "You can provide up to 10 managed policy ARNs."
const POLICY_ARNS: usize = 10;
/// "You can pass up to 50 session tags."
const TAGS: usize = 50;
/// Bytes of policies and tags that are called a hundred percent.
const ROOM: usize = 5000;

const POLICIES: Records<ManagedPolicy> = Records::new(iam::SERVICE, iam::POLICY);

/// Session policies: what the session may do at most.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) inline: Vec<String>,
    pub(crate) arns: Vec<String>,
}

impl Limits {
    /// # Errors
    /// A document that is no policy, one that is too long, managed policies that are not there or too many.
    pub(crate) fn read(
        state: &mut impl Read,
        account: &AccountId,
        policy: Option<String>,
        arns: Option<Vec<wire::PolicyDescriptorType>>,
    ) -> Result<Self, Refusal> {
        if let Some(text) = &policy {
            let found = text.chars().count();
            if found > POLICY_CHARACTERS {
                return Err(fault::invalid(format_args!(
                    "policy: expected at most {POLICY_CHARACTERS} characters, found {found}"
                )));
            }
            Policy::parse(text, PolicyKind::Identity).map_err(fault::malformed_policy)?;
        }
        let arns: Vec<String> = arns.into_iter().flatten().filter_map(|descriptor| descriptor.arn).collect();
        if arns.len() > POLICY_ARNS {
            return Err(fault::invalid(format_args!(
                "policyArns: expected at most {POLICY_ARNS}, found {}",
                arns.len()
            )));
        }
        for arn in &arns {
            if !is_there(state, account, arn)? {
                return Err(fault::invalid(format_args!(
                    "policyArns: {arn} is no managed policy of AWS or of account {account}"
                )));
            }
        }
        Ok(Self { inline: policy.into_iter().collect(), arns })
    }

    pub(crate) fn is_none(&self) -> bool {
        self.inline.is_empty() && self.arns.is_empty()
    }

    /// `PackedPolicySize`: a percentage, where there is anything to pack.
    pub(crate) fn packed_size(&self, tags: &[(String, String)]) -> Option<i32> {
        if self.is_none() && tags.is_empty() {
            return None;
        }
        let texts = self.inline.iter().chain(&self.arns).map(String::len);
        let bytes =
            texts.sum::<usize>() + tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        i32::try_from((bytes * 100).div_ceil(ROOM)).ok()
    }
}

fn is_there(state: &mut impl Read, account: &AccountId, arn: &str) -> Result<bool, Refusal> {
    if iam::aws_managed(arn).is_some() {
        return Ok(true);
    }
    let Some(named) = Named::parse(arn) else { return Ok(false) };
    if named.kind != iam::POLICY || named.account != account.as_str() {
        return Ok(false);
    }
    let found = POLICIES.get(state, &key::global(account), iam::id(named.name))?;
    Ok(found.is_some_and(|policy| policy.arn() == arn))
}

/// Session tags as a call brings them.
///
/// # Errors
/// Too many, one key twice whatever its case, keys that are reserved.
pub(crate) fn tags(tags: Option<Vec<wire::Tag>>) -> Result<Vec<(String, String)>, Refusal> {
    let tags: Vec<_> = tags.into_iter().flatten().map(|tag| (tag.key, tag.value)).collect();
    if tags.len() > TAGS {
        return Err(fault::invalid(format_args!("tags: expected at most {TAGS}, found {}", tags.len())));
    }
    for (index, (key, _)) in tags.iter().enumerate() {
        if tags[..index].iter().any(|(other, _)| is_same_key(other, key)) {
            return Err(fault::invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault::invalid(format_args!("tags: {key} is reserved, expected a key without aws:")));
        }
    }
    Ok(tags)
}

/// Keys of tags are told apart without regard to case.
pub(crate) fn is_same_key(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
