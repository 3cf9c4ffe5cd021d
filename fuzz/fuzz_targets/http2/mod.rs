//! A peer of the codec: it says what the fuzzer wants, and whoever holds the streams acts on it.

use trellis_proxy::http2::codec::{Bounds, Codec, Reason, Slot};

pub const BOUNDS: Bounds = Bounds { streams: 8, stream_window: 70_000, connection_window: 100_000 };

pub struct Peer {
    codec: Codec,
    held: Vec<Slot>,
    unread: Vec<u8>,
    /// Frames are made out of the input; otherwise it is sent as it is.
    framed: bool,
    cut: usize,
    /// Only servers say something last and let go before it has left.
    serves: bool,
    clock: u64,
}

impl Peer {
    pub fn new(codec: Codec, serves: bool, control: u8) -> Self {
        let cut = 1 + usize::from(control >> 1) * 11;
        Self { codec, held: Vec::new(), unread: Vec::new(), framed: control & 1 == 1, cut, serves, clock: 0 }
    }

    pub fn settle(&mut self) {
        self.codec.receive(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    }

    pub fn send(&mut self, bytes: &[u8], mut take: impl FnMut(&mut Codec, &mut Vec<Slot>)) {
        let framed = if self.framed { Some(frames(bytes)) } else { None };
        let bytes = framed.as_deref().unwrap_or(bytes);
        take(&mut self.codec, &mut self.held);
        for piece in bytes.chunks(self.cut) {
            self.unread.extend_from_slice(piece);
            let taken = self.codec.receive(&self.unread);
            self.unread.drain(..taken);
            take(&mut self.codec, &mut self.held);
            self.act(piece.first().copied().unwrap_or_default());
            self.check();
        }
        self.codec.disconnect();
        for slot in self.held.drain(..) {
            assert!(self.codec.lost(slot).is_some() || self.codec.is_received(slot));
            self.codec.let_go(slot);
        }
        while let Some(slot) = self.codec.next_opened() {
            self.codec.let_go(slot);
        }
        assert_eq!(self.codec.taken(), 0, "everything was let go");
    }

    /// One of the things that holders of streams do.
    fn act(&mut self, what: u8) {
        self.clock += u64::from(what);
        self.codec.pass_time(self.clock);
        let waiting = self.codec.output().len();
        self.codec.wrote(if what & 1 == 0 { waiting } else { waiting / 3 });
        if self.held.is_empty() {
            return;
        }
        let index = usize::from(what >> 3) % self.held.len();
        let slot = self.held[index];
        match what & 7 {
            0 | 1 => {
                let mut data = Vec::new();
                self.codec.take_data(slot, &mut data);
                self.codec.release(slot, data.len());
            }
            2 => drop(self.codec.send(slot, &[0; 20_000], false)),
            4 if self.serves => drop(self.codec.send_last(slot, &[0; 100])),
            3 | 4 => drop(self.codec.send(slot, b"", true)),
            5 => self.codec.reset(slot, Reason::CANCEL),
            6 if what & 64 == 0 => drop(self.codec.take_trailers(slot)),
            6 => self.codec.go_away(),
            _ => self.codec.let_go(self.held.swap_remove(index)),
        }
    }

    fn check(&self) {
        assert!(self.codec.output().len() < 512 * 1024);
        assert!(self.codec.taken() <= 2 * BOUNDS.streams as usize + 1);
        assert!(
            self.unread.len() < Codec::LARGEST_FRAME + self.cut
                || self.codec.is_finished()
                || self.codec.is_choked()
        );
        let kept: usize = self.held.iter().map(|slot| self.codec.data(*slot).len()).sum();
        assert!(kept <= BOUNDS.connection_window as usize);
    }
}

/// Frames with small kinds, few streams and true lengths.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [kind, flags, stream, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[kind % 11, *flags, 0, 0, 0, stream % 24]);
        out.extend_from_slice(payload);
        bytes = rest;
    }
    out
}
