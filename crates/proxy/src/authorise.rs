//! Step 7: may this caller do this? One function for HTTP/1.1, HTTP/2 and TLS passthrough.
//!
//! Each layer that is on must allow: the service network's policy, the service's policy, and where
//! the request is signed the caller's own. A denial that some statement makes is the end of it.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;

use trellis_model::snapshot::{Ingress, Service};
use trellis_policy::{Access, ConditionKey, Context, Guard, Layer, Outcome, decide, plain_path};

use crate::http1::fields::{Field, field};
use crate::identify::Caller;
use crate::request::{Head, Speaks};
use crate::worker::Worker;

/// What a caller wants, and where it comes from.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) ingress: &'a Ingress,
    pub(crate) service: &'a Service,
    /// Of the listener.
    pub(crate) port: u16,
    /// Where the client is.
    pub(crate) source: IpAddr,
    pub(crate) secure: bool,
    /// `None` for a connection that is passed through: `Connect` instead of `Invoke`.
    pub(crate) head: Option<&'a dyn Head>,
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) layer: Layer,
    /// A statement denies it; otherwise nothing in the layer allows it.
    explicit: bool,
}

impl Wanted<'_> {
    /// Some layer looks at the caller.
    pub(crate) fn is_guarded(&self) -> bool {
        self.ingress.network.auth.is_on() || self.service.auth.is_on()
    }

    fn action(&self) -> &'static str {
        if self.head.is_some() { "vpc-lattice-svcs:Invoke" } else { "vpc-lattice-svcs:Connect" }
    }

    fn path(&self) -> &[u8] {
        self.head.map_or(b"", |head| head.path())
    }
}

/// Asks every layer that is on.
///
/// # Errors
/// [`Denial`]: the first layer that has a statement against it, or else the first without one for it.
pub(crate) fn authorise(worker: &Worker, wanted: &Wanted<'_>, caller: &Caller) -> Result<(), Denial> {
    if !wanted.is_guarded() {
        return Ok(());
    }
    let path = String::from_utf8_lossy(wanted.path());
    judge(worker, wanted, caller, &path)?;
    // What a target may read as another path must be allowed as that path too: a policy about
    // `/public/*` does not let `/public/../secret` pass.
    match plain_path(&path) {
        Some(plain) => judge(worker, wanted, caller, &plain),
        None => Ok(()),
    }
}

fn judge(worker: &Worker, wanted: &Wanted<'_>, caller: &Caller, path: &str) -> Result<(), Denial> {
    let anonymous = &worker.anonymous;
    let (policy_caller, known) = match caller {
        Caller::Anonymous => (anonymous, None),
        Caller::Known(known) => (&known.caller, Some(known)),
    };
    let mut resource = worker.wanted.borrow_mut();
    resource.clear();
    resource.push_str(&wanted.service.arn);
    if wanted.head.is_some() {
        push_path(&mut resource, path);
    }
    let facts = Facts { worker, wanted, path };
    let access =
        Access { caller: policy_caller, action: wanted.action(), resource: &resource, context: &facts };
    let (network, service) = (&wanted.ingress.network.auth, &wanted.service.auth);
    let network = network.is_on().then(|| (Layer::Network, Guard::Policies(network.policies())));
    let service = service.is_on().then(|| (Layer::Service, Guard::Policies(service.policies())));
    // The identity of an anonymous caller has no policies to ask; one without any has no guard.
    let identity = known.into_iter().flat_map(|known| {
        let mut guards = known.guards().peekable();
        let none = guards.peek().is_none().then_some(&[][..]);
        guards.chain(none).map(|policies| (Layer::Identity, Guard::Policies(policies)))
    });
    match decide(network.into_iter().chain(service).chain(identity), &access) {
        Outcome::Allowed => Ok(()),
        Outcome::Denied { layer, explicit } => Err(Denial { layer, explicit }),
    }
}

/// The text of a denial, as reference clients compare it.
pub(crate) fn told(denial: &Denial, wanted: &Wanted<'_>, caller: &Caller) -> String {
    let user = match caller {
        Caller::Anonymous => "anonymous",
        Caller::Known(known) => known.caller.arn().unwrap_or("anonymous"),
    };
    let mut resource = wanted.service.arn.to_string();
    if wanted.head.is_some() {
        push_path(&mut resource, &String::from_utf8_lossy(wanted.path()));
    }
    let (action, layer) = (wanted.action(), denial.layer);
    let reason = if denial.explicit {
        format!("with an explicit deny in a {layer} policy")
    } else {
        format!("because no {layer} policy allows the {action} action")
    };
    format!(
        "AccessDeniedException: User: {user} is not authorized to perform: {action} on resource: \
         {resource} {reason}"
    )
}

/// `*`, of OPTIONS, has no slash of its own.
fn push_path(resource: &mut String, path: &str) {
    if !path.starts_with('/') {
        resource.push('/');
    }
    resource.push_str(path);
}

/// What conditions may ask about a request: section "Condition keys" of the user guide, and those of
/// every AWS service that a proxy can answer.
struct Facts<'a> {
    worker: &'a Worker,
    wanted: &'a Wanted<'a>,
    path: &'a str,
}

