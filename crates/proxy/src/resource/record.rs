//! Step 6: the access-log line of a connection to a resource, written when it is known whether the resource was
//! reached. Members that do not apply are `-`, as in the lines of requests.

use std::net::SocketAddr;

use super::Asked;
use super::connect::Reached;
use crate::clock::Clock;
use crate::record::write_member;

/// One connection.
pub(super) struct Record<'a> {
    pub(super) asked: &'a Asked,
    pub(super) client: SocketAddr,
    /// [`None`]: the resource could not be reached.
    pub(super) reached: Option<&'a Reached>,
}

impl Record<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>, clock: &Clock) {
        let Asked { resource, destination, vpc_arn, network_arn } = self.asked;
        let text =
            |address: Option<SocketAddr>| address.map_or_else(|| "-".into(), |address| address.to_string());
        out.extend_from_slice(b"{\"eventTimestamp\":\"");
        clock.write_iso_millis(clock.now(), out);
        out.push(b'"');
        for (name, value) in [
            ("serviceNetworkArn", &**network_arn),
            ("serviceNetworkResourceAssociationId", resource.association.as_str()),
            ("vpcEndpointId", "-"),
            ("sourceVpcArn", &**vpc_arn),
            ("resourceConfigurationArn", &*resource.arn),
            ("protocol", "tcp"),
            ("sourceIpPort", &self.client.to_string()),
            ("destinationIpPort", &destination.to_string()),
            ("gatewayIpPort", &text(self.reached.map(|reached| reached.gateway))),
            ("resourceIpPort", &text(self.reached.map(|reached| reached.resource))),
        ] {
            write_member(out, name, value);
        }
        out.extend_from_slice(b"}\n");
    }
}
