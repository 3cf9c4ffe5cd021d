//! One operation: its first line, and the sections below it.

use std::iter::Peekable;

use super::declared::{DeclaredAuthorisation, DeclaredMember, Pending};
use super::line::{Line, end, status, word};
use super::member::members;
use super::mistake::Mistake;
use crate::schema::{ActedOn, Location, Paging, Segment, UriTemplate};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// An operation whose input and output have no names yet.
pub(super) struct OperationText<'t> {
    pub(super) name: &'t str,
    pub(super) method: &'t str,
    pub(super) uri: UriTemplate,
    pub(super) status: u16,
    pub(super) root: Option<&'t str>,
    pub(super) input: Vec<DeclaredMember<'t>>,
    pub(super) output: Vec<DeclaredMember<'t>>,
    pub(super) errors: Vec<Pending<'t>>,
    pub(super) unsigned: bool,
    pub(super) authorisations: Vec<DeclaredAuthorisation<'t>>,
    pub(super) paging: Option<Paging>,
}

/// Reads what follows `op` on `line`, and the indented lines below.
pub(super) fn operation<'t>(
    line: Line<'t>,
    rest: &'t str,
    lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
) -> Result<OperationText<'t>, Mistake> {
    let mut words = rest.split_ascii_whitespace();
    let name = word(line, &mut words, "a name")?;
    let method = word(line, &mut words, "a method")?;
    if !METHODS.contains(&method) {
        return Err(line.error(format!("{method:?} is none of {}", METHODS.join(", "))));
    }
    let uri = word(line, &mut words, "a path")?;
    let uri = UriTemplate::parse(uri).ok_or_else(|| line.error(format!("{uri:?} is no path template")))?;
    let status = status(line, word(line, &mut words, "a status")?)?;
    end(line, &mut words)?;

    let mut operation = OperationText {
        name,
        method,
        uri,
        status,
        root: None,
        input: Vec::new(),
        output: Vec::new(),
        errors: Vec::new(),
        unsigned: false,
        authorisations: Vec::new(),
        paging: None,
    };
    while let Some(line) = lines.next_if(|line| line.level > 0) {
        let (keyword, rest) = line.text.split_once(' ').unwrap_or((line.text, ""));
        match (line.level, keyword) {
            (1, "in") if rest.is_empty() => operation.input = members(2, lines)?,
            (1, "out") => {
                operation.root = root(line, rest)?;
                operation.output = members(2, lines)?;
            }
            (1, "errors") => {
                operation.errors.extend(rest.split_ascii_whitespace().map(|name| Pending { line, name }));
            }
            (1, "pages") => operation.paging = Some(pages(line, rest)?),
            (1, "authorise") => operation.authorisations.push(authorisation(line, rest)?),
            (1, "unsigned") if rest.is_empty() => operation.unsigned = true,
            _ => return Err(line.error("expected in, out, errors, pages, authorise or unsigned")),
        }
    }
    operation.check(line)?;
    Ok(operation)
}

impl OperationText<'_> {
    /// Whether path, pages and authorisation name members that are there.
    fn check(&self, line: Line<'_>) -> Result<(), Mistake> {
        for segment in self.uri.segments() {
            if let Segment::Label(label) = segment
                && !self.input.iter().any(|member| {
                    member.location == Location::Label && member.wire.unwrap_or(member.name) == label
                })
            {
                return Err(line.error(format!("no member of the input is bound to {{{label}}}")));
            }
        }
        let known =
            |members: &[DeclaredMember<'_>], name: &String| members.iter().any(|member| member.name == name);
        if let Some(Paging { input_tokens, output_tokens, limit, items, more }) = &self.paging
            && !(input_tokens.iter().chain(limit).all(|name| known(&self.input, name))
                && output_tokens.iter().chain(items).chain(more).all(|name| known(&self.output, name)))
        {
            return Err(line.error("pages names a member that does not exist"));
        }
        let acted_on = self.authorisations.iter().flat_map(|one| &one.on).flat_map(|on| &on.members);
        let conditions = self.authorisations.iter().filter_map(|one| one.when);
        for path in acted_on.map(String::as_str).chain(conditions) {
            let head = path.split('.').next().unwrap_or_default().to_owned();
            if !known(&self.input, &head) {
                return Err(line.error(format!("authorise names {path}, which is no member of the input")));
            }
        }
        for members in [&self.input, &self.output] {
            let payloads =
                members.iter().filter(|member| matches!(member.location, Location::Payload { .. }));
            if payloads.count() > 1 {
                return Err(line.error("a second payload"));
            }
        }
        Ok(())
    }
}

/// `root=NAME`, or nothing.
fn root<'t>(line: Line<'t>, rest: &'t str) -> Result<Option<&'t str>, Mistake> {
    match rest.strip_prefix("root=") {
        _ if rest.is_empty() => Ok(None),
        Some(root) if !root.is_empty() => Ok(Some(root)),
        _ => Err(line.error("expected root=NAME")),
    }
}

/// `in=A[,B] out=C[,D] items=E[,F] [limit=G] [more=H]`.
fn pages(line: Line<'_>, rest: &str) -> Result<Paging, Mistake> {
    let mut paging = Paging {
        input_tokens: Vec::new(),
        output_tokens: Vec::new(),
        limit: None,
        items: Vec::new(),
        more: None,
    };
    for word in rest.split_ascii_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let names = || value.split(',').map(str::to_owned).collect();
        match key {
            "in" => paging.input_tokens = names(),
            "out" => paging.output_tokens = names(),
            "items" => paging.items = names(),
            "limit" => paging.limit = Some(value.to_owned()),
            "more" => paging.more = Some(value.to_owned()),
            _ => return Err(line.error(format!("did not expect {word:?}"))),
        }
    }
    if paging.input_tokens.is_empty() || paging.output_tokens.is_empty() || paging.items.is_empty() {
        return Err(line.error("expected in=, out=, items= and perhaps limit= and more="));
    }
    Ok(paging)
}

/// `[PREFIX:ACTION] [on TYPE[=MEMBER[,MEMBER]] ...] [when MEMBER]`.
fn authorisation<'t>(line: Line<'t>, rest: &'t str) -> Result<DeclaredAuthorisation<'t>, Mistake> {
    let (rest, when) = match rest.rsplit_once(" when ") {
        Some((rest, member)) => (rest, Some(member.trim())),
        None => (rest, None),
    };
    let mut words = rest.split_ascii_whitespace().peekable();
    let action = words.next_if(|word| word.contains(':'));
    let on: Vec<ActedOn> = match words.next() {
        None if action.is_some() => Vec::new(),
        Some("on") => words
            .map(|word| {
                let (resource, members) = word.split_once('=').unwrap_or((word, ""));
                let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                ActedOn { resource: resource.to_owned(), members }
            })
            .collect(),
        _ => {
            return Err(
                line.error("expected authorise [PREFIX:ACTION] [on TYPE[=MEMBER,MEMBER]] [when MEMBER]")
            );
        }
    };
    Ok(DeclaredAuthorisation { line, action, on, when })
}
