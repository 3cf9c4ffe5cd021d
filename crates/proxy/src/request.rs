//! The life of a request, top to bottom.

mod answering;
mod decision;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use crate::answer::Answer;
use crate::body::Body;
use crate::client::{Client, Interrupted, Next};
use crate::clock::Millis;
use crate::exchange::{Asked, Ending, Exchange};
use crate::failure::Failure;
use crate::http1::{self, Framing, Version};
use crate::pump::Pump;
use crate::record::Record;
use crate::upstream::{ConnectError, InFlight, Upstream};
use crate::view::{GroupView, Route};
use crate::watchdog::Alarm;
use crate::worker::Worker;
use answering::give_answer;

pub(crate) use decision::{Decision, Head, Speaks, decide};

/// What step 4 to 9 come to.
enum Plan {
    /// The head is not complete.
    Read,
    Answer(Answer),
    Forward {
        route: Rc<Route>,
        head: Vec<u8>,
    },
}

/// Serves the HTTP/1 request whose first bytes are in `client`'s inbox, from step 4 of its life to
/// step 12. Steps 1 (accept in the client's VPC), 2 (listener by destination port) and 3 (TLS) have
/// been taken when the connection was accepted, in [`crate::worker`]. A request that comes over
/// HTTP/2 takes the same steps in [`crate::http2`].
pub(crate) async fn serve(worker: &Worker, client: &mut Client) -> Next {
    let started = worker.clock.now();
    let mut record = Record::new(started, worker.random.uuid());
    let head_timeout = worker.limits.head_timeout.as_millis() as Millis;
    client.watched.arm(worker.clock.coarse().saturating_add(head_timeout));
    let mut scanned = 0;
    let mut asked = Asked {
        version: Version::Http11,
        head: false,
        idempotent: false,
        keep_alive: false,
        expects_continue: false,
        patience: client.idle_timeout,
    };
    let mut framing = Framing::None;
    let mut head_length = 0;
    // What an unfinished head takes of the client's memory: nothing, when it comes in one piece.
    let mut held = None;

    let plan = loop {
        let plan = 'plan: {
            // 4. Read the head, strictly: whatever could be read in two ways is refused.
            let unread = client.inbox.unread();
            if scanned > 0 && unread.len() <= http1::MAX_HEAD && !http1::may_be_complete(unread, scanned) {
                break 'plan Plan::Read;
            }
            scanned = unread.len();
            let mut storage = http1::storage();
            let head = match http1::request::parse(unread, &mut storage) {
                Ok(Some(head)) => head,
                Ok(None) => break 'plan Plan::Read,
                Err(error) => {
                    tracing::debug!(%error, peer = %client.peer, "refused a malformed request");
                    record.failure = Some(Failure::ClientProtocolError);
                    record.received = unread.len() as u64;
                    break 'plan Plan::Answer(Answer::plain(400));
                }
            };
            record.note_head(&client.inbox, &head);
            head_length = head.length();
            framing = head.framing;
            asked.version = head.version;
            asked.head = head.method == b"HEAD";
            asked.idempotent =
                matches!(head.method, b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE");
            asked.keep_alive = head.keep_alive;
            asked.expects_continue = head.expects_continue;
            if head.secure_scheme && client.tls.is_none() {
                // "a request for an "https" resource MUST be rejected unless it has been received over a
                // connection that has been secured" (RFC 9110, 7.4)
                record.failure = Some(Failure::ClientProtocolError);
                break 'plan Plan::Answer(Answer::plain(400));
            }
            // 5 to 9. The service, who is calling, the policies, the rule, the target group.
            let decision = decide(worker, &client.seen(), &head, &mut record);
            if let Some(site) = &record.site {
                asked.patience = site.idle_timeout;
                client.idle_timeout = site.idle_timeout;
            }
            let route = match decision {
                Decision::Answer(answer) => break 'plan Plan::Answer(answer),
                Decision::Forward(route) => route,
            };
            let mut out = worker.buffers.take_head();
            let id = record.request_id.bytes(&client.inbox);
            let added = [&*route.header, record.user.header()];
            head.write_for_target(&mut out, added, client.address.as_bytes(), id);
            Plan::Forward { route, head: out }
        };
        if !matches!(plan, Plan::Read) {
            break plan;
        }
        if !client.inbox.has_room() {
            client.inbox.grow();
        }
        if !client.hold(worker, &mut held, 0) {
            record.received = client.inbox.unread().len() as u64;
            record.failure = Some(Failure::ClientRateLimited);
            break Plan::Answer(Answer::plain(503));
        }
        client.stream.acknowledge();
        let (status, failure) = match client.read(worker).await {
            Ok(1..) => continue,
            // What came is not TLS as it should be.
            Err(Interrupted::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                (0, Failure::ClientProtocolError)
            }
            Ok(0) | Err(Interrupted::Io(_)) => (0, Failure::ClientConnectionClosed),
            Err(Interrupted::Alarm(Alarm::Deadline)) => (408, Failure::ClientConnectionClosed),
            Err(Interrupted::Alarm(Alarm::Lifetime)) => (408, Failure::ConnectionDurationExceeded),
            Err(Interrupted::Alarm(Alarm::Cut)) => (0, Failure::InternalError),
        };
        record.received = client.inbox.unread().len() as u64;
        record.failure = Some(failure);
        if status != 0 {
            break Plan::Answer(Answer::plain(status));
        }
        record.finish(worker, &client.seen());
        return Next::Close;
    };

    drop(held);
    client.inbox.consume(head_length);
    let mut body = Body::new(framing);
    let next = match plan {
        // Never left the loop.
        Plan::Read => Next::Close,
        Plan::Answer(answer) => {
            // After a malformed head nobody knows where the next one begins.
            let rest = (head_length > 0).then_some((&mut body, head_length));
            give_answer(worker, client, &mut record, &asked, answer, rest).await
        }
        Plan::Forward { route, head } => {
            if framing != Framing::None {
                client.inbox.make_room_beside(head_length);
            }
            let chunked = framing == Framing::Chunked;
            let mut request = Pump::new(head, body, chunked, head_length);
            let next = forward(worker, client, &mut record, &asked, &route, &mut request).await;
            record.received += request.consumed;
            worker.buffers.give_back_head(request.into_head());
            next
        }
    };

    // 12. Record: metrics and access log.
    record.finish(worker, &client.seen());
    next
}

