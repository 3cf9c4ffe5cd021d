//! What a peer may make the codec do beside its exchanges.
//!
//! Frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, CONTINUATION, unknown
//! ones), and requests that come to nothing, cost the sender a few bytes and this proxy a pass through
//! the codec, often with an answer. They are paid for out of a credit. What fills it again is what such
//! frames belong to: exchanges that come to their end, data that somebody takes, data that is sent, and
//! time. What can happen once to a stream (its end, its reset) costs nothing by itself, because a
//! stream costs. So whoever makes requests and reads the answers is never out of credit, however fast,
//! and whoever floods soon is.

use super::error::{Reason, Violation};
use super::frame::{CONTINUATION, Head, PING, PRIORITY, SETTINGS, WINDOW_UPDATE};
use crate::clock::Millis;

/// What one frame that carries nothing costs.
const PRICE: i64 = 1024;
/// The most credit there can be: so many such frames at once.
const MOST: i64 = 8192 * PRICE;
/// Credit gained in a millisecond: 1,000 such frames a second.
const PER_MILLISECOND: i64 = PRICE;
/// What an exchange earns: several times what clients are seen to send around one.
const EXCHANGE: i64 = 16 * PRICE;
/// What a frame of data earns that was sent whole. Some clients answer each with a WINDOW_UPDATE for the
/// stream, one for the connection and a PING.
const SENT: i64 = 4 * PRICE;
/// What a byte of data earns that was sent: a frame for each 256.
const SENT_BYTE: i64 = PRICE / 256;
/// What a byte of data earns that came and was wanted: a frame for each KiB.
const TAKEN_BYTE: i64 = 1;
/// What an error of a stream costs, and a request whose client resets it at once.
const IN_VAIN: i64 = 8 * PRICE;
/// A request that its client has waited for so long was no flood: what is under way at once is bounded.
const PATIENCE: Millis = 250;

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Pings,
    Settings,
    Priorities,
    WindowUpdates,
    Continuations,
    EmptyData,
    LateFrames,
    OtherFrames,
    RefusedHeads,
    Errors,
    Resets,
}

impl Bound {
    /// How the connection ends: its words are those of the GOAWAY and of the log.
    pub(super) fn violation(self) -> Violation {
        let what = match self {
            Self::Pings => "too many PINGs for the requests, the data and the time of the connection",
            Self::Settings => "too many SETTINGS for the requests, the data and the time of the connection",
            Self::Priorities => {
                "too many PRIORITYs for the requests, the data and the time of the connection"
            }
            Self::WindowUpdates => {
                "too many WINDOW_UPDATEs for the requests, the data and the time of the connection"
            }
            Self::Continuations => "too many CONTINUATIONs for the requests that came to their end",
            Self::EmptyData => "too many empty DATA frames for the requests, the data and the time",
            Self::LateFrames => "too many frames for streams that are over",
            Self::OtherFrames => "too many frames without a meaning here",
            Self::RefusedHeads => "too many requests refused for those that came to their end",
            Self::Errors => "too many errors for the requests that came to their end",
            Self::Resets => "too many requests reset at once for those that came to their end",
        };
        Violation { reason: Reason::ENHANCE_YOUR_CALM, what }
    }
}

/// How much of what costs the sender little a connection may still send.
#[derive(Debug)]
pub(super) struct Credit {
    left: i64,
    at: Millis,
    /// What has used up the last of it.
    hit: Option<Bound>,
}

impl Default for Credit {
    fn default() -> Self {
        Self { left: MOST, at: 0, hit: None }
    }
}

impl Credit {
    /// Adds what the time since the last call is worth.
    pub(super) fn pass_time(&mut self, now: Millis) {
        let since = now.saturating_sub(std::mem::replace(&mut self.at, now));
        self.gain(since.min(MOST as Millis) as i64 * PER_MILLISECOND);
    }

    /// What more was spent on than there was.
    pub(super) fn hit(&self) -> Option<Bound> {
        self.hit
    }

    /// A frame has come that is neither DATA, HEADERS nor RST_STREAM, which depend on their streams.
    pub(super) fn came(&mut self, frame: &Head) {
        match frame.kind {
            PING => self.spend(PRICE, Bound::Pings),
            // Each setting in it is looked at.
            SETTINGS => self.spend(PRICE + frame.length as i64 / 48 * PRICE, Bound::Settings),
            PRIORITY => self.spend(PRICE, Bound::Priorities),
            WINDOW_UPDATE => self.spend(PRICE, Bound::WindowUpdates),
            CONTINUATION => self.spend(PRICE, Bound::Continuations),
            _ => self.spend(PRICE, Bound::OtherFrames),
        }
    }

