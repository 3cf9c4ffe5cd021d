//! IAM instance profiles of instances: who has which, given and taken away while it runs.
//!
//! IAM keeps the profile, and EC2 that an instance has it. Whoever gives one hands over its role.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Records, Refusal, key};
use trellis_model::moment::Moment;
use trellis_model::resource::iam::{self, InstanceProfile, Named, Role};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Instance, ProfileAssociation};
use trellis_store::Read;

use crate::filter::{Filters, names};
use crate::input::{Filter, Request};
use crate::listing::Page;
use crate::{fault, place};

const PROFILES: Records<InstanceProfile> = Records::new(iam::SERVICE, iam::INSTANCE_PROFILE);
const ROLES: Records<Role> = Records::new(iam::SERVICE, iam::ROLE);

const PREFIX: &str = "iip-assoc-";

/// A profile by its name or its ARN, as calls name one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Specification {
    arn: Option<String>,
    name: Option<String>,
}

impl Specification {
    fn text(&self) -> Result<&str, Refusal> {
        match (&self.arn, &self.name) {
            (Some(_), Some(_)) => Err(fault::combination(
                "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
            )),
            (Some(text), None) | (None, Some(text)) => Ok(text),
            (None, None) => Err(fault::missing("The request must contain the parameter iamInstanceProfile")),
        }
    }
}

/// The profile that a name or an ARN means in `home`.
pub(crate) fn find(
    state: &mut impl Read,
    home: &Home,
    text: &str,
) -> Result<Option<InstanceProfile>, Refusal> {
    let named = Named::parse(text);
    let name = match &named {
        Some(named) if named.kind == iam::INSTANCE_PROFILE && named.account == home.account.as_str() => {
            named.name
        }
        Some(_) => return Ok(None),
        None => text,
    };
    let found = PROFILES.get(state, &key::global(&home.account), iam::id(name))?;
    Ok(found.filter(|profile| if named.is_some() { profile.arn() == text } else { profile.name == name }))
}

fn find_asked(state: &mut impl Read, home: &Home, text: &str) -> Result<InstanceProfile, Refusal> {
    find(state, home, text)?.ok_or_else(|| {
        let (what, text) = if text.starts_with("arn:") { ("ARN", text) } else { ("name", text) };
        let text = fault::quoted(text);
        fault::invalid_value(format_args!(
            "Value ({text}) for parameter iamInstanceProfile.{} is invalid. Invalid IAM Instance Profile {what}",
            what.to_ascii_lowercase()
        ))
    })
}

/// The role of a profile, where it has one that is there.
pub(crate) fn role_of(
    state: &mut impl Read,
    home: &Home,
    profile: &InstanceProfile,
) -> Result<Option<Role>, Refusal> {
    let Some(name) = &profile.role else { return Ok(None) };
    ROLES.get(state, &key::global(&home.account), iam::id(name))
}

/// What an instance has from now on.
pub(crate) fn associate(profile: &InstanceProfile, bits: u64, since: Moment) -> ProfileAssociation {
    ProfileAssociation {
        id: format!("{PREFIX}{bits:017x}"),
        arn: profile.arn(),
        profile: profile.id.clone(),
        since,
    }
}

/// As instances show it.
pub(super) fn shown(association: &ProfileAssociation) -> Value {
    json!({"Arn": association.arn, "Id": association.profile})
}

fn describe_one(instance: &Instance, association: &ProfileAssociation, state: &str) -> Value {
    json!({
        "AssociationId": association.id,
        "InstanceId": instance.id,
        "IamInstanceProfile": shown(association),
        "State": state,
        "Timestamp": association.since,
    })
}

