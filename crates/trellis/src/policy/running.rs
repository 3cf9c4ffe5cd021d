//! The policies of a running installation, read through its public API with an operator's key.

mod client;
mod identity;
mod xml;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;
use trellis_policy::{Layer, Organization, PolicyKind};

use self::client::Client;
use super::caller;
use super::explain::{self, Explain, Question, Source, Stage};
use crate::data_dir::{Credentials, Layout};
use crate::local::Connection;
use crate::local::account::{self, AccountAnswer, AccountAsk};

/// Reads whatever no file is given for.
pub(super) fn question(args: &Explain, layout: &Layout) -> anyhow::Result<Question> {
    // The socket tells whether the instance lives; a file left by kill -9 does not.
    let mut connection = Connection::open(layout)?;
    let endpoint = std::fs::read_to_string(layout.endpoint())
        .context("the instance has not finished starting: wait for `trellis is ready`")?;
    let operator = Credentials::load(&layout.credentials())?
        .with_context(|| format!("{} is gone: restart trellis", layout.credentials().display()))?;
    let operator = match &args.account {
        Some(account) => of_account(&mut connection, &operator, account)?,
        None => operator,
    };
    let client = Client::new(&endpoint, &operator)?;
    let service = find(&client, "services", &args.service)?;
    let arn = text(&service, "arn")?;
    let mut question = Question {
        caller: explain::caller(args)?,
        service: arn.to_owned(),
        stages: Vec::new(),
        keys: args.keys.clone(),
        remarks: Vec::new(),
    };
    let encoded: String = form_urlencoded::byte_serialize(arn.as_bytes()).collect();
    let tags = client.lattice(&format!("/tags/{encoded}"))?.map(|mut answer| answer["tags"].take());
    if let Some(Value::Object(tags)) = tags {
        let key = |(key, value): (String, Value)| {
            Some((format!("aws:ResourceTag/{key}"), value.as_str()?.to_owned()))
        };
        question.keys.extend(tags.into_iter().filter_map(key));
    }
    match network_of(&client, args, text(&service, "id")?)? {
        None => question.remarks.push("the service is in no service network".to_owned()),
        Some(network) => {
            let arn = text(&network, "arn")?.to_owned();
            question.keys.push(("vpc-lattice-svcs:ServiceNetworkArn".to_owned(), arn));
            add_layer(&client, Layer::Network, args.network_policy.as_ref(), &network, &mut question)?;
        }
    }
    add_layer(&client, Layer::Service, args.service_policy.as_ref(), &service, &mut question)?;
    if question.caller.arn().is_none() {
        return Ok(question);
    }
    if question.stages.is_empty() {
        question.remarks.push("the caller's own policies are not asked where no layer is on".to_owned());
        return Ok(question);
    }
    let caller_account = question.caller.account().unwrap_or_default();
    let client = match caller_account == operator.account {
        true => client,
        false => Client::new(&endpoint, &of_account(&mut connection, &operator, caller_account)?)?,
    };
    add_identity(&client, args, &mut question)?;
    Ok(question)
}

/// The auth policy of a network or service, from the file where there is one.
fn add_layer(
    client: &Client,
    layer: Layer,
    file: Option<&PathBuf>,
    resource: &Value,
    question: &mut Question,
) -> anyhow::Result<()> {
    let name = text(resource, "name")?;
    if let Some(file) = file {
        question.stages.push(Stage::from_files(layer, PolicyKind::Resource, std::slice::from_ref(file))?);
    } else if resource["authType"] != "AWS_IAM" {
        question.remarks.push(format!("{layer}: {name} is off (authType NONE)"));
    } else {
        let found = client.lattice(&format!("/authpolicy/{}", text(resource, "id")?))?;
        let policy =
            found.as_ref().and_then(|found| found["policy"].as_str()).filter(|policy| !policy.is_empty());
        let policies = policy.map(|text| Source { name: name.to_owned(), text: text.to_owned() });
        let policies = policies.into_iter().collect();
        question.stages.push(Stage { layer, kind: PolicyKind::Resource, policies });
    }
    Ok(())
}

