//! The members of a structure, one a line.

use std::iter::Peekable;

use super::declared::{DeclaredMember, Pending};
use super::line::{Line, word};
use super::mistake::Mistake;
use crate::schema::Location;

/// The members on the following lines of `level`.
pub(super) fn members<'t>(
    level: usize,
    lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
) -> Result<Vec<DeclaredMember<'t>>, Mistake> {
    let mut members: Vec<DeclaredMember<'t>> = Vec::new();
    while let Some(line) = lines.next_if(|line| line.level >= level) {
        if line.level != level {
            return Err(line.error(format!("a member stands {} spaces in", level * 2)));
        }
        let mut words = line.words();
        let name = word(line, &mut words, "a member")?;
        let shape = Pending { line, name: word(line, &mut words, "a type")? };
        let mut member = DeclaredMember {
            name,
            shape,
            wire: None,
            form: None,
            location: Location::Body,
            required: false,
            token: false,
            secret: false,
        };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("required", "") => member.required = true,
                ("token", "") => member.token = true,
                ("secret", "") => member.secret = true,
                ("payload", "") => member.location = Location::Payload { stream: false },
                ("stream", "") => member.location = Location::Payload { stream: true },
                ("status", "") => member.location = Location::Status,
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
