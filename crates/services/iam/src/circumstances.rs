//! The condition keys of an API call: what the request, its input and the tags of its resource answer.
//!
//! What is about the caller (`aws:PrincipalTag/...` and so on) the engine answers by itself.

use jiff::Timestamp;
use serde_json::Value;
use trellis_frame::authorise::Access;
use trellis_frame::tags::{self, Tags};
use trellis_frame::{Refusal, Surroundings, account, key, organization};
use trellis_model::resource::lattice::Home;
use trellis_model::{AccountId, Arn};
use trellis_policy::{ConditionKey, Context, Organization};
use trellis_store::Read;

/// Keys of single services that are members of the input: action prefix and key, where the value is, and what an id
/// there is made an ARN of.
const MEMBERS: &[(&str, &[&str], Option<&str>)] = &[
    ("vpc-lattice:authtype", &["authType"], None),
    ("vpc-lattice:protocol", &["protocol"], None),
    ("vpc-lattice:vpcid", &["vpcIdentifier", "config.vpcIdentifier"], None),
    ("vpc-lattice:securitygroupids", &["securityGroupIds"], None),
    ("vpc-lattice:privatednspreference", &["dnsOptions.privateDnsPreference"], None),
    ("vpc-lattice:privatednsspecifieddomains", &["dnsOptions.privateDnsSpecifiedDomains"], None),
    ("vpc-lattice:domainname", &["domainName"], None),
    ("vpc-lattice:servicearn", &["serviceIdentifier"], Some("service")),
    ("vpc-lattice:servicenetworkarn", &["serviceNetworkIdentifier"], Some("servicenetwork")),
    (
        "vpc-lattice:resourceconfigurationarn",
        &["resourceConfigurationIdentifier"],
        Some("resourceconfiguration"),
    ),
    (
        "vpc-lattice:targetgrouparns",
        &[
            "defaultAction.forward.targetGroups.targetGroupIdentifier",
            "action.forward.targetGroups.targetGroupIdentifier",
        ],
        Some("targetgroup"),
    ),
    ("sts:externalid", &["ExternalId"], None),
    ("sts:rolesessionname", &["RoleSessionName"], None),
    ("sts:sourceidentity", &["SourceIdentity"], None),
    ("sts:transitivetagkeys", &["TransitiveTagKeys"], None),
    ("iam:policyarn", &["PolicyArn"], None),
    ("iam:permissionsboundary", &["PermissionsBoundary"], None),
    ("iam:awsservicename", &["AWSServiceName"], None),
];

/// Which service a role is passed to, by a member that the input has: the first that fits counts.
const PASSED_TO: &[(&str, &str)] = &[
    // For instances: put into a profile, or with the profile given to one.
    ("InstanceProfileName", "ec2.amazonaws.com"),
    ("IamInstanceProfile", "ec2.amazonaws.com"),
    // EKS: of a node group, whose nodes are instances; of pods; of an add-on, and of a cluster.
    ("nodeRole", "ec2.amazonaws.com"),
    ("serviceAccount", "pods.eks.amazonaws.com"),
    ("associationId", "pods.eks.amazonaws.com"),
    ("serviceAccountRoleArn", "eks.amazonaws.com"),
    ("resourcesVpcConfig", "eks.amazonaws.com"),
];

/// One access of one call.
pub(crate) struct Circumstances<'a> {
    access: &'a Access<'a>,
    now: Timestamp,
    resource_tags: Tags,
    resource_account: Option<AccountId>,
    resource_organization: Option<Organization>,
}

impl<'a> Circumstances<'a> {
    pub(crate) fn of(
        state: &mut impl Read,
        surroundings: &Surroundings,
        access: &'a Access<'a>,
        resource: &str,
    ) -> Result<Self, Refusal> {
        let home = home_of(resource);
        let resource_tags = match &home {
            Some(home) => tags::read(state, home, resource)?,
            None => Tags::new(),
        };
        // A resource without an account in its ARN is the caller's.
        let account = home.map_or_else(|| access.caller.account.clone(), |home| home.account);
        let resource_organization = match account::exists(state, &account)? {
            true => organization::read_above(state, &account)?.membership(&account),
            false => None,
        };
        Ok(Self {
            access,
            now: surroundings.clock.now(),
            resource_tags,
            resource_account: Some(account),
            resource_organization,
        })
    }
}

/// Where the tags of the resource are.
fn home_of(resource: &str) -> Option<Home> {
    let arn: Arn = resource.parse().ok()?;
    let account = arn.account.parse().ok()?;
    if arn.region.is_empty() {
        return Some(key::global(&account));
    }
    Some(Home { account, region: arn.region.parse().ok()? })
}

