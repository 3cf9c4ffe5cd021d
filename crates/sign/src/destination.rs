//! Where a request goes: which name the service is called by, and which address it has.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{Request, header};

use crate::failure::Failure;

/// The ports of HTTP and of HTTPS: who calls a service by HTTP is taken to it by HTTPS.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// One service at one address: what a connection may be used for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    pub(crate) place: Place,
    pub(crate) port: u16,
    /// Lower case, without a port, without the brackets of an IPv6 address. What its certificate must say.
    pub(crate) host: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Where the application wanted to connect before it was redirected here.
    Original(IpAddr),
    /// Where the resolver says.
    Named,
}

/// The destination of `request`, and the authority it is called by, as the application said it. `original` is what
/// the connection was meant for, when it was redirected.
///
/// "When a proxy receives a request with an absolute-form of request-target, the proxy MUST ignore the received Host
/// header field (if any) and instead replace it with the host information of the request-target" (RFC 9112, 3.2.2).
pub(crate) fn of<B>(
    request: &Request<B>,
    original: Option<SocketAddr>,
) -> Result<(Destination, Authority), Failure> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = request.headers().get_all(header::HOST).iter();
            let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Failure::Host) };
            Authority::try_from(host.as_bytes()).map_err(|_| Failure::Host)?
        }
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    // Whoever names a user does not mean what the rest of the name looks like.
    if host.is_empty() || authority.as_str().contains('@') {
        return Err(Failure::Host);
    }
    let (place, port) = match original {
        Some(address) => (Place::Original(address.ip()), address.port()),
        None => (Place::Named, authority.port_u16().unwrap_or(HTTP)),
    };
    let port = if port == HTTP { HTTPS } else { port };
    Ok((Destination { place, port, host: host.into() }, authority))
}

/// `authority` as a service on HTTPS is called: the port of HTTP would be another place.
pub(crate) fn without_http_port(authority: Authority) -> Authority {
    match authority.port_u16() {
        Some(HTTP) => {
            let host = authority.host();
            host.parse().unwrap_or(authority)
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, host: &[&str]) -> Request<()> {
        let mut builder = Request::builder().uri(uri);
        for host in host {
            builder = builder.header("host", *host);
        }
        builder.body(()).unwrap()
    }

    fn destination(place: Place, port: u16, host: &str) -> Destination {
        Destination { place, port, host: host.into() }
    }

    #[test]
    fn http_goes_to_the_port_of_https_and_other_ports_stay() {
        for (uri, hosts, expected) in [
            ("/", &["Cart.example.com"][..], (443, "cart.example.com")),
            ("/", &["cart.example.com:80"], (443, "cart.example.com")),
            ("/", &["cart.example.com:443"], (443, "cart.example.com")),
            ("/", &["cart.example.com:8443"], (8443, "cart.example.com")),
            ("/", &["[fd00::1]:80"], (443, "fd00::1")),
            ("http://cart.example.com/x", &["other"], (443, "cart.example.com")),
            ("http://cart.example.com:8080/x", &[], (8080, "cart.example.com")),
        ] {
            let (found, _) = of(&request(uri, hosts), None).unwrap();
            assert_eq!(found, destination(Place::Named, expected.0, expected.1), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn a_redirected_request_goes_where_it_was_meant_to_go() {
        let original = "169.254.171.1:80".parse().unwrap();
        let (found, authority) = of(&request("/", &["a.example.com"]), Some(original)).unwrap();
        assert_eq!(found, destination(Place::Original(original.ip()), 443, "a.example.com"));
        assert_eq!(authority, "a.example.com");
        let original = "169.254.171.1:8443".parse().unwrap();
        let (found, _) = of(&request("/", &["a.example.com"]), Some(original)).unwrap();
        assert_eq!(found.port, 8443);
    }

    #[test]
    fn a_request_without_one_clear_host_is_refused() {
        for hosts in [&[][..], &["a", "b"], &["user@a"], &["a b"], &[""]] {
            assert!(matches!(of(&request("/", hosts), None), Err(Failure::Host)), "{hosts:?}");
        }
        assert!(matches!(of(&request("http://user@a/", &[]), None), Err(Failure::Host)));
    }

    #[test]
    fn the_port_of_http_is_not_part_of_a_name_on_https() {
        for (said, sent) in [("a:80", "a"), ("a", "a"), ("a:443", "a:443"), ("[::1]:80", "[::1]")] {
            assert_eq!(without_http_port(said.parse().unwrap()), sent);
        }
    }
}
