//! The rules that bring an application's connections here without its doing.

use std::fmt;

use crate::SERVICE_BLOCKS;

/// nftables rules for the network namespace of an application: TCP to services goes to the signing proxy, unless it is
/// the signing proxy's own. `Display` is what `nft -f` reads; put in force twice, it is in force once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// Where the signing proxy listens, on 127.0.0.1 and ::1.
    pub port: u16,
    /// The group the signing proxy runs in, and nobody else.
    pub exempt_group: u32,
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, exempt_group } = self;
        let [ipv4, ipv6] = SERVICE_BLOCKS;
        // Named, deleted and made again in one step: the first line is for where there is none to delete.
        write!(
            f,
            "table inet trellis_sign\n\
             delete table inet trellis_sign\n\
             table inet trellis_sign {{\n\
             \tchain output {{\n\
             \t\ttype nat hook output priority -100; policy accept;\n\
             \t\tmeta skgid {exempt_group} return\n\
             \t\tip daddr {ipv4} meta l4proto tcp redirect to :{port}\n\
             \t\tip6 daddr {ipv6} meta l4proto tcp redirect to :{port}\n\
             \t}}\n\
             }}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_redirect_tcp_to_services_and_exempt_one_group() {
        let rules = Redirect { port: 8080, exempt_group: 1337 }.to_string();
        let output = rules.split_once("table inet trellis_sign {").unwrap().1;
        let exempt = output.find("meta skgid 1337 return").unwrap();
        let redirect = output.find("ip daddr 169.254.171.0/24 meta l4proto tcp redirect to :8080").unwrap();
        assert!(exempt < redirect);
        assert!(output.contains("type nat hook output"));
    }
}
