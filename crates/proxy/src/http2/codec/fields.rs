//! A header list as it was decoded: one buffer, and where in it each name and value is.

use crate::http1::fields::{Field, field};

/// Largest header list, in the counting of RFC 9113, 6.5.2 (SETTINGS_MAX_HEADER_LIST_SIZE). What a
/// larger one has beyond it is not kept.
pub(super) const MAX_LIST: usize = 128 * 1024;
/// A list that would be larger than this ends the connection.
const MAX_BOMB: usize = 4 * MAX_LIST;
/// A buffer that has grown beyond this is not used again.
const KEPT: usize = 4 * 1024;

/// Which pseudo-header fields are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
}

/// What a header list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Request,
    Answer,
    Trailers,
}

/// Where a text is in the buffer.
type Span = (u32, u32);

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Span,
    value: Span,
    kind: Field,
    never_indexed: bool,
}

/// A header list. Its fields are laid out as lines of HTTP/1, so that neighbours can be copied at once.
#[derive(Debug)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    pseudo: [Option<Span>; 5],
    /// Whole size, in the counting of RFC 9113, 6.5.2, kept or not.
    size: usize,
    malformed: bool,
}

impl Default for Fields {
    /// With room for an ordinary list.
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(512),
            entries: Vec::with_capacity(12),
            pseudo: [None; 5],
            size: 0,
            malformed: false,
        }
    }
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.pseudo = [None; 5];
        self.size = 0;
        self.malformed = false;
    }

    pub(super) fn is_worth_keeping(&self) -> bool {
        self.bytes.capacity() <= KEPT
    }

    /// Adds a field as it was decoded, and checks what RFC 9113, 8.2 and 8.3, say of it. One that is `never_indexed` is not
    /// for tables, here and wherever it goes.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8], part: Part, never_indexed: bool) {
        self.size = self.size.saturating_add(name.len() + value.len() + 32);
        if self.size > MAX_LIST || self.malformed {
            return;
        }
        if let [b':', ..] = name {
            self.malformed = self.add_pseudo(name, value, part).is_none();
            return;
        }
        // "A field value MUST NOT start or end with an ASCII whitespace character" (RFC 9113, 8.2.1). A request that
        // has one is refused where its head is checked, and told so. Answers and trailers lose it, as they would in
        // HTTP/1: servers send it, and their clients take it.
        let value = if part == Part::Request { value } else { value.trim_ascii() };
        let kind = field(name);
        if !is_name(name) || !is_value(value) || !may_cross(name, value, kind) {
            self.malformed = true;
            return;
        }
        let name = self.push(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.push(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.entries.push(Entry { name, value, kind, never_indexed });
    }

    /// `None`: "pseudo-header fields that are ... not defined", "MUST appear ... before regular header
    /// fields", "MUST NOT be generated more than once" (RFC 9113, 8.3).
    fn add_pseudo(&mut self, name: &[u8], value: &[u8], part: Part) -> Option<()> {
        let which = match (part, name) {
            (Part::Request, b":method") if !value.is_empty() && value.iter().all(|byte| is_token(*byte)) => {
                Pseudo::Method
            }
            (Part::Request, b":scheme") => Pseudo::Scheme,
            (Part::Request, b":authority") => Pseudo::Authority,
            (Part::Request, b":path") if !value.is_empty() => Pseudo::Path,
            (Part::Answer, b":status") if value.len() == 3 && value.iter().all(u8::is_ascii_digit) => {
                Pseudo::Status
            }
            _ => return None,
        };
        if !self.entries.is_empty() || !is_value(value) || self.pseudo[which as usize].is_some() {
            return None;
        }
        self.pseudo[which as usize] = Some(self.push(value));
        Some(())
    }

    fn push(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        (start, self.bytes.len() as u32)
    }

    /// The list as a whole: "All HTTP/2 requests MUST include exactly one valid value for the
    /// ":method", ":scheme", and ":path" pseudo-header fields, unless they are CONNECT requests"
    /// (RFC 9113, 8.3.1); an answer has a status.
    pub(super) fn is_malformed(&self, part: Part) -> bool {
        let has = |which: Pseudo| self.pseudo[which as usize].is_some();
        if self.malformed || self.is_too_large() {
            return self.malformed;
        }
        match part {
            Part::Request if self.pseudo(Pseudo::Method) == b"CONNECT" => {
                has(Pseudo::Scheme) || has(Pseudo::Path) || !has(Pseudo::Authority)
            }
            Part::Request => !has(Pseudo::Method) || !has(Pseudo::Scheme) || !has(Pseudo::Path),
            Part::Answer => !has(Pseudo::Status) || self.status() < 100,
            Part::Trailers => false,
        }
    }

    /// Some of it was left out.
    pub(crate) fn is_too_large(&self) -> bool {
        self.size > MAX_LIST
    }

    /// Whoever sends it means harm.
    pub(super) fn is_bomb(&self) -> bool {
        self.size > MAX_BOMB
    }

    /// The value of a pseudo-header field; empty when it is not there.
    pub(crate) fn pseudo(&self, which: Pseudo) -> &[u8] {
        self.pseudo[which as usize].map_or(b"", |span| self.text(span))
    }

    pub(crate) fn status(&self) -> u16 {
        self.pseudo(Pseudo::Status).iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
    }

    /// Bytes of all names and values, each field counted as it would be over HTTP/1.
    pub(crate) fn lines_size(&self) -> usize {
        self.entries.first().map_or(0, |first| self.bytes.len() - first.name.0 as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The buffer every text is a part of.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What each field means to a proxy, its name and its value, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Field, &[u8], &[u8])> {
        self.entries.iter().map(|entry| (entry.kind, self.text(entry.name), self.text(entry.value)))
    }

    /// As [`Fields::iter`], for whoever passes them on over HTTP/2: and whether each was never to be indexed.
    pub(crate) fn crossing(&self) -> impl Iterator<Item = (Field, &[u8], &[u8], bool)> {
        self.entries
            .iter()
            .map(|entry| (entry.kind, self.text(entry.name), self.text(entry.value), entry.never_indexed))
    }

    /// The values of the fields called `name`, which is in lower case, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(_, found, _)| *found == name).map(|(_, _, value)| value)
    }

    /// Appends the lines of the fields that `keep`, in as few copies as can be.
    pub(crate) fn copy_lines(&self, out: &mut Vec<u8>, keep: impl Fn(Field, &[u8]) -> bool) {
        let mut run: Option<Span> = None;
        for entry in &self.entries {
            let (start, end) = (entry.name.0, entry.value.1 + 2);
            if keep(entry.kind, self.text(entry.name)) {
                run = Some((run.map_or(start, |(start, _)| start), end));
            } else if let Some(run) = run.take() {
                out.extend_from_slice(self.text(run));
            }
        }
        if let Some(run) = run {
            out.extend_from_slice(self.text(run));
        }
    }

    fn text(&self, (start, end): Span) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }
}

