//! The engine against another one, written from IAM's documentation for this test alone: it works on
//! the JSON as it is, one character at a time, and shares nothing with the engine but its inputs.

mod cases;
mod people;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use cases::{RESOURCES_ASKED, Random};
use people::{Person, people};
use serde_json::{Map, Value};
use trellis_policy::{Access, ConditionKey, Context, Decision, Partial, Policy, PolicyKind, decide_in_part};

const CASES: u32 = 100_000;
/// Requests that each policy is asked about.
const REQUESTS: u32 = 10;

#[test]
fn the_engine_decides_as_an_independent_one_does_on_100000_policies_and_requests() {
    let mut random = Random::new();
    let people = people();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..CASES / REQUESTS {
        let document = random.policy();
        let text = document.to_string();
        let policy =
            Policy::parse(&text, PolicyKind::Resource).unwrap_or_else(|error| panic!("{error}: {text}"));
        for _ in 0..REQUESTS {
            let person = random.one(&people);
            let request = Request {
                action: random.one::<&str>(&[
                    "vpc-lattice-svcs:Invoke",
                    "vpc-lattice-svcs:Invoke",
                    "s3:GetObject",
                ]),
                resource: random.one::<&str>(&RESOURCES_ASKED),
                facts: random.facts(),
            };
            let access = Access {
                caller: &person.caller,
                action: request.action,
                resource: request.resource,
                context: &request,
            };
            let decision = policy.decide(&access);
            let expected = decide(&document, person, &request);
            assert_eq!(decision, expected, "{text}\n{:?}\n{request:?}", person.caller);
            *counts.entry(format!("{decision:?}")).or_default() += 1;
        }
    }
    // The test would say little if nearly all requests had one fate.
    assert!(counts.len() == 3 && counts.values().all(|count| *count > CASES / 20), "{counts:?}");
}

#[test]
fn what_is_told_in_part_is_so_whatever_the_rest_is() {
    let mut random = Random::new();
    let people = people();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..CASES / REQUESTS {
        let text = random.policy().to_string();
        let policy = [Arc::new(Policy::parse(&text, PolicyKind::Resource).unwrap())];
        let person = random.one(&people);
        let resource = random.one::<&str>(&RESOURCES_ASKED);
        let request = Request { action: "vpc-lattice-svcs:Invoke", resource, facts: random.facts() };
        let asked = |request: &Request, hidden: &str| {
            let Request { action, resource, .. } = *request;
            let access = Access { caller: &person.caller, action, resource, context: request };
            let is_hidden = |key: &ConditionKey| (name_of(key) == hidden).then(|| hidden.to_owned());
            (policy[0].decide(&access), decide_in_part(&policy, &access, &is_hidden))
        };
        let told = |decision| if decision == Decision::Allow { Partial::Allows } else { Partial::Denies };
        let (decision, whole) = asked(&request, "");
        assert_eq!(whole, told(decision), "{text}\n{:?}\n{request:?}", person.caller);
        for hidden in request.facts.keys() {
            let part = asked(&request, hidden).1;
            let mut without = Request { facts: request.facts.clone(), ..request };
            without.facts.remove(hidden);
            let mut other = Request { facts: request.facts.clone(), ..request };
            other.facts.insert(hidden, vec!["another"]);
            if part == Partial::Untold(vec![(*hidden).to_owned()]) {
                *counts.entry("untold").or_default() += 1;
                continue;
            }
            *counts.entry("told").or_default() += 1;
            for decision in [decision, asked(&without, "").0, asked(&other, "").0] {
                assert_eq!(part, told(decision), "{hidden}: {text}\n{:?}\n{request:?}", person.caller);
            }
        }
    }
    assert!(counts.len() == 2 && counts.values().all(|count| *count > 100), "{counts:?}");
}

fn name_of(key: &ConditionKey) -> String {
    match key.argument() {
        Some(argument) => format!("{}/{argument}", key.name()),
        None => key.name().to_owned(),
    }
}

// === what is asked ===

#[derive(Debug)]
struct Request {
    action: &'static str,
    resource: &'static str,
    facts: HashMap<&'static str, Vec<&'static str>>,
}

impl Context for Request {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        self.facts.get(name_of(key).as_str()).into_iter().flatten().for_each(|value| visit(value));
    }
}

// === the other engine ===

fn decide(document: &Value, person: &Person, request: &Request) -> Decision {
    let variables = document["Version"] == "2012-10-17";
    let mut allowed = false;
    for statement in many(&document["Statement"]) {
        let world = World { person, request, variables, allows: statement["Effect"] == "Allow" };
        if world.applies(statement.as_object().unwrap()) {
            match world.allows {
                true => allowed = true,
                false => return Decision::ExplicitDeny,
            }
        }
    }
    if allowed { Decision::Allow } else { Decision::ImplicitDeny }
}

