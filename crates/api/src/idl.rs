//! The language of the descriptions in `idl/`, and its parser.
//!
//! One thing a line, two spaces a level, `#` begins a whole-line comment. Declarations may stand in
//! any order; a name that resolves to nothing is an error.
//!
//! ```text
//! service vpc-lattice                 the signing name; below it one line each of
//!   id VPC Lattice                    SDK service id
//!   endpoint vpc-lattice              first label of public host names
//!   protocol rest-json                rest-json | json-1.0 | json-1.1 | query | ec2
//!   version 2022-11-30
//!   namespace https://...             of XML answers
//!   target Prefix_2017                before the dot in X-Amz-Target
//!   invalid InvalidParameterException code for broken limits, where the protocol has none
//!   max-body 1048576                  bytes
//! let id17 = [0-9a-z]{17}             used as {id17} in later lets and patterns
//! string ServiceId 21 /svc-{id17}/    length (n, n.., ..n or n..m), then a pattern for the whole text
//! string ServiceName 3..40 name !svc- the rule for names, and a prefix it must not have
//! enum AuthType NONE AWS_IAM          more values may follow on indented lines
//! integer Port 1..65535               32 bits; `long` has 64
//! list Targets 1..100 of Target       then: item=NAME (element on XML and form wires), flattened
//! map TagMap 0..200 of TagKey TagValue
//! timestamp When iso8601              iso8601 | unix
//! struct Target                       `union` is the same with exactly one member present
//!   id String required                then any of: required, token (idempotency, clients fill it),
//!   port Port wire=p form=P           wire=NAME (JSON, XML), form=NAME (Query, EC2 input)
//! error ConflictException 409         a structure with a status; code=NAME where the code differs
//!   message String required
//! op GetThing GET /things/{id} 200
//!   in                                members, each also label, query, query=NAME or header=NAME
//!     id ThingId required label
//!   out
//!     name String
//!   errors ConflictException
//!   pages in=nextToken out=nextToken limit=maxResults items=items
//! ```
//!
//! `String`, `Integer`, `Long`, `Boolean`, `Timestamp` and `Blob` exist without limits. EC2 names
//! follow EC2's habit: the wire name is the member's with a small first letter, the form name the
//! wire name with a capital, unless `wire=` or `form=` says otherwise.

mod line;
mod member;
mod resolve;

use std::collections::HashMap;
use std::iter::Peekable;

use line::{Line, bounds_then_of, end, lines, range, status, word};
use member::{Pending, RawKind, RawMember, members, pages};

use crate::schema::{
    ErrorShape, Kind, Location, Operation, Paging, Pattern, Range, Segment, Service, ShapeId,
    TimestampFormat, UriTemplate,
};

/// Largest request body where a description does not say.
const DEFAULT_MAX_BODY: usize = 1 << 20;

/// A line of a description that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct IdlError {
    /// Counted from 1; 0 where the fault is of the whole text.
    pub line: usize,
    pub problem: String,
}

/// Reads one description.
///
/// # Errors
/// The first line that breaks the grammar, names something twice or refers to nothing.
pub fn parse(text: &str) -> Result<Service, IdlError> {
    Parser::new().parse(text)
}

