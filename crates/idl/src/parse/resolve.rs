//! The end of a description: every name is looked up, and what the protocol leaves unsaid is filled in.

use std::collections::HashMap;

use super::declared::{
    Declared, DeclaredAuthorisation, DeclaredKind, DeclaredMember, DeclaredOperation, Pending,
};
use super::mistake::Mistake;
use crate::schema::{
    Authorisation, ErrorShape, Kind, Member, Operation, Protocol, ResourceType, Service, Shape, ShapeId,
};

/// Largest request body where a description does not say.
const DEFAULT_MAX_BODY: usize = 1 << 20;

/// # Errors
/// A line of the service's head that is missing or not understood, and a name that nothing has.
pub(super) fn resolve(declared: Declared<'_>) -> Result<Service, Mistake> {
    let Declared { names, shapes, signing_name, mut header, operations, errors, resources } = declared;
    let signing_name = signing_name.ok_or_else(|| Mistake::of_whole("no service"))?.to_owned();
    let mut take = |key: &str| header.remove(key).map(str::to_owned);
    let mut require =
        |key: &str| take(key).ok_or_else(|| Mistake::of_whole(format!("the service has no {key}")));
    let id = require("id")?;
    let endpoint_prefix = require("endpoint")?;
    let version = require("version")?;
    let protocol = require("protocol")?;
    let protocol =
        Protocol::named(&protocol).ok_or_else(|| Mistake::of_whole(format!("no protocol {protocol:?}")))?;
    let xml_namespace = take("namespace").unwrap_or_default();
    let target_prefix = take("target");
    let action_prefix = take("actions").unwrap_or_else(|| signing_name.clone());
    let global = take("global");
    let invalid_input = take("invalid");
    let max_body = match take("max-body") {
        None => DEFAULT_MAX_BODY,
        Some(text) => {
            text.parse().map_err(|_| Mistake::of_whole(format!("max-body {text:?} is no number")))?
        }
    };
    if let Some(key) = header.keys().next() {
        return Err(Mistake::of_whole(format!("the service has no use for {key:?}")));
    }

    let shapes = shapes
        .into_iter()
        .map(|(name, declared)| Ok(Shape { name, kind: kind(&names, protocol, declared)? }))
        .collect::<Result<_, Mistake>>()?;
    let operations: Vec<Operation> = operations
        .into_iter()
        .map(|declared| operation(declared, &errors, &resources, &action_prefix))
        .collect::<Result<_, _>>()?;
    let operation_index =
        operations.iter().enumerate().map(|(index, operation)| (operation.name.clone(), index)).collect();
    Ok(Service {
        id,
        signing_name,
        endpoint_prefix,
        protocol,
        version,
        xml_namespace,
        target_prefix,
        action_prefix,
        global,
        invalid_input,
        max_body,
        operations,
        errors,
        resources,
        shapes,
        operation_index,
    })
}

fn look_up(names: &HashMap<String, ShapeId>, pending: &Pending<'_>) -> Result<ShapeId, Mistake> {
    let problem = || pending.line.error(format!("{} is not declared", pending.name));
    names.get(pending.name).copied().ok_or_else(problem)
}

fn kind(
    names: &HashMap<String, ShapeId>,
    protocol: Protocol,
    declared: DeclaredKind<'_>,
) -> Result<Kind, Mistake> {
    Ok(match declared {
        DeclaredKind::Done(kind) => kind,
        DeclaredKind::List { element, length, item, flattened } => {
            let habit = if protocol == Protocol::Ec2 { "item" } else { "member" };
            // EC2's lists are flat in forms and wrapped in answers, whatever they are called.
            let item = item.or_else(|| (!flattened).then(|| habit.to_owned()));
            Kind::List { element: look_up(names, &element)?, length, item, flattened }
        }
        DeclaredKind::Map { key, value, length, key_name, value_name, flattened } => Kind::Map {
            key: look_up(names, &key)?,
            value: look_up(names, &value)?,
            length,
            key_name,
            value_name,
            flattened,
        },
        DeclaredKind::Structure { members, union } => Kind::Structure {
            members: members
                .into_iter()
                .map(|member| {
                    let (wire, form) = wire_names(protocol, &member);
                    Ok(Member {
                        name: member.name.to_owned(),
                        wire,
                        form,
                        shape: look_up(names, &member.shape)?,
                        location: member.location,
                        required: member.required,
                        token: member.token,
                        secret: member.secret,
                    })
                })
                .collect::<Result<_, Mistake>>()?,
            union,
        },
    })
}

fn operation(
    declared: DeclaredOperation<'_>,
    errors: &[ErrorShape],
    resources: &[ResourceType],
    action_prefix: &str,
) -> Result<Operation, Mistake> {
    for Pending { line, name } in &declared.errors {
        if !errors.iter().any(|error| error.name == *name) {
            return Err(line.error(format!("the error {name} is not declared")));
        }
    }
    let own_action = || format!("{action_prefix}:{}", declared.name);
    let mut authorisations = Vec::new();
    for DeclaredAuthorisation { line, action, on, when } in &declared.authorisations {
        for acted_on in on {
            let Some(found) = resources.iter().find(|resource| resource.name == acted_on.resource) else {
                return Err(line.error(format!("the resource {} is not declared", acted_on.resource)));
            };
            let holes = found.holes().count();
            if acted_on.members.len() > holes {
                let name = &found.name;
                return Err(
                    line.error(format!("the ARN of {name} has no place for more than {holes} members"))
                );
            }
        }
        let action = action.map_or_else(own_action, str::to_owned);
        authorisations.push(Authorisation { action, on: on.clone(), when: when.map(str::to_owned) });
    }
    if authorisations.is_empty() {
        authorisations.push(Authorisation { action: own_action(), on: Vec::new(), when: None });
    }
    Ok(Operation {
        name: declared.name.to_owned(),
        method: declared.method.to_owned(),
        uri: declared.uri,
        status: declared.status,
        input: declared.input,
        output: declared.output,
        root: declared.root.map(str::to_owned),
        errors: declared.errors.iter().map(|error| error.name.to_owned()).collect(),
        unsigned: declared.unsigned,
        authorisations,
        token: declared.token.map(str::to_owned),
        paging: declared.paging,
    })
}

/// Names on the wire and in forms, by the protocol's habit where they are not given.
fn wire_names(protocol: Protocol, member: &DeclaredMember<'_>) -> (String, String) {
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