/// The profile, whose role the caller may hand over to instances.
fn handed_over(ctx: &Context, asked: &Value, text: &str) -> Result<InstanceProfile, Refusal> {
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let profile = find_asked(state, &home, text)?;
    if let Some(role) = role_of(state, &home, &profile)? {
        ctx.authorise("iam:PassRole", &role.arn(), asked)?;
    }
    Ok(profile)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssociateInput {
    #[serde(default)]
    iam_instance_profile: Specification,
    #[serde(default)]
    instance_id: String,
}

pub(crate) async fn associate_with(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let asked = input.clone();
    let input = Request::<AssociateInput>::read(input)?.into_read()?;
    let profile = handed_over(ctx, &asked, input.iam_instance_profile.text()?)?;
    let (home, now, bits) = (ctx.home(), ctx.now, ctx.random());
    ctx.transact(move |tx| {
        let mut instance: Instance = place::find(tx, &home, &input.instance_id)?;
        check_running(&instance)?;
        if instance.profile.is_some() {
            let message = format!(
                "There is an existing association for instance {}",
                fault::quoted(&input.instance_id)
            );
            return Err(fault::refuse("IncorrectState", message));
        }
        let association = associate(&profile, bits, now);
        let shown = describe_one(&instance, &association, "associated");
        instance.profile = Some(association);
        place::put(tx, &instance);
        Ok(json!({"IamInstanceProfileAssociation": shown}))
    })
    .await
}

fn check_running(instance: &Instance) -> Result<(), Refusal> {
    if instance.state.is_wanted() {
        return Ok(());
    }
    let (id, state) = (&instance.id, instance.state.as_str());
    let message = format!("The instance '{id}' is not in the 'running' or 'stopped' states: it is {state}.");
    Err(fault::refuse("IncorrectInstanceState", message))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AssociationInput {
    #[serde(default)]
    association_id: String,
    #[serde(default)]
    iam_instance_profile: Specification,
}

/// Every instance that has a profile, with that.
fn associated(
    state: &mut impl Read,
    home: &Home,
) -> Result<impl Iterator<Item = (Instance, ProfileAssociation)>, Refusal> {
    let instances = place::all::<Instance>(state, home)?.into_iter();
    let instances = instances.filter(|instance| instance.state.holds_resources());
    Ok(instances.filter_map(|instance| instance.profile.clone().map(|found| (instance, found))))
}

/// The instance whose association `id` is.
fn with_association(
    state: &mut impl Read,
    home: &Home,
    id: &str,
) -> Result<(Instance, ProfileAssociation), Refusal> {
    associated(state, home)?.find(|(_, association)| association.id == id).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Refusal {
    let message = format!("An invalid association-id of '{}' was given", fault::quoted(id));
    fault::refuse("InvalidAssociationID.NotFound", message)
}

pub(crate) async fn disassociate(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<AssociationInput>::read(input)?.into_read()?;
    let home = ctx.home();
    ctx.transact(move |tx| {
        let (mut instance, association) = with_association(tx, &home, &input.association_id)?;
        instance.profile = None;
        place::put(tx, &instance);
        let shown = describe_one(&instance, &association, "disassociating");
        Ok(json!({"IamInstanceProfileAssociation": shown}))
    })
    .await
}

pub(crate) async fn replace(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let asked = input.clone();
    let input = Request::<AssociationInput>::read(input)?.into_read()?;
    let profile = handed_over(ctx, &asked, input.iam_instance_profile.text()?)?;
    let (home, now, bits) = (ctx.home(), ctx.now, ctx.random());
    ctx.transact(move |tx| {
        let (mut instance, _) = with_association(tx, &home, &input.association_id)?;
        check_running(&instance)?;
        let association = associate(&profile, bits, now);
        let shown = describe_one(&instance, &association, "associated");
        instance.profile = Some(association);
        place::put(tx, &instance);
        Ok(json!({"IamInstanceProfileAssociation": shown}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeInput {
    #[serde(default)]
    association_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(crate) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<DescribeInput>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, names::PROFILE_ASSOCIATIONS)?;
    let page = Page::of(
        "DescribeIamInstanceProfileAssociations",
        &filters,
        input.max_results,
        input.next_token.as_deref(),
    )?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let mut found: Vec<_> = associated(state, &home)?.collect();
    let is_known = |id: &&String| found.iter().any(|(_, association)| association.id == **id);
    if let Some(id) = input.association_ids.iter().find(|id| !is_known(id)) {
        return Err(not_found(id));
    }
    found.retain(|(instance, association)| {
        let passes = filters.pass(&Tags::new(), |name| match name {
            "instance-id" => vec![instance.id.to_string()],
            "state" => vec!["associated".into()],
            _ => Vec::new(),
        });
        passes && (input.association_ids.is_empty() || input.association_ids.contains(&association.id))
    });
    let (found, next) = page.cut(found, |(instance, _)| instance.id.as_str());
    let shown: Vec<Value> = found
        .iter()
        .map(|(instance, association)| describe_one(instance, association, "associated"))
        .collect();
    Ok(json!({"IamInstanceProfileAssociations": shown, "NextToken": next}))
}
