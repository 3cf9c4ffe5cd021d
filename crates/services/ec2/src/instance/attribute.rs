//! One attribute of an instance or of its interface, and the password that none has.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_frame::{Context, Refusal};
use trellis_model::resource::vpc::Instance;

use super::{Surroundings, attachment_id, no_interface, with_interface};
use crate::input::Request;
use crate::{fault, instance_type, place};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    instance_id: String,
    attribute: String,
}

/// What an instance has no value for is an empty attribute, as in EC2.
pub(crate) fn describe(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<Input>::read(input)?.into_read()?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let instance = place::find::<Instance>(state, &home, &input.instance_id)?;
    let surroundings = Surroundings::read(state, home)?;
    let no = json!({"Value": false});
    let (member, value) = match input.attribute.as_str() {
        "blockDeviceMapping" => ("BlockDeviceMappings", json!([])),
        "disableApiStop" => ("DisableApiStop", no),
        "disableApiTermination" => ("DisableApiTermination", no),
        "ebsOptimized" => ("EbsOptimized", no),
        "enaSupport" => ("EnaSupport", no),
        "enclaveOptions" => ("EnclaveOptions", json!({"Enabled": false})),
        "groupSet" => ("Groups", surroundings.groups(&instance).into()),
        // A host is gone when its command has ended.
        "instanceInitiatedShutdownBehavior" => {
            ("InstanceInitiatedShutdownBehavior", json!({"Value": "terminate"}))
        }
        "instanceType" => ("InstanceType", json!({"Value": instance_type::NAME})),
        "kernel" => ("KernelId", json!({})),
        "productCodes" => ("ProductCodes", json!([])),
        "ramdisk" => ("RamdiskId", json!({})),
        "rootDeviceName" => ("RootDeviceName", json!({})),
        "sourceDestCheck" => ("SourceDestCheck", json!({"Value": true})),
        "sriovNetSupport" => ("SriovNetSupport", json!({})),
        "userData" => ("UserData", json!({})),
        other => {
            let other = fault::quoted(other);
            return Err(fault::invalid_value(format_args!(
                "Value ({other}) for parameter attribute is invalid."
            )));
        }
    };
    Ok(json!({"InstanceId": instance.id, member: value}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InterfaceInput {
    network_interface_id: String,
    attribute: Option<String>,
}

pub(crate) fn describe_interface(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<InterfaceInput>::read(input)?.into_read()?;
    let (state, home) = (&mut ctx.read()?, ctx.home());
    let id = input.network_interface_id;
    let instance = with_interface(state, &home, &id)?.ok_or_else(|| no_interface(&id))?;
    let (member, value) = match input.attribute.as_deref() {
        Some("attachment") => {
            let attachment = json!({
                "AttachmentId": attachment_id(&instance),
                "AttachTime": instance.launched_at,
                "DeleteOnTermination": true,
                "DeviceIndex": 0,
                "InstanceId": instance.id,
                "InstanceOwnerId": home.account,
                "Status": "attached",
            });
            ("Attachment", attachment)
        }
        Some("description") => ("Description", json!({"Value": ""})),
        Some("groupSet") => ("Groups", Surroundings::read(state, home)?.groups(&instance).into()),
        Some("sourceDestCheck") => ("SourceDestCheck", json!({"Value": true})),
        Some(other) => {
            let other = fault::quoted(other);
            return Err(fault::invalid_value(format_args!(
                "Value ({other}) for parameter attribute is invalid."
            )));
        }
        None => return Err(fault::missing("The request must contain exactly one attribute to describe")),
    };
    Ok(json!({"NetworkInterfaceId": id, member: value}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PasswordInput {
    instance_id: String,
}

/// Only hosts of Windows have one.
pub(crate) fn password(ctx: &Context, input: Value) -> Result<Value, Refusal> {
    let input = Request::<PasswordInput>::read(input)?.into_read()?;
    let instance = place::find::<Instance>(&mut ctx.read()?, &ctx.home(), &input.instance_id)?;
    Ok(json!({"InstanceId": instance.id, "PasswordData": "", "Timestamp": instance.launched_at}))
}