impl Context for Circumstances<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let Access { caller, facts, input, action, .. } = self.access;
        if facts.values(key, visit) {
            return;
        }
        match (key.name(), key.argument()) {
            ("aws:requesttag", Some(tag)) => {
                let found = request_tags(input);
                found
                    .iter()
                    .filter(|(name, _)| name.eq_ignore_ascii_case(tag))
                    .for_each(|(_, value)| visit(value));
            }
            ("aws:tagkeys", None) => {
                let keys = request_tags(input).into_iter().map(|(name, _)| name);
                keys.chain(at(input, "TagKeys")).chain(at(input, "tagKeys")).for_each(visit);
            }
            ("aws:resourcetag" | "iam:resourcetag" | "ec2:resourcetag", Some(tag)) => {
                let found = self.resource_tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag));
                found.into_iter().for_each(|(_, value)| visit(value));
            }
            ("aws:resourceaccount", None) => {
                self.resource_account.iter().for_each(|account| visit(account.as_str()));
            }
            ("aws:resourceorgid", None) => {
                self.resource_organization.iter().for_each(|found| visit(&found.id));
            }
            ("aws:resourceorgpaths", None) => {
                self.resource_organization.iter().flat_map(|found| &found.paths).for_each(|path| visit(path));
            }
            ("aws:currenttime", None) => visit(&self.now.to_string()),
            ("aws:epochtime", None) => visit(&self.now.as_second().to_string()),
            ("aws:requestedregion", None) => visit(caller.region.as_str()),
            ("aws:viaawsservice", None) => visit("false"),
            ("iam:passedtoservice", None) if *action == "iam:PassRole" => {
                let given = PASSED_TO.iter().find(|(member, _)| input.get(member).is_some());
                given.into_iter().for_each(|(_, service)| visit(service));
            }
            (name, None) => {
                let Some((_, paths, kind)) = MEMBERS.iter().find(|(known, ..)| *known == name) else {
                    return;
                };
                for value in paths.iter().flat_map(|path| at(input, path)) {
                    match kind {
                        Some(kind) if !value.starts_with("arn:") => {
                            let (region, account) = (&caller.region, &caller.account);
                            visit(&format!("arn:aws:vpc-lattice:{region}:{account}:{kind}/{value}"));
                        }
                        _ => visit(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Texts at a path of members; through lists, every element.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    let elements = |value: &'v Value| match value {
        Value::Array(list) => list.iter().collect(),
        value => vec![value],
    };
    let found = path.split('.').fold(vec![value], |found, step| {
        found.into_iter().filter_map(|value| value.get(step)).flat_map(elements).collect()
    });
    found.into_iter().filter_map(Value::as_str).collect()
}

/// Tags that the call brings, whatever its service calls them: a map, or a list of keys and values; EC2's creations
/// have them by the type of what is made.
fn request_tags(input: &Value) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for name in ["tags", "Tags"] {
        found.extend(input.get(name).into_iter().flat_map(pairs));
    }
    for name in ["TagSpecifications", "TagSpecification"] {
        let specifications = input.get(name).and_then(Value::as_array).into_iter().flatten();
        found.extend(specifications.filter_map(|specification| specification.get("Tags")).flat_map(pairs));
    }
    found
}

fn pairs(tags: &Value) -> Vec<(&str, &str)> {
    match tags {
        Value::Object(map) => {
            map.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
        }
        Value::Array(list) => list
            .iter()
            .filter_map(|tag| {
                let key = tag.get("Key").or_else(|| tag.get("key"))?.as_str()?;
                let value = tag.get("Value").or_else(|| tag.get("value"));
                Some((key, value.and_then(Value::as_str).unwrap_or_default()))
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_of_a_call_are_found_in_every_form_a_service_has() {
        let expected = vec![("team", "a"), ("stage", "b")];
        for input in [
            json!({"tags": {"team": "a", "stage": "b"}}),
            json!({"Tags": [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "b"}]}),
            json!({"tags": [{"key": "team", "value": "a"}, {"key": "stage", "value": "b"}]}),
            json!({"TagSpecifications": [{"Tags": [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "b"}]}]}),
        ] {
            assert_eq!(request_tags(&input), expected, "{input}");
        }
    }

    #[test]
    fn tags_are_where_the_arn_says() {
        let home = home_of("arn:aws:vpc-lattice:eu-west-1:111122223333:service/svc-1").unwrap();
        assert_eq!((home.account.as_str(), home.region.as_str()), ("111122223333", "eu-west-1"));
        assert_eq!(home_of("arn:aws:iam::111122223333:role/a").unwrap().region.as_str(), "aws-global");
        assert!(home_of("*").is_none());
    }
}
