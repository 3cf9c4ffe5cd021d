//! REST-JSON and REST-XML: method and path choose the operation; labels, query, headers and a body fill it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::xml::{self, Writer};
use super::{Incoming, insert, json, respond, text, xml_body};
use crate::exception::Exception;
use crate::fault::{Faults, Path, Rule, unreadable};
use crate::schema::{Kind, Location, Member, Operation, Protocol, Service, TimestampFormat};

const JSON: &str = "application/json";

pub(super) fn decode(
    service: &'static Service,
    incoming: &Incoming<'_>,
) -> Result<(&'static Operation, Value), Exception> {
    let (operation, labels) = route(service, incoming)?;
    let members = service.members(operation.input);
    let query: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        form_urlencoded::parse(incoming.raw_query.as_bytes()).collect();
    let mut faults = Faults::new(service.protocol);
    let mut input = Map::new();

    for member in members {
        let path = Path::ROOT.member(member);
        let value = match member.location {
            Location::Body | Location::Payload { .. } | Location::Status => continue,
            Location::Label => labels
                .iter()
                .find(|(name, _)| *name == member.wire)
                .and_then(|(_, value)| scalar(service, member, value, &path, &mut faults)),
            Location::Query => {
                let mut values =
                    query.iter().filter(|(name, _)| *name == member.wire).map(|(_, value)| value.as_ref());
                from_query(service, member, &mut values, &path, &mut faults)
            }
            Location::Header => incoming
                .header(&member.wire)
                .and_then(|value| scalar(service, member, value, &path, &mut faults)),
        };
        if let Some(value) = value {
            input.insert(member.name.clone(), value);
        }
    }
    read_body(service, members, incoming.body, &mut input, &mut faults)?;
    faults.into_result(service)?;
    Ok((operation, Value::Object(input)))
}

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// The operation whose template matches the raw path; of several the one with most literals.
fn route<'a>(
    service: &'static Service,
    incoming: &Incoming<'a>,
) -> Result<(&'static Operation, Labels<'a>), Exception> {
    let found = service
        .operations
        .iter()
        .filter(|operation| operation.method == incoming.method.as_str())
        .filter_map(|operation| Some((operation, operation.uri.matches(incoming.raw_path)?)))
        .max_by_key(|(operation, _)| operation.uri.literals());
    let Some((operation, labels)) = found else {
        let message = format!("{} has no operation for this method and path.", service.id);
        return Err(match service.protocol {
            Protocol::S3 => Exception::plain("MethodNotAllowed", 405, message),
            _ => Exception::plain("UnknownOperationException", 404, message),
        });
    };
    let labels = labels
        .into_iter()
        .map(|(name, label)| {
            let why = || format!("The value of '{name}' in the path is not UTF-8.");
            // Decoded once, after matching, so that `arn%3A...%2Fsvc-0` stays one label.
            let value = percent_decode_str(label)
                .decode_utf8()
                .map_err(|_| unreadable(service, service.protocol, why()))?;
            Ok((name, value))
        })
        .collect::<Result<_, Exception>>()?;
    Ok((operation, labels))
}

