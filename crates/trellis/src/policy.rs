//! `trellis policy`: what policies mean, from files.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use trellis_policy::{
    Access, Caller, ConditionKey, Context, Explanation, Guard, Layer, MAX_POLICY_BYTES, Obstacle,
    Organization, Outcome, Policy, PolicyKind, decide, explain, lint,
};

const INVOKE: &str = "vpc-lattice-svcs:Invoke";

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Find in auth policies what is accepted and nobody means; exits with 1 where something is found
    Lint(Lint),
    /// Say which statement of which policy decides on a request, and why the others do not apply
    Explain(Box<Explain>),
}

#[derive(Debug, Args)]
struct Lint {
    /// Auth policies of services or service networks
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file of the principals there are, one ARN a line; without it that is not looked at
    #[arg(long, value_name = "FILE")]
    principals: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "The policies of an account's role against one request:\n  \
    trellis policy explain --service-policy cart.json --identity-policy role.json \\\n    \
    --caller arn:aws:sts::111122223333:assumed-role/app/session --caller-tag team=red \\\n    \
    --service arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0 --path /items?x=1\n\n\
    A layer without a policy here is taken to be off (authType NONE); an identity without one is taken to allow nothing.")]
struct Explain {
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

pub(crate) fn policy(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let code = match args.command {
        PolicyCommand::Lint(args) => run_lint(&args, &mut text)?,
        PolicyCommand::Explain(args) => run_explain(&args, &mut text)?,
    };
    // Whoever closes the pipe has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(code)
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    let length = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > MAX_POLICY_BYTES as u64 {
        bail!("{} has {length} bytes, and a policy at most {MAX_POLICY_BYTES}", path.display());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn run_lint(args: &Lint, text: &mut String) -> anyhow::Result<ExitCode> {
    let principals = args.principals.as_ref().map(|path| {
        let list = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok::<_, anyhow::Error>(list.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
    });
    let principals = principals.transpose()?;
    let exists = principals.as_ref().map(|known| move |named: &str| is_among(named, known));
    let mut code = ExitCode::SUCCESS;
    for path in &args.files {
        let exists = exists.as_ref().map(|exists| exists as &dyn Fn(&str) -> bool);
        let findings = lint(&read(path)?, exists).with_context(|| path.display().to_string())?;
        for found in findings {
            let sid = found.sid.map(|sid| format!(" ({sid})")).unwrap_or_default();
            *text += &format!("{}: statement {}{sid}: {}\n", path.display(), found.statement, found.problem);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// An account is there where one of its principals is; a session where its role is.
fn is_among(named: &str, known: &[String]) -> bool {
    let account_of = |arn: &str| arn.split(':').nth(4).map(str::to_owned);
    let account = match named.strip_suffix(":root") {
        Some(_) => account_of(named),
        None => named.bytes().all(|byte| byte.is_ascii_digit()).then(|| named.to_owned()),
    };
    if let Some(account) = account {
        return known.iter().any(|arn| account_of(arn).as_ref() == Some(&account));
    }
    let session = named.split_once(":assumed-role/").and_then(|(before, rest)| {
        Some((before.split(':').nth(4)?.to_owned(), rest.split('/').next()?.to_owned()))
    });
    match session {
        Some((account, role)) => known.iter().any(|arn| {
            let name = arn.split_once(":role/").and_then(|(_, path)| path.rsplit('/').next());
            name == Some(&role) && account_of(arn).as_ref() == Some(&account)
        }),
        None => known.iter().any(|arn| arn == named),
    }
}

/// A layer of the decision: what it is called, and its policies by file.
struct Stage {
    layer: Layer,
    policies: Vec<(PathBuf, Arc<Policy>, Explanation)>,
}

fn run_explain(args: &Explain, text: &mut String) -> anyhow::Result<ExitCode> {
    let caller = caller(args)?;
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let resource = format!("{}{slash}{path}", args.service);
    let facts = Facts { args, path, query };
    let access = Access { caller: &caller, action: INVOKE, resource: &resource, context: &facts };

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

/// The caller that an ARN names.
fn caller(args: &Explain) -> anyhow::Result<Caller> {
    if args.caller == "anonymous" {
        return Ok(Caller::anonymous());
    }
    let unknown = || {
        format!(
            "{:?} is no caller: expected anonymous, arn:aws:iam::ACCOUNT:root, ...:user/NAME, \
             arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION or ...:federated-user/NAME",
            args.caller
        )
    };
    let mut parts = args.caller.splitn(6, ':').skip(2);
    let service = parts.next().with_context(unknown)?;
    let account = parts.nth(1).with_context(unknown)?;
    let resource = parts.next().with_context(unknown)?;
    // What AWS calls the one nobody has given a name here.
    let id = |prefix: &str| format!("{prefix}EXAMPLE0000000000");
    let split_path = |name: &str| {
        let (path, name) = name.rsplit_once('/').unwrap_or(("", name));
        (if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }, name.to_owned())
    };
    let caller = match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Caller::root(account),
        ("iam", Some(("user", name))) => {
            let (path, name) = split_path(name);
            Caller::user(account, &path, &name, &id("AIDA"))
        }
        ("sts", Some(("assumed-role", name))) => {
            let (role, session) = name.split_once('/').with_context(unknown)?;
            let given = args.role.as_deref().and_then(|arn| arn.split_once(":role/"));
            let (path, role) = given.map_or(("/".to_owned(), role.to_owned()), |(_, name)| split_path(name));
            Caller::session(account, &path, &role, &id("AROA"), session)
        }
        ("sts", Some(("federated-user", name))) => Caller::federated_user(account, name),
        _ => bail!(unknown()),
    };
    let caller = caller.with_tags(args.tags.iter().cloned());
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
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn run(place: &std::path::Path, line: &str) -> (String, ExitCode) {
        let line = line.replace('@', &format!("{}/", place.display()));
        let Command::Policy(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not policy")
        };
        let mut text = String::new();
        let code = match args.command {
            PolicyCommand::Lint(args) => run_lint(&args, &mut text),
            PolicyCommand::Explain(args) => run_explain(&args, &mut text),
        };
        (text, code.unwrap())
    }

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::write(
            place.path().join("service.json"),
            r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Team", "Effect": "Allow", "Action": "*", "Resource": "*/items*",
                "Principal": {"AWS": "arn:aws:iam::111122223333:role/apps/app"},
                "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}]}"#,
        )
        .unwrap();
        fs::write(
            place.path().join("role.json"),
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
        )
        .unwrap();
        place
    }

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
    fn findings_name_file_and_statement_and_are_an_exit_status() {
        let place = place();
        let (text, code) = run(place.path(), "trellis policy lint @service.json");
        assert_eq!((text.as_str(), code), ("", ExitCode::SUCCESS));
        fs::write(place.path().join("known"), "arn:aws:iam::111122223333:role/other\n").unwrap();
        let (text, code) = run(place.path(), "trellis policy lint @service.json --principals @known");
        assert!(text.contains("service.json: statement 1 (Team): there is no principal"), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }

    #[test]
    fn a_principal_is_there_as_itself_as_an_account_or_as_a_session_of_a_role() {
        let known = ["arn:aws:iam::111122223333:role/apps/app".to_owned()];
        for (named, there) in [
            ("111122223333", true),
            ("arn:aws:iam::111122223333:root", true),
            ("222233334444", false),
            ("arn:aws:iam::111122223333:role/apps/app", true),
            ("arn:aws:iam::111122223333:role/app", false),
            ("arn:aws:sts::111122223333:assumed-role/app/any", true),
            ("arn:aws:sts::111122223333:assumed-role/gone/any", false),
        ] {
            assert_eq!(is_among(named, &known), there, "{named}");
        }
    }
}