struct Parser<'t> {
    names: HashMap<String, ShapeId>,
    shapes: Vec<(String, RawKind<'t>)>,
    lets: Vec<(&'t str, String)>,
    header: HashMap<&'t str, &'t str>,
    signing_name: Option<&'t str>,
    operations: Vec<Operation>,
    errors: Vec<ErrorShape>,
}

impl<'t> Parser<'t> {
    fn new() -> Self {
        let mut parser = Self {
            names: HashMap::new(),
            shapes: Vec::new(),
            lets: Vec::new(),
            header: HashMap::new(),
            signing_name: None,
            operations: Vec::new(),
            errors: Vec::new(),
        };
        let text = Kind::String { length: Range::default(), pattern: None, values: Vec::new() };
        let builtins = [
            ("String", text),
            ("Integer", Kind::Integer { range: Range::default(), wide: false }),
            ("Long", Kind::Integer { range: Range::default(), wide: true }),
            ("Boolean", Kind::Boolean),
            ("Timestamp", Kind::Timestamp(TimestampFormat::Default)),
            ("Blob", Kind::Blob),
        ];
        for (name, kind) in builtins {
            let id = ShapeId(parser.shapes.len() as u32);
            parser.names.insert(name.to_owned(), id);
            parser.shapes.push((name.to_owned(), RawKind::Done(kind)));
        }
        parser
    }

    fn parse(mut self, text: &'t str) -> Result<Service, IdlError> {
        let mut lines = lines(text).peekable();
        while let Some(line) = lines.next() {
            if line.level != 0 {
                return Err(line.error("a declaration begins at the left margin"));
            }
            let (keyword, rest) = line.text.split_once(' ').unwrap_or((line.text, ""));
            match keyword {
                "service" => self.service(line, rest, &mut lines)?,
                "let" => self.define(line, rest)?,
                "string" => self.string(line, rest)?,
                "enum" => self.enumeration(line, rest, &mut lines)?,
                "integer" | "long" => {
                    let mut words = rest.split_ascii_whitespace();
                    let name = word(line, &mut words, "a name")?;
                    let range = words.next().map_or(Ok(Range::default()), |text| range(line, text))?;
                    end(line, &mut words)?;
                    self.declare(
                        line,
                        name,
                        RawKind::Done(Kind::Integer { range, wide: keyword == "long" }),
                    )?;
                }
                "timestamp" => {
                    let mut words = rest.split_ascii_whitespace();
                    let name = word(line, &mut words, "a name")?;
                    let format = match word(line, &mut words, "iso8601 or unix")? {
                        "iso8601" => TimestampFormat::Iso8601,
                        "unix" => TimestampFormat::Unix,
                        other => return Err(line.error(format!("no timestamp format {other:?}"))),
                    };
                    end(line, &mut words)?;
                    self.declare(line, name, RawKind::Done(Kind::Timestamp(format)))?;
                }
                "list" => self.list(line, rest)?,
                "map" => self.map(line, rest)?,
                "struct" | "union" => {
                    let members = members(1, &mut lines)?;
                    self.declare(line, rest, RawKind::Structure { members, union: keyword == "union" })?;
                }
                "error" => self.error(line, rest, &mut lines)?,
                "op" => self.operation(line, rest, &mut lines)?,
                other => return Err(line.error(format!("no declaration begins with {other:?}"))),
            }
        }
        self.finish()
    }

    fn declare(&mut self, line: Line<'t>, name: &str, kind: RawKind<'t>) -> Result<ShapeId, IdlError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Err(line.error(format!("{name:?} is no name for a shape")));
        }
        let id = ShapeId(self.shapes.len() as u32);
        if self.names.insert(name.to_owned(), id).is_some() {
            return Err(line.error(format!("{name} is declared twice")));
        }
        self.shapes.push((name.to_owned(), kind));
        Ok(id)
    }

    fn service(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), IdlError> {
        if self.signing_name.replace(rest).is_some() {
            return Err(line.error("a second service"));
        }
        while let Some(line) = lines.next_if(|line| line.level > 0) {
            let Some((key, value)) = line.text.split_once(' ') else {
                return Err(line.error("expected a key and a value"));
            };
            if self.header.insert(key, value.trim()).is_some() {
                return Err(line.error(format!("{key} is given twice")));
            }
        }
        Ok(())
    }

    fn define(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), IdlError> {
        let Some((name, text)) = rest.split_once(" = ") else {
            return Err(line.error("expected NAME = PATTERN"));
        };
        let text = self.expand(text);
        self.lets.push((name, text));
        Ok(())
    }

    /// Puts the text of every `let` for its `{name}`.
    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.lets {
            let reference = format!("{{{name}}}");
            if text.contains(&reference) {
                text = text.replace(&reference, value);
            }
        }
        text
    }

    fn string(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), IdlError> {
        // A pattern may hold anything, so it is cut off before words are.
        let (head, pattern) = match rest.split_once(" /") {
            Some((head, pattern)) => {
                let Some(pattern) = pattern.strip_suffix('/') else {
                    return Err(line.error("a pattern ends with a slash"));
                };
                (head, Some(Pattern::regex(self.expand(pattern))))
            }
            None => (rest, None),
        };
        let mut words = head.split_ascii_whitespace().peekable();
        let name = word(line, &mut words, "a name")?;
        let length = match words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '.')) {
            Some(text) => range(line, text)?,
            None => Range::default(),
        };
        let pattern = match (words.next(), pattern) {
            (Some("name"), None) => {
                let forbidden = match words.next() {
                    None => None,
                    Some(text) => match text.strip_prefix('!') {
                        Some(prefix) => Some(prefix.to_owned()),
                        None => return Err(line.error("expected !PREFIX")),
                    },
                };
                Some(Pattern::Name { forbidden })
            }
            (None, pattern) => pattern,
            (Some(other), _) => return Err(line.error(format!("did not expect {other:?}"))),
        };
        end(line, &mut words)?;
        self.declare(line, name, RawKind::Done(Kind::String { length, pattern, values: Vec::new() }))?;
        Ok(())
    }

    fn enumeration(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), IdlError> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let mut values: Vec<String> = words.map(str::to_owned).collect();
        while let Some(line) = lines.next_if(|line| line.level > 0) {
            values.extend(line.words().map(str::to_owned));
        }
        if values.is_empty() {
            return Err(line.error("an enum without values"));
        }
        let kind = Kind::String { length: Range::default(), pattern: None, values };
        self.declare(line, name, RawKind::Done(kind))?;
        Ok(())
    }

    fn list(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), IdlError> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let length = bounds_then_of(line, &mut words)?;
        let element = Pending { line, name: word(line, &mut words, "an element")? };
        let (mut item, mut flattened) = (None, false);
        for word in words {
            match word.split_once('=') {
                Some(("item", name)) => item = Some(name.to_owned()),
                None if word == "flattened" => flattened = true,
                _ => return Err(line.error(format!("did not expect {word:?}"))),
            }
        }
        self.declare(line, name, RawKind::List { element, length, item, flattened })?;
        Ok(())
    }

    fn map(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), IdlError> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let length = bounds_then_of(line, &mut words)?;
        let key = Pending { line, name: word(line, &mut words, "a key")? };
        let value = Pending { line, name: word(line, &mut words, "a value")? };
        end(line, &mut words)?;
        self.declare(line, name, RawKind::Map { key, value, length })?;
        Ok(())
    }

    fn error(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), IdlError> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let status = status(line, word(line, &mut words, "a status")?)?;
        let code = match words.next() {
            None => name,
            Some(text) => text.strip_prefix("code=").ok_or_else(|| line.error("expected code=NAME"))?,
        };
        end(line, &mut words)?;
        let members = members(1, lines)?;
        let shape = self.declare(line, name, RawKind::Structure { members, union: false })?;
        self.errors.push(ErrorShape { name: name.to_owned(), code: code.to_owned(), status, shape });
        Ok(())
    }

    fn operation(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), IdlError> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let method = word(line, &mut words, "a method")?;
        let method = http::Method::from_bytes(method.as_bytes())
            .map_err(|_| line.error(format!("{method:?} is no method")))?;
        let uri = word(line, &mut words, "a path")?;
        let uri =
            UriTemplate::parse(uri).ok_or_else(|| line.error(format!("{uri:?} is no path template")))?;
        let status = status(line, word(line, &mut words, "a status")?)?;
        end(line, &mut words)?;

        let (mut input, mut output) = (Vec::new(), Vec::new());
        let (mut errors, mut paging) = (Vec::new(), None);
        while let Some(line) = lines.next_if(|line| line.level > 0) {
            let (keyword, rest) = line.text.split_once(' ').unwrap_or((line.text, ""));
            match (line.level, keyword) {
                (1, "in") => input = members(2, lines)?,
                (1, "out") => output = members(2, lines)?,
                (1, "errors") => errors.extend(rest.split_ascii_whitespace().map(str::to_owned)),
                (1, "pages") => paging = Some(pages(line, rest)?),
                _ => return Err(line.error("expected in, out, errors or pages")),
            }
        }
        for segment in uri.segments() {
            if let Segment::Label(label) = segment
                && !input.iter().any(|member| {
                    member.location == Location::Label && member.wire.unwrap_or(member.name) == label
                })
            {
                return Err(line.error(format!("no member of the input is bound to {{{label}}}")));
            }
        }
        if let Some(Paging { input_token, output_token, limit, items }) = &paging {
            let known =
                |members: &[RawMember<'_>], name: &str| members.iter().any(|member| member.name == name);
            if !known(&input, input_token)
                || !known(&output, output_token)
                || !known(&output, items)
                || limit.as_ref().is_some_and(|limit| !known(&input, limit))
            {
                return Err(line.error("pages names a member that does not exist"));
            }
        }
        let input =
            self.declare(line, &format!("{name}.in"), RawKind::Structure { members: input, union: false })?;
        let output =
            self.declare(line, &format!("{name}.out"), RawKind::Structure { members: output, union: false })?;
        self.operations.push(Operation {
            name: name.to_owned(),
            method,
            uri,
            status,
            input,
            output,
            errors,
            paging,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
