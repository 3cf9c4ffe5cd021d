//! Exports: target groups that other clusters' routes lead to. Imports: what stands for such a group of another's.

use std::collections::BTreeMap;

use super::groups::{Ports, Speech, Wish, group};
use super::{Cluster, DesiredTargetGroup, EXPORT, policy};
use crate::objects::{Name, Service, ServiceExport, ServiceImport, TargetGroupPolicy};
use crate::world::{Reference, RouteKind, World, annotation};

/// What an import stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Import {
    /// That target group, whoever made it.
    Group { id: String },
    /// The group of an export, found by its tags.
    Export {
        service: Name,
        cluster: Option<String>,
        vpc: Option<String>,
        /// The tag ProtocolVersion that will do, and what will not.
        is_grpc: bool,
        is_tcp: bool,
    },
}

/// Why an import stands for nothing: the reason and the words.
pub(super) type Misnamed = (&'static str, String);

pub(super) fn import(name: &Name, import: &ServiceImport, kind: RouteKind) -> Result<Import, Misnamed> {
    let note = |name| annotation(&import.metadata, name).map(str::to_owned);
    let (export, cluster, vpc) = (note("export-name"), note("aws-eks-cluster-name"), note("aws-vpc"));
    let Some(arn) = note("target-group-arn") else {
        let service = Name::new(&name.namespace, export.as_deref().unwrap_or(&name.name));
        let (is_grpc, is_tcp) = (kind == RouteKind::Grpc, kind == RouteKind::Tls);
        return Ok(Import::Export { service, cluster, vpc, is_grpc, is_tcp });
    };
    if export.is_some() || cluster.is_some() || vpc.is_some() {
        let why = format!("ServiceImport {name} names a target group, and others by annotation");
        return Err(("ConflictingServiceImportAnnotations", why));
    }
    let id = arn.rsplit_once(":targetgroup/").map(|(_, id)| id).filter(|id| is_group_id(id));
    match id {
        Some(id) => Ok(Import::Group { id: id.to_owned() }),
        None => {
            Err(("InvalidExternalTargetGroup", format!("ServiceImport {name}: {arn} is no target group")))
        }
    }
}

fn is_group_id(id: &str) -> bool {
    id.strip_prefix("tg-").is_some_and(|rest| {
        rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    })
}

/// The target groups of an export, by name. None where it is not meant for Lattice.
pub(crate) fn export(
    world: &World,
    cluster: &Cluster,
    export: &ServiceExport,
) -> Option<BTreeMap<String, DesiredTargetGroup>> {
    if annotation(&export.metadata, "federation") != Some("amazon-vpc-lattice") {
        return None;
    }
    let name = Name::of(&export.metadata);
    let service_name = service_of_export(export);
    let Some(service) = world.services.get(&service_name) else { return Some(BTreeMap::new()) };
    let reference = Reference::Export(name.clone());
    let policy = policy::first::<TargetGroupPolicy>(world, &reference)
        .or_else(|| policy::first::<TargetGroupPolicy>(world, &Reference::Service(service_name.clone())));
    let policy = policy.and_then(|name| world.target_group_policies.get(&name)).map(|policy| &policy.spec);
    let wish = |speech, port, part: String, ports| Wish {
        source: EXPORT,
        owner: &name,
        metadata: &export.metadata,
        named: &name,
        service_name: &service_name,
        service,
        policy,
        speech,
        port,
        part,
        ports,
    };
    let mut groups = BTreeMap::new();
    if export.spec.exported_ports.is_empty() {
        let ports = annotation(&export.metadata, "port").map_or(Ports::All, |text| {
            Ports::Named(
                text.split(',').filter_map(|port| port_name(service, port.trim().parse().ok()?)).collect(),
            )
        });
        let (name, desired) = group(world, cluster, &wish(Speech::Http, 80, String::new(), ports));
        groups.insert(name, desired);
    }
    for exported in &export.spec.exported_ports {
        let speech = match exported.route_type.as_str() {
            "GRPC" => Speech::Grpc,
            "TLS" => Speech::Tcp,
            _ => Speech::Http,
        };
        let ports = Ports::Named(port_name(service, exported.port).into_iter().collect());
        let part = format!("{}/{}", exported.port, exported.route_type);
        let (name, desired) = group(world, cluster, &wish(speech, exported.port.into(), part, ports));
        groups.insert(name, desired);
    }
    Some(groups)
}

/// The Service that an export means.
pub(crate) fn service_of_export(export: &ServiceExport) -> Name {
    let name = Name::of(&export.metadata);
    match annotation(&export.metadata, "service-name") {
        Some(service) => Name::new(&name.namespace, service),
        None => name,
    }
}

/// The name of a Service's port; an empty one is a name too.
pub(super) fn port_name(service: &Service, port: u16) -> Option<String> {
    let entry = service.spec.ports.iter().find(|entry| entry.port == port)?;
    Some(entry.name.clone().unwrap_or_default())
}
