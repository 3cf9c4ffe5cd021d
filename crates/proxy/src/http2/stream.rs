//! The life of a request that came over HTTP/2: the steps of [`crate::request`], numbered alike.

use std::rc::Rc;

use trellis_model::health::ProtocolVersion;
use trellis_model::snapshot::TargetProtocol;

use super::call::{Call, Ending};
use super::codec::Slot;
use super::head::{Added, Checked, may_be_grpc};
use super::{Connection, over_http1, over_http2};
use crate::answer::Answer;
use crate::clock::Millis;
use crate::failure::Failure;
use crate::multiplexed::{self, Owner, Wanted};
use crate::record::{Record, Shown};
use crate::request::{Decision, Head, Speaks, choose_target, decide, no_connection};
use crate::upstream::{ConnectError, InFlight, Upstream};
use crate::view::{Route, TargetState};
use crate::worker::Worker;

/// Attempts one request may cost when targets say that they have not acted on it.
const MOST_ATTEMPTS: u32 = 4;

/// Serves one stream of `connection` from step 4 of its life to step 12. `keeps`: the memory it counts with.
pub(super) async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, slot: Slot, keeps: u64) {
    let started = worker.clock.now();
    let now = worker.clock.coarse();
    let entrance = connection.entrance();
    let watched = worker.watchdog.add(now, connection.rest_of_life(now), entrance.clone());
    let mut record = Record::new(started, worker.random.uuid());
    let fields = connection.codec.borrow_mut().take_head(slot).unwrap_or_default();

    // 4. The head, strictly: whatever could be read in two ways is refused.
    let checked = Checked::new(&fields);
    let decision = match &checked {
        _ if fields.is_too_large() => {
            record.note_http2(fields.bytes(), &Shown::default());
            record.failure = Some(Failure::ClientProtocolError);
            Decision::Answer(Answer::plain(431))
        }
        Ok(head) => {
            record.note_http2(fields.bytes(), &head.shown());
            record.received = head.size as u64;
            // 5 to 9. The service, who is calling, the policies, the rule, the target group.
            decide(&worker, &connection.seen(&[]), head, &mut record)
        }
        Err(error) => {
            tracing::debug!(%error, peer = %connection.peer, "refused a malformed request");
            record.note_http2(fields.bytes(), &Shown::default());
            record.failure = Some(Failure::ClientProtocolError);
            Decision::Answer(Answer::plain(400))
        }
    };
    let idle_timeout = record.site.as_ref().map(|site| site.idle_timeout);
    let mut call = Call::new(&connection, slot, watched, record, fields.bytes());
    call.patience = idle_timeout.unwrap_or(connection.idle_timeout.get()).as_millis() as Millis;
    if let Some(idle_timeout) = idle_timeout {
        connection.idle_timeout.set(idle_timeout);
    }
    call.is_grpc = match &checked {
        Ok(head) => head.speaks() == Speaks::Grpc,
        Err(_) => may_be_grpc(&fields),
    };
    match (decision, &checked) {
        (Decision::Forward(route), Ok(head)) => {
            call.is_head = head.method == b"HEAD";
            forward(&worker, &connection, &mut call, head, &route).await;
        }
        (Decision::Answer(answer), checked) => {
            call.is_head = checked.as_ref().is_ok_and(|head| head.method == b"HEAD");
            call.give(&worker, answer);
        }
        // Nothing is decided about a head that was refused but how it is answered.
        (Decision::Forward(_), Err(_)) => {}
    }

    // 12. Record: metrics and access log.
    call.record.received += call.upload.received;
    call.record.finish(&worker, &connection.seen(call.text));
    worker.watchdog.remove(&call.watched);
    call.finish();
    let unseen = call.record.failure == Some(Failure::ClientConnectionClosed) && !call.has_begun();
    let in_vain = unseen.then(|| worker.clock.coarse().saturating_sub(now));
    drop(call);
    connection.codec.borrow_mut().give_back(fields);
    connection.kept.set(connection.kept.get() - keeps);
    connection.ended(&worker, in_vain);
}

/// Leaves a line for a request whose head the codec has refused.
pub(super) fn record_malformed(worker: &Worker, connection: &Connection) {
    let mut record = Record::new(worker.clock.now(), worker.random.uuid());
    record.note_http2(&[], &Shown::default());
    record.failure = Some(Failure::ClientProtocolError);
    record.finish(worker, &connection.seen(&[]));
}

