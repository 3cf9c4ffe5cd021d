//! Rules: what a listener does with the requests that match, in the order of their priorities.
//!
//! The default rule is the listener's default action seen as a rule: it is listed and can be read, and
//! only UpdateListener changes it.

use serde::{Deserialize, Serialize};
use trellis_frame::Context;
use trellis_frame::counted;
use trellis_frame::page::{Listing, Page};
use trellis_frame::record::{get, get_id, put};
use trellis_frame::tags::{self as tag_set, Tags};
use trellis_model::RuleId;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::{
    HeaderMatch, HttpMatch, Listener, ListenerProtocol, PathMatch, Rule, RuleAction, RuleMatch, Service,
};
use trellis_store::{Read, Reader, Transaction};

use super::place::Place;
use super::{Nothing, action, identifier, listener, service};
use crate::quota;
use crate::refusal::{
    Kind, Refusal, check_name_is_free, check_quota, conflict, invalid, not_found, unacceptable,
};

/// The name of every default rule.
const DEFAULT_NAME: &str = "default";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Create {
    service_identifier: String,
    listener_identifier: String,
    name: String,
    #[serde(rename = "match")]
    matches: RuleMatch,
    priority: u16,
    action: RuleAction,
    #[serde(default)]
    tags: Tags,
}

/// What answers say of a rule, each with its own selection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    arn: String,
    id: RuleId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_default: Option<bool>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matches: Option<RuleMatch>,
    /// Absent for the default rule, which comes after every priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<RuleAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_at: Option<Moment>,
}

impl From<Rule> for Description {
    /// Everything GetRule answers.
    fn from(rule: Rule) -> Self {
        Self {
            arn: rule.arn(),
            id: rule.id,
            name: rule.name,
            is_default: Some(false),
            matches: Some(rule.matches),
            priority: Some(rule.priority),
            action: Some(rule.action),
            created_at: Some(rule.created_at),
            last_updated_at: Some(rule.last_updated_at),
        }
    }
}

impl From<Listener> for Description {
    /// The default rule.
    fn from(listener: Listener) -> Self {
        Self {
            arn: listener.default_rule_arn(),
            id: listener.default_rule,
            name: DEFAULT_NAME.into(),
            is_default: Some(true),
            matches: None,
            priority: None,
            action: Some(listener.default_action),
            created_at: Some(listener.created_at),
            last_updated_at: Some(listener.last_updated_at),
        }
    }
}

impl Description {
    /// What updates answer.
    fn updated(self) -> Self {
        Self { created_at: None, last_updated_at: None, ..self }
    }

    /// What lists answer.
    fn summary(self) -> Self {
        Self { matches: None, action: None, ..self }
    }
}

/// Fills in what a match leaves out. Terraform "sends `method: \"\"` when unset: treat as absent".
///
/// # Errors
/// A rule "consists of a priority, one or more actions, and one or more conditions": one without any.
fn normalise(matches: &RuleMatch) -> Result<RuleMatch, Refusal> {
    let RuleMatch::HttpMatch(HttpMatch { method, path_match, header_matches }) = matches;
    let path_match = path_match.clone().map(|PathMatch { case_sensitive, matches }| PathMatch {
        case_sensitive: Some(case_sensitive.unwrap_or(true)),
        matches,
    });
    let header = |HeaderMatch { name, case_sensitive, matches }| HeaderMatch {
        name,
        case_sensitive: Some(case_sensitive.unwrap_or(false)),
        matches,
    };
    let header_matches = header_matches.clone().map(|headers| headers.into_iter().map(header).collect());
    let method = method.clone().filter(|method| !method.is_empty());
    let header_matches = header_matches.filter(|headers: &Vec<_>| !headers.is_empty());
    if method.is_none() && path_match.is_none() && header_matches.is_none() {
        let message = "has no condition: pathMatch with the prefix / is met by every request";
        return Err(invalid("match.httpMatch", message));
    }
    Ok(RuleMatch::HttpMatch(HttpMatch { method, path_match, header_matches }))
}

/// Service and listener of a call that changes rules.
fn find_parents(
    state: &mut impl Read,
    place: &Place,
    service: &str,
    listener: &str,
) -> Result<(Service, Listener), Refusal> {
    let service = service::find_for_change(state, place, service)?;
    let listener = listener::find(state, place, &service.id, listener)?;
    if listener.protocol == ListenerProtocol::TlsPassthrough {
        return Err(unacceptable("a TLS_PASSTHROUGH listener has only its default rule"));
    }
    Ok((service, listener))
}

/// Refuses a priority that another rule of the listener has.
fn check_priority(
    state: &mut impl Read,
    place: &Place,
    listener: &Listener,
    priority: u16,
) -> Result<(), Refusal> {
    match get_id(state, &place.priority(&listener.id, priority))? {
        None => Ok(()),
        Some(id) => Err(priority_taken(&id, listener, priority)),
    }
}