struct World<'a> {
    person: &'a Person,
    request: &'a Request,
    variables: bool,
    allows: bool,
}

impl World<'_> {
    fn applies(&self, statement: &Map<String, Value>) -> bool {
        let principal = match (statement.get("Principal"), statement.get("NotPrincipal")) {
            (Some(listed), _) => self.is_named(listed),
            // Nobody is let in without a name who has none.
            (_, Some(listed)) => !(self.is_named(listed) || self.allows && self.person.kind == "anonymous"),
            _ => false,
        };
        let action = self.chosen(statement, "Action", &|pattern| {
            Some(glob(&characters(&pattern.to_lowercase(), true), &self.request.action.to_lowercase()))
        });
        let resource =
            self.chosen(statement, "Resource", &|pattern| self.arn_matches(pattern, self.request.resource));
        principal && action && resource && self.conditions_hold(statement.get("Condition"))
    }

    fn is_named(&self, principal: &Value) -> bool {
        let person = self.person;
        if principal == "*" {
            return true;
        }
        principal.as_object().unwrap().iter().any(|(kind, names)| {
            many(names).iter().any(|name| {
                let name = name.as_str().unwrap();
                match kind.as_str() {
                    "Service" => person.service == Some(name),
                    "AWS" => {
                        let account = name
                            .strip_prefix("arn:aws:iam::")
                            .and_then(|rest| rest.strip_suffix(":root"))
                            .unwrap_or(name);
                        name == "*"
                            || person.account == Some(account)
                            || person.arn == Some(name)
                            || person.role == Some(name)
                            || person.id == Some(name)
                    }
                    _ => false,
                }
            })
        })
    }

    /// An element or its Not form. `None` of `matches`: it cannot be told.
    fn chosen(
        &self,
        statement: &Map<String, Value>,
        name: &str,
        matches: &dyn Fn(&str) -> Option<bool>,
    ) -> bool {
        let others = statement.get(&format!("Not{name}"));
        let listed = statement.get(name).or(others).unwrap();
        let outcomes: Vec<_> =
            many(listed).iter().map(|pattern| matches(pattern.as_str().unwrap())).collect();
        let found = outcomes.contains(&Some(true));
        match others {
            None => found,
            Some(_) => !(found || self.allows && outcomes.contains(&None)),
        }
    }

    fn facts(&self, key: &str) -> Vec<&str> {
        let key = match key.split_once('/') {
            // Names of tags have no case; those of other arguments do.
            Some((name, tag)) if name.eq_ignore_ascii_case("aws:PrincipalTag") => {
                format!("{}/{}", name.to_lowercase(), tag.to_lowercase())
            }
            Some((name, argument)) => format!("{}/{argument}", name.to_lowercase()),
            None => key.to_lowercase(),
        };
        let own = self.person.facts.iter().filter(|(name, _)| *name == key).map(|(_, value)| *value);
        own.chain(self.request.facts.get(key.as_str()).into_iter().flatten().copied()).collect()
    }

    fn conditions_hold(&self, element: Option<&Value>) -> bool {
        let Some(element) = element else { return true };
        element.as_object().unwrap().iter().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, values)| {
                let texts: Vec<String> = many(values)
                    .iter()
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    .collect();
                self.condition_holds(operator, key, &texts)
            })
        })
    }

    fn condition_holds(&self, operator: &str, key: &str, wanted: &[String]) -> bool {
        let there = self.facts(key);
        if operator == "Null" {
            return wanted.iter().any(|wanted| (wanted == "true") == there.is_empty());
        }
        let (set, operator) = operator.split_once(':').map_or(("", operator), |(set, rest)| (set, rest));
        let (operator, if_exists) =
            operator.strip_suffix("IfExists").map_or((operator, false), |operator| (operator, true));
        let positive = operator.replacen("Not", "", 1);
        let negated = positive != operator;
        if there.is_empty() {
            return match set {
                "ForAllValues" => true,
                "ForAnyValue" => if_exists,
                _ => negated || if_exists,
            };
        }
        // Of each value: does one of the wanted fit it, and if none does, might one that cannot be told?
        let mut fits = Vec::new();
        for value in there {
            let outcomes: Vec<_> =
                wanted.iter().map(|wanted| self.compare(&positive, value, wanted)).collect();
            let found = outcomes.contains(&Some(true));
            if !found && outcomes.contains(&None) && self.allows {
                return false;
            }
            fits.push(found);
        }
        match (set, negated) {
            ("ForAllValues", false) => fits.iter().all(|fits| *fits),
            ("ForAllValues", true) => !fits.contains(&true),
            ("ForAnyValue", true) => fits.contains(&false),
            (_, true) => !fits.contains(&true),
            (_, false) => fits.contains(&true),
        }
    }

    /// `None`: the wanted text has a variable that stands for nothing.
    fn compare(&self, operator: &str, value: &str, wanted: &str) -> Option<bool> {
        let number = |text: &str| text.parse::<f64>().ok();
        let moment = |text: &str| {
            text.parse::<jiff::Timestamp>().ok().map(|at| at.as_second() as f64).or(number(text))
        };
        Some(match operator {
            "StringEquals" => {
                let wanted = self.substituted(wanted, false)?;
                glob(&wanted, value)
            }
            "StringEqualsIgnoreCase" => {
                let wanted = self.substituted(wanted, false)?;
                let lower = wanted.into_iter().map(|token| match token {
                    Token::One(character) => Token::One(character.to_ascii_lowercase()),
                    other => other,
                });
                glob(&lower.collect::<Vec<_>>(), &value.to_ascii_lowercase())
            }
            "StringLike" => glob(&self.substituted(wanted, true)?, value),
            "ArnLike" | "ArnEquals" => return self.arn_matches(wanted, value),
            "Bool" => value.eq_ignore_ascii_case(wanted) && ["true", "false"].contains(&wanted),
            "IpAddress" => is_within(value, wanted),
            _ => {
                let (kind, comparison) = if let Some(rest) = operator.strip_prefix("Numeric") {
                    ((number(value), number(wanted)), rest)
                } else {
                    ((moment(value), moment(wanted)), operator.strip_prefix("Date").unwrap())
                };
                let (Some(value), Some(wanted)) = kind else { return Some(false) };
                match comparison {
                    "Equals" => value == wanted,
                    "LessThan" => value < wanted,
                    "LessThanEquals" => value <= wanted,
                    "GreaterThan" => value > wanted,
                    "GreaterThanEquals" => value >= wanted,
                    other => panic!("{other}"),
                }
            }
        })
    }

    fn arn_matches(&self, pattern: &str, text: &str) -> Option<bool> {
        if !pattern.starts_with("arn:") {
            return self.substituted(pattern, true).map(|tokens| glob(&tokens, text));
        }
        // A colon of a variable's name does not end a part.
        let mut parts = vec![String::new()];
        let mut within = false;
        for (at, character) in pattern.char_indices() {
            match character {
                '{' if pattern[..at].ends_with('$') => within = true,
                '}' => within = false,
                _ => {}
            }
            if character == ':' && !within && parts.len() < 6 {
                parts.push(String::new());
            } else {
                parts.last_mut().unwrap().push(character);
            }
        }
        parts.resize(6, if pattern.ends_with('*') { "*".into() } else { String::new() });
        let texts: Vec<&str> = text.splitn(6, ':').collect();
        let mut unknown = false;
        for (index, part) in parts.iter().enumerate() {
            let Some(text) = texts.get(index) else { return Some(false) };
            match self.substituted(part, true).map(|tokens| glob(&tokens, text)) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(true) }
    }

    fn substituted(&self, text: &str, wildcards: bool) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${").filter(|_| self.variables) {
            tokens.extend(characters(&rest[..start], wildcards));
            let end = start + rest[start..].find('}').unwrap();
            let name = &rest[start + 2..end];
            rest = &rest[end + 1..];
            if ["*", "?", "$"].contains(&name) {
                tokens.extend(characters(name, false));
                continue;
            }
            let (name, default) = match name.split_once(", '") {
                Some((name, default)) => (name, Some(default.trim_end_matches('\''))),
                None => (name, None),
            };
            let values = self.facts(name);
            let value = if values.len() == 1 { Some(values[0]) } else { default };
            tokens.extend(characters(value?, false));
        }
        tokens.extend(characters(rest, wildcards));
        Some(tokens)
    }
}

