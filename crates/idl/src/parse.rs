//! From the text of a description to its tables.

mod declared;
mod line;
mod member;
mod mistake;
mod operation;
mod resolve;

use std::collections::HashMap;
use std::iter::Peekable;

pub use mistake::Mistake;

use declared::{Declared, DeclaredKind, DeclaredOperation, Pending};
use line::{Line, bounds_then_of, end, lines, range, status, word};
use member::members;
use operation::OperationText;

use crate::schema::{ErrorShape, Kind, Pattern, Range, ResourceType, Service, ShapeId, TimestampFormat};

/// Reads one description.
///
/// # Errors
/// The first line that breaks the grammar, names something twice or refers to nothing.
pub fn parse(text: &str) -> Result<Service, Mistake> {
    Parser::new().parse(text)
}

struct Parser<'t> {
    declared: Declared<'t>,
    lets: Vec<(&'t str, String)>,
}

impl<'t> Parser<'t> {
    fn new() -> Self {
        let text = Kind::String { length: Range::default(), pattern: None, values: Vec::new() };
        let builtins = [
            ("String", text),
            ("Integer", Kind::Integer { range: Range::default(), wide: false }),
            ("Long", Kind::Integer { range: Range::default(), wide: true }),
            ("Float", Kind::Float { range: Range::default(), wide: false }),
            ("Double", Kind::Float { range: Range::default(), wide: true }),
            ("Boolean", Kind::Boolean),
            ("Timestamp", Kind::Timestamp(TimestampFormat::Default)),
            ("Blob", Kind::Blob { length: Range::default() }),
        ];
        let mut declared = Declared {
            names: HashMap::new(),
            shapes: Vec::new(),
            signing_name: None,
            header: HashMap::new(),
            operations: Vec::new(),
            errors: Vec::new(),
            resources: Vec::new(),
        };
        for (name, kind) in builtins {
            declared.names.insert(name.to_owned(), ShapeId(declared.shapes.len() as u32));
            declared.shapes.push((name.to_owned(), DeclaredKind::Done(kind)));
        }
        Self { declared, lets: Vec::new() }
    }

