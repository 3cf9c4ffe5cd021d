//! The one set of DHCP options of an account and region: hosts are given the resolver of their VPC, and no domain to
//! look names up in. It cannot be changed but for its tags.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{ec2_arn, stable_suffix};

use super::filter::Filters;
use super::input::{Filter, Request};
use super::listing::Page;
use super::{fault, tag};

const FILTERS: &[&str] = &["dhcp-options-id", "key", "owner-id", "value"];

/// The only option, and EC2's word for the resolver of a VPC.
const OPTION: (&str, &str) = ("domain-name-servers", "AmazonProvidedDNS");

/// Its id, the same for as long as the account and the region have their names.
pub(super) fn id(home: &Home) -> String {
    format!("dopt-0{:016x}", stable_suffix(&format!("{}/{}", home.account, home.region)))
}

/// The ARN of the set with `id`; none for another.
pub(super) fn arn(home: &Home, id: &str) -> Option<String> {
    (id == self::id(home)).then(|| ec2_arn(home, format_args!("dhcp-options/{id}")))
}

pub(super) fn none(id: &str) -> Refusal {
    let message = format!("The dhcpOption ID '{}' does not exist", fault::quoted(id));
    fault::refuse("InvalidDhcpOptionID.NotFound", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    dhcp_options_ids: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<Input>::read(input)?.into_read()?;
    let filters = Filters::new(input.filters, FILTERS)?;
    let page = Page::of("DescribeDhcpOptions", &filters, input.max_results, input.next_token.as_deref())?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let own = id(&home);
    if let Some(other) = input.dhcp_options_ids.iter().find(|id| **id != own) {
        return Err(none(other));
    }
    let (key, value) = OPTION;
    let tags = tag::of(state, &home, &ec2_arn(&home, format_args!("dhcp-options/{own}")))?;
    let passes = filters.pass(&tags, |name| {
        vec![match name {
            "dhcp-options-id" => own.clone(),
            "key" => key.into(),
            "value" => value.into(),
            _ => home.account.to_string(),
        }]
    });
    let (found, next) = page.cut(passes.then_some(own).into_iter().collect(), |id| id);
    let sets: Vec<Value> = found
        .iter()
        .map(|id| {
            json!({
                "DhcpOptionsId": id,
                "OwnerId": home.account,
                "DhcpConfigurations": [{"Key": key, "Values": [{"Value": value}]}],
                "Tags": tag::describe(&tags),
            })
        })
        .collect();
    Ok(json!({"DhcpOptions": sets, "NextToken": next}))
}
