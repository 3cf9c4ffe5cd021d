//! What would be decided: policies asked about actions that nobody takes, by the engine that decides calls and requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use trellis_frame::{Context, Page, Paged, Refusal, key, tags};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, Named};
use trellis_policy::{
    Access as Question, Caller, ConditionKey, Context as Circumstances, Decision, Policy, PolicyKind,
};
use trellis_store::{Read, Reader};

use crate::entity::by_arn;
use crate::fault;
use crate::permissions::{Bounds, Source};
use crate::wire::{self, EvaluationResult, PolicyEvaluationDecisionType as Outcome, PolicySourceType};

/// Questions of one call: actions times resources.
const QUESTIONS: usize = 5000;

/// What both simulations ask.
struct Simulation<'a> {
    bounds: Bounds,
    resource_policy: Option<Arc<Policy>>,
    caller: Caller,
    entries: Entries<'a>,
    actions: &'a [String],
    resources: Vec<String>,
}

/// Context entries, as given.
struct Entries<'a>(Vec<(&'a str, &'a [String])>);

impl<'a> Entries<'a> {
    fn of(entries: Option<&'a Vec<wire::ContextEntry>>) -> Self {
        let pair = |entry: &'a wire::ContextEntry| {
            let values = entry.context_key_values.as_deref().unwrap_or_default();
            Some((entry.context_key_name.as_deref()?, values))
        };
        Self(entries.into_iter().flatten().filter_map(pair).collect())
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(key))
    }
}

impl Circumstances for Entries<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        for (name, values) in &self.0 {
            let is_meant = match key.argument() {
                None => name.eq_ignore_ascii_case(key.name()),
                Some(argument) => name.split_once('/').is_some_and(|(name, given)| {
                    name.eq_ignore_ascii_case(key.name()) && given.eq_ignore_ascii_case(argument)
                }),
            };
            if is_meant {
                values.iter().for_each(|value| visit(value));
            }
        }
    }
}

pub(crate) fn custom(
    _: &mut Reader,
    ctx: &Context,
    input: &wire::SimulateCustomPolicyInput,
    page: &Page,
) -> Result<Paged<wire::SimulateCustomPolicyOutput>, Refusal> {
    let bounds = Bounds { policies: given(&input.policy_input_list, "PolicyInputList")?, boundary: None };
    let simulation = Simulation {
        bounds: bounded(bounds, input.permissions_boundary_policy_input_list.as_deref())?,
        resource_policy: resource_policy(input.resource_policy.as_deref())?,
        caller: caller(input.caller_arn.as_deref(), &ctx.caller.account),
        entries: Entries::of(input.context_entries.as_ref()),
        actions: &input.action_names,
        resources: resources(input.resource_arns.as_ref()),
    };
    let listing = page.cut(simulation.run()?, |(order, _)| order.clone());
    Ok(listing.into_output(|results| wire::SimulateCustomPolicyOutput {
        evaluation_results: Some(results.into_iter().map(|(_, result)| result).collect()),
        ..Default::default()
    }))
}

pub(crate) fn principal(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::SimulatePrincipalPolicyInput,
    page: &Page,
) -> Result<Paged<wire::SimulatePrincipalPolicyOutput>, Refusal> {
    let arn = &input.policy_source_arn;
    let mut bounds = own(state, ctx, arn)?;
    let more = input.policy_input_list.as_deref().unwrap_or_default();
    bounds.policies.extend(given(more, "PolicyInputList")?);
    if input.permissions_boundary_policy_input_list.is_some() {
        bounds.boundary = None;
    }
    let caller_arn = input.caller_arn.as_deref().unwrap_or(arn);
    let home = key::global(&ctx.caller.account);
    let tags = tags::read(state, &home, caller_arn)?;
    let simulation = Simulation {
        bounds: bounded(bounds, input.permissions_boundary_policy_input_list.as_deref())?,
        resource_policy: resource_policy(input.resource_policy.as_deref())?,
        caller: caller_of(state, ctx, caller_arn)?.with_tags(tags),
        entries: Entries::of(input.context_entries.as_ref()),
        actions: &input.action_names,
        resources: resources(input.resource_arns.as_ref()),
    };
    let listing = page.cut(simulation.run()?, |(order, _)| order.clone());
    Ok(listing.into_output(|results| wire::SimulatePrincipalPolicyOutput {
        evaluation_results: Some(results.into_iter().map(|(_, result)| result).collect()),
        ..Default::default()
    }))
}

/// # Errors
/// `NoSuchEntity` for whoever is not of the account.
fn own(state: &mut Reader, ctx: &Context, arn: &str) -> Result<Bounds, Refusal> {
    let is_own = Named::parse(arn).is_some_and(|named| named.account == ctx.caller.account.as_str());
    let bounds = if is_own { Bounds::of_arn(state, arn)? } else { None };
    bounds.ok_or_else(|| {
        fault::missing(format_args!("No user, group or role of this account has the ARN {arn}."))
    })
}

