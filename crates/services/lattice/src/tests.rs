//! The typed forms of inputs against the API description.

use serde_json::{Map, Value, json};
use trellis_api::Service;
use trellis_api::schema::{Kind, ShapeId};

use super::{IMPLEMENTED, accepts, wire};

/// An input with every member the description has, `depth` levels deep; unions take the member
/// `choice` picks.
fn maximal(service: &Service, shape: ShapeId, choice: usize) -> Value {
    match &service.shape(shape).kind {
        Kind::Structure { members, union } => {
            let chosen = choice.checked_rem(members.len()).unwrap_or(0);
            members
                .iter()
                .enumerate()
                .filter(|(number, _)| !union || *number == chosen)
                .map(|(_, member)| (member.name.clone(), maximal(service, member.shape, choice)))
                .collect::<Map<_, _>>()
                .into()
        }
        Kind::List { element, .. } => json!([maximal(service, *element, choice)]),
        Kind::Map { key, value, .. } => {
            let key = maximal(service, *key, choice);
            json!({key.as_str().unwrap_or("key"): maximal(service, *value, choice)})
        }
        Kind::String { values, .. } if !values.is_empty() => values[choice % values.len()].clone().into(),
        Kind::String { .. } => "text".into(),
        Kind::Integer { range, .. } => range.max.or(range.min).unwrap_or(1).into(),
        Kind::Boolean => true.into(),
        Kind::Timestamp(_) => "2026-01-02T03:04:05.678Z".into(),
        Kind::Float { .. } => 0.5.into(),
        Kind::Blob { .. } => "AAAA".into(),
    }
}

fn service() -> &'static Service {
    wire::description()
}

#[test]
fn every_member_of_every_input_that_is_described_is_read() {
    for name in IMPLEMENTED {
        let operation = service().operation(name).expect("described");
        for choice in 0..8 {
            let input = maximal(service(), operation.input, choice);
            if let Err(error) = accepts(name, input.clone()).expect("implemented") {
                panic!("{name}: {error}\n{input:#}");
            }
        }
    }
}

#[test]
fn an_input_with_only_what_is_required_is_read() {
    for name in IMPLEMENTED {
        let operation = service().operation(name).expect("described");
        let mut input = maximal(service(), operation.input, 0);
        for member in service().members(operation.input) {
            if !member.required {
                input.as_object_mut().expect("a structure").remove(&member.name);
            }
        }
        if let Err(error) = accepts(name, input.clone()).expect("implemented") {
            panic!("{name}: {error}\n{input:#}");
        }
    }
}
