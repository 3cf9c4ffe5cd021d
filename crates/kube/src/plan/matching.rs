//! The rules of a route as Lattice's: one for each match, in the order the Gateway API decides by.

use std::cmp::Reverse;
use std::collections::HashSet;

use serde_json::Value;

use super::backends::Backends;
use super::{Action, DesiredRule, PREFIX, PathMatch, RuleMatch, Unsupported};
use crate::objects::{GrpcMatch, HeaderMatch, HttpMatch};
use crate::world::Route;

/// Lattice's limits.
const LAST_PRIORITY: i32 = 100;
const MOST_HEADERS: usize = 5;
const LONGEST_PATH: usize = 200;

pub(super) enum Rules {
    /// For listeners that look at requests.
    Requests(Vec<DesiredRule>),
    /// For those that pass connections on.
    Connections(Action),
}

/// A match of a rule, and where in the route it stands.
struct Candidate {
    rule: usize,
    matching: RuleMatch,
    action: Action,
}

pub(super) fn rules(route: &Route, backends: &mut Backends<'_>) -> Result<Rules, Unsupported> {
    let mut candidates = Vec::new();
    match route {
        Route::Http(route) => {
            for (index, rule) in route.spec.rules.iter().enumerate() {
                let field = format!("spec.rules[{index}]");
                refuse_list(&format!("{field}.filters"), &rule.filters)?;
                refuse(&format!("{field}.timeouts"), rule.timeouts.as_ref())?;
                refuse(&format!("{field}.retry"), rule.retry.as_ref())?;
                refuse(&format!("{field}.sessionPersistence"), rule.session_persistence.as_ref())?;
                let action = backends.action(&field, &rule.backend_refs)?;
                extend(&mut candidates, index, &action, &field, &rule.matches, http_match)?;
            }
        }
        Route::Grpc(route) => {
            for (index, rule) in route.spec.rules.iter().enumerate() {
                let field = format!("spec.rules[{index}]");
                refuse_list(&format!("{field}.filters"), &rule.filters)?;
                refuse(&format!("{field}.sessionPersistence"), rule.session_persistence.as_ref())?;
                let action = backends.action(&field, &rule.backend_refs)?;
                extend(&mut candidates, index, &action, &field, &rule.matches, grpc_match)?;
            }
        }
        Route::Tls(route) => {
            if route.spec.hostnames.is_empty() {
                return Err(Unsupported::new(
                    "spec.hostnames",
                    "a TLSRoute needs one, to know its connections by",
                ));
            }
            let [rule] = &*route.spec.rules else {
                return Err(Unsupported::new("spec.rules", "a TLSRoute has exactly one rule in Lattice"));
            };
            return Ok(Rules::Connections(backends.action("spec.rules[0]", &rule.backend_refs)?));
        }
    }
    // What an earlier candidate takes in full never reaches a later one that asks the same.
    let has_order = annotated(route)?;
    if has_order.iter().all(Option::is_none) {
        candidates.sort_by_key(|candidate| precedence(&candidate.matching));
    }
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.matching.clone()));
    prioritise(candidates, &has_order).map(Rules::Requests)
}

/// A rule without matches takes everything. `field` is where the rule stands.
fn extend<M>(
    candidates: &mut Vec<Candidate>,
    rule: usize,
    action: &Action,
    field: &str,
    matches: &[M],
    read: impl Fn(&str, &M) -> Result<RuleMatch, Unsupported>,
) -> Result<(), Unsupported> {
    if matches.is_empty() {
        let matching = RuleMatch { path: Some(PathMatch::Prefix("/".to_owned())), ..RuleMatch::default() };
        candidates.push(Candidate { rule, matching, action: action.clone() });
    }
    for (number, found) in matches.iter().enumerate() {
        let matching = read(&format!("{field}.matches[{number}]"), found)?;
        candidates.push(Candidate { rule, matching, action: action.clone() });
    }
    Ok(())
}

fn refuse(field: &str, value: Option<&Value>) -> Result<(), Unsupported> {
    match value {
        Some(_) => Err(Unsupported::new(field, "is nothing a Lattice rule has")),
        None => Ok(()),
    }
}

pub(super) fn refuse_list(field: &str, values: &[Value]) -> Result<(), Unsupported> {
    refuse(&format!("{field}[0]"), values.first())
}

fn http_match(field: &str, found: &HttpMatch) -> Result<RuleMatch, Unsupported> {
    refuse_list(&format!("{field}.queryParams"), &found.query_params)?;
    let path = found.path.as_ref();
    let value = path.and_then(|path| path.value.clone()).unwrap_or_else(|| "/".to_owned());
    if value.len() > LONGEST_PATH {
        return Err(Unsupported::new(format!("{field}.path.value"), "is longer than 200 characters"));
    }
    let path = match path.and_then(|path| path.kind.as_deref()).unwrap_or("PathPrefix") {
        "Exact" => PathMatch::Exact(value),
        "PathPrefix" => PathMatch::Prefix(value),
        other => {
            return Err(Unsupported::new(
                format!("{field}.path.type"),
                format!("{other} is not Exact or PathPrefix"),
            ));
        }
    };
    let headers = headers(field, &found.headers)?;
    Ok(RuleMatch { method: found.method.clone(), path: Some(path), headers })
}

