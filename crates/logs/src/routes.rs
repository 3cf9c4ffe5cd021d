//! Which subscriptions a line belongs to.

use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use trellis_model::AccessLogSubscriptionId;
use trellis_model::resource::lattice::AccessLogSubscriptions;

use crate::options::{Endpoint, Options};
use crate::record::Subject;
use crate::spool::Spool;
use crate::tally::Tally;

/// Where the lines of one subscription go first.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) id: AccessLogSubscriptionId,
    /// The local file; without one, the spool.
    pub(crate) file: Option<PathBuf>,
    pub(crate) tally: Arc<Tally>,
}

/// Every route, by the resource that is subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Of requests, by id of service or network.
    requests: FxHashMap<Box<str>, Vec<Route>>,
    /// Of connections to resources, by id of resource configuration or network.
    connections: FxHashMap<Box<str>, Vec<Route>>,
    /// Child -> group.
    groups: FxHashMap<Box<str>, Box<str>>,
}

impl Routes {
    /// Tallies are kept from the routes `before`, so that nothing is counted twice or forgotten.
    pub(crate) fn new(
        subscriptions: &AccessLogSubscriptions,
        options: &Options,
        spool: &Spool,
        before: &Self,
    ) -> Self {
        let mut routes = Self::default();
        for subscription in subscriptions.by_id.values() {
            let Some(kind) = subscription.destination().map(|destination| destination.kind()) else {
                continue;
            };
            let id = subscription.id.clone();
            let route = if *options.endpoint(kind) == Endpoint::Files {
                let known = before.all().find(|route| route.id == id && route.file.is_some());
                let tally = known.map(|route| route.tally.clone()).unwrap_or_default();
                Route { file: Some(options.files.join(format!("{id}.log"))), id, tally }
            } else {
                let (tally, _) = spool.admit(&id);
                Route { id, file: None, tally }
            };
            let table = match subscription.is_of_connections() {
                true => &mut routes.connections,
                false => &mut routes.requests,
            };
            table.entry(subscription.resource_id.as_str().into()).or_default().push(route);
        }
        for (child, group) in &subscriptions.groups {
            routes.groups.insert(child.as_str().into(), group.as_str().into());
        }
        routes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.connections.is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Route> {
        self.requests.values().chain(self.connections.values()).flatten()
    }

    /// The routes of a line about `subject`.
    pub(crate) fn of<'a>(&'a self, subject: &Subject<'a>) -> impl Iterator<Item = &'a Route> {
        let (table, ids) = match subject.resource_configuration {
            Some(id) => {
                let group = self.groups.get(id).map(|group| &**group);
                (&self.connections, [subject.network, Some(id), group])
            }
            None => (&self.requests, [subject.network, subject.service, None]),
        };
        ids.into_iter().flatten().filter_map(|id| table.get(id)).flatten()
    }
}
