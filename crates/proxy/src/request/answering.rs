//! Answers of our own, given over HTTP/1, and what is left of the request's body afterwards.

use crate::answer::Answer;
use crate::body::Body;
use crate::client::{Client, Next};
use crate::clock::Millis;
use crate::exchange::Asked;
use crate::failure::Failure;
use crate::http1::Version;
use crate::http1::response::Delivery;
use crate::record::Record;
use crate::worker::Worker;

/// A body this small is read to its end after an answer that did not need it, so that the
/// connection can stay.
const WORTH_DISCARDING: u64 = 64 * 1024;

/// Sends `answer`. With `rest`, the part of the request's body nobody has read yet and where in the
/// inbox it may be read to, the connection may stay if that is little; without, it ends.
pub(super) async fn give_answer(
    worker: &Worker,
    client: &mut Client,
    record: &mut Record,
    asked: &Asked,
    answer: Answer,
    mut rest: Option<(&mut Body, usize)>,
) -> Next {
    // What is here already, and whether the remainder is little and sure to come.
    let mut remains = true;
    let mut little = false;
    if let Some((body, _)) = &mut rest {
        discard(client, record, body);
        remains = !body.is_over();
        little = match body {
            Body::Length(rest) => *rest <= WORTH_DISCARDING && !asked.expects_continue,
            _ => false,
        };
    }
    let stay = asked.keep_alive && worker.may_stay(&client.watched) && (!remains || little);
    record.status = answer.status;
    let mut out = worker.buffers.take_head();
    let delivery = Delivery { chunked: false, close: !stay, http10: asked.version == Version::Http10 };
    let id = record.request_id.bytes(&client.inbox);
    worker
        .clock
        .with_date_line(record.started, |date| answer.write(&mut out, delivery, asked.head, id, date));
    let patience = client.idle_timeout.as_millis() as Millis;
    client.watched.arm(worker.clock.coarse().saturating_add(patience));
    let written = client.write(&out).await;
    record.sent += out.len() as u64;
    worker.buffers.give_back_head(out);
    if written.is_err() {
        record.failure.get_or_insert(Failure::ClientConnectionClosed);
        return Next::Close;
    }
    if !stay {
        return if remains { Next::Linger } else { Next::Close };
    }
    if let Some((body, base)) = rest {
        while !body.is_over() {
            client.inbox.make_room_beside(base);
            client.inbox.rewind(base);
            if !matches!(client.read(worker).await, Ok(1..)) {
                return Next::Close;
            }
            discard(client, record, body);
        }
    }
    Next::Stay
}

/// Takes what has arrived of a body nobody wants.
fn discard(client: &mut Client, record: &mut Record, body: &mut Body) {
    let start = client.inbox.position();
    // A malformed body is not over, and so ends the connection.
    let _ = body.take(&mut client.inbox);
    record.received += (client.inbox.position() - start) as u64;
}
