//! Any text as the value of a record of any type: reading it never panics, and what is read another program reads too,
//! for the types whose form leaves nothing open.
//!
//! The first byte picks the type.

#![no_main]

use std::sync::Arc;

use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use trellis_dns::{Answer, answer_public};
use trellis_model::snapshot::names::{Zone, Zones};

const TYPES: &[&str] = &[
    "A", "AAAA", "CNAME", "NS", "PTR", "MX", "SRV", "TXT", "SPF", "CAA", "NAPTR", "DS", "SSHFP", "TLSA", "SVCB", "HTTPS",
];
/// Of those, how many another parser must agree on.
const CERTAIN: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else { return };
    let Ok(value) = std::str::from_utf8(rest) else { return };
    let index = usize::from(first) % TYPES.len();
    let set = json!({"Name": "a.example.com", "Type": TYPES[index], "TTL": 60, "ResourceRecords": [{"Value": value}]});
    let batch = json!({"HostedZoneId": "Z1", "ChangeBatch": {"Changes": [{"Action": "CREATE", "ResourceRecordSet": set}]}});
    let Ok(sets) = trellis_route53::judge("example.com", batch) else { return };
    let mut zone = Zone::new("example.com");
    let kind = sets[0].1.kind;
    for (name, set) in sets {
        zone.put(&name, set);
    }
    let zones: Zones = [Arc::new(zone)].into_iter().collect();
    let mut query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x01a\x07example\x03com\0".to_vec();
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    let Answer::Reply(reply) = answer_public(&zones, &query) else { panic!("no reply") };
    if index < CERTAIN {
        Message::from_vec(&reply).expect("what was accepted is data of its type");
    }
});
