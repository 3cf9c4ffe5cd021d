//! Requests counted by caller, method, shape of the path, and what becomes of them.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use trellis_policy::Layer;

use super::line::{Recorded, Request};

/// Groups kept; requests of further ones are counted without a name.
const MAX_GROUPS: usize = 10_000;
/// Segments of a path that tell it from others, and bytes of one.
const MAX_SEGMENTS: usize = 6;
const MAX_SEGMENT: usize = 40;

/// What would become of a request now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Same,
    /// It was allowed.
    Denied(Layer),
    /// It was denied.
    Allowed,
    /// It hangs on these.
    Untold(Vec<String>),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    fate: Fate,
    was_allowed: bool,
    caller: String,
    method: String,
    path: String,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    groups: HashMap<Group, u64>,
    /// Requests that change fate, or may, in groups beyond [`MAX_GROUPS`].
    beyond: u64,
    still_allowed: u64,
    still_denied: u64,
    pub(super) lines: u64,
    /// Of other services and networks, or of no service at all.
    pub(super) others: u64,
    pub(super) malformed: u64,
}

impl Tally {
    pub(super) fn count(&mut self, request: &Request, fate: Fate) {
        let was_allowed = request.recorded == Recorded::Allowed;
        if fate == Fate::Same {
            *(if was_allowed { &mut self.still_allowed } else { &mut self.still_denied }) += 1;
            return;
        }
        let group = Group {
            fate,
            was_allowed,
            caller: request.caller.arn().map_or_else(|| "anonymous".to_owned(), without_session),
            method: printable(request.method.as_deref().unwrap_or("CONNECT")),
            path: if request.method.is_some() { shape(&request.path) } else { "-".to_owned() },
        };
        if let Some(count) = self.groups.get_mut(&group) {
            *count += 1;
        } else if self.groups.len() < MAX_GROUPS {
            self.groups.insert(group, 1);
        } else {
            self.beyond += 1;
        }
    }

    /// Nothing changes, and everything could be told.
    pub(super) fn is_quiet(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups, those with most requests first.
    fn sorted(&self) -> Vec<(&Group, u64)> {
        let mut groups: Vec<(&Group, u64)> =
            self.groups.iter().map(|(group, count)| (group, *count)).collect();
        let text = |group: &Group| (group.caller.clone(), group.path.clone(), group.method.clone());
        groups
            .sort_by_cached_key(|(group, count)| (std::cmp::Reverse(*count), text(group), why(&group.fate)));
        groups
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let sorted = self.sorted();
        let width = sorted.first().map_or(1, |(_, most)| most.to_string().len()).max(6);
        let mut list = |title: &str, is: &dyn Fn(&Group) -> bool| {
            let groups: Vec<_> = sorted.iter().filter(|(group, _)| is(group)).collect();
            let requests: u64 = groups.iter().map(|(_, count)| count).sum();
            let _ = writeln!(text, "{title}: {requests}");
            for (group, count) in groups {
                let Group { fate, caller, method, path, .. } = group;
                let _ = writeln!(text, "  {count:>width$}  {caller}  {method} {path}  {}", why(fate));
            }
        };
        list("allowed, and would be denied", &|group| matches!(group.fate, Fate::Denied(_)));
        list("denied, and would be allowed", &|group| group.fate == Fate::Allowed);
        list("allowed, and cannot be told", &|group| {
            group.was_allowed && matches!(group.fate, Fate::Untold(_))
        });
        list("denied, and cannot be told", &|group| {
            !group.was_allowed && matches!(group.fate, Fate::Untold(_))
        });
        if self.beyond > 0 {
            let _ = writeln!(text, "of one of these, in more groups than are kept: {}", self.beyond);
        }
        let Self { still_allowed, still_denied, lines, others, malformed, .. } = self;
        let _ = writeln!(text, "the same: {still_allowed} allowed, {still_denied} denied");
        let _ = writeln!(
            text,
            "lines: {lines}, of which {others} about something else and {malformed} malformed"
        );
        text
    }

    pub(super) fn json(&self) -> Value {
        let groups = self.sorted().into_iter().map(|(group, count)| {
            let was = if group.was_allowed { "allowed" } else { "denied" };
            let mut object = json!({
                "was": was, "caller": group.caller, "method": group.method, "path": group.path, "count": count,
            });
            match &group.fate {
                Fate::Same => {}
                Fate::Denied(layer) => {
                    object["is"] = json!("denied");
                    object["layer"] = json!(layer.to_string());
                }
                Fate::Allowed => object["is"] = json!("allowed"),
                Fate::Untold(missing) => {
                    object["is"] = json!("untold");
                    object["missing"] = json!(missing);
                }
            }
            object
        });
        json!({
            "groups": groups.collect::<Vec<_>>(),
            "beyondGroups": self.beyond,
            "same": {"allowed": self.still_allowed, "denied": self.still_denied},
            "lines": {"read": self.lines, "others": self.others, "malformed": self.malformed},
        })
    }
}

fn why(fate: &Fate) -> String {
    match fate {
        Fate::Same | Fate::Allowed => String::new(),
        Fate::Denied(layer) => format!("by the {layer} policies"),
        Fate::Untold(missing) => format!("without {}", missing.join(", ")),
    }
}

/// Sessions of one role are one caller.
fn without_session(arn: &str) -> String {
    match arn.split_once(":assumed-role/") {
        Some((before, rest)) => {
            printable(&format!("{before}:assumed-role/{}/*", rest.split('/').next().unwrap_or_default()))
        }
        None => printable(arn),
    }
}

/// A path with stars for what looks like the name of one thing among many: numbers, UUIDs, long texts.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    for (index, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
        if index == MAX_SEGMENTS {
            shape.push_str("/...");
            break;
        }
        let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
        let is_hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_number = has_digit && segment.bytes().all(|byte| byte.is_ascii_digit());
        let is_one_of_many =
            is_number || (has_digit && is_hex && segment.len() >= 8) || segment.len() > MAX_SEGMENT;
        shape.push('/');
        shape.push_str(&if is_one_of_many { "*".to_owned() } else { printable(segment) });
    }
    shape
}

/// What a client sent, without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_of_many_is_a_star() {
        for (path, expected) in [
            ("/", "/"),
            ("/items/17", "/items/*"),
            ("/v1/items", "/v1/items"),
            ("/o/0f8fad5b-d9cb-469f-a165-70867728950e/", "/o/*/"),
            ("/feedface", "/feedface"),
            ("*", "/*"),
            ("/a/b/c/d/e/f/g", "/a/b/c/d/e/f/..."),
            ("/\u{1b}[2J", "/\\u{1b}[2J"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
        assert_eq!(shape(&format!("/{}", "x".repeat(41))), "/*");
    }
}
