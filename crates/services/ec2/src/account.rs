//! DescribeAccountAttributes: what older clients ask before anything else.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal};

use super::input::Request;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    attribute_names: Vec<String>,
}

/// VPCs are the only platform, and none is made by default.
pub(super) fn describe_attributes(_: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<Input>::read(input)?.into_read()?;
    let attributes: Vec<Value> = [("supported-platforms", "VPC"), ("default-vpc", "none")]
        .into_iter()
        .filter(|(name, _)| {
            input.attribute_names.is_empty() || input.attribute_names.iter().any(|wanted| wanted == name)
        })
        .map(|(name, value)| json!({"AttributeName": name, "AttributeValues": [{"AttributeValue": value}]}))
        .collect();
    Ok(json!({"AccountAttributes": attributes}))
}
