//! `trellis policy explain`: which statement of which policy decides on a request, from files.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use trellis_policy::{
    Access, Caller, ConditionKey, Context, Explanation, Guard, Layer, Obstacle, Organization, Outcome,
    Policy, PolicyKind, decide, explain, plain_path,
};

use super::{INVOKE, caller, read};

#[derive(Debug, Args)]
#[command(after_help = "The policies of an account's role against one request:\n  \
    trellis policy explain --service-policy cart.json --identity-policy role.json \\\n    \
    --caller arn:aws:sts::111122223333:assumed-role/app/session --caller-tag team=red \\\n    \
    --service arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0 --path /items?x=1\n\n\
    A layer without a policy here is taken to be off (authType NONE); an identity without one is taken to allow nothing.")]
pub(super) struct Explain {
    /// Auth policy of the service network
    #[arg(long, value_name = "FILE")]
    network_policy: Option<PathBuf>,
    /// Auth policy of the service
    #[arg(long, value_name = "FILE")]
    service_policy: Option<PathBuf>,
    /// Policy of the caller; repeatable, any of them may allow
    #[arg(long = "identity-policy", value_name = "FILE")]
    identity_policies: Vec<PathBuf>,
    /// ARN of the account root, user, role session or federated user who calls, or `anonymous`
    #[arg(long, default_value = "anonymous")]
    caller: String,
    /// ARN of a session's role, where it has a path
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Tag of the caller; repeatable
    #[arg(long = "caller-tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Organization of the caller
    #[arg(long, value_name = "O-ID")]
    organization: Option<String>,
    /// ARN of the service
    #[arg(long, value_name = "ARN")]
    service: String,
    /// Path and query of the request
    #[arg(long, default_value = "/")]
    path: String,
    #[arg(long, default_value = "GET")]
    method: String,
    /// Header of the request; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Any other condition key, such as vpc-lattice-svcs:SourceVpc=vpc-0123; repeatable
    #[arg(long = "key", value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A layer of the decision: what it is called, and its policies by file.
struct Stage {
    layer: Layer,
    policies: Vec<(PathBuf, Arc<Policy>, Explanation)>,
}

pub(super) fn run(args: &Explain, text: &mut String) -> anyhow::Result<ExitCode> {
    let caller = caller(args)?;
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{path}");
    let code = explain_path(args, &caller, &path, query, text)?;
    match plain_path(&path) {
        // A service asks about both, and both must be allowed.
        Some(plain) if code == ExitCode::SUCCESS => {
            *text += "a target may read the path as another, which must be allowed as well:\n";
            explain_path(args, &caller, &plain, query, text)
        }
        _ => Ok(code),
    }
}

fn explain_path(
    args: &Explain,
    caller: &Caller,
    path: &str,
    query: &str,
    text: &mut String,
) -> anyhow::Result<ExitCode> {
    let resource = format!("{}{path}", args.service);
    let facts = Facts { args, path, query };
    let access = Access { caller, action: INVOKE, resource: &resource, context: &facts };

    let stage = |layer, kind, files: &[PathBuf]| -> anyhow::Result<Stage> {
        let policies = files.iter().map(|path| {
            let policy = read(path)?;
            let parsed = Policy::parse(&policy, kind).with_context(|| path.display().to_string())?;
            let explanation = explain(&policy, kind, &access).with_context(|| path.display().to_string())?;
            Ok((path.clone(), Arc::new(parsed), explanation))
        });
        Ok(Stage { layer, policies: policies.collect::<anyhow::Result<_>>()? })
    };
    let mut stages = Vec::new();
    if let Some(file) = &args.network_policy {
        stages.push(stage(Layer::Network, PolicyKind::Resource, std::slice::from_ref(file))?);
    }
    if let Some(file) = &args.service_policy {
        stages.push(stage(Layer::Service, PolicyKind::Resource, std::slice::from_ref(file))?);
    }
    if caller.arn().is_some() {
        stages.push(stage(Layer::Identity, PolicyKind::Identity, &args.identity_policies)?);
    } else if !args.identity_policies.is_empty() {
        bail!("--identity-policy is of a caller who signs: name one with --caller");
    }

    let policies: Vec<(Layer, Vec<Arc<Policy>>)> = stages
        .iter()
        .map(|stage| (stage.layer, stage.policies.iter().map(|(_, policy, _)| policy.clone()).collect()))
        .collect();
    let guards = policies.iter().map(|(layer, policies)| (*layer, Guard::Policies(policies)));
    let outcome = decide(guards, &access);
    *text += &format!("{} {resource}\n", caller.arn().unwrap_or("anonymous"));
    for stage in &stages {
        tell(stage, text);
    }
    let (verdict, code) = match outcome {
        Outcome::Allowed => ("allowed".to_owned(), ExitCode::SUCCESS),
        Outcome::Denied { layer, explicit: true } => {
            (format!("denied with an explicit deny in a {layer} policy"), ExitCode::FAILURE)
        }
        Outcome::Denied { layer, explicit: false } => {
            (format!("denied because no {layer} policy allows the {INVOKE} action"), ExitCode::FAILURE)
        }
    };
    *text += &format!("{verdict}\n");
    Ok(code)
}

fn tell(stage: &Stage, text: &mut String) {
    if stage.policies.is_empty() {
        *text += &format!("{}: no policy\n", stage.layer);
    }
    for (path, _, explanation) in &stage.policies {
        *text += &format!("{}: {}\n", stage.layer, path.display());
        for statement in &explanation.statements {
            let sid = statement.sid.as_ref().map(|sid| format!(" ({sid})")).unwrap_or_default();
            let effect = if statement.denies { "denies" } else { "allows" };
            let why = match &statement.obstacle {
                None => effect.to_owned(),
                Some(obstacle) => format!("does not apply: {}", reason(obstacle)),
            };
            *text += &format!("  statement {}{sid} {why}\n", statement.number);
        }
    }
}

fn reason(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Action => format!("it is not about {INVOKE}"),
        Obstacle::Principal => "it is not about this caller".into(),
        Obstacle::Resource => "it is not about this resource".into(),
        Obstacle::Condition { operator, key, wanted, found } if found.is_empty() => {
            format!("{operator} {key} wants {wanted:?}, and there is no {key}")
        }
        Obstacle::Condition { operator, key, wanted, found } => {
            format!("{operator} {key} wants {wanted:?}, and it is {found:?}")
        }
    }
}