fn many(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

#[derive(Debug, Clone, Copy)]
enum Token {
    One(char),
    Any,
    Many,
}

fn characters(text: &str, wildcards: bool) -> Vec<Token> {
    let token = |character| match character {
        '*' if wildcards => Token::Many,
        '?' if wildcards => Token::Any,
        other => Token::One(other),
    };
    text.chars().map(token).collect()
}

/// By the definition: what is matched so far, character for character.
fn glob(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match token {
                Token::One(character) => at > 0 && reached[at - 1] && text[at - 1] == *character,
                Token::Any => at > 0 && reached[at - 1],
                Token::Many => reached[at] || (at > 0 && next[at - 1]),
            };
        }
        reached = next;
    }
    reached[text.len()]
}

fn is_within(address: &str, network: &str) -> bool {
    let bits = |text: &str| match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => Some((32, u128::from(address.to_bits()))),
        IpAddr::V6(address) => Some((128, address.to_bits())),
    };
    let (base, length) =
        network.split_once('/').map_or((network, None), |(base, length)| (base, Some(length)));
    let (Some((size, address)), Some((same, base))) = (bits(address), bits(base)) else { return false };
    let length: u32 = length.map_or(size, |length| length.parse().unwrap());
    size == same && (length == 0 || (address >> (size - length)) == (base >> (size - length)))
}
