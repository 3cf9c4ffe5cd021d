//! Names and tags of what is made in Lattice: as AWS's controller gives them, so that either finds the other's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use super::{ListenerProtocol, PREFIX, Unsupported};
use crate::objects::Name;
use crate::world::{Route, annotation};

/// Lengths that AWS's controller cuts the parts of names to.
const ROUTE_PART: usize = 20;
const NAMESPACE_PART: usize = 18;
const TARGET_GROUP_PART: usize = 55;
/// Lattice's limits.
const MOST_TAGS: usize = 50;
const TAG_KEY: usize = 128;
const TAG_VALUE: usize = 256;

/// The name of the Lattice service of a route.
pub(super) fn service(route: &Route) -> Result<String, Unsupported> {
    let Some(name) = route.annotation("service-name-override") else { return Ok(base(route)) };
    let field = format!("metadata.annotations[{PREFIX}service-name-override]");
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_good = (3..=40).contains(&name.len())
        && is_plain
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
        && !name.starts_with("svc-");
    if is_good {
        Ok(name.to_owned())
    } else {
        Err(Unsupported::new(
            field,
            "is not 3 to 40 small letters, digits and single hyphens between them, without svc- before them",
        ))
    }
}

fn base(route: &Route) -> String {
    let Name { namespace, name } = route.name();
    let text = format!("{}-{}", part(&name, ROUTE_PART), part(&namespace, NAMESPACE_PART));
    lattice_name(&text)
}

/// Dots, which names of objects may have, are hyphens in Lattice, and hyphens stand alone there.
fn lattice_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        let character = if character == '.' { '-' } else { character };
        if character != '-' || !name.ends_with('-') {
            name.push(character);
        }
    }
    name.trim_matches('-').to_owned()
}

fn part(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text).trim_matches('-')
}

pub(super) fn listener(route: &Route, port: u16, protocol: ListenerProtocol) -> String {
    let protocol = match protocol {
        ListenerProtocol::Http => "http",
        ListenerProtocol::Https => "https",
        ListenerProtocol::TlsPassthrough => "tls",
    };
    format!("{}-{port}-{protocol}", base(route))
}

/// A target group's name says in its last ten letters all that cannot be changed of it, and whose it is: what is to be
/// another group has another name, and what is the same is found again without a question.
pub(super) fn target_group(service: &Name, identity: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in identity {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let mut name = target_group_prefix(service);
    for byte in &hash.finalize()[..10] {
        let _ = write!(name, "{}", char::from(b'a' + byte % 26));
    }
    name
}

/// What the names of all target groups of a Service begin with.
pub(crate) fn target_group_prefix(service: &Name) -> String {
    let (namespace, name) =
        (part(&service.namespace, TARGET_GROUP_PART), part(&service.name, TARGET_GROUP_PART));
    lattice_name(&format!("k8s-{namespace}-{name}")) + "-"
}

/// The tags of the annotation `tags`, without those that are ours or AWS's to give, and those Lattice would refuse.
pub(super) fn extra_tags(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let text = annotation(metadata, "tags").unwrap_or_default();
    let is_good = |part: &str| part.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c));
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .filter(|(key, value)| {
            (1..=TAG_KEY).contains(&key.chars().count())
                && value.chars().count() <= TAG_VALUE
                && is_good(key)
                && is_good(value)
                && !key.starts_with(PREFIX)
                && !key.to_ascii_lowercase().starts_with("aws:")
        })
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        // Room for our own.
        .take(MOST_TAGS - 8)
        .collect()
}