    /// An exchange has come to its end or, where the peer serves it, has begun.
    pub(super) fn exchange(&mut self) {
        self.gain(EXCHANGE);
    }

    /// So much data has been sent. `whole`: the peer's windows have room for more.
    pub(super) fn sent(&mut self, bytes: usize, whole: bool) {
        self.gain(bytes as i64 * SENT_BYTE + if whole { SENT } else { 0 });
    }

    /// So much data has come that somebody takes.
    pub(super) fn took(&mut self, bytes: usize) {
        self.gain(bytes as i64 * TAKEN_BYTE);
    }

    /// Data has come that holds nothing, padding apart.
    pub(super) fn took_nothing(&mut self) {
        self.spend(PRICE, Bound::EmptyData);
    }

    /// Data has come for a stream that is over. There may be a window full of it on the way when a
    /// stream is reset here, in small frames.
    pub(super) fn late_data(&mut self) {
        self.spend(PRICE / 8, Bound::LateFrames);
    }

    /// Something else has come for a stream that is over.
    pub(super) fn late(&mut self) {
        self.spend(PRICE, Bound::LateFrames);
    }

    /// A head of so many bytes was read for nothing.
    pub(super) fn read_in_vain(&mut self, bytes: usize) {
        self.spend(PRICE + bytes as i64, Bound::RefusedHeads);
    }

    /// The peer broke the rules of a stream.
    pub(super) fn error(&mut self) {
        self.spend(IN_VAIN, Bound::Errors);
    }

    /// A request was reset by its sender, who had waited so long for the answer and seen nothing of it.
    /// Setting it up was in vain.
    pub(super) fn reset_after(&mut self, waited: Millis) {
        let hurry = PATIENCE.saturating_sub(waited) as i64;
        self.spend(IN_VAIN * hurry / PATIENCE as i64, Bound::Resets);
    }

    fn gain(&mut self, more: i64) {
        self.left = self.left.saturating_add(more).min(MOST);
    }

    fn spend(&mut self, price: i64, bound: Bound) {
        self.left = self.left.saturating_sub(price);
        if self.left < 0 {
            self.hit.get_or_insert(bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Head {
        Head { length, kind, flags: 0, stream: 1 }
    }

    #[test]
    fn a_flood_overdraws_the_credit_and_what_belongs_to_exchanges_does_not() {
        let (mut flooded, mut ordinary) = (Credit::default(), Credit::default());
        for _ in 0..20_000 {
            flooded.came(&frame(PING, 8));
            for kind in [WINDOW_UPDATE, WINDOW_UPDATE, PING, WINDOW_UPDATE, PRIORITY] {
                ordinary.came(&frame(kind, 4));
            }
            ordinary.took_nothing();
            ordinary.exchange();
        }
        assert_eq!(flooded.hit(), Some(Bound::Pings));
        assert_eq!(ordinary.hit(), None);
    }

    #[test]
    fn answers_in_many_pieces_pay_for_what_each_is_answered_with() {
        let mut credit = Credit::default();
        for _ in 0..20_000 {
            credit.sent(5, true);
            for kind in [WINDOW_UPDATE, WINDOW_UPDATE, PING] {
                credit.came(&frame(kind, 4));
            }
        }
        assert_eq!(credit.hit(), None);
        for _ in 0..20_000 {
            credit.sent(1, false);
            credit.came(&frame(WINDOW_UPDATE, 4));
        }
        assert_eq!(credit.hit(), Some(Bound::WindowUpdates), "windows opened byte by byte earn nothing");
    }

    #[test]
    fn requests_given_up_in_time_cost_nothing_and_those_reset_at_once_do() {
        let mut credit = Credit::default();
        for _ in 0..20_000 {
            credit.reset_after(PATIENCE);
        }
        assert_eq!((credit.left, credit.hit()), (MOST, None));
        // One in three.
        for _ in 0..20_000 {
            credit.reset_after(0);
            credit.exchange();
            credit.exchange();
        }
        assert_eq!(credit.hit(), None);
        (0..1025).for_each(|_| credit.reset_after(0));
        assert_eq!(credit.hit(), Some(Bound::Resets));
    }

    #[test]
    fn time_fills_the_credit_up_to_its_bound() {
        let mut credit = Credit::default();
        credit.pass_time(50);
        credit.spend(MOST, Bound::Pings);
        assert_eq!((credit.left, credit.hit()), (0, None));
        credit.pass_time(60);
        assert_eq!(credit.left, 10 * PRICE);
        credit.pass_time(1_000_000);
        assert_eq!(credit.left, MOST);
    }
}