impl Context for Facts<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let Wanted { ingress, service, port, source, secure, head } = *self.wanted;
        match (key.name(), key.argument(), head) {
            ("vpc-lattice-svcs:port", None, _) => visit(itoa::Buffer::new().format(port)),
            ("vpc-lattice-svcs:servicenetworkarn", None, _) => visit(&ingress.network.arn),
            ("vpc-lattice-svcs:servicearn", None, _) => visit(&service.arn),
            ("vpc-lattice-svcs:sourcevpc", None, _) => visit(ingress.vpc.as_str()),
            ("vpc-lattice-svcs:sourcevpcowneraccount", None, _) => visit(ingress.vpc_owner.as_str()),
            ("vpc-lattice-svcs:requestmethod", None, Some(head)) => visit(&text(head.method())),
            ("vpc-lattice-svcs:requestpath", None, Some(_)) => visit(self.path),
            ("vpc-lattice-svcs:requestheader", Some(name), Some(head)) => header(head, name, visit),
            // "RequestQueryString: not for gRPC."
            ("vpc-lattice-svcs:requestquerystring", Some(name), Some(head))
                if head.speaks() != Speaks::Grpc =>
            {
                query(head.query(), name, visit);
            }
            ("aws:resourcetag", Some(tag), _) => {
                let found = service.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(tag));
                if let Some((_, value)) = found {
                    visit(value);
                }
            }
            ("aws:sourceip", None, _) => with_address(source, visit),
            ("aws:sourcevpc", None, _) => visit(ingress.vpc.as_str()),
            ("aws:resourceorgid", None, _) => {
                let view = self.worker.view();
                if let Some(found) = view.snapshot.identities.organizations.of(&service.owner) {
                    visit(&found.id);
                }
            }
            ("aws:resourceorgpaths", None, _) => {
                let view = self.worker.view();
                let found = view.snapshot.identities.organizations.of(&service.owner);
                found.into_iter().flat_map(|found| &found.paths).for_each(|path| visit(path));
            }
            ("aws:resourceaccount", None, _) => visit(service.owner.as_str()),
            ("aws:securetransport", None, _) => visit(if secure { "true" } else { "false" }),
            ("aws:useragent", None, Some(head)) => header(head, "user-agent", visit),
            ("aws:referer", None, Some(head)) => header(head, "referer", visit),
            ("aws:currenttime", None, _) => self.worker.clock.with_iso(visit),
            ("aws:epochtime", None, _) => {
                visit(itoa::Buffer::new().format(self.worker.clock.wall().as_second()));
            }
            _ => {}
        }
    }
}

/// The text of an address, without an allocation.
fn with_address(address: IpAddr, visit: &mut dyn FnMut(&str)) {
    let mut space = [0u8; 64];
    let mut rest = &mut space[..];
    let written = write!(rest, "{}", address.to_canonical()).is_ok();
    let length = 64 - rest.len();
    if let (true, Ok(text)) = (written, std::str::from_utf8(&space[..length])) {
        visit(text);
    }
}

/// A field of the request: its lines, should there be several, are one value with commas between, as
/// RFC 9110, 5.3 reads them. A client cannot hide a value behind another.
fn header(head: &dyn Head, name: &str, visit: &mut dyn FnMut(&str)) {
    // What only this proxy may write does not exist when a client sends it.
    if field(name.as_bytes()) == Field::Reserved {
        return;
    }
    let mut joined: Option<Cow<'_, str>> = None;
    head.each_field(&mut |found, value| {
        if found.eq_ignore_ascii_case(name.as_bytes()) {
            joined = Some(match joined.take() {
                None => text(value),
                Some(before) => Cow::Owned(format!("{before}, {}", text(value))),
            });
        }
    });
    if let Some(value) = joined {
        visit(&value);
    }
}

/// The values of a parameter, each by itself. Names have a case, and both are decoded as forms are.
fn query(query: &[u8], name: &str, visit: &mut dyn FnMut(&str)) {
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (found, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
        if *decoded(found) == *name.as_bytes() {
            visit(&text(&decoded(value)));
        }
    }
}

/// Percent-decoded, with a space for each plus; as it is where there is neither.
fn decoded(encoded: &[u8]) -> Cow<'_, [u8]> {
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return encoded.into();
    }
    let digit = |at: usize| char::from(*encoded.get(at)?).to_digit(16);
    let mut plain = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(byte) = encoded.get(at) {
        let escaped = (*byte == b'%').then(|| Some((digit(at + 1)? * 16 + digit(at + 2)?) as u8)).flatten();
        match (escaped, byte) {
            (Some(escaped), _) => {
                plain.push(escaped);
                at += 2;
            }
            (None, b'+') => plain.push(b' '),
            (None, byte) => plain.push(*byte),
        }
        at += 1;
    }
    plain.into()
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_however_they_are_spelt() {
        let values = |raw: &str, name: &str| {
            let mut found = Vec::new();
            query(raw.as_bytes(), name, &mut |value| found.push(value.to_owned()));
            found
        };
        assert_eq!(values("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(values("%61=x%20y+z&A=1", "a"), ["x y z"]);
        assert_eq!(values("a&a=", "a"), ["", ""]);
        assert_eq!(values("a=100%&a=%zz", "a"), ["100%", "%zz"]);
        assert_eq!(values("", "a"), Vec::<String>::new());
    }
}
