//! The service of a route and its listeners.

use std::collections::BTreeMap;

use super::rules::Rules;
use super::{Actual, ActualAssociation, ActualService, DeployError, Deployer, while_under_way};
use crate::lattice::{Known, Tags, unless_gone};
use crate::plan::{Action, DesiredListener, DesiredService, ListenerProtocol, PREFIX, owner_of};

/// The tags that say whose a service is.
const IDENTITY: [&str; 3] = ["RouteName", "RouteNamespace", "RouteType"];

#[derive(Debug)]
pub(crate) struct ActualListener {
    pub(crate) id: String,
    pub(crate) protocol: Option<ListenerProtocol>,
    /// By ids of target groups.
    pub(crate) default: Action,
    pub(crate) rules: Rules,
}

impl Deployer {
    pub(super) async fn deploy_service(
        &self,
        desired: &DesiredService,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        // A new name is a new service; the old one goes when the new one serves.
        if actual.service.as_ref().is_none_or(|service| service.known.name != desired.name) {
            actual.service = Some(self.find_or_create_service(desired).await?);
        }
        let service = actual.service.as_mut().expect("it was put there above");
        if let (Some(wanted), found) = (&desired.custom_domain, &service.custom_domain)
            && found.as_ref() != Some(wanted)
        {
            let found = found.clone().unwrap_or_else(|| "none".to_owned());
            return Err(DeployError::OtherDomain { wanted: wanted.clone(), found });
        }
        if let Some(certificate) = &desired.certificate
            && service.certificate.as_ref() != Some(certificate)
        {
            while_under_way(|| self.lattice.update_certificate(&service.known.id, certificate)).await?;
            service.certificate = Some(certificate.clone());
        }
        self.set_tags(&service.known.arn, &desired.tags, &service.tags).await?;
        service.tags.clone_from(&desired.tags);
        Ok(())
    }

