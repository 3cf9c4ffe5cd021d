//! One AWS service, as the frame sees it: the one value that a service's crate exports.

use std::collections::HashMap;

use trellis_api::Schema;
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Arn};
use trellis_store::{Entry, Read, Transaction};

use crate::authorise::Authorise;
use crate::certificate::{Authorities, Certificates};
use crate::operation::{Operation, Perform};
use crate::page::PageSizes;
use crate::quota::Quota;
use crate::reference::Told;
use crate::refusal::Refusal;
use crate::sharing::{Shareable, Shares};
use crate::signature::Identify;
use crate::surroundings::Surroundings;
use crate::task::{Start, Task};
use crate::words;
use crate::words::Words;
use crate::workflow::Workflow;
use crate::zone::Zones;

/// Gives the description of a service: `wire::description`, which the generator makes.
pub type Description = fn() -> &'static trellis_api::Service;

/// Everything there is to know of a service. A crate exports one, in a `static`:
///
/// ```text
/// pub static SERVICE: Service = Service { operations: OPERATIONS, ..Service::new(wire::description) };
/// ```
pub struct Service {
    /// Its wire contract.
    pub description: Description,
    /// What is implemented of it; see [`operations!`](crate::operations).
    pub operations: &'static [Operation],
    /// Its codes for refusals. Default: [`words::json`].
    pub words: Words,
    pub quotas: &'static [&'static Quota],
    /// Of its lists. Default: 100, and at most that.
    pub pages: PageSizes,
    /// For the Resource Groups Tagging API. Default: none of its resources can be tagged there.
    pub tagged: Option<Tagged>,
    /// As one whose resources hold what belongs to others. Default: none does.
    pub holder: Option<Holder>,
    /// Kinds of its resources that other accounts can be given.
    pub shareable: &'static [&'static Shareable],
    /// What it keeps of an account.
    pub accounts: Accounts,
    /// What takes longer than a call.
    pub workflows: &'static [Workflow],
    /// What runs as long as the control plane.
    pub tasks: &'static [Task],
    /// What has to be done before the first call is served.
    pub start: Option<Start>,
    /// What it does for all of them.
    pub hooks: Hooks,
}

impl Service {
    /// A service of which nothing is implemented yet.
    pub const fn new(description: Description) -> Self {
        Self {
            description,
            operations: &[],
            words: words::json,
            quotas: &[],
            pages: PageSizes { default: 100, max: 100 },
            tagged: None,
            holder: None,
            shareable: &[],
            accounts: Accounts::NONE,
            workflows: &[],
            tasks: &[],
            start: None,
            hooks: Hooks::NONE,
        }
    }

    /// The service part of a signature's scope.
    pub fn name(&self) -> &'static str {
        &(self.description)().signing_name
    }

    pub(crate) fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.name == name)
    }

    /// Whether callers without keys have any business here.
    pub(crate) fn has_unsigned(&self) -> bool {
        self.operations.iter().any(|operation| matches!(operation.perform, Perform::Unsigned(_)))
    }
}

/// How a service's resources are found by ARN.
#[derive(Clone, Copy)]
pub struct Tagged {
    /// The service part of their ARNs.
    pub arn_service: &'static str,
    /// The actions of the service's own operations on tags: whoever changes them from elsewhere needs these as well.
    pub tag_action: &'static str,
    pub untag_action: &'static str,
    /// Refuses what names nothing of `home` that is there and can have tags; the text of the refusal is shown.
    pub locate: fn(&mut dyn Read, &Home, &Arn) -> Result<(), Refusal>,
}

/// A service whose resources need what belongs to others: see [`reference`](crate::reference).
#[derive(Clone, Copy)]
pub struct Holder {
    /// The service part of its ARNs.
    pub arn_service: &'static str,
    /// What a resource of it is called in a sentence: `a target group`.
    pub noun: fn(&Arn) -> Option<&'static str>,
    /// What `of` names is another than it was, and `by`, which is of this service, needs it. A refusal undoes the change.
    pub told: fn(&mut Transaction<'_>, &Surroundings, &Told<'_>) -> Result<(), Refusal>,
}

