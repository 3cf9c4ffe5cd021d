//! Any bytes as the body of ChangeResourceRecordSets: decoding and judging never panic, and what is accepted is answered
//! by a resolver in messages that read again.

#![no_main]

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use trellis_api::{Incoming, Service, decode};
use trellis_dns::{Answer, answer_public};
use trellis_model::snapshot::names::{Zone, Zones};

static SERVICE: LazyLock<&'static Service> = LazyLock::new(|| (trellis_route53::SERVICE.description)());

/// A question for the records of a type at a name of the zone; `None` where a label needs an escape.
fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.').filter(|label| !label.contains('\\')) {
        query.push(u8::try_from(label.len()).ok()?);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    Some(query)
}

fuzz_target!(|body: &[u8]| {
    let incoming = Incoming {
        method: &Method::POST,
        raw_path: "/2013-04-01/hostedzone/Z1/rrset/",
        raw_query: "",
        headers: &HeaderMap::new(),
        body,
    };
    let Ok(decoded) = decode(*SERVICE, &incoming) else { return };
    let Ok(sets) = trellis_route53::judge("example.com", decoded.input) else { return };
    let mut zone = Zone::new("example.com");
    for (name, set) in &sets {
        zone.put(name, set.clone());
    }
    let zones: Zones = [Arc::new(zone)].into_iter().collect();
    for (name, set) in &sets {
        let Some(query) = question(name, set.kind) else { continue };
        let Answer::Reply(reply) = answer_public(&zones, &query) else { panic!("no reply to {name}") };
        assert!(reply.len() >= 12 && reply[2] & 0x80 != 0);
    }
});