/// A list takes every occurrence of its parameter, anything else the first.
fn from_query(
    service: &Service,
    member: &Member,
    values: &mut dyn Iterator<Item = &str>,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<Value> {
    let Kind::List { element, .. } = &service.shape(member.shape).kind else {
        return scalar(service, member, values.next()?, path, faults);
    };
    let kind = &service.shape(*element).kind;
    let mut list = Vec::new();
    for (index, value) in values.enumerate() {
        match text::read(kind, value) {
            Some(value) => list.push(value),
            None => faults.push(&path.index(index), Rule::Type(kind.article()), Some(value)),
        }
    }
    (!list.is_empty()).then_some(Value::Array(list))
}

fn scalar(
    service: &Service,
    member: &Member,
    value: &str,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<Value> {
    let kind = &service.shape(member.shape).kind;
    let read = text::read(kind, value);
    if read.is_none() {
        faults.push(path, Rule::Type(kind.article()), Some(value));
    }
    read
}

/// The member that is the whole body.
fn payload(members: &[Member]) -> Option<&Member> {
    members.iter().find(|member| matches!(member.location, Location::Payload { .. }))
}

/// Clients send bodies with calls that take none; only a body that is asked for is read.
fn read_body(
    service: &Service,
    members: &[Member],
    body: &[u8],
    input: &mut Map<String, Value>,
    faults: &mut Faults,
) -> Result<(), Exception> {
    let protocol = service.protocol;
    let unreadable = |why: String| unreadable(service, protocol, why);
    let Some(member) = payload(members) else {
        if !members.iter().any(|member| member.location == Location::Body) {
            return Ok(());
        }
        let members = members.iter().filter(|member| member.location == Location::Body);
        if protocol == Protocol::RestJson {
            let mut object = json::parse_object(body).map_err(unreadable)?;
            json::read_members(service, members, &mut object, &Path::ROOT, input, faults);
        } else if let Some(root) = xml_body::parse(body).map_err(unreadable)? {
            xml_body::read_members(service, members, &root, &Path::ROOT, input, faults);
        }
        return Ok(());
    };
    if body.is_empty() {
        return Ok(());
    }
    let path = Path::ROOT.member(member);
    let value = match &service.shape(member.shape).kind {
        Kind::Blob { .. } => Some(Value::from(STANDARD.encode(body))),
        Kind::String { .. } => {
            let text =
                std::str::from_utf8(body).map_err(|_| unreadable("The body is not UTF-8.".to_owned()))?;
            Some(Value::from(text))
        }
        _ if protocol == Protocol::RestJson => {
            let object = json::parse_object(body).map_err(unreadable)?;
            json::read(service, member.shape, Value::Object(object), &path, faults)
        }
        _ => match xml_body::parse(body).map_err(unreadable)? {
            Some(root) => xml_body::read(service, member.shape, &root, &path, faults),
            None => None,
        },
    };
    if let Some(value) = value {
        input.insert(member.name.clone(), value);
    }
    Ok(())
}

pub(super) fn encode(
    service: &Service,
    operation: &Operation,
    output: &Map<String, Value>,
) -> Response<Vec<u8>> {
    let members = service.members(operation.output);
    let mut response = write_body(service, operation, members, output);
    let status = members
        .iter()
        .find(|member| member.location == Location::Status)
        .and_then(|member| output.get(&member.name)?.as_u64())
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(operation.status);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    write_headers(service, members, output, &mut response);
    response
}

fn write_body(
    service: &Service,
    operation: &Operation,
    members: &[Member],
    output: &Map<String, Value>,
) -> Response<Vec<u8>> {
    let is_json = service.protocol == Protocol::RestJson;
    if let Some(member) = payload(members) {
        return match (&service.shape(member.shape).kind, output.get(&member.name)) {
            (Kind::Blob { .. }, Some(Value::String(text))) => {
                respond("application/octet-stream", STANDARD.decode(text).unwrap_or_default())
            }
            (Kind::String { .. }, Some(Value::String(text))) => {
                respond("text/plain;charset=UTF-8", text.clone().into_bytes())
            }
            (Kind::Structure { members, .. }, Some(Value::Object(value))) if is_json => {
                let body = json::write_members(service, members.iter(), value, TimestampFormat::Unix);
                respond(JSON, Value::Object(body).to_string().into_bytes())
            }
            (Kind::Structure { members, .. }, Some(Value::Object(value))) => {
                document(service, &member.wire, members, value)
            }
            _ => Response::new(Vec::new()),
        };
    }
    let mut body_members = members.iter().filter(|member| member.location == Location::Body).peekable();
    if operation.status == StatusCode::NO_CONTENT.as_u16() || !is_json && body_members.peek().is_none() {
        return Response::new(Vec::new());
    }
    if is_json {
        let body = json::write_members(service, body_members, output, TimestampFormat::Unix);
        return respond(JSON, Value::Object(body).to_string().into_bytes());
    }
    let root = operation.root.as_ref().map_or_else(|| format!("{}Response", operation.name), Clone::clone);
    document(service, &root, members, output)
}

/// An XML document whose root has the body members of a structure.
fn document(
    service: &Service,
    root: &str,
    members: &[Member],
    value: &Map<String, Value>,
) -> Response<Vec<u8>> {
    let mut xml = Writer::new();
    xml.open(root, &service.xml_namespace);
    xml::write_members(service, members, value, &mut xml);
    xml.close();
    respond(xml::CONTENT_TYPE, xml.finish())
}

/// The answer to a call that failed, as REST-JSON has it.
pub(super) fn encode_json_error(service: Option<&Service>, exception: &Exception) -> Response<Vec<u8>> {
    let shape = service.and_then(|service| Some((service, service.error(&exception.code)?)));
    let mut body = Map::new();
    body.insert("message".to_owned(), Value::from(exception.message.as_str()));
    match shape {
        Some((service, error)) => {
            let members =
                service.members(error.shape).iter().filter(|member| member.location == Location::Body);
            body.extend(json::write_members(service, members, &exception.members, TimestampFormat::Unix));
        }
        None => body.extend((*exception.members).clone()),
    }
    let mut response = respond(JSON, Value::Object(body).to_string().into_bytes());
    if let Some((service, error)) = shape {
        write_headers(service, service.members(error.shape), &exception.members, &mut response);
    }
    insert(&mut response, "x-amzn-errortype", &exception.code);
    response
}

fn write_headers(
    service: &Service,
    members: &[Member],
    value: &Map<String, Value>,
    response: &mut Response<Vec<u8>>,
) {
    for member in members.iter().filter(|member| member.location == Location::Header) {
        let kind = &service.shape(member.shape).kind;
        let text = value.get(&member.name).and_then(|value| text::write(kind, value, TimestampFormat::Http));
        let Some(text) = text else { continue };
        insert(response, &member.wire, &text);
    }
}
