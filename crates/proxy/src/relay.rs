//! Raw bytes between two sockets, both ways at once, without ever coming up from the kernel.
//!
//! Each way has a pipe while bytes are on their way and none while it is silent, and reads only
//! when what was read before has been written, or its pipe has room and the reader is slow: so a slow
//! reader slows the writer. The end of one way is passed on and leaves the other open; a connection
//! that breaks is broken on the other side too.

mod pipe;
mod side;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::budget::{Held, MEMORY_FOR_RELAYING};
use crate::clock::Millis;
use crate::stream::is_little;
use crate::watchdog::{Alarm, Watched};
use crate::worker::Worker;
pub(crate) use pipe::Pipes;
use pipe::{Pipe, SIZE};
use side::Side;

/// Moves of one way in one go, before others get their turn.
const MOVES: u32 = 16;
/// What a way reads at once, and all that waits in it, unless it has much to move and its client room for that.
const LITTLE: usize = 64 * 1024;

/// Why a relay ended.
#[derive(Debug)]
pub(crate) enum RelayEnd {
    /// Both sides have said all they had to say.
    Finished,
    /// One side's connection broke.
    ClientBroke(io::Error),
    TargetBroke(io::Error),
    /// Nothing moved for the idle timeout.
    Idle,
    /// The connection reached its greatest age.
    Lifetime,
    /// The proxy is going away, or the entrance is.
    Cut,
    /// The kernel has no pipe to spare.
    NoPipe(io::Error),
    /// What waits in its pipes is more than its client may hold.
    TooMuch,
}

/// What a relay has done.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) end: RelayEnd,
    pub(crate) to_target: u64,
    pub(crate) to_client: u64,
    /// When the target's first byte had gone to the client.
    pub(crate) answered: Option<Instant>,
}

/// What a relay goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Silence on both sides ends it.
    pub(crate) idle: Duration,
    /// So does the end of the way the client came in by; otherwise it goes on.
    pub(crate) ends_with_entrance: bool,
}

