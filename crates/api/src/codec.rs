//! From bytes to one value and back, in the caller's protocol.
//!
//! A decoded input is a JSON object keyed by the model's member names whatever the wire was:
//! timestamps are ISO 8601 text, blobs base64 text, integers numbers. Unknown members are dropped,
//! as AWS does; nulls count as absent; no default is filled in.

mod aws_json;
mod form;
mod json;
mod rest;
mod text;
mod xml;
mod xml_body;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};

use crate::exception::Exception;
use crate::fault;
use crate::schema::{Operation, Protocol, Service};
use crate::validate;

/// A request as it was received; nothing in it is decoded yet.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub method: &'a http::Method,
    /// Still percent-encoded; begins with `/`.
    pub raw_path: &'a str,
    /// After the `?`, without it; empty if there is none.
    pub raw_query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// A header's value where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The content type without its parameters, lower case.
    pub(crate) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// A request whose operation is known and whose input keeps every limit.
#[derive(Debug)]
pub struct Decoded {
    pub operation: &'static Operation,
    /// To answer in.
    pub protocol: Protocol,
    /// An object keyed by the model's member names.
    pub input: Value,
}

/// Finds the operation, decodes its input and checks every limit of the description.
///
/// # Errors
/// The caller's fault in the words of the service's family: an unknown operation, an unreadable
/// body, or members that break a limit. How large a body may be is for [`crate::check_size`] to say, before
/// anything is done with it.
pub fn decode(service: &'static Service, incoming: &Incoming<'_>) -> Result<Decoded, Exception> {
    let protocol = protocol_within(service, incoming);
    let (operation, input) = match protocol {
        Protocol::RestJson | Protocol::RestXml | Protocol::S3 => rest::decode(service, incoming)?,
        Protocol::Json10 | Protocol::Json11 => aws_json::decode(service, protocol, incoming)?,
        Protocol::Query | Protocol::Ec2 => form::decode(service, incoming)?,
    };
    validate::input(service, protocol, operation, &input)?;
    Ok(Decoded { operation, protocol, input })
}

/// The service's protocol; JSON clients choose between 1.0 and 1.1 by content type.
fn protocol_within(service: &Service, incoming: &Incoming<'_>) -> Protocol {
    match service.protocol {
        Protocol::Json10 | Protocol::Json11 => match incoming.media_type().as_str() {
            "application/x-amz-json-1.0" => Protocol::Json10,
            "application/x-amz-json-1.1" => Protocol::Json11,
            _ => service.protocol,
        },
        other => other,
    }
}

/// The answer to a call that succeeded. `output` is keyed by the model's member names; members that
/// are null or not described are left out.
pub fn encode(
    service: &Service,
    protocol: Protocol,
    operation: &Operation,
    output: &Value,
    request_id: &str,
) -> Response<Vec<u8>> {
    let empty = Map::new();
    let output = output.as_object().unwrap_or(&empty);
    let mut response = match protocol {
        Protocol::RestJson | Protocol::RestXml | Protocol::S3 => rest::encode(service, operation, output),
        Protocol::Json10 | Protocol::Json11 => aws_json::encode(service, protocol, operation, output),
        Protocol::Query | Protocol::Ec2 => xml::encode(service, protocol, operation, output, request_id),
    };
    insert(&mut response, "x-amzn-requestid", request_id);
    response
}

/// The answer to a call that failed. `service` is `None` where it is not known yet; then `protocol`
/// is a guess ([`crate::guess_protocol`]).
pub fn encode_error(
    service: Option<&Service>,
    protocol: Protocol,
    exception: &Exception,
    request_id: &str,
) -> Response<Vec<u8>> {
    let exception = &fault::in_words_of(service, protocol, exception);
    let mut response = match protocol {
        Protocol::RestJson => rest::encode_json_error(service, exception),
        Protocol::Json10 | Protocol::Json11 => aws_json::encode_error(service, protocol, exception),
        Protocol::Query | Protocol::Ec2 | Protocol::RestXml | Protocol::S3 => {
            xml::encode_error(service, protocol, exception, request_id)
        }
    };
    *response.status_mut() =
        StatusCode::from_u16(exception.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    insert(&mut response, "x-amzn-requestid", request_id);
    if service.is_none() && protocol == Protocol::S3 {
        // A client of another service that was taken for one of S3 looks for the code here.
        insert(&mut response, "x-amzn-errortype", &exception.code);
    }
    for (name, value) in &exception.headers {
        insert(&mut response, name, value);
    }
    response
}

/// A response with status 200.
fn respond(content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Sets a header; a name or value that cannot stand in one is left out.
fn insert(response: &mut Response<Vec<u8>>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
