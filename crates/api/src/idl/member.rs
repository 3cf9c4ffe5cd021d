//! What a description declares, before names are resolved.

use std::collections::HashMap;
use std::iter::Peekable;

use super::IdlError;
use super::line::{Line, word};
use crate::schema::{Kind, Location, Paging, Range};

/// A reference that is resolved when everything is declared.
pub(super) struct Pending<'t> {
    pub(super) line: Line<'t>,
    pub(super) name: &'t str,
}

pub(super) enum RawKind<'t> {
    Structure { members: Vec<RawMember<'t>>, union: bool },
    List { element: Pending<'t>, length: Range, item: Option<String>, flattened: bool },
    Map { key: Pending<'t>, value: Pending<'t>, length: Range },
    Done(Kind),
}

pub(super) struct RawMember<'t> {
    pub(super) name: &'t str,
    pub(super) shape: Pending<'t>,
    pub(super) wire: Option<&'t str>,
    pub(super) form: Option<&'t str>,
    pub(super) location: Location,
    pub(super) required: bool,
    pub(super) token: bool,
}

/// The members on the following lines of `level`.
pub(super) fn members<'t>(
    level: usize,
    lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
) -> Result<Vec<RawMember<'t>>, IdlError> {
    let mut members: Vec<RawMember<'t>> = Vec::new();
    while let Some(line) = lines.next_if(|line| line.level >= level) {
        if line.level != level {
            return Err(line.error(format!("a member stands {} spaces in", level * 2)));
        }
        let mut words = line.words();
        let name = word(line, &mut words, "a member")?;
        let shape = Pending { line, name: word(line, &mut words, "a type")? };
        let mut member = RawMember {
            name,
            shape,
            wire: None,
            form: None,
            location: Location::Body,
            required: false,
            token: false,
        };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("required", "") => member.required = true,
                ("token", "") => member.token = true,
                ("label", "") => member.location = Location::Label,
                ("query", wire) => {
                    member.location = Location::Query;
                    member.wire = Some(wire).filter(|wire| !wire.is_empty());
                }
                ("header", wire) if !wire.is_empty() => {
                    member.location = Location::Header;
                    member.wire = Some(wire);
                }
                ("wire", wire) if !wire.is_empty() => member.wire = Some(wire),
                ("form", form) if !form.is_empty() => member.form = Some(form),
                _ => return Err(line.error(format!("did not expect {word:?}"))),
            }
        }
        if members.iter().any(|other| other.name == name) {
            return Err(line.error(format!("{name} is declared twice")));
        }
        members.push(member);
    }
    Ok(members)
}

pub(super) fn pages(line: Line<'_>, rest: &str) -> Result<Paging, IdlError> {
    let mut parts: HashMap<&str, &str> =
        rest.split_ascii_whitespace().filter_map(|word| word.split_once('=')).collect();
    let mut take = |key: &str| parts.remove(key).map(str::to_owned);
    let problem = || line.error("expected in=, out=, items= and perhaps limit=");
    Ok(Paging {
        input_token: take("in").ok_or_else(problem)?,
        output_token: take("out").ok_or_else(problem)?,
        items: take("items").ok_or_else(problem)?,
        limit: take("limit"),
    })
}