/// 9, continued. The target, by round robin over the healthy ones. After a failed connect to
/// `failed` another one, if there is another.
pub(crate) fn choose_target(worker: &Worker, group: &GroupView, failed: Option<usize>) -> Option<usize> {
    let next = || group.next_target(worker.ticks.get());
    match (next(), failed) {
        (Some(index), Some(failed)) if index == failed && group.targets.len() > 1 => {
            next().map(|other| if other == failed { (failed + 1) % group.targets.len() } else { other })
        }
        (index, _) => index,
    }
}

/// Steps 10 and 11: a connection to a target, and the exchange over it.
async fn forward(
    worker: &Worker,
    client: &mut Client,
    record: &mut Record,
    asked: &Asked,
    route: &Rc<Route>,
    request: &mut Pump,
) -> Next {
    let view = &route.group;
    let state = &view.state;
    let mut fresh_only = false;
    let mut failed_target = None;
    loop {
        let index = choose_target(worker, view, failed_target);
        let Some((index, target)) = index.and_then(|index| Some((index, view.targets.get(index)?))) else {
            record.failure = Some(Failure::TargetConnectionError);
            let rest = Some(request.rest());
            return give_answer(worker, client, record, asked, Answer::plain(503), rest).await;
        };
        record.target = Some(target.clone());
        let in_flight = InFlight::new(route.clone(), index);

        // 10. A connection from inside the target's VPC: one that is kept, or a new one.
        let kept =
            if fresh_only { None } else { Upstream::take_idle(worker, target, record.name.as_deref()) };
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => match Upstream::connect(worker, view, target, record.name.clone(), &client.watched).await
            {
                Ok(upstream) => upstream,
                Err(ConnectError::Failed(_) | ConnectError::TimedOut | ConnectError::NoTls(_))
                    if failed_target.is_none() && view.targets.len() > 1 =>
                {
                    // One more try, with another target: nothing has been sent.
                    state.cells.retries.add(1);
                    failed_target = Some(index);
                    continue;
                }
                Err(error) => {
                    tracing::debug!(?error, target = %target.text, "no connection to a target");
                    let (status, failure) = no_connection(&error);
                    record.failure = Some(failure);
                    let rest = Some(request.rest());
                    return give_answer(worker, client, record, asked, Answer::plain(status), rest).await;
                }
            },
        };

        let was_kept = upstream.reused;

        // 11. Stream both ways.
        let (ending, ends_by_close) = {
            let mut exchange = Exchange::new(worker, client, record, &mut upstream, request, *asked);
            let ending = poll_fn(|cx| exchange.poll(cx)).await;
            (ending, exchange.finish())
        };
        drop(in_flight);
        match ending {
            Ending::Delivered { at_once, reusable, stay, linger } => {
                record.ended = if at_once { record.answered } else { None };
                if reusable && !worker.draining.get() {
                    let expires = worker.clock.coarse().saturating_add(asked.patience.as_millis() as Millis);
                    upstream.keep(worker, target, expires, record.sent);
                }
                return match (stay, linger) {
                    (true, _) => Next::Stay,
                    (false, true) => Next::Linger,
                    (false, false) => Next::Close,
                };
            }
            Ending::Again if was_kept || (failed_target.is_none() && view.targets.len() > 1) => {
                // A connection that was closed while it was kept has a new one as its successor; a
                // target that closes a new one has another target.
                state.cells.retries.add(1);
                if was_kept {
                    fresh_only = true;
                } else {
                    failed_target = Some(index);
                }
                request.replay();
                record.forwarded = None;
            }
            Ending::Again => {
                record.failure = Some(Failure::TargetConnectionClosed);
                let rest = Some(request.rest());
                return give_answer(worker, client, record, asked, Answer::plain(502), rest).await;
            }
            Ending::Failed(status, failure) => {
                record.failure = Some(failure);
                // What a client at its budget still sends must not keep its memory.
                let unread = matches!(
                    failure,
                    Failure::ClientConnectionClosed
                        | Failure::ClientProtocolError
                        | Failure::ClientRateLimited
                );
                let rest = (!unread).then(|| request.rest());
                return give_answer(worker, client, record, asked, Answer::plain(status), rest).await;
            }
            Ending::Broken(failure) => {
                record.failure = Some(failure);
                return if ends_by_close { Next::Abort } else { Next::Close };
            }
        }
    }
}

/// What a client is told when there is no connection to a target, and what the log says.
pub(crate) fn no_connection(error: &ConnectError) -> (u16, Failure) {
    match error {
        ConnectError::Failed(_) | ConnectError::TimedOut => (500, Failure::TargetConnectionError),
        ConnectError::NoTls(_) => (502, Failure::TargetProtocolError),
        ConnectError::TooMany => (503, Failure::ClientRateLimited),
        ConnectError::Ended(Alarm::Lifetime) => (504, Failure::ConnectionDurationExceeded),
        ConnectError::Ended(_) => (503, Failure::InternalError),
    }
}
