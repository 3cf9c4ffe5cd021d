//! REST-JSON: method and path choose the operation; labels, query, headers and a JSON body fill it.

use std::borrow::Cow;

use http::{Response, StatusCode};
use serde_json::{Map, Value};

use super::{Incoming, insert, json, respond, text};
use crate::exception::Exception;
use crate::fault::{Faults, Path, Rule, unreadable};
use crate::schema::{Kind, Location, Member, Operation, Protocol, Service, TimestampFormat, decode_label};

const CONTENT_TYPE: &str = "application/json";

pub(super) fn decode(
    service: &'static Service,
    incoming: &Incoming<'_>,
) -> Result<(&'static Operation, Value), Exception> {
    let (operation, labels) = route(service, incoming)?;
    let members = service.members(operation.input);
    let query: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        form_urlencoded::parse(incoming.raw_query.as_bytes()).collect();
    let mut faults = Faults::new(Protocol::RestJson);
    let mut input = Map::new();

    for member in members {
        let path = Path::ROOT.member(member);
        let value = match member.location {
            Location::Body => continue,
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

    // Clients send bodies with calls that take none; only a body that is asked for is read.
    if members.iter().any(|member| member.location == Location::Body) {
        let mut body =
            json::parse_object(incoming.body).map_err(|why| unreadable(service, Protocol::RestJson, why))?;
        let members = members.iter().filter(|member| member.location == Location::Body);
        json::read_members(service, members, &mut body, &Path::ROOT, &mut input, &mut faults);
    }
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
        .filter(|operation| operation.method == *incoming.method)
        .filter_map(|operation| Some((operation, operation.uri.matches(incoming.raw_path)?)))
        .max_by_key(|(operation, _)| operation.uri.literals());
    let Some((operation, labels)) = found else {
        return Err(Exception::plain(
            "UnknownOperationException",
            404,
            format!("{} has no operation for this method and path.", service.id),
        ));
    };
    let labels = labels
        .into_iter()
        .map(|(name, label)| {
            let why = || format!("The value of '{name}' in the path is not UTF-8.");
            let value = decode_label(label).ok_or_else(|| unreadable(service, Protocol::RestJson, why()))?;
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

pub(super) fn encode(
    service: &Service,
    operation: &Operation,
    output: &Map<String, Value>,
) -> Response<Vec<u8>> {
    let members = service.members(operation.output);
    let status = StatusCode::from_u16(operation.status).unwrap_or(StatusCode::OK);
    let mut response = if status == StatusCode::NO_CONTENT {
        Response::new(Vec::new())
    } else {
        let body = json::write_members(service, members, output, TimestampFormat::Unix);
        respond(CONTENT_TYPE, Value::Object(body).to_string().into_bytes())
    };
    *response.status_mut() = status;
    write_headers(service, members, output, &mut response);
    response
}

pub(super) fn encode_error(service: Option<&Service>, exception: &Exception) -> Response<Vec<u8>> {
    let shape = service.and_then(|service| Some((service, service.error(&exception.code)?)));
    let mut body = Map::new();
    body.insert("message".to_owned(), Value::from(exception.message.as_str()));
    match shape {
        Some((service, error)) => {
            let members = service.members(error.shape);
            body.extend(json::write_members(service, members, &exception.members, TimestampFormat::Unix));
        }
        None => body.extend((*exception.members).clone()),
    }
    let mut response = respond(CONTENT_TYPE, Value::Object(body).to_string().into_bytes());
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
        if let Some(text) = value.get(&member.name).and_then(|value| text::write(kind, value)) {
            insert(response, &member.wire, &text);
        }
    }
}
