//! The caller that an ARN names.

use anyhow::Context as _;
use trellis_policy::Caller;

/// `role` is the ARN of a session's role, where its path is known.
pub(super) fn named(arn: &str, role: Option<&str>) -> anyhow::Result<Caller> {
    if arn == "anonymous" {
        return Ok(Caller::anonymous());
    }
    parse(arn, role).with_context(|| {
        format!(
            "{arn:?} is no caller: expected anonymous, arn:aws:iam::ACCOUNT:root, ...:user/NAME, \
             arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION or ...:federated-user/NAME"
        )
    })
}

fn parse(arn: &str, role: Option<&str>) -> Option<Caller> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next()?;
    let account = parts.nth(1)?;
    let resource = parts.next()?;
    // What AWS calls the one nobody has given a name here.
    let id = |prefix: &str| format!("{prefix}EXAMPLE0000000000");
    Some(match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Caller::root(account),
        ("iam", Some(("user", name))) => {
            let (path, name) = split_path(name);
            Caller::user(account, &path, name, &id("AIDA"))
        }
        ("sts", Some(("assumed-role", name))) => {
            let (role_name, session) = name.split_once('/')?;
            let given = role.and_then(|arn| arn.split_once(":role/"));
            let (path, role_name) = given.map_or(("/".to_owned(), role_name), |(_, name)| split_path(name));
            Caller::session(account, &path, role_name, &id("AROA"), session)
        }
        ("sts", Some(("federated-user", name))) => Caller::federated_user(account, name),
        _ => return None,
    })
}

fn split_path(name: &str) -> (String, &str) {
    let (path, name) = name.rsplit_once('/').unwrap_or(("", name));
    (if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }, name)
}

/// Account and name of the role that an ARN is of, the role's own or one of its sessions'.
pub(super) fn role_of(arn: &str) -> Option<(&str, &str)> {
    let account = arn.split(':').nth(4)?;
    let name = match arn.split_once(":assumed-role/") {
        Some((_, rest)) => rest.split('/').next()?,
        None => arn.split_once(":role/")?.1.rsplit('/').next()?,
    };
    Some((account, name))
}
