//! What IAM accepts and nobody means: statements that can never apply, or apply to more than they seem to.
//!
//! A finding is no error; the policy does what it says. Nothing here decides on a request.

use crate::document::{Document, EffectText, Many, PrincipalText, Scalar, StatementText};
use crate::{Policy, PolicyError, PolicyKind};

/// Something to look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// From 1, in the order of the text.
    pub statement: usize,
    pub sid: Option<String>,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "the resource {found:?} has no path, so that no HTTP request is about it: end it with /* for all of them"
    )]
    ResourceWithoutPath { found: String },
    #[error(
        "the resource {found:?} is no service's: expected arn:aws:vpc-lattice:REGION:ACCOUNT:service/ID/PATH or *"
    )]
    ResourceOfAnotherKind { found: String },
    #[error(
        "services are asked about vpc-lattice-svcs:Invoke and vpc-lattice-svcs:Connect alone, never {found:?}"
    )]
    ActionNeverAsked { found: String },
    #[error(
        "everybody may, the anonymous too: for callers who sign, add StringNotEquals aws:PrincipalType Anonymous"
    )]
    AllowsAnonymous,
    #[error(
        "{operator} {key} holds for the anonymous, who have no {key}, and so this lets them in: add \
         StringNotEquals aws:PrincipalType Anonymous"
    )]
    NegationAllowsAnonymous { operator: String, key: String },
    #[error(
        "{operator} {key} never holds for the anonymous, who have no {key}, and so this does not deny them: deny \
         StringEquals aws:PrincipalType Anonymous as well"
    )]
    DenialSparesAnonymous { operator: String, key: String },
    #[error("nothing has the condition key {key:?}: is it misspelt?")]
    UnknownKey { key: String },
    #[error("{operator} takes {value:?} by the letter: use {like} for wildcards")]
    LiteralWildcard { operator: String, like: &'static str, value: String },
    #[error("without \"Version\": \"2012-10-17\" the text {value:?} is no variable")]
    LiteralVariable { value: String },
    #[error("methods are in upper case: {value:?} is none")]
    Method { value: String },
    #[error("there is no principal {found:?}")]
    UnknownPrincipal { found: String },
}

/// Keys that the anonymous never have.
const OF_CALLERS: [&str; 9] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principaltag",
    "aws:userid",
    "aws:username",
    "aws:sourceidentity",
    "aws:federatedprovider",
];

/// Keys that a request to a service has, beside [`OF_CALLERS`].
const OF_REQUESTS: [&str; 22] = [
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalisawsservice",
    "aws:principalservicename",
    "aws:principaltype",
    "aws:referer",
    "aws:resourceaccount",
    "aws:resourcetag",
    "aws:resourceorgid",
    "aws:securetransport",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:tokenissuetime",
    "aws:useragent",
    "vpc-lattice-svcs:port",
    "vpc-lattice-svcs:requestheader",
    "vpc-lattice-svcs:requestmethod",
    "vpc-lattice-svcs:requestpath",
    "vpc-lattice-svcs:requestquerystring",
    "vpc-lattice-svcs:servicearn",
    "vpc-lattice-svcs:servicenetworkarn",
    "vpc-lattice-svcs:sourcevpc",
];
const OF_VPCS: &str = "vpc-lattice-svcs:sourcevpcowneraccount";

/// Looks through an auth policy of a service or service network. `exists` says of a principal that the policy names
/// whether there is one; without it that is not looked at.
///
/// # Errors
/// As [`Policy::parse`].
pub fn lint(text: &str, exists: Option<&dyn Fn(&str) -> bool>) -> Result<Vec<Finding>, PolicyError> {
    Policy::parse(text, PolicyKind::Resource)?;
    let document: Document =
        serde_json::from_str(text).map_err(|error| PolicyError::Document { message: error.to_string() })?;
    let variables = document.version.as_deref() == Some("2012-10-17");
    let mut findings = Vec::new();
    for (index, statement) in document.statement.iter().enumerate() {
        let mut problems = Vec::new();
        about_actions(statement, &mut problems);
        about_resources(statement, &mut problems);
        about_conditions(statement, &mut problems);
        about_anonymous(statement, &mut problems);
        if !variables {
            about_variables(statement, &mut problems);
        }
        if let Some(exists) = exists {
            about_principals(statement, exists, &mut problems);
        }
        let sid = &statement.sid;
        findings.extend(problems.into_iter().map(|problem| Finding {
            statement: index + 1,
            sid: sid.clone(),
            problem,
        }));
    }
    Ok(findings)
}

fn about_actions(statement: &StatementText, problems: &mut Vec<Problem>) {
    for found in statement.action.iter().flatten() {
        let asked = ["vpc-lattice-svcs:invoke", "vpc-lattice-svcs:connect"];
        if !asked.iter().any(|action| like(&found.to_ascii_lowercase(), action)) {
            problems.push(Problem::ActionNeverAsked { found: found.clone() });
        }
    }
}

