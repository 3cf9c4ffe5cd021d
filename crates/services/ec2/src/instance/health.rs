//! DescribeInstanceStatus: whether instances and what they run on can be reached. A host that runs can, as far as
//! anybody but its services knows; there are no events of machines that are to be repaired.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::tags::Tags;
use trellis_frame::{Context, Refusal};
use trellis_model::resource::vpc::{Instance, InstanceState};

use super::{Surroundings, ids_or_pages, state_value};
use crate::filter::{Filters, names};
use crate::input::{Filter, Request};
use crate::listing::Page;
use crate::{place, tag};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    instance_ids: Vec<String>,
    include_all_instances: Option<bool>,
    /// There are none that somebody else manages.
    #[serde(rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// The summary of both checks, and the one detail they have where they are made.
fn summary(state: InstanceState) -> (&'static str, Option<&'static str>) {
    match state {
        InstanceState::Running => ("ok", Some("passed")),
        InstanceState::Pending => ("initializing", Some("initializing")),
        InstanceState::ShuttingDown | InstanceState::Terminated => ("not-applicable", None),
    }
}

/// "By default, only running instances are described, unless you specifically indicate to return the status of all
/// instances."
pub(crate) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<Input>::read(input)?.into_read()?;
    ids_or_pages(&input.instance_ids, input.max_results)?;
    let filters = Filters::new(input.filters, names::INSTANCE_STATUSES)?;
    let page = Page::of("DescribeInstanceStatus", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let surroundings = Surroundings::read(state, home.clone())?;
    let mut found = Vec::new();
    for instance in place::chosen::<Instance>(state, &home, &input.instance_ids)? {
        if instance.state != InstanceState::Running && input.include_all_instances != Some(true) {
            continue;
        }
        let tags = tag::of(state, &home, &instance.arn())?;
        let (status, reachability) = summary(instance.state);
        let passes = filters.pass(&tags, |name| match name {
            "instance-status.status" | "system-status.status" => vec![status.into()],
            "instance-status.reachability" | "system-status.reachability" => {
                reachability.into_iter().map(Into::into).collect()
            }
            other => surroundings.field(&instance, &Tags::new(), other),
        });
        if passes {
            found.push(instance);
        }
    }
    let (found, next) = page.cut(found, |instance| instance.id.as_str());
    let statuses: Vec<Value> = found.iter().map(|instance| describe_one(&surroundings, instance)).collect();
    Ok(json!({"InstanceStatuses": statuses, "NextToken": next}))
}

fn describe_one(surroundings: &Surroundings, instance: &Instance) -> Value {
    let (status, reachability) = summary(instance.state);
    let details: Vec<Value> = reachability
        .iter()
        .map(|reachability| json!({"Name": "reachability", "Status": reachability}))
        .collect();
    let summary = json!({"Status": status, "Details": details});
    let (zone, zone_id) = surroundings.zone(instance).unzip();
    json!({
        "AvailabilityZone": zone,
        "AvailabilityZoneId": zone_id,
        "InstanceId": instance.id,
        "InstanceState": state_value(instance),
        "InstanceStatus": summary,
        "SystemStatus": summary,
    })
}