fn priority_taken(id: &str, listener: &Listener, priority: u16) -> Refusal {
    let message = format_args!("a Rule with priority {priority} already exists in {}", listener.id);
    conflict(Kind::Rule, id, message)
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Create,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (service, listener) =
        find_parents(tx, &place, &input.service_identifier, &input.listener_identifier)?;
    let action = action::normalise(tx, &place, &service, listener.protocol, &input.action)?;
    let name_key = place.rule_name(&listener.id, &input.name);
    check_name_is_free(get_id(tx, &name_key)?, Kind::Rule, &input.name, &listener.id)?;
    check_priority(tx, &place, &listener, input.priority)?;
    let have = counted::count(tx, &place.priorities(&listener.id))?;
    let parent = Some(listener.id.as_str());
    check_quota(ctx.quotas(), &quota::RULES_PER_LISTENER, have, 1, Kind::Rule, parent)?;
    let rule = Rule {
        id: RuleId::from_random(ctx.random()),
        home: place.home.clone(),
        service: service.id.clone(),
        listener: listener.id.clone(),
        name: input.name.clone(),
        priority: input.priority,
        matches: normalise(&input.matches)?,
        action,
        created_at: ctx.now,
        last_updated_at: ctx.now,
    };
    action::link(tx, ctx, &place, (&service, &listener, rule.id.as_str()), None, &rule.action)?;
    tag_set::merge(tx, &place.home, &rule.arn(), &input.tags)?;
    tx.put(&name_key, rule.id.as_str().into());
    counted::put(tx, &place.priority(&listener.id, rule.priority), rule.id.as_str().into())?;
    put(tx, &place.rule(&listener.id, &rule.id), &rule);
    Ok(Description { is_default: None, ..Description::from(rule).updated() })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identify {
    service_identifier: String,
    listener_identifier: String,
    rule_identifier: String,
}

pub(crate) fn get_one(state: &mut Reader, ctx: &Context, input: &Identify) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find(state, &place, &input.service_identifier)?;
    let listener = listener::find(state, &place, &service.id, &input.listener_identifier)?;
    let id = identifier::rule(&input.rule_identifier, &place.home, &service.id, &listener.id)?;
    if id == listener.default_rule {
        return Ok(listener.into());
    }
    find(state, &place, &listener, id).map(Into::into)
}

fn find(state: &mut impl Read, place: &Place, listener: &Listener, id: RuleId) -> Result<Rule, Refusal> {
    get(state, &place.rule(&listener.id, &id))?.ok_or_else(|| not_found(Kind::Rule, id))
}

/// A rule that a call may change, so not the default one.
fn find_for_change(
    state: &mut impl Read,
    place: &Place,
    listener: &Listener,
    text: &str,
) -> Result<Rule, Refusal> {
    let id = identifier::rule(text, &place.home, &listener.service, &listener.id)?;
    if id == listener.default_rule {
        return Err(invalid(
            "ruleIdentifier",
            "the default rule is changed with UpdateListener and never deleted",
        ));
    }
    find(state, place, listener, id)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct List {
    service_identifier: String,
    listener_identifier: String,
    max_results: Option<u16>,
    next_token: Option<String>,
}

/// Rules by priority, the default rule last: it has the page's last key.
pub(crate) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Listing<Description>, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find(state, &place, &input.service_identifier)?;
    let listener = listener::find(state, &place, &service.id, &input.listener_identifier)?;
    let page = Page::new(input.max_results, input.next_token.as_deref())?;
    page.list_then(
        state,
        &place.priorities(&listener.id),
        |state, entry| {
            let id = String::from_utf8_lossy(&entry.value);
            let rule: Option<Rule> = get(state, &format!("{}{id}", place.rules(&listener.id)))?;
            Ok(rule.map(|rule| Description::from(rule).summary()))
        },
        || Description::from(listener.clone()).summary(),
    )
}

/// What an update changes; what is absent stays.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Update {
    service_identifier: String,
    listener_identifier: String,
    rule_identifier: String,
    #[serde(rename = "match")]
    matches: Option<RuleMatch>,
    priority: Option<u16>,
    action: Option<RuleAction>,
}

pub(crate) fn update(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &Update,
) -> Result<Description, Refusal> {
    let place = Place::new(ctx.home());
    let (service, listener) =
        find_parents(tx, &place, &input.service_identifier, &input.listener_identifier)?;
    let mut rule = find_for_change(tx, &place, &listener, &input.rule_identifier)?;
    if let Some(action) = &input.action {
        let after = action::normalise(tx, &place, &service, listener.protocol, action)?;
        let whose = (&service, &listener, rule.id.as_str());
        action::link(tx, ctx, &place, whose, Some(&rule.action), &after)?;
        rule.action = after;
    }
    if let Some(priority) = input.priority.filter(|priority| *priority != rule.priority) {
        check_priority(tx, &place, &listener, priority)?;
        counted::delete(tx, &place.priority(&listener.id, rule.priority))?;
        counted::put(tx, &place.priority(&listener.id, priority), rule.id.as_str().into())?;
        rule.priority = priority;
    }
    if let Some(matches) = &input.matches {
        rule.matches = normalise(matches)?;
    }
    rule.last_updated_at = ctx.now;
    put(tx, &place.rule(&listener.id, &rule.id), &rule);
    Ok(Description::from(rule).updated())
}

pub(crate) fn delete(tx: &mut Transaction<'_>, ctx: &Context, input: &Identify) -> Result<Nothing, Refusal> {
    let place = Place::new(ctx.home());
    let service = service::find_for_change(tx, &place, &input.service_identifier)?;
    let listener = listener::find(tx, &place, &service.id, &input.listener_identifier)?;
    let rule = find_for_change(tx, &place, &listener, &input.rule_identifier)?;
    remove(tx, &place, &listener, &rule)?;
    Ok(Nothing {})
}

/// Takes the rule away and everything that speaks of it.
pub(crate) fn remove(
    tx: &mut Transaction<'_>,
    place: &Place,
    listener: &Listener,
    rule: &Rule,
) -> Result<(), Refusal> {
    action::unlink(tx, place, listener, rule.id.as_str(), &rule.action);
    tag_set::forget(tx, &place.home, &rule.arn());
    tx.delete(&place.rule_name(&listener.id, &rule.name));
    counted::delete(tx, &place.priority(&listener.id, rule.priority))?;
    tx.delete(&place.rule(&listener.id, &rule.id));
    Ok(())
}

pub(crate) mod batch;
