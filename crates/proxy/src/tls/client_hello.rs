//! The name in a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3), read from the records it comes in.
//!
//! Only what is needed to find the name is looked at, but that strictly: a hello that two readers
//! could take for two names is refused. What a client offers is none of this module's business, so
//! hellos of TLS 1.0 to 1.3 are all the same to it. Nothing is allocated and nothing is consumed; how
//! the bytes are cut into segments and records does not matter.

use std::net::IpAddr;

use crate::tls::Alert;

/// Longest hello, in bytes, however many records it takes. Those of today have 200 to 2000.
pub const MAX_HELLO: usize = 16 * 1024;

/// Most bytes of a record's fragment (RFC 8446, 5.1).
const MAX_FRAGMENT: usize = 1 << 14;
/// Of a record: type, version and length.
const RECORD_HEADER: usize = 5;
/// Of a handshake message: type and length.
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// Longest name in DNS, as text.
const MAX_NAME: usize = 253;

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is on the stack, for a moment: a box would cost more")]
pub enum Hello {
    /// Nothing is wrong yet; there must be more.
    NeedMore,
    Name(ServerName),
    /// A whole hello that asks for nobody by name, or for an address.
    NoName,
}

/// A name as DNS has them, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerName {
    bytes: [u8; MAX_NAME],
    length: u8,
}

impl ServerName {
    pub fn as_str(&self) -> &str {
        // Letters, digits, hyphens, underscores and dots are all there is in it.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for ServerName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// Why bytes are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a record is not of the handshake")]
    RecordType,
    #[error("the version is not between TLS 1.0 and the one all later versions call themselves")]
    Version,
    #[error("a record of the handshake is empty")]
    EmptyRecord,
    #[error("a record is longer than 2^14 bytes")]
    RecordTooLong,
    #[error("the first message of the handshake is not a ClientHello")]
    OtherMessage,
    #[error("the hello is longer than 16 KiB")]
    TooLong,
    #[error("lengths in the hello contradict each other")]
    Lengths,
    #[error("something follows the hello in its record")]
    Trailing,
    #[error("there is more than one server name")]
    TwoNames,
    #[error("the server name is not a name in DNS")]
    BadName,
}

impl Malformed {
    pub(super) fn alert(self) -> Alert {
        match self {
            Self::RecordType | Self::OtherMessage | Self::Trailing => Alert::UNEXPECTED_MESSAGE,
            Self::Version => Alert::PROTOCOL_VERSION,
            Self::RecordTooLong => Alert::RECORD_OVERFLOW,
            Self::EmptyRecord | Self::TooLong | Self::Lengths => Alert::DECODE_ERROR,
            Self::TwoNames | Self::BadName => Alert::ILLEGAL_PARAMETER,
        }
    }
}

/// Reads one hello as its bytes come. Each record is looked at once, however slowly they do.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where the first record begins that was not whole.
    next: usize,
    /// Bytes of the message in the records before.
    gathered: usize,
}

impl Reader {
    /// `bytes` is all that has come, from the first byte on. What follows the hello's last record is
    /// not looked at.
    ///
    /// # Errors
    /// There will be no hello, whatever comes.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Hello, Malformed> {
        loop {
            let Some(fragment) = record(bytes.get(self.next..).unwrap_or_default())? else {
                return Ok(Hello::NeedMore);
            };
            self.next += RECORD_HEADER + fragment.len();
            self.gathered += fragment.len();
            let mut message = Message { records: bytes, fragment: &[], left: self.gathered };
            if message.left < MESSAGE_HEADER {
                if fragment[0] != CLIENT_HELLO && self.gathered == fragment.len() {
                    return Err(Malformed::OtherMessage);
                }
                continue;
            }
            if message.byte()? != CLIENT_HELLO {
                return Err(Malformed::OtherMessage);
            }
            let length = usize::from(message.byte()?) << 16 | usize::from(message.short()?);
            if length > MAX_HELLO {
                return Err(Malformed::TooLong);
            }
            return match message.left.cmp(&length) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => client_hello(message),
                std::cmp::Ordering::Greater => Err(Malformed::Trailing),
            };
        }
    }
}

/// The fragment of the record that `bytes` begin with, once it is whole.
fn record(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    if bytes.first().is_some_and(|&kind| kind != HANDSHAKE) {
        return Err(Malformed::RecordType);
    }
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER>() else { return Ok(None) };
    let [_, major, minor, high, low] = *header;
    check_version(u16::from_be_bytes([major, minor]))?;
    match usize::from(u16::from_be_bytes([high, low])) {
        // "Implementations MUST NOT send zero-length fragments of Handshake types."
        0 => Err(Malformed::EmptyRecord),
        length if length > MAX_FRAGMENT => Err(Malformed::RecordTooLong),
        length => Ok(rest.get(..length)),
    }
}

