//! Steps 5 to 9 of a request's life: the service, who is calling, the policies, the rule, the target group. One function
//! for every protocol; it waits for nothing.

use std::rc::Rc;

use trellis_model::health::ProtocolVersion;
use trellis_model::matching;
use trellis_model::snapshot::{Action, ListenerProtocol, TargetProtocol};
use trellis_policy::Layer;

use crate::answer::Answer;
use crate::authorise::{self, Wanted, authorise};
use crate::failure::Failure;
use crate::grpc::UNAVAILABLE;
use crate::http1;
use crate::identify::identify;
use crate::record::{Record, ResolvedUser, Seen};
use crate::view::Route;
use crate::worker::Worker;

/// What steps 5 to 9 come to.
pub(crate) enum Decision {
    Answer(Answer),
    Forward(Rc<Route>),
}

/// What a client speaks, as far as it matters to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    /// HTTP/2, POST, and a content type of `application/grpc`.
    Grpc,
}

/// A head, whatever protocol it came in, as steps 5 to 9 look at it.
pub(crate) trait Head: matching::RequestHead {
    /// `Host` or `:authority` without its port and without a final dot.
    fn host(&self) -> &[u8];
    fn speaks(&self) -> Speaks;
    /// What follows the first `?`, as sent.
    fn query(&self) -> &[u8];
    /// Whether there is an `authorization` field.
    fn has_authorization(&self) -> bool;
    /// Every field as the client sent it, however it is called; the host is one of them.
    fn each_field<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], &'a [u8]));
}

/// Steps 5 to 9, which are the same for every protocol. What is found on the way is noted in
/// `record`; the request counts as active from the moment its service is known until `record` is
/// finished.
pub(crate) fn decide(worker: &Worker, seen: &Seen<'_>, head: &impl Head, record: &mut Record) -> Decision {
    if matches!(head.method(), b"CONNECT" | b"TRACE") {
        // A tunnel is not to be had here, and an echo would show the client the fields that only
        // targets are meant to see.
        record.failure = Some(Failure::ClientProtocolError);
        return Decision::Answer(Answer::plain(405));
    }

    if head.method() == b"OPTIONS" && head.any_header("max-forwards", &mut |value| is_zero(value)) {
        // "If the received value is zero (0), the intermediary MUST NOT forward the request; instead,
        // the intermediary MUST respond as the final recipient" (RFC 9110, 7.6.2).
        return Decision::Answer(Answer::plain(200));
    }

    // 5. The service, by Host, within the service network of the client's VPC.
    let (view, entrance) = (worker.view(), seen.entrance);
    let Some(ingress) = view.snapshot.ingresses.get(&entrance.vpc) else {
        return Decision::Answer(Answer::plain(404));
    };
    let network = &ingress.network;
    let mut lower = [0; 256];
    let Some(service) = lower_case(head.host(), &mut lower).and_then(|host| network.hosts.get(host)) else {
        return Decision::Answer(Answer::plain(404));
    };
    let protocol = if seen.tls.is_some() { ListenerProtocol::Https } else { ListenerProtocol::Http };
    let listener = service.listener(entrance.port).filter(|listener| listener.protocol == protocol);
    let Some(listener) = listener else {
        return Decision::Answer(Answer::plain(404));
    };
    let site = view.site(&worker.states, entrance, ingress, service, listener);
    record.enter(site.clone());

    // 6. Who is calling.
    let wanted = Wanted {
        ingress,
        service,
        port: entrance.port,
        source: seen.address(),
        secure: seen.tls.is_some(),
        head: Some(head),
    };
    let denied = match identify(worker, service, head, wanted.is_guarded()) {
        Ok(caller) => {
            record.user = ResolvedUser::of(&caller, wanted.is_guarded());
            // 7. The policies of network, service and caller.
            let verdict = authorise(worker, &wanted, &caller);
            verdict.map_err(|denial| (denial.layer, authorise::told(&denial, &wanted, &caller)))
        }
        Err(words) => {
            record.user = ResolvedUser::Unknown;
            Err((Layer::Identity, words))
        }
    };
    if let Err((layer, words)) = denied {
        record.denied = Some(layer);
        record.failure = Some(Failure::ClientAccessDenied);
        return Decision::Answer(Answer::denied(words));
    }

    // 8. The rule, by priority.
    let forward = match listener.route(head) {
        Action::FixedResponse(status) => return Decision::Answer(Answer::plain(*status)),
        Action::Forward(forward) => forward,
    };

    // 9. The target group, by weight. Its target is chosen just before it is needed.
    let Some(group) = forward.choose((worker.random.next() >> 32) as u32) else {
        record.failure = Some(Failure::InternalError);
        return Decision::Answer(Answer::plain(500));
    };
    let route = view.route(&worker.states, &site, group);
    record.route = Some(route.clone());
    let speaks = head.speaks();
    if group.protocol == TargetProtocol::Https {
        record.name = lower_case(head.host(), &mut lower).map(|host| site.name(host));
    }
    if group.protocol == TargetProtocol::Tcp || !understands(group.version, speaks, head.method()) {
        record.failure = Some(Failure::TargetProtocolError);
        return Decision::Answer(match speaks {
            Speaks::Grpc => Answer::grpc(502, UNAVAILABLE, "the target group does not speak gRPC"),
            Speaks::Http1 | Speaks::Http2 => Answer::plain(502),
        });
    }
    Decision::Forward(route)
}

/// Whether a number is zero, however many digits it has.
fn is_zero(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|digit| *digit == b'0')
}

/// The protocol matrix: whether targets of `version` are given what the client `speaks`.
fn understands(version: ProtocolVersion, speaks: Speaks, method: &[u8]) -> bool {
    match (speaks, version) {
        (Speaks::Http1 | Speaks::Http2, ProtocolVersion::Http1) | (Speaks::Http2, ProtocolVersion::Http2) => {
            true
        }
        (Speaks::Http1, ProtocolVersion::Http2 | ProtocolVersion::Grpc) => false,
        (Speaks::Http2, ProtocolVersion::Grpc) => method == b"POST",
        (Speaks::Grpc, ProtocolVersion::Http2 | ProtocolVersion::Grpc) => true,
        (Speaks::Grpc, ProtocolVersion::Http1) => false,
    }
}

/// `host` in lower case, in `space`; `None` if no name can be that long.
fn lower_case<'a>(host: &[u8], space: &'a mut [u8; 256]) -> Option<&'a str> {
    let space = space.get_mut(..host.len())?;
    space.copy_from_slice(host);
    space.make_ascii_lowercase();
    std::str::from_utf8(space).ok()
}

impl Head for http1::request::RequestHead<'_, '_> {
    fn host(&self) -> &[u8] {
        http1::request::RequestHead::host(self)
    }

    fn speaks(&self) -> Speaks {
        Speaks::Http1
    }

    fn query(&self) -> &[u8] {
        http1::request::RequestHead::query(self)
    }

    fn has_authorization(&self) -> bool {
        self.field_values("authorization").next().is_some()
    }

    fn each_field<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        http1::request::RequestHead::each_field(self, visit);
    }
}