    async fn find_or_create_service(&self, desired: &DesiredService) -> Result<ActualService, DeployError> {
        if let Some(known) = self.inventory.service(&desired.name) {
            match self.read_service(known, desired).await {
                Err(DeployError::Call(error)) if error.is_not_found() => {
                    self.inventory.forget_service(&desired.name);
                }
                outcome => return outcome,
            }
        }
        match self.lattice.create_service(desired).await {
            Ok(known) => {
                self.inventory.add_service(known.clone());
                Ok(ActualService {
                    known,
                    certificate: desired.certificate.clone(),
                    custom_domain: desired.custom_domain.clone(),
                    tags: desired.tags.clone(),
                    listeners: BTreeMap::new(),
                    associations: BTreeMap::new(),
                })
            }
            Err(error) if error.is_conflict() => {
                self.inventory.read(&self.lattice).await?;
                let known = self.inventory.service(&desired.name).ok_or(error)?;
                self.read_service(known, desired).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all of a service that was there before, if it may be ours: made for this route, made by nobody's
    /// controller, or given up by the one the route names.
    async fn read_service(
        &self,
        known: Known,
        desired: &DesiredService,
    ) -> Result<ActualService, DeployError> {
        let tags = self.lattice.tags(&known.arn).await?;
        check_owner(&known, &tags, desired)?;
        let detail = self.lattice.service(&known.id).await?;
        let mut listeners = BTreeMap::new();
        for record in self.lattice.listeners(&known.id).await? {
            let default = self.lattice.default_action(&known.id, &record.id).await?;
            let rules = Rules::of(self.lattice.rules(&known.id, &record.id).await?);
            let listener = ActualListener { id: record.id, protocol: record.protocol, default, rules };
            listeners.insert(record.port, listener);
        }
        let mut associations = BTreeMap::new();
        for association in self.lattice.associations(&known.id).await? {
            if !association.is_being_deleted {
                let actual = ActualAssociation { id: association.id, is_failed: association.is_failed };
                associations.insert(association.network_id, actual);
            }
        }
        let known = Known { domain: detail.domain, ..known };
        let (certificate, custom_domain) = (detail.certificate, detail.custom_domain);
        Ok(ActualService { known, certificate, custom_domain, tags, listeners, associations })
    }

    pub(super) async fn deploy_listeners(
        &self,
        desired: &DesiredService,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        let Actual { service, groups, imports } = actual;
        let Some(service) = service.as_mut() else { return Ok(()) };
        let by_id = |action: &Action| match action {
            Action::Respond(status) => Action::Respond(*status),
            Action::Forward(forward) => {
                let id = |name: &String| {
                    let own = groups.get(name).map(|group| &group.known.id);
                    own.or_else(|| imports.get(name)).unwrap_or(name).clone()
                };
                Action::Forward(forward.iter().map(|(name, weight)| (id(name), *weight)).collect())
            }
        };
        let id = service.known.id.clone();
        for (port, wanted) in &desired.listeners {
            let default = by_id(&wanted.default);
            if service.listeners.get(port).is_some_and(|found| found.protocol != Some(wanted.protocol)) {
                let found = service.listeners.remove(port).expect("it was looked at above");
                self.lattice.delete_listener(&id, &found.id).await?;
            }
            if !service.listeners.contains_key(port) {
                let made =
                    self.create_listener(&id, *port, wanted, default.clone(), &desired.plain_tags).await?;
                service.listeners.insert(*port, made);
            }
            let listener = service.listeners.get_mut(port).expect("it was put there above");
            if listener.default != default {
                self.lattice.update_listener(&id, &listener.id, &default).await?;
                listener.default = default;
            }
            let rules: Vec<_> = wanted
                .rules
                .iter()
                .map(|rule| (rule.priority, rule.matching.clone(), by_id(&rule.action)))
                .collect();
            self.deploy_rules((&id, &listener.id), &rules, &mut listener.rules, &desired.plain_tags).await?;
        }
        let unwanted: Vec<u16> =
            service.listeners.keys().filter(|port| !desired.listeners.contains_key(port)).copied().collect();
        for port in unwanted {
            self.lattice.delete_listener(&id, &service.listeners[&port].id).await?;
            service.listeners.remove(&port);
        }
        Ok(())
    }

    async fn create_listener(
        &self,
        service: &str,
        port: u16,
        wanted: &DesiredListener,
        default: Action,
        tags: &Tags,
    ) -> Result<ActualListener, DeployError> {
        let make = || self.lattice.create_listener(service, port, wanted, &default, tags.clone());
        let id = while_under_way(make).await?;
        Ok(ActualListener { id, protocol: Some(wanted.protocol), default, rules: Rules::default() })
    }

    /// Takes the service of a route away. Nothing happens to a service that is not ours.
    pub(crate) async fn remove_service(
        &self,
        name: &str,
        tags: &Tags,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        let Some(known) = self.own_service(Some(name), tags, actual).await? else { return Ok(()) };
        self.dissociate_all(&known.id).await?;
        unless_gone(while_under_way(|| self.lattice.delete_service(&known.id)).await)?;
        self.inventory.forget_service(&known.name);
        actual.service = None;
        Ok(())
    }

    /// Shuts the doors of a route's service, which stays.
    pub(crate) async fn detach(
        &self,
        name: Option<&str>,
        tags: &Tags,
        actual: &mut Actual,
    ) -> Result<(), DeployError> {
        let Some(known) = self.own_service(name, tags, actual).await? else { return Ok(()) };
        self.dissociate_all(&known.id).await?;
        if let Some(service) = &mut actual.service {
            service.associations.clear();
        }
        Ok(())
    }

    /// The service of a route, if there is one and its tags say that it is the route's.
    async fn own_service(
        &self,
        name: Option<&str>,
        tags: &Tags,
        actual: &mut Actual,
    ) -> Result<Option<Known>, DeployError> {
        let known = actual.service.as_ref().map(|service| service.known.clone());
        let Some(known) = known.or_else(|| self.inventory.service(name?)) else { return Ok(None) };
        match self.lattice.tags(&known.arn).await {
            Ok(found) => Ok(is_of(&found, tags).then_some(known)),
            Err(error) if error.is_not_found() => {
                self.inventory.forget_service(&known.name);
                actual.service = None;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a service is this route's, of this cluster.
fn is_of(found: &Tags, desired: &Tags) -> bool {
    let same = |name: &str| {
        let key = format!("{PREFIX}{name}");
        found.get(&key) == desired.get(&key)
    };
    owner_of(found) == owner_of(desired) && IDENTITY.iter().all(|name| same(name))
}

fn check_owner(known: &Known, found: &Tags, desired: &DesiredService) -> Result<(), DeployError> {
    let foreign = |owner: String| DeployError::Foreign { kind: "service", name: known.name.clone(), owner };
    if let Some(owner) = owner_of(found)
        && owner_of(&desired.tags) != Some(owner)
    {
        return if desired.take_over_from.as_ref() == Some(owner) {
            Ok(())
        } else {
            Err(foreign(owner.clone()))
        };
    }
    for name in IDENTITY {
        let key = format!("{PREFIX}{name}");
        if let Some(value) = found.get(&key)
            && desired.tags.get(&key) != Some(value)
        {
            let value = |name: &str| found.get(&format!("{PREFIX}{name}")).cloned().unwrap_or_default();
            let [route, namespace, kind] = IDENTITY.map(value);
            return Err(foreign(format!("the {kind} route {namespace}/{route}")));
        }
    }
    Ok(())
}
