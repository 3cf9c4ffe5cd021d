//! XML bodies of requests: from bytes to elements, and from those to a value by the schema.
//!
//! No document type is read, so no entity beyond XML's own five and character references exists.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::text;
use crate::fault::{Faults, Path, Rule};
use crate::schema::{Kind, Member, Service, ShapeId};

/// Elements within elements; no described shape is nearly as deep.
const MAX_DEPTH: usize = 64;
/// Elements of one request.
const MAX_ELEMENTS: usize = 100_000;

/// An element without its prefix, attributes and comments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn new(start: &BytesStart<'_>) -> Result<Self, String> {
        let name = std::str::from_utf8(start.local_name().into_inner())
            .map_err(|_| "An element's name is not UTF-8.".to_owned())?
            .to_owned();
        Ok(Self { name, ..Self::default() })
    }

    fn children<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// The root element; `None` for a body of nothing.
///
/// # Errors
/// Why it is no XML document that is read here.
pub(super) fn parse(body: &[u8]) -> Result<Option<Element>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let malformed = |why: String| format!("The request body is not valid XML: {why}.");
    let body = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    let mut reader = Reader::from_str(body);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0;
    loop {
        let event = reader.read_event().map_err(|error| malformed(error.to_string()))?;
        let mut text = |text: Cow<'_, str>| match open.last_mut() {
            Some(element) => {
                element.text.push_str(&text);
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err(malformed("text outside of the root element".to_owned())),
        };
        let closed = match &event {
            Event::Start(start) => {
                count += 1;
                if open.len() >= MAX_DEPTH || count > MAX_ELEMENTS {
                    return Err(malformed(format!(
                        "more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements"
                    )));
                }
                open.push(Element::new(start)?);
                None
            }
            Event::Empty(start) => {
                count += 1;
                Some(Element::new(start)?)
            }
            Event::End(_) => open.pop(),
            Event::Text(bytes) => {
                text(bytes.decode().map_err(|error| malformed(error.to_string()))?)?;
                None
            }
            Event::CData(bytes) => {
                text(bytes.decode().map_err(|error| malformed(error.to_string()))?)?;
                None
            }
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| malformed(error.to_string()))?;
                match character {
                    Some(character) => text(Cow::from(character.to_string()))?,
                    None => {
                        let name = reference.decode().map_err(|error| malformed(error.to_string()))?;
                        let resolved = resolve_xml_entity(&name)
                            .ok_or_else(|| malformed(format!("there is no entity &{name};")))?;
                        text(Cow::from(resolved))?;
                    }
                }
                None
            }
            Event::DocType(_) => return Err(malformed("a document type is not read".to_owned())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::Eof => break,
        };
        let Some(element) = closed else { continue };
        match open.last_mut() {
            Some(parent) => parent.children.push(element),
            None if root.is_none() => root = Some(element),
            None => return Err(malformed("a second root element".to_owned())),
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(Some(root)),
        _ => Err(malformed("it ends before its root element does".to_owned())),
    }
}

/// Puts the members found among the children of `element` into `into`.
pub(super) fn read_members<'m>(
    service: &Service,
    members: impl Iterator<Item = &'m Member>,
    element: &Element,
    path: &Path<'_>,
    into: &mut Map<String, Value>,
    faults: &mut Faults,
) {
    for member in members {
        let path = path.member(member);
        let value = match &service.shape(member.shape).kind {
            Kind::List { element: inner, item, flattened: true, .. } => {
                let elements = element.children(item.as_deref().unwrap_or(&member.wire));
                let list = list(service, *inner, elements, &path, faults);
                (!list.is_empty()).then_some(Value::Array(list))
            }
            Kind::Map { value, key_name, value_name, flattened: true, .. } => {
                let entries = element.children(&member.wire);
                let map = map(service, *value, [key_name, value_name], entries, &path, faults);
                (!map.is_empty()).then_some(Value::Object(map))
            }
            _ => element
                .children(&member.wire)
                .next()
                .and_then(|element| read(service, member.shape, element, &path, faults)),
        };
        if let Some(value) = value {
            into.insert(member.name.clone(), value);
        }
    }
}

/// The value by the schema, or `None` with a fault recorded.
pub(super) fn read(
    service: &Service,
    shape: ShapeId,
    element: &Element,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<Value> {
    let kind = &service.shape(shape).kind;
    match kind {
        Kind::Structure { members, .. } => {
            let mut into = Map::new();
            read_members(service, members.iter(), element, path, &mut into, faults);
            Some(Value::Object(into))
        }
        Kind::List { element: inner, item, .. } => {
            let elements = element.children(item.as_deref().unwrap_or("member"));
            Some(Value::Array(list(service, *inner, elements, path, faults)))
        }
        Kind::Map { value, key_name, value_name, .. } => {
            let entries = element.children("entry");
            Some(Value::Object(map(service, *value, [key_name, value_name], entries, path, faults)))
        }
        kind => {
            // People indent; only in texts do blanks at the ends mean something.
            let is_text = matches!(kind, Kind::String { .. });
            let found = if is_text { &element.text } else { element.text.trim() };
            let read = if element.children.is_empty() { text::read(kind, found) } else { None };
            if read.is_none() {
                faults.push(path, Rule::Type(kind.article()), Some(found));
            }
            read
        }
    }
}

fn list<'e>(
    service: &Service,
    shape: ShapeId,
    elements: impl Iterator<Item = &'e Element>,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Vec<Value> {
    elements
        .enumerate()
        .filter_map(|(index, element)| read(service, shape, element, &path.index(index), faults))
        .collect()
}

fn map<'e>(
    service: &Service,
    value_shape: ShapeId,
    [key_name, value_name]: [&str; 2],
    entries: impl Iterator<Item = &'e Element>,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Map<String, Value> {
    let mut map = Map::new();
    for entry in entries {
        let key = entry.children(key_name).next();
        if let (Some(key), Some(value)) = (key, entry.children(value_name).next())
            && let Some(value) = read(service, value_shape, value, &path.key(&key.text), faults)
        {
            map.insert(key.text.clone(), value);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(body: &str) -> Result<String, String> {
        parse(body.as_bytes()).map(|root| root.unwrap().text)
    }

    #[test]
    fn prefixes_comments_and_references_are_understood() {
        assert_eq!(
            text_of(
                "<?xml version=\"1.0\"?>\n<!-- c --><n:a xmlns:n=\"u\">1 &lt; 2 &#x26; <![CDATA[<b>]]></n:a>\n"
            ),
            Ok("1 < 2 & <b>".to_owned())
        );
        assert_eq!(parse(b" \n"), Ok(None));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(100_000);
        for body in [
            "<a>",
            "<a></b>",
            "</a>",
            "x",
            "<a/>x",
            "<a/><b/>",
            "<a>&nope;</a>",
            "<a b></a",
            "<>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&#xD800;</a>",
            &deep,
        ] {
            let refused = parse(body.as_bytes());
            assert!(refused.is_err(), "{} {refused:?}", &body[..body.len().min(40)]);
        }
        assert!(parse(b"<a>\xff</a>").is_err());
    }
}