#[cfg(test)]
impl Fields {
    pub(crate) fn of_request(fields: &[(&str, &str)]) -> Self {
        let mut made = Self::default();
        for (name, value) in fields {
            made.add(name.as_bytes(), value.as_bytes(), Part::Request, false);
        }
        made
    }
}

/// "tchar" of RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    NAME[usize::from(byte)] || byte.is_ascii_uppercase()
}

/// Bytes a name may have.
const NAME: [bool; 256] = {
    let mut fine = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        fine[byte] = b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(b, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    fine
};

/// "Field names MUST be converted to lowercase" (RFC 9113, 8.2).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| NAME[usize::from(*byte)])
}

/// What `HeaderValue`s and HTTP/1 parsers take: no control characters but the tab.
fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t')
}

/// "Any message containing connection-specific header fields MUST be treated as malformed. The only
/// exception to this is the TE header field, which MAY be present in an HTTP/2 request; when it is, it
/// MUST NOT contain any value other than "trailers"" (RFC 9113, 8.2.2).
fn may_cross(name: &[u8], value: &[u8], kind: Field) -> bool {
    match kind {
        Field::Connection | Field::TransferEncoding => false,
        Field::HopByHop => !matches!(name, b"keep-alive" | b"proxy-connection" | b"upgrade"),
        Field::Te => value == b"trailers",
        _ => true,
    }
}
