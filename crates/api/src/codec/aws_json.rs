//! AWS JSON 1.0 and 1.1: `X-Amz-Target` names the operation, one JSON object each way.

use http::Response;
use serde_json::{Map, Value};

use super::{Incoming, json, respond};
use crate::exception::Exception;
use crate::fault::{Faults, Path, unreadable};
use crate::schema::{Operation, Protocol, Service, TimestampFormat};

pub(super) fn decode(
    service: &'static Service,
    protocol: Protocol,
    incoming: &Incoming<'_>,
) -> Result<(&'static Operation, Value), Exception> {
    let target = incoming.header("x-amz-target").unwrap_or_default();
    let operation = target
        .split_once('.')
        .filter(|(prefix, _)| Some(*prefix) == service.target_prefix.as_deref())
        .and_then(|(_, name)| service.operation(name))
        .ok_or_else(|| {
            let target: String = target.chars().take(128).collect();
            let message = format!("'{target}' is not an operation of {}.", service.id);
            Exception::plain("UnknownOperationException", 400, message)
        })?;
    let mut body = json::parse_object(incoming.body).map_err(|why| unreadable(service, protocol, why))?;
    let mut faults = Faults::new(protocol);
    let mut input = Map::new();
    let members = service.members(operation.input).iter();
    json::read_members(service, members, &mut body, &Path::ROOT, &mut input, &mut faults);
    faults.into_result(service)?;
    Ok((operation, Value::Object(input)))
}

pub(super) fn encode(
    service: &Service,
    protocol: Protocol,
    operation: &Operation,
    output: &Map<String, Value>,
) -> Response<Vec<u8>> {
    let members = service.members(operation.output).iter();
    let body = json::write_members(service, members, output, TimestampFormat::Unix);
    respond(content_type(protocol), Value::Object(body).to_string().into_bytes())
}

pub(super) fn encode_error(
    service: Option<&Service>,
    protocol: Protocol,
    exception: &Exception,
) -> Response<Vec<u8>> {
    let mut body = Map::new();
    body.insert("__type".to_owned(), Value::from(exception.code.as_ref()));
    // Some services spell it with a capital; clients of each look for theirs.
    let capital = service.is_some_and(|service| {
        let modelled = service.error(&exception.code);
        modelled
            .is_some_and(|error| service.members(error.shape).iter().any(|member| member.name == "Message"))
    });
    let name = if capital { "Message" } else { "message" };
    body.insert(name.to_owned(), Value::from(exception.message.as_str()));
    body.extend((*exception.members).clone());
    let mut response = respond(content_type(protocol), Value::Object(body).to_string().into_bytes());
    super::insert(&mut response, "x-amzn-errortype", &exception.code);
    response
}

const fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json10 => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    }
}
