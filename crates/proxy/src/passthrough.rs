//! The life of a TLS passthrough connection: the same steps as a request, without those that need
//! to look inside. Nothing is added and nothing is changed; the target sees the client's own hello.

use std::rc::Rc;
use std::sync::Arc;

use trellis_model::snapshot::{Action, Ingress, Listener, Service};

use crate::authorise::{Wanted, authorise};
use crate::budget::{FILES_FOR_RELAYING, Held, MEMORY_FOR_RELAYING};
use crate::client::{Client, write_all};
use crate::clock::Millis;
use crate::failure::Failure;
use crate::identify::Caller;
use crate::record::{Record, ResolvedUser, Seen};
use crate::relay::{RelayEnd, Relayed, Terms, relay};
use crate::stream::Stream;
use crate::tls::Alert;
use crate::upstream::{ConnectError, InFlight, Upstream};
use crate::view::{Site, View};
use crate::worker::Worker;

/// A connection whose service is known.
pub(crate) struct Passing {
    view: Rc<View>,
    ingress: Arc<Ingress>,
    service: Arc<Service>,
    listener: Arc<Listener>,
}

impl Passing {
    pub(crate) fn new(
        view: &Rc<View>,
        ingress: &Arc<Ingress>,
        service: &Arc<Service>,
        listener: &Arc<Listener>,
    ) -> Self {
        Self {
            view: view.clone(),
            ingress: ingress.clone(),
            service: service.clone(),
            listener: listener.clone(),
        }
    }
}

/// Why a connection comes to nothing before its first byte has gone to a target.
struct Refused {
    failure: Failure,
    alert: Alert,
}

/// Serves `client`, whose hello is in its inbox, from step 6 on. Steps 1 to 5 have been taken:
/// accepted, listener by port, service by the name in the hello. `record` is in its site.
pub(crate) async fn serve(worker: &Rc<Worker>, mut client: Client, mut record: Record, passing: Passing) {
    record.received = client.inbox.unread().len() as u64;
    match connect(worker, &mut client, &mut record, passing).await {
        Ok((upstream, _in_flight)) => carry(worker, client, record, upstream).await,
        Err(Refused { failure, alert }) => {
            record.failure = Some(failure);
            let words = alert.record();
            record.sent = words.len() as u64;
            let told = client.write(&words).await.is_ok();
            record.finish(worker, &client.seen());
            if told {
                client.linger(worker).await;
            }
            client.inbox.release(&worker.buffers);
        }
    }
}

/// Steps 6 to 10.
async fn connect(
    worker: &Worker,
    client: &mut Client,
    record: &mut Record,
    passing: Passing,
) -> Result<(Upstream, InFlight), Refused> {
    let Passing { view, ingress, service, listener } = passing;
    let refused = |failure, alert| Refused { failure, alert };
    if !client.files.grow_to(FILES_FOR_RELAYING) {
        worker.cells.connections_refused.add(1);
        return Err(refused(Failure::ClientRateLimited, Alert::INTERNAL_ERROR));
    }
    // 6 and 7. Everybody is anonymous, and the policies say whether that will do.
    let seen = client.seen();
    let wanted = Wanted {
        ingress: &ingress,
        service: &service,
        port: seen.entrance.port,
        source: seen.address(),
        secure: true,
        head: None,
    };
    record.user = ResolvedUser::of(&Caller::Anonymous, wanted.is_guarded());
    if let Err(denial) = authorise(worker, &wanted, &Caller::Anonymous) {
        record.denied = Some(denial.layer);
        return Err(refused(Failure::ClientAccessDenied, Alert::ACCESS_DENIED));
    }
    // 8. "TLS_PASSTHROUGH: only the default rule".
    let internal = || refused(Failure::InternalError, Alert::INTERNAL_ERROR);
    let Action::Forward(forward) = &listener.default_action else { return Err(internal()) };
    // 9. The target group, by weight, for the whole connection.
    let group = forward.choose((worker.random.next() >> 32) as u32).ok_or_else(internal)?;
    let site: Rc<Site> = record.site.clone().ok_or_else(internal)?;
    let route = view.route(&worker.states, &site, group);
    record.route = Some(route.clone());
    let group = &route.group;
    let mut failed = None;
    loop {
        let Some((index, target)) = crate::request::choose_target(worker, group, failed)
            .and_then(|index| Some((index, group.targets.get(index)?)))
        else {
            return Err(refused(Failure::TargetConnectionError, Alert::INTERNAL_ERROR));
        };
        record.target = Some(target.clone());
        let in_flight = InFlight::new(route.clone(), index);
        // 10. A connection from inside the target's VPC.
        match Upstream::connect(worker, group, target, None, &client.watched).await {
            Ok(upstream) => return Ok((upstream, in_flight)),
            Err(ConnectError::Failed(_) | ConnectError::TimedOut | ConnectError::NoTls(_))
                if failed.is_none() && group.targets.len() > 1 =>
            {
                group.state.cells.retries.add(1);
                failed = Some(index);
            }
            Err(error) => {
                tracing::debug!(?error, target = %target.text, "no connection to a target");
                let (_, failure) = crate::request::no_connection(&error);
                return Err(refused(failure, Alert::INTERNAL_ERROR));
            }
        }
    }
}

