//! Step 4 of an API call: whether this caller may do this to that.
//!
//! A yes is an [`Allowed`], which nothing else makes, and without one there is no [`Context`](crate::Context). Who
//! decides is the service that has [`Hooks::authorise`](crate::Hooks); without one, what a key may do by itself.

use std::net::IpAddr;

use serde_json::Value;
use trellis_api::authorise::{Place, Requested, requested};
use trellis_model::VpcId;
use trellis_policy::ConditionKey;
use trellis_store::Reader;

use crate::access_key::Rights;
use crate::caller::Caller;
use crate::refusal::Refusal;
use crate::surroundings::Surroundings;

/// One question: may this caller do this to that?
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub caller: &'a Caller,
    /// `service:Action`, such as `vpc-lattice:CreateService`.
    pub action: &'a str,
    /// ARNs acted upon; `*` where the action has no resource. All of them have to be allowed.
    pub resources: &'a [String],
    /// Keyed by the model's member names, for the condition keys of a service.
    pub input: &'a Value,
    pub facts: &'a Facts,
}

/// What the request says about itself, for condition keys.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub request_id: String,
    /// The address the request came from, where it came over a network.
    pub source_ip: Option<IpAddr>,
    /// The VPC the request came from, where it came from inside of one: `source_ip` is an address there.
    pub source_vpc: Option<VpcId>,
    pub user_agent: Option<String>,
    /// Whether it came over TLS.
    pub is_secure: bool,
}

impl Facts {
    /// The values of a condition key that the request answers by itself; whether it is such a key.
    pub fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) -> bool {
        match (key.name(), key.argument()) {
            // "aws:SourceIp is not available for requests that come through a VPC endpoint."
            ("aws:sourceip", None) if self.source_vpc.is_some() => {}
            ("aws:vpcsourceip", None) if self.source_vpc.is_none() => {}
            ("aws:sourceip" | "aws:vpcsourceip", None) => {
                self.source_ip.into_iter().for_each(|address| visit(&address.to_canonical().to_string()));
            }
            ("aws:sourcevpc", None) => self.source_vpc.iter().for_each(|vpc| visit(vpc.as_str())),
            ("aws:useragent", None) => self.user_agent.iter().for_each(|agent| visit(agent)),
            ("aws:securetransport", None) => visit(if self.is_secure { "true" } else { "false" }),
            _ => return false,
        }
        true
    }
}

/// The proof that a caller may do what is asked.
#[derive(Debug, Clone)]
pub struct Allowed(());

/// An answer to an [`Access`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// `why` ends the sentence that says no: `because no identity-based policy allows the x:Y action`; it may be empty.
    Deny {
        /// Which of the resources; the first, where it is not one alone.
        on: Option<String>,
        /// A statement denies it; otherwise nothing allows it.
        is_explicit: bool,
        why: String,
    },
}

impl Verdict {
    /// Nothing allows it.
    pub fn denied(on: Option<String>, why: impl Into<String>) -> Self {
        Self::Deny { on, is_explicit: false, why: why.into() }
    }
}

/// Decides who may do what. Denies whatever it does not know.
pub trait Authorise: Send + Sync {
    /// # Errors
    /// A state that cannot be read. It denies as well.
    fn decide(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        access: &Access<'_>,
    ) -> Result<Verdict, Refusal>;
}

/// What a key may do by itself: everything in its account, or nothing.
#[derive(Debug)]
pub struct ByRights;

impl Authorise for ByRights {
    fn decide(&self, _: &mut Reader, _: &Surroundings, access: &Access<'_>) -> Result<Verdict, Refusal> {
        Ok(match access.caller.rights {
            Rights::Admin | Rights::Account => Verdict::Allow,
            Rights::Policies | Rights::None => Verdict::denied(None, ""),
        })
    }
}

/// Whether the caller may do one thing more than the operation itself asks for.
///
/// # Errors
/// [`Refusal::Denied`]; a state that cannot be read.
pub(crate) fn authorise(
    state: &mut Reader,
    surroundings: &Surroundings,
    access: &Access<'_>,
) -> Result<Allowed, Refusal> {
    ask(state, surroundings, access)?.map_err(|denial| Refusal::denied(denial.sentence))
}

/// Why a caller may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// A statement denies it; otherwise nothing allows it.
    pub(crate) is_explicit: bool,
    /// As callers are told.
    pub(crate) sentence: String,
}

fn ask(
    state: &mut Reader,
    surroundings: &Surroundings,
    access: &Access<'_>,
) -> Result<Result<Allowed, Denial>, Refusal> {
    let authority = surroundings.services.hooks().authorise.unwrap_or(&ByRights);
    Ok(match authority.decide(state, surroundings, access)? {
        Verdict::Allow => Ok(Allowed(())),
        Verdict::Deny { on, is_explicit, why } => {
            let sentence = denial(access, on.as_deref(), &why);
            let resource = on.or(access.resources.first().cloned()).unwrap_or_default();
            Err(Denial { action: access.action.to_owned(), resource, is_explicit, sentence })
        }
    })
}

/// Why an operation is not performed for a caller.
pub(crate) enum NotAllowed {
    Denied(Denial),
    /// Ours.
    Unread(Refusal),
}

/// What a call asks for.
pub(crate) struct Asked<'a> {
    pub(crate) operation: &'a trellis_api::Operation,
    pub(crate) caller: &'a Caller,
    pub(crate) input: &'a Value,
    pub(crate) facts: &'a Facts,
}

impl Asked<'_> {
    /// Whether the caller may: every action of the operation's description, on every resource.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub(crate) fn authorise(
        &self,
        state: &mut Reader,
        surroundings: &Surroundings,
        service: &trellis_api::Service,
    ) -> Result<Allowed, NotAllowed> {
        let Self { operation, caller, input, facts } = *self;
        let (region, account) = (caller.region.as_str(), caller.account.as_str());
        let place = Place { partition: "aws", region, account };
        let mut allowed = Err(NotAllowed::Denied(Denial {
            action: operation.name.clone(),
            resource: String::new(),
            is_explicit: false,
            sentence: "nothing says what the operation needs".to_owned(),
        }));
        for Requested { action, resources } in requested(service, operation, input, place) {
            let access = Access { caller, action, resources: &resources, input, facts };
            let asked = ask(state, surroundings, &access).map_err(NotAllowed::Unread)?;
            allowed = Ok(asked.map_err(NotAllowed::Denied)?);
        }
        allowed
    }
}

/// "User: ARN is not authorized to perform: ACTION on resource: ARN because ...".
fn denial(access: &Access<'_>, on: Option<&str>, why: &str) -> String {
    let Access { caller, action, resources, .. } = access;
    let mut sentence = format!("User: {} is not authorized to perform: {action}", caller.arn);
    if let Some(resource) = on.or(resources.first().map(String::as_str)).filter(|resource| *resource != "*") {
        sentence.push_str(" on resource: ");
        sentence.extend(resource.chars().take(256));
    }
    if !why.is_empty() {
        sentence.push(' ');
        sentence.push_str(why);
    }
    sentence
}