/// Relays until both sides have ended, something breaks, or `terms` or `watched` say so. What ends
/// before its time is reset on both sides when the sockets are dropped. `progress` is told how many
/// bytes have gone to the target and to the client since it was last told. `memory` is the client's, for
/// [`MEMORY_FOR_RELAYING`]; what waits beyond that is counted while it does.
pub(crate) async fn relay(
    worker: &Worker,
    watched: &Watched,
    client: TcpStream,
    target: TcpStream,
    terms: Terms,
    mut memory: Held,
    mut progress: impl FnMut(u64, u64),
) -> Relayed {
    let patience = terms.idle.as_millis() as Millis;
    let arm = || watched.arm(worker.clock.coarse().saturating_add(patience));
    let (mut client, mut target) = (Side::Listening(client), Side::Listening(target));
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut answered = None;
    arm();
    // Nobody has to wait for the next byte to learn that the entrance has closed.
    watched.set_idle(true);
    let end = poll_fn(|cx| {
        let events = (up.events, down.events);
        let moved = (up.moved, down.moved);
        let now = || worker.clock.millis(worker.clock.now());
        let went_up = up.poll(cx, &worker.pipes, &mut memory, (&mut client, &mut target), (&now, moved.1));
        let went_down =
            down.poll(cx, &worker.pipes, &mut memory, (&mut target, &mut client), (&now, up.moved));
        if (up.moved, down.moved) != moved {
            progress(up.moved - moved.0, down.moved - moved.1);
        }
        if answered.is_none() && down.moved > 0 {
            answered = Some(worker.clock.now());
        }
        match (went_up, went_down) {
            (Poll::Ready(Err(broken)), _) => return Poll::Ready(broken.between(true)),
            (_, Poll::Ready(Err(broken))) => return Poll::Ready(broken.between(false)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(RelayEnd::Finished),
            _ => {}
        }
        if (up.events, down.events) != events {
            arm();
        }
        let holds = up.holds() + down.holds();
        if holds > memory.amount() && !memory.grow_to(holds) {
            return Poll::Ready(RelayEnd::TooMuch);
        }
        if holds == 0 {
            memory.shrink_to(MEMORY_FOR_RELAYING);
        }
        watched.register(cx);
        if terms.ends_with_entrance && watched.entrance.is_closed() {
            return Poll::Ready(RelayEnd::Cut);
        }
        match watched.alarm() {
            None => Poll::Pending,
            Some(Alarm::Deadline) => Poll::Ready(RelayEnd::Idle),
            Some(Alarm::Lifetime) => Poll::Ready(RelayEnd::Lifetime),
            Some(Alarm::Cut) => Poll::Ready(RelayEnd::Cut),
        }
    })
    .await;
    if !matches!(end, RelayEnd::Finished) {
        for side in [&client, &target] {
            side.break_off();
        }
    }
    Relayed { end, to_target: up.moved, to_client: down.moved, answered }
}

/// One direction.
#[derive(Debug)]
struct Way {
    state: State,
    /// What may wait in its pipe: [`LITTLE`], or [`SIZE`], for which it has its client's memory.
    most: usize,
    /// Bytes that have left.
    moved: u64,
    /// Grows whenever something happens.
    events: u64,
    pieces: Pieces,
}

/// Whether a source holds back what is less than a segment until what it sent before is acknowledged, and so waits for
/// the kernel's timer whenever it writes a message in pieces. Nobody here knows where a message ends; but a piece that
/// comes that long after a little one, without a word of the other side in between, has waited. From then on every
/// little piece of that source is acknowledged at once.
#[derive(Debug, Default)]
struct Pieces {
    /// When the last one came, if it was little, and how much the other way had moved then.
    last: Option<(Millis, u64)>,
    /// Bytes that came since the source last had nothing more.
    came: u64,
    are_held_back: bool,
}

/// How long the kernel waits with an acknowledgement: TCP_DELACK_MIN, and what a busy machine adds.
const DELAY: std::ops::RangeInclusive<Millis> = 35..=80;

impl Pieces {
    fn came(&mut self, count: usize, now: &dyn Fn() -> Millis, answered: u64) {
        self.came += count as u64;
        let last = self.last.take();
        if self.are_held_back || (last.is_none() && !is_little(self.came)) {
            return;
        }
        let now = now();
        if let Some((then, before)) = last {
            self.are_held_back = before == answered && DELAY.contains(&now.saturating_sub(then));
        }
        if is_little(self.came) {
            self.last = Some((now, answered));
        }
    }

    /// The source has nothing more for now. Whether what came is to be acknowledged.
    fn paused(&mut self) -> bool {
        is_little(std::mem::take(&mut self.came)) && self.are_held_back
    }
}

#[derive(Debug, Default)]
enum State {
    /// Waits for the source.
    #[default]
    Empty,
    /// So many bytes wait in the pipe for the sink.
    Holding(Pipe, usize),
    /// The source has ended.
    Ended,
    /// The sink knows.
    Over,
}

/// What broke a way.
#[derive(Debug)]
enum Broken {
    Source(io::Error),
    Sink(io::Error),
    NoPipe(io::Error),
}

impl Broken {
    fn between(self, upwards: bool) -> RelayEnd {
        match (self, upwards) {
            (Self::Source(error), true) | (Self::Sink(error), false) => RelayEnd::ClientBroke(error),
            (Self::Source(error), false) | (Self::Sink(error), true) => RelayEnd::TargetBroke(error),
            (Self::NoPipe(error), _) => RelayEnd::NoPipe(error),
        }
    }
}

impl Default for Way {
    fn default() -> Self {
        Self { state: State::default(), most: LITTLE, moved: 0, events: 0, pieces: Pieces::default() }
    }
}

impl Way {
    /// Memory it counts with.
    fn holds(&self) -> u64 {
        match &self.state {
            _ if self.most == SIZE => SIZE as u64,
            State::Holding(_, held) => *held as u64,
            _ => 0,
        }
    }

    /// There is much to move: more of it at once costs less.
    fn ask_for_more(&mut self, memory: &mut Held) {
        if self.most == LITTLE && memory.grow_if_ample(memory.amount() + SIZE as u64) {
            self.most = SIZE;
        }
    }

    /// Nothing moves.
    fn rest(&mut self, memory: &mut Held) {
        if self.most == SIZE {
            self.most = LITTLE;
            memory.shrink_to(memory.amount().saturating_sub(SIZE as u64));
        }
    }

    /// Moves all it can. Ready when the source has ended and the sink knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pipes: &Pipes,
        memory: &mut Held,
        (from, to): (&mut Side, &mut Side),
        (now, answered): (&dyn Fn() -> Millis, u64),
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..MOVES {
            match &mut self.state {
                State::Empty => {
                    let Poll::Ready(readable) = from.poll_readable(cx) else {
                        self.rest(memory);
                        if self.pieces.paused() {
                            from.acknowledge();
                        }
                        return Poll::Pending;
                    };
                    readable.map_err(Broken::Source)?;
                    let pipe = pipes.take().map_err(Broken::NoPipe)?;
                    let was_listening = from.is_listening();
                    match from.read_into(&pipe, self.most) {
                        Ok(0) => {
                            pipes.give_back(pipe);
                            self.rest(memory);
                            self.state = State::Ended;
                        }
                        Ok(count) => {
                            self.pieces.came(count, now, answered);
                            self.state = State::Holding(pipe, count);
                            if count >= LITTLE {
                                self.ask_for_more(memory);
                            }
                        }
                        Err(error) if is_not_now(&error) => {
                            pipes.give_back(pipe);
                            if !was_listening {
                                // The other way may wait for what has been registered anew.
                                cx.waker().wake_by_ref();
                            }
                            continue;
                        }
                        Err(error) => return Poll::Ready(Err(Broken::Source(error))),
                    }
                }
                State::Holding(pipe, held) => {
                    if to.poll_writable(cx).map_err(Broken::Sink)?.is_pending() {
                        // Nothing more can be taken soon.
                        if from.is_listening() {
                            match fill_up(cx, pipe, *held, self.most, from) {
                                Ok(more) => *held += more,
                                Err(error) => return Poll::Ready(Err(Broken::Source(error))),
                            }
                            from.turn_deaf().map_err(Broken::Source)?;
                            cx.waker().wake_by_ref();
                        }
                        return Poll::Pending;
                    }
                    match to.write_from(pipe, *held) {
                        Ok(count) => {
                            *held -= count.min(*held);
                            self.moved += count as u64;
                            if *held == 0
                                && let State::Holding(pipe, _) = std::mem::take(&mut self.state)
                            {
                                pipes.give_back(pipe);
                            }
                        }
                        Err(error) if is_not_now(&error) => continue,
                        Err(error) => return Poll::Ready(Err(Broken::Sink(error))),
                    }
                }
                State::Ended => match to.finish() {
                    Ok(()) => self.state = State::Over,
                    Err(error) => return Poll::Ready(Err(Broken::Sink(error))),
                },
                State::Over => return Poll::Ready(Ok(())),
            }
            self.events += 1;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Adds what `from` has to a pipe that waits; how much. Its end is found again when the pipe is empty.
fn fill_up(cx: &mut Context<'_>, pipe: &Pipe, held: usize, most: usize, from: &Side) -> io::Result<usize> {
    if held >= most || from.poll_readable(cx)?.is_pending() {
        return Ok(0);
    }
    match from.read_more_into(pipe, held, most) {
        Err(error) if is_not_now(&error) => Ok(0),
        read => read,
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