/// TLS 1.3 calls itself 1.2 here, and says in an extension what it is.
fn check_version(version: u16) -> Result<(), Malformed> {
    if (0x0301..=0x0303).contains(&version) { Ok(()) } else { Err(Malformed::Version) }
}

/// A part of a handshake message, over the records it is in, which are whole.
#[derive(Clone)]
struct Message<'a> {
    /// After the one that `fragment` is of.
    records: &'a [u8],
    /// What is left of the current record.
    fragment: &'a [u8],
    /// Bytes of this part.
    left: usize,
}

impl<'a> Message<'a> {
    /// The next bytes that stand together, up to `most`; some.
    fn piece(&mut self, most: usize) -> Result<&'a [u8], Malformed> {
        if self.fragment.is_empty() {
            let fragment = record(self.records)?.ok_or(Malformed::Lengths)?;
            self.records = &self.records[RECORD_HEADER + fragment.len()..];
            self.fragment = fragment;
        }
        let (piece, rest) = self.fragment.split_at(most.min(self.fragment.len()));
        self.fragment = rest;
        self.left = self.left.checked_sub(piece.len()).ok_or(Malformed::Lengths)?;
        Ok(piece)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        if self.left == 0 {
            return Err(Malformed::Lengths);
        }
        self.piece(1)?.first().copied().ok_or(Malformed::Lengths)
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn skip(&mut self, mut count: usize) -> Result<(), Malformed> {
        if count > self.left {
            return Err(Malformed::Lengths);
        }
        while count > 0 {
            count -= self.piece(count)?.len();
        }
        Ok(())
    }

    /// The next `count` bytes as a part of their own, which this one then goes on after.
    fn part(&mut self, count: usize) -> Result<Self, Malformed> {
        let part = Self { left: count, ..self.clone() };
        self.skip(count)?;
        Ok(part)
    }
}

/// The body of the message.
fn client_hello(mut body: Message<'_>) -> Result<Hello, Malformed> {
    const RANDOM: usize = 32;
    check_version(body.short()?)?;
    body.skip(RANDOM)?;
    let session_id = body.byte()?;
    if session_id > 32 {
        return Err(Malformed::Lengths);
    }
    body.skip(session_id.into())?;
    let cipher_suites = body.short()?;
    if cipher_suites < 2 || cipher_suites % 2 != 0 {
        return Err(Malformed::Lengths);
    }
    body.skip(cipher_suites.into())?;
    let compression_methods = body.byte()?;
    if compression_methods == 0 {
        return Err(Malformed::Lengths);
    }
    body.skip(compression_methods.into())?;
    if body.left == 0 {
        // Before TLS 1.3 there may be no extensions at all.
        return Ok(Hello::NoName);
    }
    if usize::from(body.short()?) != body.left {
        return Err(Malformed::Lengths);
    }
    let mut found = None;
    while body.left > 0 {
        let kind = body.short()?;
        let length = body.short()?;
        let extension = body.part(length.into())?;
        if kind == SERVER_NAME {
            // "There MUST NOT be more than one extension of the same type in a given extension block."
            if found.is_some() {
                return Err(Malformed::TwoNames);
            }
            found = Some(server_name(extension)?);
        }
    }
    Ok(found.unwrap_or(Hello::NoName))
}

/// The extension `server_name`: "The ServerNameList MUST NOT contain more than one name of the same
/// name_type."
fn server_name(mut list: Message<'_>) -> Result<Hello, Malformed> {
    if usize::from(list.short()?) != list.left || list.left == 0 {
        return Err(Malformed::Lengths);
    }
    let mut found = None;
    while list.left > 0 {
        let kind = list.byte()?;
        let length = list.short()?;
        let name = list.part(length.into())?;
        if kind == HOST_NAME {
            if found.is_some() {
                return Err(Malformed::TwoNames);
            }
            found = Some(host_name(name)?);
        }
    }
    Ok(found.unwrap_or(Hello::NoName))
}

fn host_name(mut text: Message<'_>) -> Result<Hello, Malformed> {
    let mut name = ServerName { bytes: [0; MAX_NAME], length: 0 };
    let mut length = 0;
    while text.left > 0 {
        let piece = text.piece(text.left)?;
        let place = name.bytes.get_mut(length..length + piece.len()).ok_or(Malformed::BadName)?;
        place.copy_from_slice(piece);
        length += piece.len();
    }
    let bytes = &mut name.bytes[..length];
    // "Literal IPv4 and IPv6 addresses are not permitted": who sends one anyhow has no name to ask for.
    if std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<IpAddr>().is_ok()) {
        return Ok(Hello::NoName);
    }
    if !bytes.split(|&byte| byte == b'.').all(is_label) {
        return Err(Malformed::BadName);
    }
    bytes.make_ascii_lowercase();
    name.length = length as u8;
    Ok(Hello::Name(name))
}

/// A label of a name. Underscores are in use, though not in host names proper.
fn is_label(label: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.iter().all(plain)
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
}

#[cfg(test)]
mod tests;
