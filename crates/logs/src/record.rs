//! What a line of the access log says about itself: whose traffic it is, when it was, whether it is whole.
//!
//! A line is an object without spaces between its members, written by the data plane. Text of clients in
//! it has its quotes escaped, so `"serviceArn":"` can only be the member itself and a search is enough.

use std::sync::LazyLock;

use jiff::Timestamp;
use memchr::memmem::Finder;

/// The resources a line is about, by id. What it does not name is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Subject<'a> {
    pub(crate) network: Option<&'a str>,
    pub(crate) service: Option<&'a str>,
    /// Named by lines about connections to resources alone.
    pub(crate) resource_configuration: Option<&'a str>,
}

static NETWORK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""serviceNetworkArn":""#));
static SERVICE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""serviceArn":""#));
static RESOURCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""resourceConfigurationArn":""#));
static REQUEST_TIME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""startTime":""#));
static CONNECTION_TIME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""eventTimestamp":""#));

impl<'a> Subject<'a> {
    pub(crate) fn of(line: &'a [u8]) -> Self {
        Self {
            network: id(line, &NETWORK),
            service: id(line, &SERVICE),
            resource_configuration: id(line, &RESOURCE),
        }
    }
}

/// When the request or the connection began. `None`: the line does not say.
pub(crate) fn time(line: &[u8]) -> Option<Timestamp> {
    let text = member(line, &REQUEST_TIME).or_else(|| member(line, &CONNECTION_TIME))?;
    text.parse().ok()
}

/// Whether a line read back from the disk is one that was written there: a machine that lost its power
/// may leave anything in a file's last blocks.
pub(crate) fn is_sound(line: &[u8]) -> bool {
    line.starts_with(b"{")
        && line.ends_with(b"}")
        && line.iter().all(|byte| *byte >= b' ')
        && std::str::from_utf8(line).is_ok()
}

/// The id at the end of the ARN that the member holds.
fn id<'a>(line: &'a [u8], name: &Finder<'_>) -> Option<&'a str> {
    member(line, name)?.rsplit_once('/').map(|(_, id)| id)
}

/// The text of the member; one with anything escaped in it is none that is looked for here.
fn member<'a>(line: &'a [u8], name: &Finder<'_>) -> Option<&'a str> {
    let value = &line[name.find(line)? + name.needle().len()..];
    std::str::from_utf8(&value[..memchr::memchr(b'"', value)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"{"startTime":"2026-11-21T10:00:07Z","userAgent":"x\",\"serviceArn\":\"a/svc-evil","serviceNetworkArn":"arn:aws:vpc-lattice:us-east-1:111122223333:servicenetwork/sn-1","serviceArn":"arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-1"}"#;
    const CONNECTION: &str = r#"{"eventTimestamp":"2026-11-21T10:00:07.123Z","serviceNetworkArn":"-","resourceConfigurationArn":"arn:aws:vpc-lattice:us-east-1:111122223333:resourceconfiguration/rcfg-1"}"#;

    #[test]
    fn a_line_names_its_resources_and_a_client_cannot_name_others() {
        let request = Subject { network: Some("sn-1"), service: Some("svc-1"), ..Subject::default() };
        assert_eq!(Subject::of(REQUEST.as_bytes()), request);
        let connection = Subject { resource_configuration: Some("rcfg-1"), ..Subject::default() };
        assert_eq!(Subject::of(CONNECTION.as_bytes()), connection);
        assert_eq!(Subject::of(br#"{"serviceArn":"-","serviceNetworkArn":"#), Subject::default());
    }

    #[test]
    fn whatever_bytes_there_are_nothing_panics_and_text_of_clients_stays_text() {
        // SplitMix64 (Vigna, public domain): the same bytes every time, many of them those that matter.
        let mut state = 0_u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (word ^ word >> 27) >> 33
        };
        let pieces =
            [&b"\"serviceArn\":\""[..], b"\"startTime\":\"", b"\"", b"\\", b"/", b"{", b"}", b"\n", b"\0"];
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..next() % 12 {
                match pieces.get(next() as usize % 12) {
                    Some(piece) => bytes.extend_from_slice(piece),
                    None => bytes.push(next() as u8),
                }
            }
            let _ = (Subject::of(&bytes), time(&bytes), is_sound(&bytes));
            let text = serde_json::to_string(&*String::from_utf8_lossy(&bytes)).unwrap();
            let line = format!(r#"{{"userAgent":{text},"serviceArn":"arn:x/svc-1","hostHeader":{text}}}"#);
            let expected = Subject { service: Some("svc-1"), ..Subject::default() };
            assert_eq!(Subject::of(line.as_bytes()), expected, "{line}");
            assert_eq!(time(line.as_bytes()), None, "{line}");
            assert!(is_sound(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_line_tells_when_it_was() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert_eq!(time(REQUEST.as_bytes()), at("2026-11-21T10:00:07Z"));
        assert_eq!(time(CONNECTION.as_bytes()), at("2026-11-21T10:00:07.123Z"));
        assert_eq!(time(br#"{"startTime":"yesterday"}"#), None);
    }

    #[test]
    fn remains_of_a_line_are_not_sound() {
        assert!(is_sound(REQUEST.as_bytes()));
        for remains in [&b""[..], b"{", b"{\"a\":\"b", b"\0\0\0\0", b"{\"a\":\"\0\"}", b"{\"a\":\"\xff\"}"] {
            assert!(!is_sound(remains), "{remains:?}");
        }
    }
}