/// Documents of the call itself: `PolicyInputList.1`.
fn given(documents: &[String], member: &str) -> Result<Vec<Source>, Refusal> {
    let source = |(index, document): (usize, &String)| {
        let id = format!("{member}.{}", index + 1);
        Policy::parse(document, PolicyKind::Identity)
            .map_err(|error| fault::invalid(format_args!("{id}: {error}")))?;
        Ok(Source { id, kind: PolicySourceType::None, document: document.clone() })
    };
    documents.iter().enumerate().map(source).collect()
}

fn bounded(bounds: Bounds, boundary: Option<&[String]>) -> Result<Bounds, Refusal> {
    let Some(boundary) = boundary else { return Ok(bounds) };
    let mut given = given(boundary, "PermissionsBoundaryPolicyInputList")?;
    if given.len() > 1 {
        return Err(fault::invalid("PermissionsBoundaryPolicyInputList: expected one policy"));
    }
    Ok(Bounds { boundary: given.pop().or(bounds.boundary), policies: bounds.policies })
}

fn resource_policy(document: Option<&str>) -> Result<Option<Arc<Policy>>, Refusal> {
    let parse = |text| {
        Policy::parse(text, PolicyKind::Resource)
            .map(Arc::new)
            .map_err(|error| fault::invalid(format_args!("ResourcePolicy: {error}")))
    };
    document.map(parse).transpose()
}

fn resources(given: Option<&Vec<String>>) -> Vec<String> {
    given.filter(|list| !list.is_empty()).cloned().unwrap_or_else(|| vec!["*".to_owned()])
}

/// Whoever an ARN names, as far as the ARN tells.
fn caller(arn: Option<&str>, account: &AccountId) -> Caller {
    match arn.and_then(Named::parse) {
        Some(named) if named.kind == iam::USER => Caller::user(named.account, named.path, named.name, ""),
        Some(named) if named.kind == iam::ROLE => {
            Caller::session(named.account, named.path, named.name, "", "")
        }
        _ => Caller::root(account.as_str()),
    }
}

/// The same with the ids of the account's own.
fn caller_of(state: &mut impl Read, ctx: &Context, arn: &str) -> Result<Caller, Refusal> {
    let account = &ctx.caller.account;
    let home = key::global(account);
    Ok(match Named::parse(arn).map(|named| named.kind) {
        Some(iam::USER) => by_arn::<iam::User>(state, &home, arn)?
            .map(|user| Caller::user(account.as_str(), &user.path, &user.name, &user.id)),
        Some(iam::ROLE) => by_arn::<iam::Role>(state, &home, arn)?
            .map(|role| Caller::session(account.as_str(), &role.path, &role.name, &role.id, "simulation")),
        _ => None,
    }
    .unwrap_or_else(|| caller(Some(arn), account)))
}

