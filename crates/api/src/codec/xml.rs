//! XML: the answers of the Query and EC2 protocols, and the errors of all that speak XML.

use http::Response;
use serde_json::{Map, Value};

use super::{insert, respond, text};
use crate::exception::Exception;
use crate::schema::{Kind, Location, Member, Operation, Protocol, Service, ShapeId, TimestampFormat};

pub(super) const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

pub(super) fn encode(
    service: &Service,
    protocol: Protocol,
    operation: &Operation,
    output: &Map<String, Value>,
    request_id: &str,
) -> Response<Vec<u8>> {
    let members = service.members(operation.output);
    let mut xml = Writer::new();
    xml.open(&format!("{}Response", operation.name), &service.xml_namespace);
    if protocol == Protocol::Ec2 {
        xml.text("requestId", request_id);
        if members.is_empty() {
            // What EC2 says where it has nothing to say; old clients look for it.
            xml.text("return", "true");
        }
        write_members(service, members, output, &mut xml);
    } else {
        xml.open(&format!("{}Result", operation.name), "");
        write_members(service, members, output, &mut xml);
        xml.close();
        xml.open("ResponseMetadata", "");
        xml.text("RequestId", request_id);
        xml.close();
    }
    xml.close();
    respond(CONTENT_TYPE, xml.finish())
}

pub(super) fn encode_error(
    service: Option<&Service>,
    protocol: Protocol,
    exception: &Exception,
    request_id: &str,
) -> Response<Vec<u8>> {
    let mut xml = Writer::new();
    let namespace = service.map_or("", |service| &service.xml_namespace);
    match protocol {
        Protocol::Ec2 => {
            xml.open("Response", "");
            xml.open("Errors", "");
            xml.open("Error", "");
            write_exception(service, exception, &mut xml);
            xml.close();
            xml.close();
            xml.text("RequestID", request_id);
        }
        Protocol::S3 => {
            xml.open("Error", "");
            write_exception(service, exception, &mut xml);
            xml.text("RequestId", request_id);
        }
        _ => {
            xml.open("ErrorResponse", namespace);
            xml.open("Error", "");
            xml.text("Type", if exception.status < 500 { "Sender" } else { "Receiver" });
            write_exception(service, exception, &mut xml);
            xml.close();
            xml.text("RequestId", request_id);
        }
    }
    xml.close();
    let mut response = respond(CONTENT_TYPE, xml.finish());
    if protocol == Protocol::S3 {
        insert(&mut response, "x-amz-request-id", request_id);
    }
    response
}

/// Code and message, and the members that this service's clients find beside them.
fn write_exception(service: Option<&Service>, exception: &Exception, xml: &mut Writer) {
    xml.text("Code", &exception.code);
    xml.text("Message", &exception.message);
    if let Some(service) = service
        && let Some(error) = service.error(&exception.code)
    {
        write_members(service, service.members(error.shape), &exception.members, xml);
    }
}

/// The body members of a structure, by wire name.
pub(super) fn write_members(
    service: &Service,
    members: &[Member],
    value: &Map<String, Value>,
    xml: &mut Writer,
) {
    for member in members.iter().filter(|member| member.location == Location::Body) {
        if let Some(value) = value.get(&member.name) {
            write(service, member.shape, &member.wire, value, xml);
        }
    }
}

fn write(service: &Service, shape: ShapeId, name: &str, value: &Value, xml: &mut Writer) {
    match (&service.shape(shape).kind, value) {
        (Kind::Structure { members, .. }, Value::Object(object)) => {
            xml.open(name, "");
            write_members(service, members, object, xml);
            xml.close();
        }
        (Kind::List { element, item, flattened: true, .. }, Value::Array(list)) => {
            for value in list {
                write(service, *element, item.as_deref().unwrap_or(name), value, xml);
            }
        }
        (Kind::List { element, item, .. }, Value::Array(list)) => {
            xml.open(name, "");
            for value in list {
                write(service, *element, item.as_deref().unwrap_or("member"), value, xml);
            }
            xml.close();
        }
        (Kind::Map { value: element, key_name, value_name, flattened, .. }, Value::Object(map)) => {
            if !flattened {
                xml.open(name, "");
            }
            for (key, value) in map {
                xml.open(if *flattened { name } else { "entry" }, "");
                xml.text(key_name, key);
                write(service, *element, value_name, value, xml);
                xml.close();
            }
            if !flattened {
                xml.close();
            }
        }
        (kind, value) => {
            if let Some(text) = text::write(kind, value, TimestampFormat::Iso8601) {
                xml.text(name, &text);
            }
        }
    }
}

/// Writes elements; names come from descriptions, texts from anywhere.
pub(super) struct Writer {
    out: String,
    open: Vec<String>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { out: DECLARATION.to_owned(), open: Vec::new() }
    }

    pub(super) fn open(&mut self, name: &str, namespace: &str) {
        self.out.push('<');
        self.out.push_str(name);
        if !namespace.is_empty() {
            self.out.push_str(" xmlns=\"");
            self.escape(namespace);
            self.out.push('"');
        }
        self.out.push('>');
        self.open.push(name.to_owned());
    }

    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.push_str("</");
            self.out.push_str(&name);
            self.out.push('>');
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.open(name, "");
        self.escape(text);
        self.close();
    }

    /// Carriage returns would be read back as line feeds, so they go as references; characters that
    /// XML 1.0 has no way to write become U+FFFD.
    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '&' => self.out.push_str("&amp;"),
                '"' => self.out.push_str("&quot;"),
                '\r' => self.out.push_str("&#xD;"),
                '\t' | '\n' => self.out.push(character),
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.out.push('\u{fffd}'),
                _ => self.out.push(character),
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.into_bytes()
    }
}