fn grpc_match(field: &str, found: &GrpcMatch) -> Result<RuleMatch, Unsupported> {
    let method = found.method.as_ref();
    let kind = method.and_then(|method| method.kind.as_deref()).unwrap_or("Exact");
    if kind != "Exact" {
        return Err(Unsupported::new(format!("{field}.method.type"), format!("{kind} is not Exact")));
    }
    let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let path = match method.map(|method| (named(&method.service), named(&method.method))) {
        Some((Some(service), Some(method))) => PathMatch::Exact(format!("/{service}/{method}")),
        Some((Some(service), None)) => PathMatch::Prefix(format!("/{service}/")),
        Some((None, Some(_))) => {
            return Err(Unsupported::new(
                format!("{field}.method.service"),
                "is needed where there is a method: a Lattice rule compares paths from their beginning",
            ));
        }
        Some((None, None)) | None => PathMatch::Prefix("/".to_owned()),
    };
    let headers = headers(field, &found.headers)?;
    Ok(RuleMatch { method: Some("POST".to_owned()), path: Some(path), headers })
}

fn headers(field: &str, wanted: &[HeaderMatch]) -> Result<Vec<(String, String)>, Unsupported> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (index, header) in wanted.iter().enumerate() {
        match header.kind.as_deref().unwrap_or("Exact") {
            "Exact" => {}
            other => {
                let field = format!("{field}.headers[{index}].type");
                return Err(Unsupported::new(field, format!("{other} is not Exact")));
            }
        }
        // Of entries with equivalent names only the first counts, says the Gateway API.
        let name = header.name.to_ascii_lowercase();
        if !headers.iter().any(|(other, _)| *other == name) {
            headers.push((name, header.value.clone()));
        }
    }
    if headers.len() > MOST_HEADERS {
        return Err(Unsupported::new(format!("{field}.headers"), "a Lattice rule looks at five at most"));
    }
    headers.sort();
    Ok(headers)
}

/// "Precedence must be given to the match having: exact path; prefix with the largest number of characters; method;
/// largest number of header matches", then to the rule that stands first: the sort is stable.
fn precedence(matching: &RuleMatch) -> impl Ord + use<> {
    let (is_prefix, length) = match &matching.path {
        Some(PathMatch::Exact(path)) => (false, path.len()),
        Some(PathMatch::Prefix(path)) => (true, path.len()),
        None => (true, 0),
    };
    (is_prefix, Reverse(length), matching.method.is_none(), Reverse(matching.headers.len()))
}

/// The priorities that annotations give rules.
fn annotated(route: &Route) -> Result<Vec<Option<i32>>, Unsupported> {
    let count = match route {
        Route::Http(route) => route.spec.rules.len(),
        Route::Grpc(route) => route.spec.rules.len(),
        Route::Tls(_) => 0,
    };
    (0..count)
        .map(|index| {
            let name = format!("rule-{index}-priority");
            let Some(text) = route.annotation(&name) else { return Ok(None) };
            match text.parse() {
                Ok(priority) if (1..=LAST_PRIORITY).contains(&priority) => Ok(Some(priority)),
                _ => {
                    Err(Unsupported::new(format!("metadata.annotations[{PREFIX}{name}]"), "is not 1 to 100"))
                }
            }
        })
        .collect()
}

/// With annotations the route's own order counts, and a rule without one comes after the rule before it.
fn prioritise(candidates: Vec<Candidate>, given: &[Option<i32>]) -> Result<Vec<DesiredRule>, Unsupported> {
    let mut taken = HashSet::new();
    let mut rules = Vec::with_capacity(candidates.len());
    let mut reserved: HashSet<i32> = given.iter().flatten().copied().collect();
    let mut last = 0;
    for Candidate { rule, matching, action } in candidates {
        let wanted = given.get(rule).copied().flatten().filter(|priority| reserved.remove(priority));
        let priority = wanted.unwrap_or_else(|| {
            let is_free = |priority: &i32| !taken.contains(priority) && !reserved.contains(priority);
            (last + 1..).find(is_free).unwrap_or(LAST_PRIORITY + 1)
        });
        if priority > LAST_PRIORITY {
            return Err(Unsupported::new("spec.rules", "have more matches than Lattice has priorities, 100"));
        }
        taken.insert(priority);
        last = priority;
        rules.push(DesiredRule { priority, matching, action });
    }
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules)
}
