//! How instances are told about themselves: the options of the metadata service, and what it has to know.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::record;
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal};
use trellis_model::VpcId;
use trellis_model::resource::iam::{InstanceProfile, Role};
use trellis_model::resource::vpc::{Instance, MetadataOptions, SecurityGroup, Subnet, Vpc};
use trellis_store::Read;

use super::profile;
use crate::input::{Request, check_dry_run};
use crate::{fault, place, tag, zone};

/// The API's word for what is on or off.
pub(super) fn switched(is_on: bool) -> &'static str {
    if is_on { "enabled" } else { "disabled" }
}

/// As instances show them.
pub(super) fn shown(options: &MetadataOptions) -> Value {
    json!({
        "State": "applied",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": options.hop_limit,
        "HttpEndpoint": switched(options.is_enabled),
        "HttpProtocolIpv6": switched(options.has_ipv6),
        "InstanceMetadataTags": switched(options.has_tags),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ModifyInput {
    #[serde(default)]
    instance_id: String,
    http_tokens: Option<String>,
    http_put_response_hop_limit: Option<i64>,
    http_endpoint: Option<String>,
    http_protocol_ipv6: Option<String>,
    instance_metadata_tags: Option<String>,
}

pub(crate) async fn modify(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let (input, dry_run) = Request::<ModifyInput>::read(input)?.into_parts();
    if input.http_tokens.as_deref() == Some("optional") {
        return Err(fault::unsupported("HttpTokens is always required: IMDSv1 is not served."));
    }
    let hop_limit = match input.http_put_response_hop_limit {
        None => None,
        Some(limit) => {
            Some(u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit)).ok_or_else(|| {
                fault::invalid_value("The HttpPutResponseHopLimit must be an integer from 1 to 64")
            })?)
        }
    };
    let is_on = |word: Option<&String>| word.map(|word| word == "enabled");
    let home = ctx.home();
    ctx.transact(move |tx| {
        let mut instance: Instance = place::find(tx, &home, &input.instance_id)?;
        let before = instance.metadata;
        let has_tags = is_on(input.instance_metadata_tags.as_ref()).unwrap_or(before.has_tags);
        if has_tags && !before.has_tags {
            let tags = tag::of(tx, &home, &instance.arn())?;
            if let Some(key) = tags.keys().find(|key| !is_path(key)) {
                let key = fault::quoted(key);
                return Err(fault::invalid_value(format_args!(
                    "The tag key '{key}' cannot be shown in instance metadata: it may not contain spaces or '/', or be '.', '..' or '_index'"
                )));
            }
        }
        instance.metadata = MetadataOptions {
            is_enabled: is_on(input.http_endpoint.as_ref()).unwrap_or(before.is_enabled),
            has_ipv6: is_on(input.http_protocol_ipv6.as_ref()).unwrap_or(before.has_ipv6),
            hop_limit: hop_limit.unwrap_or(before.hop_limit),
            has_tags,
        };
        place::put(tx, &instance);
        check_dry_run(dry_run)?;
        Ok(json!({"InstanceId": instance.id, "InstanceMetadataOptions": shown(&instance.metadata)}))
    })
    .await
}

/// Whether a tag's key can be the end of a path.
fn is_path(key: &str) -> bool {
    !key.contains([' ', '/']) && !matches!(key, "." | ".." | "_index")
}

/// What the metadata service has to know of an instance.
#[derive(Debug)]
pub struct Described {
    pub instance: Instance,
    pub vpc: Vpc,
    pub subnet: Subnet,
    pub zone: (String, String),
    pub groups: Vec<(String, String)>,
    /// Those that it may be shown.
    pub tags: Tags,
    /// The profile it has and that profile's role, as far as they are there.
    pub profile: Option<(InstanceProfile, Option<Role>)>,
}

fn in_vpc(state: &mut impl Read, vpc: &VpcId, id: &str) -> Result<Option<Instance>, Refusal> {
    let found: Option<Instance> = place::find_anywhere(state, id)?;
    Ok(found.filter(|found| found.vpc == *vpc && found.state.holds_resources()))
}

/// How an instance is told; `None` for one that is not there, or not in `vpc`.
///
/// # Errors
/// A state that cannot be read.
pub fn options(state: &mut impl Read, vpc: &VpcId, id: &str) -> Result<Option<MetadataOptions>, Refusal> {
    Ok(in_vpc(state, vpc, id)?.map(|instance| instance.metadata))
}

/// `None` for one that is not there, or not in `vpc`.
///
/// # Errors
/// A state that cannot be read.
pub fn describe(state: &mut impl Read, vpc: &VpcId, id: &str) -> Result<Option<Described>, Refusal> {
    let Some(instance) = in_vpc(state, vpc, id)? else { return Ok(None) };
    let home = instance.home.clone();
    let vpc: Vpc = place::find(state, &home, vpc.as_str())?;
    let subnet: Subnet = place::find(state, &home, instance.subnet.as_str())?;
    let mut groups = Vec::new();
    for id in &instance.security_groups {
        let group: Option<SecurityGroup> =
            record::get(state, &place::key::<SecurityGroup>(&home, id.as_str()))?;
        groups.extend(group.map(|group| (group.id.to_string(), group.name)));
    }
    let mut tags = Tags::new();
    if instance.metadata.has_tags {
        tags = tag::of(state, &home, &instance.arn())?;
        tags.retain(|key, _| is_path(key));
    }
    let mut profile = None;
    if let Some(association) = &instance.profile {
        let found = profile::find(state, &home, &association.arn)?;
        // One of the same name that was made since is another.
        if let Some(found) = found.filter(|found| found.id == association.profile) {
            let role = profile::role_of(state, &home, &found)?;
            profile = Some((found, role));
        }
    }
    let zone = (zone::name(&home.region, subnet.zone), zone::id(&home.region, subnet.zone));
    Ok(Some(Described { instance, vpc, subnet, zone, groups, tags, profile }))
}