fn caller(args: &Explain) -> anyhow::Result<Caller> {
    let caller = caller::named(&args.caller, args.role.as_deref())?.with_tags(args.tags.iter().cloned());
    Ok(match &args.organization {
        Some(id) => caller.with_organization(Organization { id: id.clone(), paths: Vec::new() }),
        None => caller,
    })
}

/// What the command line says of the request.
struct Facts<'a> {
    args: &'a Explain,
    path: &'a str,
    query: &'a str,
}

impl Context for Facts<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let named = match key.argument() {
            Some(argument) => format!("{}/{argument}", key.name()),
            None => key.name().to_owned(),
        };
        for (_, value) in self.args.keys.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&named)) {
            visit(value);
        }
        match (key.name(), key.argument()) {
            ("vpc-lattice-svcs:servicearn", None) => visit(&self.args.service),
            ("vpc-lattice-svcs:requestmethod", None) => visit(&self.args.method),
            ("vpc-lattice-svcs:requestpath", None) => visit(self.path),
            ("vpc-lattice-svcs:requestheader", Some(wanted)) => {
                let headers = self.args.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
                headers.for_each(|(_, value)| visit(value));
            }
            ("vpc-lattice-svcs:requestquerystring", Some(wanted)) => {
                let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
                let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                pairs.filter(|(name, _)| *name == wanted).for_each(|(_, value)| visit(value));
            }
            ("aws:resourceaccount", None) => {
                self.args.service.split(':').nth(4).into_iter().for_each(visit);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::tests::{place, run};

    const CALL: &str = "trellis policy explain --service-policy @service.json --identity-policy @role.json \
        --caller arn:aws:sts::111122223333:assumed-role/app/s1 --role arn:aws:iam::111122223333:role/apps/app \
        --service arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1 --path /items?x=1";

    #[test]
    fn the_statement_that_decides_is_named_and_why_others_do_not_apply() {
        let place = place();
        let (text, code) = run(place.path(), &format!("{CALL} --caller-tag team=red"));
        assert!(text.contains("statement 1 (Team) allows") && text.ends_with("\nallowed\n"), "{text}");
        assert_eq!(code, ExitCode::SUCCESS);
        let (text, code) = run(place.path(), CALL);
        assert!(text.contains("and there is no aws:PrincipalTag/team"), "{text}");
        let denied = "denied because no service-based policy allows the vpc-lattice-svcs:Invoke action\n";
        assert!(text.ends_with(denied), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }

    #[test]
    fn a_path_that_a_target_may_read_as_another_is_explained_as_both() {
        let place = place();
        fs::write(
            place.path().join("public.json"),
            r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*/public/*"}}"#,
        )
        .unwrap();
        let call = "trellis policy explain --service-policy @public.json --service \
            arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1 --path";
        assert_eq!(run(place.path(), &format!("{call} /public/a/../b")).1, ExitCode::SUCCESS);
        let (text, code) = run(place.path(), &format!("{call} /public/../secret"));
        assert!(text.contains("service/svc-1/secret\n") && text.contains("\ndenied because"), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }
}