/// What a service keeps of an account, and what happens to it when an operator deletes the account.
#[derive(Clone, Copy)]
pub struct Accounts {
    /// What keys of records begin with, the account following: `ec2/`. An account that has any stays.
    pub records: &'static [&'static str],
    /// Whether an entry under [`records`](Self::records) only remembers what is gone; if so it takes away what belongs
    /// to it elsewhere.
    pub is_remnant: fn(&mut Transaction<'_>, &Entry) -> Result<bool, Refusal>,
    /// The account goes: so does whatever names it elsewhere.
    pub forget: fn(&mut Transaction<'_>, &AccountId) -> Result<(), Refusal>,
}

impl Accounts {
    pub const NONE: Self = Self { records: &[], is_remnant: |_, _| Ok(false), forget: |_, _| Ok(()) };
}

/// What one service does for all of them. At most one service of an installation has each.
#[derive(Clone, Copy, Default)]
pub struct Hooks {
    /// Who owns an access key. Default: [`AccessKeys`](crate::signature::AccessKeys).
    pub identify: Option<&'static dyn Identify>,
    /// Who may do what. Default: [`ByRights`](crate::authorise::ByRights).
    pub authorise: Option<&'static dyn Authorise>,
    /// Keeps certificates that resources of other services show. Default: there are none.
    pub certificates: Option<&'static dyn Certificates>,
    /// Issues certificates that another service asks for. Default: nobody does.
    pub authorities: Option<&'static dyn Authorities>,
    /// Knows what accounts have been given. Default: nothing.
    pub shares: Option<&'static dyn Shares>,
    /// Knows what stands in the zones of domain names. Default: nothing does.
    pub zones: Option<&'static dyn Zones>,
}

impl Hooks {
    pub const NONE: Self = Self {
        identify: None,
        authorise: None,
        certificates: None,
        authorities: None,
        shares: None,
        zones: None,
    };
}

/// The services of one control plane.
pub struct Services {
    list: &'static [&'static Service],
    by_name: HashMap<&'static str, &'static Service>,
    schema: Schema,
    hooks: Hooks,
}

impl Services {
    pub fn new(list: &'static [&'static Service]) -> Self {
        let schema = Schema::new(list.iter().map(|service| (service.description)()).collect());
        let by_name = list.iter().map(|service| (service.name(), *service)).collect();
        let hooks = Hooks {
            identify: list.iter().find_map(|service| service.hooks.identify),
            authorise: list.iter().find_map(|service| service.hooks.authorise),
            certificates: list.iter().find_map(|service| service.hooks.certificates),
            authorities: list.iter().find_map(|service| service.hooks.authorities),
            shares: list.iter().find_map(|service| service.hooks.shares),
            zones: list.iter().find_map(|service| service.hooks.zones),
        };
        Self { list, by_name, schema, hooks }
    }

    /// In the order they are listed.
    pub fn all(&self) -> impl Iterator<Item = &'static Service> + Clone + use<> {
        self.list.iter().copied()
    }

    /// The service whose signatures name `name` in their scope.
    pub fn named(&self, name: &str) -> Option<&'static Service> {
        self.by_name.get(name).copied()
    }

    /// How the resources of the service that ARNs call `arn_service` are found.
    pub fn tagged(&self, arn_service: &str) -> Option<Tagged> {
        self.all().filter_map(|service| service.tagged).find(|tagged| tagged.arn_service == arn_service)
    }

    /// How resources of the service that ARNs call `arn_service` hold what belongs to others.
    pub(crate) fn holder(&self, arn_service: &str) -> Option<Holder> {
        self.all().filter_map(|service| service.holder).find(|holder| holder.arn_service == arn_service)
    }

    /// Every kind of resource that can be shared.
    pub fn shareable(&self) -> impl Iterator<Item = &'static Shareable> + use<> {
        self.all().flat_map(|service| service.shareable.iter().copied())
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What single services do for all of them.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }
}
