//! The end of a description: every name is looked up, and what the protocol leaves unsaid is filled in.

use std::collections::HashMap;

use super::member::{Pending, RawKind, RawMember};
use super::{DEFAULT_MAX_BODY, IdlError, Parser};
use crate::schema::{Kind, Member, Protocol, Service, Shape};

impl Parser<'_> {
    /// # Errors
    /// A line of the service's head that is missing or not understood, and a name that nothing has.
    pub(super) fn finish(mut self) -> Result<Service, IdlError> {
        let whole = |problem: String| IdlError { line: 0, problem };
        let signing_name = self.signing_name.ok_or_else(|| whole("no service".to_owned()))?.to_owned();
        let mut take = |key: &str| self.header.remove(key).map(str::to_owned);
        let mut require = |key: &str| take(key).ok_or_else(|| whole(format!("the service has no {key}")));
        let id = require("id")?;
        let endpoint_prefix = require("endpoint")?;
        let version = require("version")?;
        let protocol = match require("protocol")?.as_str() {
            "rest-json" => Protocol::RestJson,
            "json-1.0" => Protocol::Json10,
            "json-1.1" => Protocol::Json11,
            "query" => Protocol::Query,
            "ec2" => Protocol::Ec2,
            other => return Err(whole(format!("no protocol {other:?}"))),
        };
        let xml_namespace = take("namespace").unwrap_or_default();
        let target_prefix = take("target");
        let invalid_input = take("invalid");
        let max_body = match take("max-body") {
            None => DEFAULT_MAX_BODY,
            Some(text) => text.parse().map_err(|_| whole(format!("max-body {text:?} is no number")))?,
        };
        if let Some(key) = self.header.keys().next() {
            return Err(whole(format!("the service has no use for {key:?}")));
        }

        let names = &self.names;
        let resolve = |pending: Pending<'_>| {
            let problem = || pending.line.error(format!("{} is not declared", pending.name));
            names.get(pending.name).copied().ok_or_else(problem)
        };
        let mut shapes = Vec::with_capacity(self.shapes.len());
        for (name, raw) in self.shapes {
            let kind = match raw {
                RawKind::Done(kind) => kind,
                RawKind::List { element, length, item, flattened } => Kind::List {
                    element: resolve(element)?,
                    length,
                    item: item.unwrap_or_else(|| {
                        if protocol == Protocol::Ec2 { "item" } else { "member" }.to_owned()
                    }),
                    flattened,
                },
                RawKind::Map { key, value, length } => {
                    Kind::Map { key: resolve(key)?, value: resolve(value)?, length }
                }
                RawKind::Structure { members, union } => Kind::Structure {
                    members: members
                        .into_iter()
                        .map(|member| {
                            let (wire, form) = wire_names(protocol, &member);
                            Ok(Member {
                                name: member.name.to_owned(),
                                wire,
                                form,
                                shape: resolve(member.shape)?,
                                location: member.location,
                                required: member.required,
                                token: member.token,
                            })
                        })
                        .collect::<Result<_, IdlError>>()?,
                    union,
                },
            };
            shapes.push(Shape { name, kind });
        }
        let mut operation_index = HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            operation_index.insert(operation.name.clone(), index);
            for name in &operation.errors {
                if !self.errors.iter().any(|error| error.name == *name) {
                    return Err(whole(format!("{}: the error {name} is not declared", operation.name)));
                }
            }
        }
        Ok(Service {
            id,
            signing_name,
            endpoint_prefix,
            protocol,
            version,
            xml_namespace,
            target_prefix,
            invalid_input,
            max_body,
            operations: self.operations,
            errors: self.errors,
            shapes,
            operation_index,
        })
    }
}

/// Names on the wire and in forms, by the protocol's habit where they are not given.
fn wire_names(protocol: Protocol, member: &RawMember<'_>) -> (String, String) {
    let first = |text: &str, change: fn(&char) -> char| {
        let mut characters = text.chars();
        characters.next().map_or_else(String::new, |head| format!("{}{}", change(&head), characters.as_str()))
    };
    match (protocol, member.wire, member.form) {
        (Protocol::Ec2, wire, form) => {
            let wire = wire.map_or_else(|| first(member.name, char::to_ascii_lowercase), str::to_owned);
            let form = form.map_or_else(|| first(&wire, char::to_ascii_uppercase), str::to_owned);
            (wire, form)
        }
        (_, wire, form) => {
            let wire = wire.unwrap_or(member.name);
            (wire.to_owned(), form.unwrap_or(wire).to_owned())
        }
    }
}