impl Simulation<'_> {
    /// A result for every action on every resource, in the order they are named, each with what sorts so.
    fn run(&self) -> Result<Vec<(String, EvaluationResult)>, Refusal> {
        if self.actions.len() * self.resources.len() > QUESTIONS {
            return Err(fault::invalid(format_args!("at most {QUESTIONS} pairs of action and resource")));
        }
        let compiled = |source: &Source| Some((source.id.clone(), source.kind, source.compile()?));
        let policies: Vec<_> = self.bounds.policies.iter().filter_map(compiled).collect();
        let boundary = self.bounds.boundary.as_ref().map(Source::compile);
        let sources = self.bounds.policies.iter().chain(&self.bounds.boundary);
        let keys: BTreeSet<String> = sources.flat_map(|source| condition_keys(&source.document)).collect();
        let missing: Vec<String> =
            keys.into_iter().filter(|key| !self.entries.has(key) && !is_of_caller(key)).collect();
        let mut results = Vec::new();
        for action in self.actions {
            for resource in &self.resources {
                let question = Question { caller: &self.caller, action, resource, context: &self.entries };
                let (outcome, matched, is_within) = self.decide(&question, &policies, boundary.as_ref());
                let result = EvaluationResult {
                    eval_action_name: action.clone(),
                    eval_resource_name: Some(resource.clone()),
                    eval_decision: outcome,
                    matched_statements: Some(matched),
                    missing_context_values: Some(missing.clone()),
                    organizations_decision_detail: None,
                    permissions_boundary_decision_detail: is_within.map(|is_within| {
                        wire::PermissionsBoundaryDecisionDetail {
                            allowed_by_permissions_boundary: Some(is_within),
                        }
                    }),
                    eval_decision_details: None,
                    resource_specific_results: None,
                };
                results.push((format!("{:06}", results.len()), result));
            }
        }
        Ok(results)
    }

    /// The decision, the policies it comes from, and what the boundary says.
    fn decide(
        &self,
        question: &Question<'_>,
        policies: &[(String, PolicySourceType, Arc<Policy>)],
        boundary: Option<&Option<Arc<Policy>>>,
    ) -> (Outcome, Vec<wire::Statement>, Option<bool>) {
        let statement = |id: &str, kind| wire::Statement {
            source_policy_id: Some(id.to_owned()),
            source_policy_type: Some(kind),
            start_position: None,
            end_position: None,
        };
        let mut found: Vec<(Decision, wire::Statement)> = Vec::new();
        for (id, kind, policy) in policies {
            found.push((policy.decide(question), statement(id, *kind)));
        }
        if let Some(policy) = &self.resource_policy {
            found.push((policy.decide(question), statement("ResourcePolicy", PolicySourceType::Resource)));
        }
        let within = boundary
            .map(|policy| policy.as_ref().map_or(Decision::ImplicitDeny, |policy| policy.decide(question)));
        let has = |wanted| found.iter().any(|(decision, _)| *decision == wanted);
        let decision = if has(Decision::ExplicitDeny) || within == Some(Decision::ExplicitDeny) {
            Decision::ExplicitDeny
        } else if has(Decision::Allow) && within.is_none_or(|within| within == Decision::Allow) {
            Decision::Allow
        } else {
            Decision::ImplicitDeny
        };
        let outcome = match decision {
            Decision::Allow => Outcome::Allowed,
            Decision::ExplicitDeny => Outcome::ExplicitDeny,
            Decision::ImplicitDeny => Outcome::ImplicitDeny,
        };
        let matched =
            found.into_iter().filter(|(its, _)| *its == decision && decision != Decision::ImplicitDeny);
        let is_within = within.map(|within| within == Decision::Allow);
        (outcome, matched.map(|(_, statement)| statement).collect(), is_within)
    }
}

// === the keys that policies ask for ===

pub(crate) fn keys_of_custom(
    _: &Context,
    input: wire::GetContextKeysForCustomPolicyInput,
) -> Result<wire::GetContextKeysForCustomPolicyOutput, Refusal> {
    let sources = given(&input.policy_input_list, "PolicyInputList")?;
    Ok(wire::GetContextKeysForCustomPolicyOutput { context_key_names: Some(keys_of(&sources)) })
}

pub(crate) fn keys_of_principal(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetContextKeysForPrincipalPolicyInput,
) -> Result<wire::GetContextKeysForPrincipalPolicyOutput, Refusal> {
    let mut sources = own(state, ctx, &input.policy_source_arn)?.policies;
    sources.extend(given(input.policy_input_list.as_deref().unwrap_or_default(), "PolicyInputList")?);
    Ok(wire::GetContextKeysForPrincipalPolicyOutput { context_key_names: Some(keys_of(&sources)) })
}

fn keys_of(sources: &[Source]) -> Vec<String> {
    let keys: BTreeSet<String> = sources.iter().flat_map(|source| condition_keys(&source.document)).collect();
    keys.into_iter().collect()
}

/// Whether the caller answers for it and nothing has to be given.
fn is_of_caller(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.starts_with("aws:principal") || matches!(key.as_str(), "aws:userid" | "aws:username")
}

/// Keys that conditions compare and variables stand for.
fn condition_keys(document: &str) -> Vec<String> {
    let Ok(document) = serde_json::from_str::<Value>(document) else { return Vec::new() };
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    let mut keys = Vec::new();
    for statement in statements {
        let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
        for (_, compared) in operators {
            keys.extend(compared.as_object().into_iter().flatten().map(|(key, _)| key.clone()));
        }
        variables(statement, &mut keys);
    }
    keys
}

/// `${aws:username}` in any text; not `${*}` and its kin.
fn variables(value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for part in text.split("${").skip(1) {
                let Some((name, _)) = part.split_once('}') else { continue };
                let name = name.split(',').next().unwrap_or(name).trim();
                if name.contains(':') {
                    keys.push(name.to_owned());
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| variables(item, keys)),
        Value::Object(members) => members.values().for_each(|item| variables(item, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_conditions_and_of_variables() {
        let document = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/${*}",
            "Condition":{"StringEquals":{"aws:RequestTag/team":"${aws:PrincipalTag/team, 'none'}"}}}]}"#;
        let mut keys = condition_keys(document);
        keys.sort();
        assert_eq!(keys, ["aws:PrincipalTag/team", "aws:RequestTag/team", "aws:username"]);
        assert!(crate::document::check(document, PolicyKind::Identity).is_ok());
    }
}
