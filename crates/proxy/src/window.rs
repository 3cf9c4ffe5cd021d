//! How much the other side of a kept connection may send before it is read: its receive window.
//!
//! Left alone, the window of a connection grows as far as its buffer. There is then no room to open
//! it further while an answer of several segments waits to be read, so the kernel acknowledges the
//! answer only when it is read, in the `recv` of the worker: one more segment that this thread sends,
//! and before the client hears anything. A window that ends below the buffer is as open as it ever
//! is while the answer still waits, and the kernel acknowledges it as it arrives, on whatever core
//! that happens. So after an answer of a middling size the window is limited, and from time to time
//! again, because the kernel forgets the limit when it enlarges the buffer; and it is opened before a
//! long answer, which needs all the window it can get.

use std::os::fd::{AsFd, BorrowedFd};

use crate::http1::Framing;
use crate::stream::Stream;

/// Limits the receive window of a socket to so many bytes, if it can.
pub(crate) type LimitWindow = Box<dyn Fn(BorrowedFd<'_>, u32)>;

/// Bytes of the limited window. What a connection begins with on Linux, half of what its buffer holds.
const LIMIT: u32 = 64 * 1024;
/// No limit.
const OPEN: u32 = 1 << 30;
/// An answer up to this comes in one segment, and is acknowledged by the next request.
const ONE_SEGMENT: u64 = 8 * 1024;
/// The limit is renewed after so many answers: a system call for each would be felt.
const RENEWED: u32 = 8;

/// The window of one connection, as far as it is known here.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// So many answers from now the limit is renewed; 0 while there is none.
    renewed_in: u32,
}

impl Window {
    /// To be told before an answer's body is read.
    pub(crate) fn before(&mut self, framing: Framing, stream: &Stream, limit: &LimitWindow) {
        let fits = match framing {
            Framing::None => true,
            Framing::Length(length) => length <= u64::from(LIMIT),
            Framing::Chunked | Framing::UntilClose => false,
        };
        if self.renewed_in > 0 && !fits {
            self.renewed_in = 0;
            limit(stream.socket().as_fd(), OPEN);
        }
    }

    /// To be told that an answer of `length` bytes has been read, if another may follow.
    pub(crate) fn after(&mut self, length: u64, stream: &Stream, limit: &LimitWindow) {
        if length <= ONE_SEGMENT || length > u64::from(LIMIT) {
            return;
        }
        if self.renewed_in > 1 {
            self.renewed_in -= 1;
        } else {
            self.renewed_in = RENEWED;
            limit(stream.socket().as_fd(), LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// What is asked of the kernel while answers come: their framing, and how long they were.
    fn asked(answers: &[(Framing, u64)]) -> Vec<u32> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let asked: Rc<RefCell<Vec<u32>>> = Rc::default();
        let noted = asked.clone();
        let limit: LimitWindow = Box::new(move |_, bytes| noted.borrow_mut().push(bytes));
        let stream = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Stream::Tcp(tokio::net::TcpStream::connect(address).await.unwrap())
        });
        let mut window = Window::default();
        for (framing, length) in answers {
            window.before(*framing, &stream, &limit);
            window.after(*length, &stream, &limit);
        }
        asked.take()
    }

    #[test]
    fn small_answers_cost_no_system_call() {
        assert_eq!(
            asked(&[(Framing::Length(128), 300), (Framing::None, 200), (Framing::Chunked, 5000)]),
            [0u32; 0]
        );
    }

    #[test]
    fn the_window_is_limited_after_the_first_answer_of_several_segments_and_every_eighth() {
        let page = (Framing::Length(16 * 1024), 16_600);
        assert_eq!(asked(&[page, (Framing::Length(1), 200), page]), [LIMIT]);
        assert_eq!(asked(&[page; 8]), [LIMIT]);
        assert_eq!(asked(&[page; 9]), [LIMIT, LIMIT]);
    }

    #[test]
    fn the_window_is_open_before_an_answer_that_may_be_long() {
        let page = (Framing::Length(16 * 1024), 16_600);
        let film = (Framing::Length(1 << 30), (1 << 30) + 200);
        assert_eq!(asked(&[film, film]), [0u32; 0]);
        assert_eq!(asked(&[page, film, film, page]), [LIMIT, OPEN, LIMIT]);
        assert_eq!(asked(&[page, (Framing::Chunked, 300)]), [LIMIT, OPEN]);
    }
}
