//! What one end of a connection sends, brought to the codec.

use std::task::{Context, Poll};

use super::codec::Codec;
use crate::buffer::Inbox;
use crate::stream::{Stream, is_little};
use crate::worker::Worker;

/// Reads before others have their turn.
const READS: u32 = 8;

/// Reads what there is, and gives it to the codec. Whether there may be more.
pub(crate) fn poll_read(
    cx: &mut Context<'_>,
    worker: &Worker,
    codec: &mut Codec,
    inbox: &mut Inbox,
    stream: &mut Stream,
) -> bool {
    codec.pass_time(worker.clock.coarse());
    let mut came = 0;
    for _ in 0..READS {
        let taken = codec.receive(inbox.unread());
        inbox.consume(taken);
        inbox.compact(&worker.buffers);
        if codec.is_finished() || codec.is_choked() {
            return false;
        }
        match inbox.poll_fill(cx, stream, &worker.buffers) {
            Poll::Pending => {
                // As over HTTP/1: who holds back what is less than a segment would wait for it.
                if is_little(came) && (!inbox.unread().is_empty() || codec.is_amid()) {
                    stream.acknowledge();
                }
                return false;
            }
            Poll::Ready(Ok(count @ 1..)) => came += count as u64,
            Poll::Ready(Ok(_) | Err(_)) => codec.disconnect(),
        }
    }
    true
}
