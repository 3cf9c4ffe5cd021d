//! How a client is told that there will be no TLS: with an alert where the protocol has one for it,
//! in plain HTTP where plain HTTP came.

use rustls::server::AcceptedAlert;

use super::Outcome;
use crate::answer::Answer;
use crate::client::Client;
use crate::http1::response::Delivery;
use crate::record::Record;
use crate::worker::Worker;

/// A fatal alert in a record of its own (RFC 8446, 5.1 and 6): what is sent before any key is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alert(u8);

impl Alert {
    pub(crate) const UNEXPECTED_MESSAGE: Self = Self(10);
    pub(super) const RECORD_OVERFLOW: Self = Self(22);
    pub(super) const ILLEGAL_PARAMETER: Self = Self(47);
    pub(crate) const ACCESS_DENIED: Self = Self(49);
    pub(crate) const DECODE_ERROR: Self = Self(50);
    pub(super) const PROTOCOL_VERSION: Self = Self(70);
    pub(crate) const INTERNAL_ERROR: Self = Self(80);
    pub(super) const MISSING_EXTENSION: Self = Self(109);
    pub(super) const UNRECOGNIZED_NAME: Self = Self(112);

    pub(crate) fn record(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self.0]
    }
}

/// Why a client does not get in, and what it is told.
#[derive(Debug)]
pub(super) struct Refusal {
    outcome: Outcome,
    /// Sent as it is.
    words: Vec<u8>,
}

impl Refusal {
    /// Without a word: it has been said, or nobody listens.
    pub(super) fn new(outcome: Outcome) -> Self {
        Self { outcome, words: Vec::new() }
    }

    pub(super) fn alert(outcome: Outcome, alert: Alert) -> Self {
        Self { outcome, words: alert.record().to_vec() }
    }

    pub(super) fn by_library(outcome: Outcome, error: rustls::Error, mut alert: AcceptedAlert) -> Self {
        tracing::debug!(%error, "refused a hello");
        let mut words = Vec::new();
        // Into memory: cannot fail.
        let _ = alert.write_all(&mut words);
        Self { outcome, words }
    }

    /// Counts it, tells the client, and writes the line of the access log. A connection that was
    /// closed before it said anything has none.
    pub(super) async fn carry_out(self, worker: &Worker, mut client: Client, mut record: Record) {
        let Self { outcome, mut words } = self;
        worker.cells.handshakes[outcome as usize].add(1);
        let came = client.inbox.unread().len() as u64;
        record.received = came;
        record.failure = outcome.failure();
        if outcome == Outcome::PlainHttp {
            record.status = 400;
            let delivery = Delivery { chunked: false, close: true, http10: false };
            let id = record.request_id.bytes(&client.inbox).to_vec();
            worker.clock.with_date_line(record.started, |date| {
                Answer::plain(400).write(&mut words, delivery, false, &id, date);
            });
        }
        let told = client.write(&words).await.is_ok();
        record.sent = words.len() as u64;
        if came > 0 || client.tls.is_some() {
            record.finish(worker, &client.seen());
        }
        let listens = !matches!(outcome, Outcome::Closed | Outcome::TimedOut | Outcome::Cut);
        if told && listens {
            client.linger(worker).await;
        }
        client.inbox.release(&worker.buffers);
    }
}
