//! XML answers of the Query and EC2 protocols.

use http::Response;
use serde_json::{Map, Value};

use super::{respond, text};
use crate::exception::Exception;
use crate::schema::{Kind, Operation, Protocol, Service, ShapeId};

const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";
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
        write_members(service, operation.output, output, &mut xml);
    } else {
        xml.open(&format!("{}Result", operation.name), "");
        write_members(service, operation.output, output, &mut xml);
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
    if protocol == Protocol::Ec2 {
        xml.open("Response", "");
        xml.open("Errors", "");
        xml.open("Error", "");
        xml.text("Code", &exception.code);
        xml.text("Message", &exception.message);
        xml.close();
        xml.close();
        xml.text("RequestID", request_id);
    } else {
        xml.open("ErrorResponse", service.map_or("", |service| &service.xml_namespace));
        xml.open("Error", "");
        xml.text("Type", if exception.status < 500 { "Sender" } else { "Receiver" });
        xml.text("Code", &exception.code);
        xml.text("Message", &exception.message);
        xml.close();
        xml.text("RequestId", request_id);
    }
    xml.close();
    respond(CONTENT_TYPE, xml.finish())
}

fn write_members(service: &Service, structure: ShapeId, value: &Map<String, Value>, xml: &mut Writer) {
    for member in service.members(structure) {
        if let Some(value) = value.get(&member.name) {
            write(service, member.shape, &member.wire, value, xml);
        }
    }
}

fn write(service: &Service, shape: ShapeId, name: &str, value: &Value, xml: &mut Writer) {
    match (&service.shape(shape).kind, value) {
        (Kind::Structure { .. }, Value::Object(object)) => {
            xml.open(name, "");
            write_members(service, shape, object, xml);
            xml.close();
        }
        (Kind::List { element, flattened: true, .. }, Value::Array(list)) => {
            for value in list {
                write(service, *element, name, value, xml);
            }
        }
        (Kind::List { element, item, .. }, Value::Array(list)) => {
            xml.open(name, "");
            for value in list {
                write(service, *element, item, value, xml);
            }
            xml.close();
        }
        (Kind::Map { value: element, .. }, Value::Object(map)) => {
            xml.open(name, "");
            for (key, value) in map {
                xml.open("entry", "");
                xml.text("key", key);
                write(service, *element, "value", value, xml);
                xml.close();
            }
            xml.close();
        }
        (kind, value) => {
            if let Some(text) = text::write(kind, value) {
                xml.text(name, &text);
            }
        }
    }
}

/// Writes elements; names come from descriptions, texts from anywhere.
struct Writer {
    out: String,
    open: Vec<String>,
}

impl Writer {
    fn new() -> Self {
        Self { out: DECLARATION.to_owned(), open: Vec::new() }
    }

    fn open(&mut self, name: &str, namespace: &str) {
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

    fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.push_str("</");
            self.out.push_str(&name);
            self.out.push('>');
        }
    }

    fn text(&mut self, name: &str, text: &str) {
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

    fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.into_bytes()
    }
}
