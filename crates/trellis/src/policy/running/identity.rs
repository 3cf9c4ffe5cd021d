//! What IAM has about a caller: policies, boundary, tags, the path of a role.

use anyhow::{Context as _, bail};
use trellis_policy::{Caller, Layer, PolicyKind};

use super::client::Client;
use crate::policy::explain::{Source, Stage};

pub(super) struct Identity {
    /// The caller's own policies, and its boundary where it has one; nothing of whom no policy bounds.
    pub(super) stages: Vec<Stage>,
    pub(super) tags: Vec<(String, String)>,
    /// Of a session.
    pub(super) role: Option<String>,
    pub(super) remark: Option<String>,
}

impl Identity {
    /// Whoever is bounded by nothing that IAM has.
    fn unbounded(who: &str) -> Self {
        let remark = Some(format!("identity-based: {who} may do everything"));
        Self { stages: Vec::new(), tags: Vec::new(), role: None, remark }
    }
}

/// The kinds of IAM's principals: `User` and `Role` as operations name them.
struct Kind {
    word: &'static str,
    input: &'static str,
}

const USER: Kind = Kind { word: "User", input: "UserName" };
const ROLE: Kind = Kind { word: "Role", input: "RoleName" };
const GROUP: Kind = Kind { word: "Group", input: "GroupName" };

/// What IAM has about `caller`, who signs.
pub(super) fn of(client: &Client, caller: &Caller) -> anyhow::Result<Identity> {
    let arn = caller.arn().context("a caller who signs has an ARN")?;
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let (kind, name) = match resource.split_once('/') {
        None => return Ok(Identity::unbounded("the account itself")),
        Some(("user", name)) => (USER, name.rsplit('/').next().unwrap_or(name)),
        Some(("assumed-role", rest)) => (ROLE, rest.split('/').next().unwrap_or(rest)),
        Some(_) => bail!("the policies of {arn} are in its token alone: give them with --identity-policy"),
    };
    let Some(found) = client.iam(&format!("Get{}", kind.word), &[(kind.input, name)])? else {
        // The name that no user of IAM can have.
        if kind.word == USER.word && name == "admin" {
            return Ok(Identity::unbounded("an operator's key"));
        }
        bail!("there is no {} {name} in the account of {arn}", kind.word.to_lowercase());
    };
    let mut policies = policies_of(client, &kind, name)?;
    if kind.word == USER.word {
        for group in client.iam_list("ListGroupsForUser", &[(kind.input, name)], ("Groups", "GroupName"))? {
            policies.extend(policies_of(client, &GROUP, &group)?);
        }
    }
    let mut stages = vec![Stage { layer: Layer::Identity, kind: PolicyKind::Identity, policies }];
    if let Some(boundary) = found.find("PermissionsBoundaryArn") {
        let text = managed(client, &boundary.text)?;
        let name = format!("permissions boundary {}", boundary.text);
        let policies = vec![Source { name, text }];
        stages.push(Stage { layer: Layer::Identity, kind: PolicyKind::Identity, policies });
    }
    let list =
        |field| client.iam_list(&format!("List{}Tags", kind.word), &[(kind.input, name)], ("Tags", field));
    let tags = list("Key")?.into_iter().zip(list("Value")?).collect();
    let role = (kind.word == ROLE.word).then(|| found.find("Arn").map(|arn| arn.text.clone())).flatten();
    Ok(Identity { stages, tags, role, remark: None })
}

/// The inline and the attached policies of a user, group or role.
fn policies_of(client: &Client, kind: &Kind, name: &str) -> anyhow::Result<Vec<Source>> {
    let Kind { word, input } = *kind;
    let mut policies = Vec::new();
    for inline in client.iam_list(&format!("List{word}Policies"), &[(input, name)], ("PolicyNames", ""))? {
        let action = format!("Get{word}Policy");
        let found = client.iam(&action, &[(input, name), ("PolicyName", &inline)])?;
        let document = found.as_ref().and_then(|found| found.find("PolicyDocument"));
        let text = decoded(&document.with_context(|| format!("{inline} of {name} is gone"))?.text)?;
        policies.push(Source { name: format!("{} {name}, {inline}", word.to_lowercase()), text });
    }
    let list = ("AttachedPolicies", "PolicyArn");
    for arn in client.iam_list(&format!("ListAttached{word}Policies"), &[(input, name)], list)? {
        let text = managed(client, &arn)?;
        policies.push(Source { name: format!("{} {name}, {arn}", word.to_lowercase()), text });
    }
    Ok(policies)
}

/// The version of a managed policy that is in force.
fn managed(client: &Client, arn: &str) -> anyhow::Result<String> {
    let gone = || format!("the policy {arn} is gone");
    let policy = client.iam("GetPolicy", &[("PolicyArn", arn)])?.with_context(gone)?;
    let version = &policy.find("DefaultVersionId").with_context(gone)?.text;
    let input = [("PolicyArn", arn), ("VersionId", version)];
    let version = client.iam("GetPolicyVersion", &input)?.with_context(gone)?;
    decoded(&version.find("Document").with_context(gone)?.text)
}

/// IAM gives documents in the encoding of URLs (RFC 3986): a plus is a plus.
fn decoded(document: &str) -> anyhow::Result<String> {
    let form = document.replace('+', "%2B");
    let decoded = form_urlencoded::parse(form.as_bytes()).next().map(|(text, _)| text.into_owned());
    decoded.filter(|text| !text.is_empty()).context("IAM gave an empty policy document")
}
