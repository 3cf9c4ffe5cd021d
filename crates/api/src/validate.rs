//! Every limit of the descriptions, checked in one place: a walk over schema and value together.
//!
//! Codecs turn wire forms into values of the right type; what a value must satisfy beyond its type
//! (presence, length, range, pattern, enumeration, union) is decided here and nowhere else.

use serde_json::Value;

use crate::exception::Exception;
use crate::fault::{Faults, Path, Rule};
use crate::schema::{Kind, Operation, Protocol, Range, Service, ShapeId};

/// Checks a decoded input against every limit of `operation`.
///
/// # Errors
/// The caller's fault, in the words of the service's family.
pub fn input(
    service: &Service,
    protocol: Protocol,
    operation: &Operation,
    value: &Value,
) -> Result<(), Exception> {
    let mut faults = Faults::new(protocol);
    walk(service, operation.input, value, &Path::ROOT, Strictness::Input, &mut faults);
    faults.into_result(service)
}

/// What is wrong with an output, one line a fault: wrong types, members that are not described,
/// required members that are missing, unions without exactly one member. For tests of the side
/// that makes outputs; [`crate::encode`] itself leaves out what it does not know.
pub fn output(service: &Service, operation: &Operation, value: &Value) -> Vec<String> {
    let mut faults = Faults::new(Protocol::RestJson);
    walk(service, operation.output, value, &Path::ROOT, Strictness::Output, &mut faults);
    faults.into_list().into_iter().map(|fault| format!("{}: {}", fault.path, fault.rule)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Input,
    Output,
}

/// Deeper than any described shape; a guard, not a limit anyone meets.
fn walk(
    service: &Service,
    shape: ShapeId,
    value: &Value,
    path: &Path<'_>,
    strictness: Strictness,
    faults: &mut Faults,
) {
    match (&service.shape(shape).kind, value) {
        (Kind::Structure { members, union }, Value::Object(object)) => {
            let mut present = 0;
            for member in members {
                let path = path.member(member);
                match object.get(&member.name) {
                    None | Some(Value::Null) if member.required => faults.push(&path, Rule::Missing, None),
                    None | Some(Value::Null) => {}
                    Some(value) => {
                        present += 1;
                        walk(service, member.shape, value, &path, strictness, faults);
                    }
                }
            }
            if *union && present != 1 {
                faults.push(path, Rule::Union { found: present }, None);
            }
            if strictness == Strictness::Output {
                for name in object.keys() {
                    if !members.iter().any(|member| member.name == *name) {
                        faults.push(&path.key(name), Rule::UnknownMember, None);
                    }
                }
            }
        }
        (Kind::List { element, length, .. }, Value::Array(list)) => {
            check_length(*length, list.len(), None, path, faults);
            for (index, value) in list.iter().enumerate() {
                walk(service, *element, value, &path.index(index), strictness, faults);
            }
        }
        (Kind::Map { key, value: element, length, .. }, Value::Object(map)) => {
            check_length(*length, map.len(), None, path, faults);
            for (name, value) in map {
                let path = path.key(name);
                check_text(service, *key, name, &path, faults);
                walk(service, *element, value, &path, strictness, faults);
            }
        }
        (Kind::String { .. }, Value::String(text)) => check_text(service, shape, text, path, faults),
        (Kind::Integer { range, .. }, Value::Number(number)) if number.is_i64() => {
            let found = number.as_i64().unwrap_or_default();
            if let Some(min) = range.min.filter(|&min| found < min) {
                faults.push(path, Rule::MinValue(min), Some(&found.to_string()));
            }
            if let Some(max) = range.max.filter(|&max| found > max) {
                faults.push(path, Rule::MaxValue(max), Some(&found.to_string()));
            }
        }
        (Kind::Float { range, .. }, Value::Number(number)) => {
            let found = number.as_f64().unwrap_or_default();
            if let Some(min) = range.min.filter(|&min| found < min as f64) {
                faults.push(path, Rule::MinValue(min), Some(&found.to_string()));
            }
            if let Some(max) = range.max.filter(|&max| found > max as f64) {
                faults.push(path, Rule::MaxValue(max), Some(&found.to_string()));
            }
        }
        (Kind::Blob { length }, Value::String(text)) => {
            // Base64: three bytes in four characters, less what is padding.
            let padding = text.bytes().rev().take_while(|&byte| byte == b'=').count();
            check_length(*length, (text.len() / 4 * 3).saturating_sub(padding), None, path, faults);
        }
        (Kind::Boolean, Value::Bool(_)) | (Kind::Timestamp(_), Value::String(_)) => {}
        (kind, _) => faults.push(path, Rule::Type(kind.article()), None),
    }
}

fn check_text(service: &Service, shape: ShapeId, text: &str, path: &Path<'_>, faults: &mut Faults) {
    let Kind::String { length, pattern, values } = &service.shape(shape).kind else { return };
    let within = check_length(*length, text.chars().count(), Some(text), path, faults);
    if !values.is_empty() && !values.iter().any(|value| value == text) {
        faults.push(path, Rule::Values(values.clone()), Some(text));
    }
    // A text of any size is not worth a pattern match when its length is refused already.
    if let Some(pattern) = pattern
        && within
        && !pattern.matches(text)
    {
        faults.push(path, Rule::Pattern(pattern.expression()), Some(text));
    }
}

/// Records a length outside `range`; whether it was within.
fn check_length(
    range: Range,
    found: usize,
    value: Option<&str>,
    path: &Path<'_>,
    faults: &mut Faults,
) -> bool {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    if let Some(min) = range.min.filter(|&min| found < min) {
        faults.push(path, Rule::MinLength(min), value);
        return false;
    }
    if let Some(max) = range.max.filter(|&max| found > max) {
        faults.push(path, Rule::MaxLength(max), value);
        return false;
    }
    true
}

#[cfg(test)]
mod tests;