    fn parse(mut self, text: &'t str) -> Result<Service, Mistake> {
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
                "integer" => self.number(line, rest, |range| Kind::Integer { range, wide: false })?,
                "long" => self.number(line, rest, |range| Kind::Integer { range, wide: true })?,
                "float" => self.number(line, rest, |range| Kind::Float { range, wide: false })?,
                "double" => self.number(line, rest, |range| Kind::Float { range, wide: true })?,
                "blob" => self.number(line, rest, |length| Kind::Blob { length })?,
                "timestamp" => self.timestamp(line, rest)?,
                "list" => self.list(line, rest)?,
                "map" => self.map(line, rest)?,
                "struct" | "union" => {
                    let members = members(1, &mut lines)?;
                    self.declare(line, rest, DeclaredKind::Structure { members, union: keyword == "union" })?;
                }
                "error" => self.error(line, rest, &mut lines)?,
                "resource" => self.resource(line, rest)?,
                "op" => self.operation(line, operation::operation(line, rest, &mut lines)?)?,
                other => return Err(line.error(format!("no declaration begins with {other:?}"))),
            }
        }
        resolve::resolve(self.declared)
    }

    fn declare(&mut self, line: Line<'t>, name: &str, kind: DeclaredKind<'t>) -> Result<ShapeId, Mistake> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
            return Err(line.error(format!("{name:?} is no name for a shape")));
        }
        let declared = &mut self.declared;
        let id = ShapeId(declared.shapes.len() as u32);
        if declared.names.insert(name.to_owned(), id).is_some() {
            return Err(line.error(format!("{name} is declared twice")));
        }
        declared.shapes.push((name.to_owned(), kind));
        Ok(id)
    }

    fn service(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), Mistake> {
        if self.declared.signing_name.replace(rest).is_some() {
            return Err(line.error("a second service"));
        }
        while let Some(line) = lines.next_if(|line| line.level > 0) {
            let Some((key, value)) = line.text.split_once(' ') else {
                return Err(line.error("expected a key and a value"));
            };
            if self.declared.header.insert(key, value.trim()).is_some() {
                return Err(line.error(format!("{key} is given twice")));
            }
        }
        Ok(())
    }

    /// A name, and perhaps bounds.
    fn number(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        kind: impl FnOnce(Range) -> Kind,
    ) -> Result<(), Mistake> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let range = words.next().map_or(Ok(Range::default()), |text| range(line, text))?;
        end(line, &mut words)?;
        self.declare(line, name, DeclaredKind::Done(kind(range)))?;
        Ok(())
    }

    fn timestamp(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let format = match word(line, &mut words, "iso8601, unix or http")? {
            "iso8601" => TimestampFormat::Iso8601,
            "unix" => TimestampFormat::Unix,
            "http" => TimestampFormat::Http,
            other => return Err(line.error(format!("no timestamp format {other:?}"))),
        };
        end(line, &mut words)?;
        self.declare(line, name, DeclaredKind::Done(Kind::Timestamp(format)))?;
        Ok(())
    }

    fn resource(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let arn = word(line, &mut words, "the form of an ARN")?;
        end(line, &mut words)?;
        let is_whole = arn.starts_with("arn:{partition}:") && arn.split(':').count() >= 6;
        if !is_whole && arn != "{arn}" {
            return Err(
                line.error(format!("{arn:?} is no arn:{{partition}}:SERVICE:REGION:ACCOUNT:RESOURCE"))
            );
        }
        if self.declared.resources.iter().any(|resource| resource.name == name) {
            return Err(line.error(format!("the resource {name} is declared twice")));
        }
        self.declared.resources.push(ResourceType { name: name.to_owned(), arn: arn.to_owned() });
        Ok(())
    }

    fn define(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
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

    fn string(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
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
        self.declare(line, name, DeclaredKind::Done(Kind::String { length, pattern, values: Vec::new() }))?;
        Ok(())
    }

    fn enumeration(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), Mistake> {
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
        self.declare(line, name, DeclaredKind::Done(kind))?;
        Ok(())
    }

    fn list(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
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
        self.declare(line, name, DeclaredKind::List { element, length, item, flattened })?;
        Ok(())
    }

    fn map(&mut self, line: Line<'t>, rest: &'t str) -> Result<(), Mistake> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let length = bounds_then_of(line, &mut words)?;
        let key = Pending { line, name: word(line, &mut words, "a key")? };
        let value = Pending { line, name: word(line, &mut words, "a value")? };
        let (mut key_name, mut value_name, mut flattened) = ("key", "value", false);
        for word in words {
            match word.split_once('=') {
                Some(("key", name)) => key_name = name,
                Some(("value", name)) => value_name = name,
                None if word == "flattened" => flattened = true,
                _ => return Err(line.error(format!("did not expect {word:?}"))),
            }
        }
        let (key_name, value_name) = (key_name.to_owned(), value_name.to_owned());
        self.declare(line, name, DeclaredKind::Map { key, value, length, key_name, value_name, flattened })?;
        Ok(())
    }

    fn error(
        &mut self,
        line: Line<'t>,
        rest: &'t str,
        lines: &mut Peekable<impl Iterator<Item = Line<'t>>>,
    ) -> Result<(), Mistake> {
        let mut words = rest.split_ascii_whitespace();
        let name = word(line, &mut words, "a name")?;
        let status = status(line, word(line, &mut words, "a status")?)?;
        let code = match words.next() {
            None => name,
            Some(text) => text.strip_prefix("code=").ok_or_else(|| line.error("expected code=NAME"))?,
        };
        end(line, &mut words)?;
        let members = members(1, lines)?;
        let shape = self.declare(line, name, DeclaredKind::Structure { members, union: false })?;
        self.declared.errors.push(ErrorShape { name: name.to_owned(), code: code.to_owned(), status, shape });
        Ok(())
    }

    fn operation(&mut self, line: Line<'t>, text: OperationText<'t>) -> Result<(), Mistake> {
        let token = text.input.iter().find(|member| member.token).map(|member| member.name);
        let OperationText {
            name, method, uri, status, root, errors, unsigned, authorisations, paging, ..
        } = text;
        let mut structure = |suffix: &str, members| {
            let kind = DeclaredKind::Structure { members, union: false };
            self.declare(line, &format!("{name}.{suffix}"), kind)
        };
        let (input, output) = (structure("in", text.input)?, structure("out", text.output)?);
        self.declared.operations.push(DeclaredOperation {
            name,
            method,
            uri,
            status,
            root,
            input,
            output,
            token,
            errors,
            unsigned,
            authorisations,
            paging,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