fn about_resources(statement: &StatementText, problems: &mut Vec<Problem>) {
    // Connect, which is asked about connections of TLS passthrough, has no path.
    let only_connects = statement.action.as_ref().is_some_and(|actions| {
        actions.iter().all(|action| action.eq_ignore_ascii_case("vpc-lattice-svcs:Connect"))
    });
    for found in statement.resource.iter().chain(&statement.not_resource).flatten() {
        let mut parts = found.splitn(6, ':');
        let service = parts.nth(2);
        match (service, parts.nth(2)) {
            // A pattern such as `*`, or `*/rates` for a path wherever it is.
            (None | Some(_), None) if found.starts_with('*') => {}
            (Some(service), Some(resource)) if like(service, "vpc-lattice") => {
                let end = resource.strip_prefix("service/");
                match end {
                    Some(end) if !only_connects && !end.contains(['/', '*']) => {
                        problems.push(Problem::ResourceWithoutPath { found: found.clone() });
                    }
                    Some(_) => {}
                    None if resource.starts_with(['*', '?']) => {}
                    None => problems.push(Problem::ResourceOfAnotherKind { found: found.clone() }),
                }
            }
            _ => problems.push(Problem::ResourceOfAnotherKind { found: found.clone() }),
        }
    }
}

fn about_conditions(statement: &StatementText, problems: &mut Vec<Problem>) {
    for (operator, key, values) in conditions(statement) {
        let name = key_name(key);
        if !is_known(&name) {
            problems.push(Problem::UnknownKey { key: key.to_owned() });
        }
        let word = operator.rsplit(':').next().unwrap_or(operator).trim_end_matches("IfExists");
        let instead = match word {
            "StringEquals" | "StringEqualsIgnoreCase" => Some("StringLike"),
            "StringNotEquals" | "StringNotEqualsIgnoreCase" => Some("StringNotLike"),
            _ => None,
        };
        for Scalar(value) in &values.0 {
            if let Some(like) = instead.filter(|_| value.contains('*')) {
                let operator = operator.to_owned();
                problems.push(Problem::LiteralWildcard { operator, like, value: value.clone() });
            }
            let has_case = !word.ends_with("IgnoreCase");
            if name == "vpc-lattice-svcs:requestmethod"
                && has_case
                && value.bytes().any(|byte| byte.is_ascii_lowercase())
            {
                problems.push(Problem::Method { value: value.clone() });
            }
        }
    }
}

fn about_anonymous(statement: &StatementText, problems: &mut Vec<Problem>) {
    if !statement.principal.as_ref().is_some_and(is_everyone) {
        return;
    }
    let allows = matches!(statement.effect, EffectText::Allow);
    let mut narrowed = false;
    let mut suspects = Vec::new();
    for (operator, key, _) in conditions(statement) {
        let name = key_name(key);
        if name == "aws:principaltype" || name == "aws:principalisawsservice" {
            narrowed = true;
        }
        if !OF_CALLERS.contains(&name.as_str()) {
            continue;
        }
        let (set, word) = operator.split_once(':').unwrap_or(("", operator));
        let holds_without = word.ends_with("IfExists")
            || (word.contains("Not") && set != "ForAnyValue")
            || set == "ForAllValues";
        match (allows, word == "Null", holds_without) {
            // It says itself what becomes of callers without the key.
            (_, true, _) => narrowed = true,
            (true, false, true) => suspects.push(Problem::NegationAllowsAnonymous {
                operator: operator.to_owned(),
                key: key.to_owned(),
            }),
            (true, false, false) => narrowed = true,
            (false, false, false) => suspects
                .push(Problem::DenialSparesAnonymous { operator: operator.to_owned(), key: key.to_owned() }),
            (false, false, true) => {}
        }
    }
    if narrowed {
        return;
    }
    if allows && statement.condition.0.is_empty() {
        problems.push(Problem::AllowsAnonymous);
    }
    problems.extend(suspects);
}

fn about_variables(statement: &StatementText, problems: &mut Vec<Problem>) {
    let resources = statement.resource.iter().chain(&statement.not_resource).flatten();
    let values = conditions(statement).flat_map(|(_, _, values)| values.0.iter().map(|Scalar(value)| value));
    for value in resources.chain(values).filter(|value| value.contains("${")) {
        problems.push(Problem::LiteralVariable { value: value.clone() });
    }
}

fn about_principals(statement: &StatementText, exists: &dyn Fn(&str) -> bool, problems: &mut Vec<Problem>) {
    for principal in statement.principal.iter().chain(&statement.not_principal) {
        let PrincipalText::Kinds(kinds) = principal else { continue };
        let named = kinds.0.iter().filter(|(kind, _)| kind == "AWS").flat_map(|(_, words)| &words.0);
        for found in named.filter(|word| *word != "*" && !exists(word)) {
            problems.push(Problem::UnknownPrincipal { found: found.clone() });
        }
    }
}

fn conditions(statement: &StatementText) -> impl Iterator<Item = (&str, &str, &Many<Scalar>)> {
    let operators = statement.condition.0.iter();
    operators.flat_map(|(operator, keys)| {
        keys.0.iter().map(move |(key, values)| (operator.as_str(), key.as_str(), values))
    })
}

fn key_name(key: &str) -> String {
    key.split('/').next().unwrap_or(key).to_ascii_lowercase()
}

fn is_known(name: &str) -> bool {
    OF_CALLERS.contains(&name) || OF_REQUESTS.contains(&name) || name == OF_VPCS
}

fn is_everyone(principal: &PrincipalText) -> bool {
    match principal {
        PrincipalText::Word(word) => word == "*",
        PrincipalText::Kinds(kinds) => {
            kinds.0.iter().any(|(_, words)| words.0.iter().any(|word| word == "*"))
        }
    }
}

/// Whether `pattern`, with `*` and `?`, can stand for `text`, which is ASCII. Goes back only to the latest star.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    (at, seen) = (place + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
