//! TestDNSAnswer: what a zone answers, by the same rules as resolvers.

use std::net::Ipv4Addr;

use trellis_frame::{Context, Refusal};
use trellis_model::snapshot::names::{Data, RecordSet, Zone, choose};
use trellis_store::Reader;

use crate::hosted_zone::{self, NAME_SERVERS};
use crate::name::DomainName;
use crate::record_data::type_number;
use crate::wire::{self, RRType, ResourceRecordSet};
use crate::{publication, record_set};

pub(crate) fn test(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::TestDNSAnswerInput,
) -> Result<wire::TestDNSAnswerOutput, Refusal> {
    for (member, address) in
        [("ResolverIP", &input.resolver_ip), ("EDNS0ClientSubnetIP", &input.edns0_client_subnet_ip)]
    {
        if address.as_deref().is_some_and(|address| address.parse::<std::net::IpAddr>().is_err()) {
            return Err(Refusal::invalid(member, "is not an IP address"));
        }
    }
    let zone = hosted_zone::find(state, ctx, &input.hosted_zone_id)?;
    let name =
        DomainName::parse(&input.record_name).map_err(|fault| Refusal::invalid("RecordName", fault))?;
    if !name.is_in(&zone.domain()) {
        return Err(Refusal::invalid(
            "RecordName",
            format_args!("{name} is not in the zone {}", zone.domain()),
        ));
    }
    let sets = record_set::all(state, &zone)?;
    let mut compiled = Zone::new(&zone.name);
    for (index, set) in sets.iter().enumerate() {
        // By its place in the list the set is found again.
        compiled.put(record_set::owner(set).as_str(), publication::compile(set, &index.to_string()));
    }
    let draw = ctx.random() as u32;
    let found = compiled.look_up(name.as_str());
    let (values, code) = match found {
        None => (Vec::new(), "NXDOMAIN"),
        Some(here) => {
            let mut values = values_of(&compiled, &sets, name.as_str(), input.record_type, draw);
            if values.is_empty() && chosen(here, type_number(RRType::Cname), draw).len() == 1 {
                values = values_of(&compiled, &sets, name.as_str(), RRType::Cname, draw);
            }
            (values, "NOERROR")
        }
    };
    Ok(wire::TestDNSAnswerOutput {
        nameserver: if zone.is_private {
            Ipv4Addr::new(169, 254, 169, 253).to_string()
        } else {
            NAME_SERVERS[0].to_owned()
        },
        record_name: name.to_string(),
        record_type: input.record_type,
        record_data: values,
        response_code: code.to_owned(),
        protocol: "UDP".to_owned(),
    })
}

/// As resolvers choose where everything is well: what they know of health differs from VPC to VPC.
fn chosen(sets: &[RecordSet], kind: u16, draw: u32) -> Vec<&RecordSet> {
    choose(sets, kind, draw, &|_| true)
}

/// The values that answer for a name and type; an alias within the zone is followed once.
fn values_of(zone: &Zone, sets: &[ResourceRecordSet], name: &str, kind: RRType, draw: u32) -> Vec<String> {
    let mut values = Vec::new();
    for set in chosen(zone.look_up(name).unwrap_or_default(), type_number(kind), draw) {
        let target = match &set.data {
            Data::Records(_) => None,
            Data::Alias { name: target, .. } => {
                chosen(zone.look_up(target).unwrap_or_default(), type_number(kind), draw).first().copied()
            }
        };
        let set = target.unwrap_or(set).id.parse::<usize>().ok().and_then(|index| sets.get(index));
        let records = set.and_then(|set| set.resource_records.as_ref()).into_iter().flatten();
        values.extend(records.map(|record| record.value.clone()));
    }
    values
}
