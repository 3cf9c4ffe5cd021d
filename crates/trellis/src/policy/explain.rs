//! `trellis policy explain`: which statement of which policy decides on a request, from files or a running installation.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use trellis_policy::{
    Access, Caller, ConditionKey, Context, Explanation, Guard, Layer, Obstacle, Organization, Outcome,
    Policy, PolicyKind, decide, explain, plain_path,
};

use super::{INVOKE, caller, read, running};
use crate::data_dir::Layout;

#[derive(Debug, Args)]
#[command(after_help = "The policies of an account's role against one request:\n  \
    trellis policy explain --service-policy cart.json --identity-policy role.json \\\n    \
    --caller arn:aws:sts::111122223333:assumed-role/app/session --caller-tag team=red \\\n    \
    --service arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0 --path /items?x=1\n\n\
    The same of what is in force, with the rest of what IAM says of the caller:\n  \
    trellis policy explain --running --service cart --caller arn:aws:sts::111122223333:assumed-role/app/session\n\n\
    A layer without a policy here is taken to be off (authType NONE); an identity without one is taken to allow nothing.")]
pub(super) struct Explain {
    /// Read from the running installation what no file is given for; --service and --network may be names then
    #[arg(long)]
    running: bool,
    /// The account whose service it is, by id or name, where that is not the operator's
    #[arg(long, requires = "running")]
    pub(super) account: Option<String>,
    /// Service network by name, id or ARN; the service's own where it is in one alone
    #[arg(long, requires = "running")]
    pub(super) network: Option<String>,
    /// Auth policy of the service network
    #[arg(long, value_name = "FILE")]
    pub(super) network_policy: Option<PathBuf>,
    /// Auth policy of the service
    #[arg(long, value_name = "FILE")]
    pub(super) service_policy: Option<PathBuf>,
    /// Policy of the caller; repeatable, any of them may allow
    #[arg(long = "identity-policy", value_name = "FILE")]
    pub(super) identity_policies: Vec<PathBuf>,
    /// ARN of the account root, user, role session or federated user who calls, or `anonymous`
    #[arg(long, default_value = "anonymous")]
    pub(super) caller: String,
    /// ARN of a session's role, where it has a path
    #[arg(long, value_name = "ARN")]
    pub(super) role: Option<String>,
    /// Tag of the caller; repeatable
    #[arg(long = "caller-tag", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) tags: Vec<(String, String)>,
    /// Organization of the caller
    #[arg(long, value_name = "O-ID")]
    pub(super) organization: Option<String>,
    /// ARN of the service
    #[arg(long, value_name = "SERVICE")]
    pub(super) service: String,
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
    pub(super) keys: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is asked, but for the request: the caller, and the policies of each layer that is on.
pub(super) struct Question {
    pub(super) caller: Caller,
    /// The ARN.
    pub(super) service: String,
    pub(super) stages: Vec<Stage>,
    /// Condition keys that the command line and the installation tell.
    pub(super) keys: Vec<(String, String)>,
    /// What there is to say beside the policies.
    pub(super) remarks: Vec<String>,
}

/// Policies of which one has to allow.
pub(super) struct Stage {
    pub(super) layer: Layer,
    pub(super) kind: PolicyKind,
    pub(super) policies: Vec<Source>,
}

pub(super) struct Source {
    /// Where the text is from.
    pub(super) name: String,
    pub(super) text: String,
}

impl Stage {
    pub(super) fn from_files(layer: Layer, kind: PolicyKind, files: &[PathBuf]) -> anyhow::Result<Self> {
        let policies =
            files.iter().map(|file| Ok(Source { name: file.display().to_string(), text: read(file)? }));
        Ok(Self { layer, kind, policies: policies.collect::<anyhow::Result<_>>()? })
    }
}

impl Question {
    fn from_files(args: &Explain) -> anyhow::Result<Self> {
        let caller = caller(args)?;
        let mut stages = Vec::new();
        let auth_policies = [(Layer::Network, &args.network_policy), (Layer::Service, &args.service_policy)];
        for (layer, file) in auth_policies {
            if let Some(file) = file {
                stages.push(Stage::from_files(layer, PolicyKind::Resource, std::slice::from_ref(file))?);
            }
        }
        if caller.arn().is_some() {
            stages.push(Stage::from_files(Layer::Identity, PolicyKind::Identity, &args.identity_policies)?);
        }
        let (service, keys) = (args.service.clone(), args.keys.clone());
        Ok(Self { caller, service, stages, keys, remarks: Vec::new() })
    }
}

/// `layout` is that of the installation.
pub(super) fn run(args: &Explain, layout: &Layout, text: &mut String) -> anyhow::Result<ExitCode> {
    if args.caller == "anonymous" && !args.identity_policies.is_empty() {
        bail!("--identity-policy is of a caller who signs: name one with --caller");
    }
    let question = if args.running { running::question(args, layout)? } else { Question::from_files(args)? };
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{path}");
    let code = explain_path(args, &question, &path, query, text)?;
    match plain_path(&path) {
        // A service asks about both, and both must be allowed.
        Some(plain) if code == ExitCode::SUCCESS => {
            *text += "a target may read the path as another, which must be allowed as well:\n";
            explain_path(args, &question, &plain, query, text)
        }
        _ => Ok(code),
    }
}

fn explain_path(
    args: &Explain,
    question: &Question,
    path: &str,
    query: &str,
    text: &mut String,
) -> anyhow::Result<ExitCode> {
    let Question { caller, service, stages, remarks, .. } = question;
    let resource = format!("{service}{path}");
    let facts = Facts { args, question, path, query };
    let access = Access { caller, action: INVOKE, resource: &resource, context: &facts };
    *text += &format!("{} {resource}\n", caller.arn().unwrap_or("anonymous"));
    let mut policies = Vec::new();
    for stage in stages {
        if stage.policies.is_empty() {
            *text += &format!("{}: no policy\n", stage.layer);
        }
        let mut parsed = Vec::new();
        for Source { name, text: policy } in &stage.policies {
            let explanation = explain(policy, stage.kind, &access).with_context(|| name.clone())?;
            *text += &format!("{}: {name}\n", stage.layer);
            tell(&explanation, text);
            parsed.push(Arc::new(Policy::parse(policy, stage.kind).with_context(|| name.clone())?));
        }
        policies.push((stage.layer, parsed));
    }
    for remark in remarks {
        *text += &format!("{remark}\n");
    }
    let guards = policies.iter().map(|(layer, policies)| (*layer, Guard::Policies(policies)));
    let (verdict, code) = match decide(guards, &access) {
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

fn tell(explanation: &Explanation, text: &mut String) {
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

/// As the command line has it.
pub(super) fn caller(args: &Explain) -> anyhow::Result<Caller> {
    let caller = caller::named(&args.caller, args.role.as_deref())?.with_tags(args.tags.iter().cloned());
    Ok(match &args.organization {
        Some(id) => caller.with_organization(Organization { id: id.clone(), paths: Vec::new() }),
        None => caller,
    })
}

/// What the command line and the installation say of the request.
struct Facts<'a> {
    args: &'a Explain,
    question: &'a Question,
    path: &'a str,
    query: &'a str,
}

impl Context for Facts<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let named = match key.argument() {
            Some(argument) => format!("{}/{argument}", key.name()),
            None => key.name().to_owned(),
        };
        for (_, value) in self.question.keys.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&named)) {
            visit(value);
        }
        match (key.name(), key.argument()) {
            ("vpc-lattice-svcs:servicearn", None) => visit(&self.question.service),
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
                self.question.service.split(':').nth(4).into_iter().for_each(visit);
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