/// Steps 11 and 12: the hello, then everything, both ways; then the record.
async fn carry(worker: &Worker, client: Client, mut record: Record, upstream: Upstream) {
    let Client { stream, mut inbox, watched, peer, idle_timeout, tls, files: _files, session, .. } = client;
    let idle = record.site.as_ref().map_or(idle_timeout, |site| site.idle_timeout);
    watched.arm(worker.clock.coarse().saturating_add(idle.as_millis() as Millis));
    let (mut far, _counted) = upstream.into_stream();
    let greeted = write_all(&mut far, &watched, inbox.unread()).await;
    inbox.release(&worker.buffers);
    record.forwarded = Some(worker.clock.now());
    // The hello has gone, and there is no session here.
    let memory = session.map(|mut memory: Held| {
        memory.shrink_to(MEMORY_FOR_RELAYING);
        memory
    });
    record.failure = match (greeted, stream, far) {
        (Err(_), ..) => Some(Failure::TargetConnectionClosed),
        // Neither side of a passthrough connection ends TLS here.
        (Ok(()), Stream::Tls(_), _) | (Ok(()), _, Stream::Tls(_)) => Some(Failure::InternalError),
        (Ok(()), Stream::Tcp(near), Stream::Tcp(far)) => {
            let terms = Terms { idle, ends_with_entrance: false };
            match memory {
                Some(memory) => {
                    let relayed = relay(worker, &watched, near, far, terms, memory, |_, _| {}).await;
                    let Relayed { end, to_target, to_client, answered } = relayed;
                    record.received += to_target;
                    record.sent += to_client;
                    record.answered = answered;
                    failure(end)
                }
                // Whoever comes through a door for TLS has been counted there.
                None => Some(Failure::InternalError),
            }
        }
    };
    let (text, entrance) = (inbox.all(), &*watched.entrance);
    record.finish(worker, &Seen { text, peer: &peer, entrance, tls: tls.as_deref() });
}

/// What the log says of how a relay ended.
fn failure(end: RelayEnd) -> Option<Failure> {
    match end {
        RelayEnd::Finished => None,
        RelayEnd::ClientBroke(error) => {
            tracing::debug!(%error, "a client broke off");
            Some(Failure::ClientConnectionClosed)
        }
        RelayEnd::TargetBroke(error) => {
            tracing::debug!(%error, "a target broke off");
            Some(Failure::TargetConnectionClosed)
        }
        RelayEnd::TooMuch => Some(Failure::ClientRateLimited),
        RelayEnd::Idle => Some(Failure::TargetDataTimeout),
        RelayEnd::Lifetime => Some(Failure::ConnectionDurationExceeded),
        RelayEnd::Cut => Some(Failure::InternalError),
        RelayEnd::NoPipe(error) => {
            tracing::warn!(%error, "no pipe to relay through");
            Some(Failure::InternalError)
        }
    }
}
