//! Prints the services that the files given describe as JSON, for checks against other descriptions.

use std::io::Write;

use serde_json::{Map, Value, json};
use trellis_api::schema::{Kind, Location, Member, Operation, Range, Service, TimestampFormat};

mod described;

fn main() -> anyhow::Result<()> {
    let services: Vec<Value> =
        described::schema()?.services().iter().map(|described| service(described)).collect();
    let text = serde_json::to_string_pretty(&services)?;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

fn service(service: &Service) -> Value {
    let shapes: Map<String, Value> =
        service.shapes().iter().map(|shape| (shape.name.clone(), kind(service, &shape.kind))).collect();
    let operations: Map<String, Value> = service
        .operations
        .iter()
        .map(|described| (described.name.clone(), operation(service, described)))
        .collect();
    let errors: Map<String, Value> = service
        .errors
        .iter()
        .map(|error| {
            let shape = &service.shape(error.shape).name;
            (error.name.clone(), json!({"code": error.code, "status": error.status, "shape": shape}))
        })
        .collect();
    json!({
        "id": service.id,
        "signing_name": service.signing_name,
        "endpoint_prefix": service.endpoint_prefix,
        "protocol": service.protocol.as_str(),
        "version": service.version,
        "xml_namespace": service.xml_namespace,
        "target_prefix": service.target_prefix,
        "action_prefix": service.action_prefix,
        "global": service.global,
        "operations": operations,
        "errors": errors,
        "shapes": shapes,
    })
}

fn operation(service: &Service, operation: &Operation) -> Value {
    let paging = operation.paging.as_ref().map(|paging| {
        json!({
            "input_tokens": paging.input_tokens,
            "output_tokens": paging.output_tokens,
            "limit": paging.limit,
            "items": paging.items,
            "more": paging.more,
        })
    });
    json!({
        "method": operation.method,
        "uri": operation.uri.as_str(),
        "status": operation.status,
        "input": service.shape(operation.input).name,
        "output": service.shape(operation.output).name,
        "root": operation.root,
        "errors": operation.errors,
        "unsigned": operation.unsigned,
        "paging": paging,
    })
}

fn kind(service: &Service, kind: &Kind) -> Value {
    let name = |id| service.shape(id).name.as_str();
    match kind {
        Kind::Structure { members, union } => json!({
            "type": "structure",
            "union": union,
            "members": members.iter().map(|member| (member.name.clone(), self::member(service, member))).collect::<Map<_, _>>(),
        }),
        Kind::List { element, length, item, flattened } => json!({
            "type": "list", "element": name(*element), "range": range(*length), "item": item, "flattened": flattened,
        }),
        Kind::Map { key, value, length, key_name, value_name, flattened } => json!({
            "type": "map", "key": name(*key), "value": name(*value), "range": range(*length),
            "key_name": key_name, "value_name": value_name, "flattened": flattened,
        }),
        Kind::String { length, pattern, values } => json!({
            "type": "string",
            "range": range(*length),
            "pattern": pattern.as_ref().map(|pattern| pattern.expression()),
            "values": values,
        }),
        Kind::Integer { range: bounds, wide } => json!({
            "type": if *wide { "long" } else { "integer" }, "range": range(*bounds),
        }),
        Kind::Float { range: bounds, wide } => json!({
            "type": if *wide { "double" } else { "float" }, "range": range(*bounds),
        }),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Timestamp(format) => json!({
            "type": "timestamp",
            "format": match format {
                TimestampFormat::Default => Value::Null,
                TimestampFormat::Iso8601 => "iso8601".into(),
                TimestampFormat::Unix => "unixTimestamp".into(),
                TimestampFormat::Http => "rfc822".into(),
            },
        }),
        Kind::Blob { length } => json!({"type": "blob", "range": range(*length)}),
    }
}

fn member(service: &Service, member: &Member) -> Value {
    let location = match member.location {
        Location::Body => Value::Null,
        Location::Label => "uri".into(),
        Location::Query => "querystring".into(),
        Location::Header => "header".into(),
        Location::Payload { .. } => "payload".into(),
        Location::Status => "statusCode".into(),
    };
    json!({
        "shape": service.shape(member.shape).name,
        "wire": member.wire,
        "form": member.form,
        "location": location,
        "required": member.required,
        "token": member.token,
        "secret": member.secret,
        "stream": member.location == (Location::Payload { stream: true }),
    })
}

fn range(range: Range) -> Value {
    json!([range.min, range.max])
}