/// Steps 10 and 11: a connection to a target, and the exchange over it.
async fn forward(
    worker: &Rc<Worker>,
    connection: &Connection,
    call: &mut Call<'_>,
    head: &Checked<'_>,
    route: &Rc<Route>,
) {
    call.idempotent = head.is_idempotent();
    call.expects_continue = head.expects_continue;
    call.deadline = head.grpc_timeout().map(|timeout| {
        let millis = Millis::try_from(timeout.as_millis()).unwrap_or(Millis::MAX);
        worker.clock.millis(call.record.started).saturating_add(millis)
    });
    let group = &route.group;
    let mut failed_target = None;
    let mut attempts = 0;
    let ending = loop {
        if let Some(gone) = call.is_gone() {
            break gone.ending();
        }
        // 9, continued. The target, by round robin over the healthy ones.
        let index = choose_target(worker, group, failed_target);
        let Some((index, target)) = index.and_then(|index| Some((index, group.targets.get(index)?))) else {
            break Ending::Failed(503, Failure::TargetConnectionError);
        };
        call.record.target = Some(target.clone());
        let in_flight = InFlight::new(route.clone(), index);
        attempts += 1;

        // 10 and 11. A connection from inside the target's VPC, and streaming both ways.
        let attempt = attempt(worker, connection, call, head, route, target, attempts > 1).await;
        drop(in_flight);
        match attempt {
            Ok(Ending::Again) if attempts < MOST_ATTEMPTS && call.rewind() => {
                group.state.cells.retries.add(1);
            }
            Ok(Ending::Again) => break Ending::Failed(502, Failure::TargetConnectionClosed),
            Ok(ending) => break ending,
            Err(ConnectError::Failed(_) | ConnectError::TimedOut | ConnectError::NoTls(_))
                if failed_target.is_none() && group.targets.len() > 1 && !call.is_late(worker) =>
            {
                // One more try, with another target: nothing has been sent.
                group.state.cells.retries.add(1);
                failed_target = Some(index);
                // What was sent before, if anything, was not acted on.
                call.rewind();
            }
            Err(error) if call.is_late(worker) => {
                tracing::debug!(?error, target = %target.text, "a deadline passed without a connection");
                break Ending::DeadlineExceeded;
            }
            Err(error) => {
                tracing::debug!(?error, target = %target.text, "no connection to a target");
                let (status, failure) = no_connection(&error);
                break Ending::Failed(status, failure);
            }
        }
    };
    match ending {
        Ending::Delivered | Ending::Again => {}
        Ending::Failed(status, failure) => {
            call.record.failure = Some(failure);
            call.give(worker, Answer::plain(status));
        }
        Ending::Broken(failure, reason) => {
            call.record.failure = Some(failure);
            call.reset(reason);
        }
        Ending::DeadlineExceeded => call.give_up(worker),
    }
}

/// Has one target answer. `again`: not over a connection that was kept, which may have been closed.
async fn attempt(
    worker: &Rc<Worker>,
    connection: &Connection,
    call: &mut Call<'_>,
    head: &Checked<'_>,
    route: &Rc<Route>,
    target: &Rc<TargetState>,
    again: bool,
) -> Result<Ending, ConnectError> {
    let group = &route.group;
    let (id, user) = (call.record.request_id.clone(), call.record.user.clone());
    let added = Added {
        lines: [&route.header, user.header()],
        fields: [&route.fields, user.fields()],
        request_id: id.within(call.text),
        client: connection.address.as_bytes(),
    };
    let expires = worker.clock.coarse().saturating_add(call.patience);
    let name = call.record.name.clone();
    if group.group.version == ProtocolVersion::Http1 {
        let kept = if again { None } else { Upstream::take_idle(worker, target, name.as_deref()) };
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => Box::pin(Upstream::connect(worker, group, target, name, &call.watched)).await?,
        };
        let (ending, reusable) = over_http1::attempt(worker, call, head, &added, &mut upstream).await;
        if reusable && !worker.draining.get() {
            upstream.keep(worker, target, expires, call.record.sent);
        }
        return Ok(ending);
    }
    let secure = group.group.protocol == TargetProtocol::Https;
    let body = call.upload.size(head.content_length);
    let wanted = Wanted {
        name,
        body,
        owner: Owner { vpc: &connection.entrance().vpc, address: connection.files.address() },
        most: worker.limits.http2_connections_per_target,
    };
    let mut lease = match multiplexed::lease_at_once(target, &wanted) {
        Some(lease) => lease,
        None => Box::pin(multiplexed::lease(worker, group, target, &wanted, &call.watched)).await?,
    };
    let ending = over_http2::attempt(worker, call, head, &added, secure, &mut lease).await;
    lease.keep_until(expires);
    Ok(ending)
}