/// The caller's own policies, tags, role and organisation.
fn add_identity(client: &Client, args: &Explain, question: &mut Question) -> anyhow::Result<()> {
    let identity = identity::of(client, &question.caller)?;
    let role = args.role.clone().or(identity.role);
    // Tags of the session are over those of the role.
    let is_given = |key: &String| args.tags.iter().any(|(given, _)| given.eq_ignore_ascii_case(key));
    let tags = identity.tags.into_iter().filter(|(key, _)| !is_given(key)).chain(args.tags.iter().cloned());
    let organization = match &args.organization {
        Some(id) => Some(id.clone()),
        None => client.organization()?,
    };
    question.caller = caller::named(&args.caller, role.as_deref())?.with_tags(tags);
    if let Some(id) = organization {
        let paths = Vec::new();
        question.caller = question.caller.clone().with_organization(Organization { id, paths });
    }
    let mut stages = identity.stages;
    if let (Some(own), false) = (stages.first_mut(), args.identity_policies.is_empty()) {
        *own = Stage::from_files(Layer::Identity, PolicyKind::Identity, &args.identity_policies)?;
    }
    question.stages.extend(stages);
    question.remarks.extend(identity.remark);
    let not_looked_at = "not looked at: session policies, service control policies, aws:PrincipalOrgPaths, \
                          tags of the session (--caller-tag)";
    question.remarks.push(not_looked_at.to_owned());
    Ok(())
}

fn of_account(
    connection: &mut Connection,
    operator: &Credentials,
    account: &str,
) -> anyhow::Result<Credentials> {
    let found = account::ask(connection, AccountAsk::FindKey { account: account.to_owned() })?;
    let AccountAnswer::Key { access_key_id, secret_access_key, account } = found else {
        bail!("the instance speaks another version of Trellis")
    };
    Ok(Credentials {
        access_key_id,
        secret_access_key: secret_access_key.expose().to_owned(),
        account: account.to_string(),
        ..operator.clone()
    })
}

fn text<'a>(resource: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    resource[member].as_str().with_context(|| format!("VPC Lattice's answer has no {member}"))
}

/// A service or service network by ARN, id or name, as Get shows it.
fn find(client: &Client, kind: &str, wanted: &str) -> anyhow::Result<Value> {
    let id = wanted.rsplit('/').next().unwrap_or(wanted);
    let looks_like_id = id.starts_with("svc-") || id.starts_with("sn-");
    if looks_like_id && let Some(found) = client.lattice(&format!("/{kind}/{id}"))? {
        return Ok(found);
    }
    let items = client.lattice_list(&format!("/{kind}"))?;
    let named: Vec<&Value> = items.iter().filter(|item| item["name"] == wanted).collect();
    let word = kind.trim_end_matches('s');
    match named[..] {
        [one] => client.lattice(&format!("/{kind}/{}", text(one, "id")?))?.context("it is gone"),
        [] => bail!(
            "there is no {word} {wanted}: `aws vpc-lattice list-services` or list-service-networks shows what there is"
        ),
        _ => bail!("several have the name {wanted}: give an id or ARN"),
    }
}

/// The network that is named, or the only one that the service is in.
fn network_of(client: &Client, args: &Explain, service: &str) -> anyhow::Result<Option<Value>> {
    if let Some(network) = &args.network {
        return find(client, "servicenetworks", network).map(Some);
    }
    let target = format!("/servicenetworkserviceassociations?serviceIdentifier={service}");
    let associations = client.lattice_list(&target)?;
    match &associations[..] {
        [] => Ok(None),
        [one] => find(client, "servicenetworks", text(one, "serviceNetworkId")?).map(Some),
        several => {
            let names: Vec<&str> =
                several.iter().filter_map(|one| one["serviceNetworkName"].as_str()).collect();
            bail!("the service is in several service networks, {}: name one with --network", names.join(", "))
        }
    }
}
