//! Which header fields mean something to a proxy, and what `Connection` says.

use super::HeadError;

/// What a field name means here. `Other` is everything that just passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Other,
    Connection,
    ContentLength,
    Date,
    Expect,
    /// Meant for the next hop only, whatever `Connection` says.
    HopByHop,
    Host,
    MaxForwards,
    /// Fields that only this proxy may write, however they are spelt.
    Reserved,
    RequestId,
    Te,
    TransferEncoding,
    UserAgent,
    ForwardedFor,
}

/// What a field called `name` means here.
///
/// CGI-like servers read `_` and `-` alike. A name that says with underscores what a field with a
/// meaning says with dashes (`Transfer_Encoding`, `Content_Length`) is none that a proxy acts on, and
/// yet one that a target might: it is [`Field::Reserved`], so that no target sees it.
pub(crate) fn field(name: &[u8]) -> Field {
    match known(name) {
        Field::Other if memchr::memchr(b'_', name).is_some() => with_dashes(name),
        field => field,
    }
}

fn with_dashes(name: &[u8]) -> Field {
    let mut space = [0; LONGEST_KNOWN];
    let Some(dashed) = space.get_mut(..name.len()) else { return Field::Other };
    for (to, from) in dashed.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    match known(dashed) {
        Field::Other => Field::Other,
        _ => Field::Reserved,
    }
}

/// Bytes of `proxy-authorization`, the longest name [`known`] lists.
const LONGEST_KNOWN: usize = 19;

/// Looks a field name up, by length first.
fn known(name: &[u8]) -> Field {
    let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
    match name.len() {
        2 if is("te") => Field::Te,
        4 if is("host") => Field::Host,
        4 if is("date") => Field::Date,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::HopByHop,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::HopByHop,
        10 if is("user-agent") => Field::UserAgent,
        12 if is("max-forwards") => Field::MaxForwards,
        14 if is("content-length") => Field::ContentLength,
        14 if is("http2-settings") => Field::HopByHop,
        15 if is("x-forwarded-for") => Field::ForwardedFor,
        16 if is("x-amzn-requestid") => Field::RequestId,
        16 if is("proxy-connection") => Field::HopByHop,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        18 if is("proxy-authenticate") => Field::HopByHop,
        19 if is("proxy-authorization") => Field::HopByHop,
        length if length >= 15 && reserved(name) => Field::Reserved,
        _ => Field::Other,
    }
}

/// Names this proxy vouches for. CGI-like servers read `_` and `-` alike, so both are caught.
fn reserved(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [
        b"x-forwarded-for",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-amzn-source-vpc",
        b"x-amzn-requestid",
    ];
    const PREFIX: &[u8] = b"x-amzn-lattice-";
    let same = |text: &[u8]| {
        text.iter().zip(name).all(|(expected, found)| match (expected, found) {
            (b'-', b'_') => true,
            _ => *expected == found.to_ascii_lowercase(),
        })
    };
    matches!(name, [b'x' | b'X', b'-' | b'_', ..])
        && ((name.len() >= PREFIX.len() && same(PREFIX))
            || NAMES.iter().any(|text| text.len() == name.len() && same(text)))
}

/// What `Max-Forwards` says after this hop: "an updated Max-Forwards field with a field value that is
/// the lesser of a) the received value decremented by one (1) or b) the recipient's maximum supported
/// value" (RFC 9110, 7.6.2). `None` for what is no number, and for zero, which must not be forwarded.
pub(crate) fn fewer_forwards(value: &[u8]) -> Option<u32> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = || std::str::from_utf8(value).ok()?.parse::<u32>().ok();
    digits.then(|| number().unwrap_or(u32::MAX))?.checked_sub(1)
}

/// Most names one message's `Connection` fields may add to those known anyway.
const MAX_NOMINATED: usize = 16;

/// What the `Connection` fields of one message say.
#[derive(Debug, Default)]
pub(super) struct Connection<'b> {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// Other names: these fields are for this hop only.
    nominated: [&'b [u8]; MAX_NOMINATED],
    count: usize,
}

impl<'b> Connection<'b> {
    pub(super) fn add(&mut self, value: &'b [u8]) -> Result<(), HeadError> {
        for token in value.split(|b| *b == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !token.is_empty() && field(token) == Field::Other {
                // Fields with a meaning of their own are dealt with by that meaning: a client must
                // not talk this proxy out of Host or Content-Length by calling them hop-by-hop.
                *self.nominated.get_mut(self.count).ok_or(HeadError::Connection)? = token;
                self.count += 1;
            }
        }
        Ok(())
    }

    pub(super) fn nominates_any(&self) -> bool {
        self.count > 0
    }

    pub(super) fn nominates(&self, name: &[u8]) -> bool {
        self.nominated[..self.count].iter().any(|token| token.eq_ignore_ascii_case(name))
    }
}

/// Fields that may not come after a body: those that frame it, route it, authenticate it, or that
/// only this proxy may write (RFC 9110, 6.5.1).
pub(crate) fn forbidden_in_trailers(name: &[u8]) -> bool {
    const NAMES: [&str; 15] = [
        "authorization",
        "age",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "expires",
        "location",
        "range",
        "retry-after",
        "set-cookie",
        "trailer",
        "vary",
        "www-authenticate",
    ];
    field(name) != Field::Other || NAMES.iter().any(|text| name.eq_ignore_ascii_case(text.as_bytes()))
}

/// Whether a `Trailer` field announces what frames a message, which "MUST NOT" be in trailers (RFC 9110, 6.5.1). Some servers
/// refuse the request for it and some do not.
pub(crate) fn announces_framing(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).any(|name| {
        matches!(field(name), Field::ContentLength | Field::TransferEncoding)
            || name.eq_ignore_ascii_case(b"trailer")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_caught_in_every_spelling() {
        for name in [
            "x-amzn-lattice-identity",
            "X-Amzn-Lattice-Network",
            "x_amzn_lattice_target",
            "X-Forwarded_Port",
            "x-forwarded-proto",
            "x_forwarded_for",
            "x-amzn-source-vpc",
            "x-amzn_requestid",
        ] {
            assert_eq!(field(name.as_bytes()), Field::Reserved, "{name}");
        }
        for name in ["x-amzn-trace-id", "x-forwarded-host", "x-forwarded-ports", "forwarded", "x-amzn-lattic"]
        {
            assert_eq!(field(name.as_bytes()), Field::Other, "{name}");
        }
    }

    #[test]
    fn names_that_mean_something_once_underscores_are_dashes_are_caught() {
        for name in [
            "Transfer_Encoding",
            "content_length",
            "Proxy_Connection",
            "keep_alive",
            "PROXY_AUTHORIZATION",
            "http2_settings",
            "user_agent",
        ] {
            assert_eq!(field(name.as_bytes()), Field::Reserved, "{name}");
        }
        for name in ["content_type", "x_api_key", "_", "transfer_encoding_of_an_entirely_different_kind"] {
            assert_eq!(field(name.as_bytes()), Field::Other, "{name}");
        }
        assert!(forbidden_in_trailers(b"Content_Length"));
    }

    #[test]
    fn connection_nominates_only_fields_without_a_meaning_of_their_own() {
        let mut connection = Connection::default();
        connection.add(b" close, X-Internal,Host ,, content-length").unwrap();
        assert!(connection.close && !connection.keep_alive);
        assert!(connection.nominates(b"x-internal"));
        assert!(!connection.nominates(b"host") && !connection.nominates(b"content-length"));
        let many = "a,".repeat(17);
        assert_eq!(Connection::default().add(many.as_bytes()), Err(HeadError::Connection));
    }
}
