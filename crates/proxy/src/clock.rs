//! A worker's clock: exact when a request begins and ends, coarse in between, text once a second.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One per worker. Durations are taken from the monotonic clock; the wall clock only dates things.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// Wall time of `origin`, set right again by every [`Clock::tick`].
    origin_unix: Cell<Duration>,
    coarse: Cell<Millis>,
    texts: RefCell<Texts>,
}

/// Milliseconds since the worker began.
pub(crate) type Millis = u64;

#[derive(Debug, Default)]
struct Texts {
    /// The second since 1970 the texts are of.
    second: u64,
    date_line: Vec<u8>,
    iso: [u8; 20],
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self {
            origin: Instant::now(),
            origin_unix: Cell::new(Duration::ZERO),
            coarse: Cell::new(0),
            texts: RefCell::default(),
        };
        clock.tick();
        clock
    }

    /// Reads the clock, and moves the coarse one.
    pub(crate) fn now(&self) -> Instant {
        let now = Instant::now();
        self.coarse.set(self.millis(now));
        now
    }

    pub(crate) fn millis(&self, at: Instant) -> Millis {
        at.saturating_duration_since(self.origin).as_millis() as Millis
    }

    /// The last time somebody looked: at most one tick old. Costs nothing.
    pub(crate) fn coarse(&self) -> Millis {
        self.coarse.get()
    }

    /// Called a few times a second, so that [`Clock::coarse`] moves without traffic.
    pub(crate) fn tick(&self) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.origin_unix.set(unix.saturating_sub(self.now().saturating_duration_since(self.origin)));
    }

    /// Calls `with` with `date: Sun, 06 Nov 1994 08:49:37 GMT` and CRLF.
    pub(crate) fn with_date_line<T>(&self, at: Instant, with: impl FnOnce(&[u8]) -> T) -> T {
        self.refresh(at);
        with(&self.texts.borrow().date_line)
    }

    /// Calls `with` with `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn with_date<T>(&self, at: Instant, with: impl FnOnce(&[u8]) -> T) -> T {
        self.with_date_line(at, |line| with(&line[b"date: ".len()..line.len() - 2]))
    }

    /// Appends `1994-11-06T08:49:37Z`.
    pub(crate) fn write_iso(&self, at: Instant, out: &mut Vec<u8>) {
        self.refresh(at);
        out.extend_from_slice(&self.texts.borrow().iso);
    }

    /// Appends `1994-11-06T08:49:37.123Z`.
    pub(crate) fn write_iso_millis(&self, at: Instant, out: &mut Vec<u8>) {
        let unix = self.origin_unix.get() + at.saturating_duration_since(self.origin);
        self.refresh(at);
        out.extend_from_slice(&self.texts.borrow().iso[..19]);
        let millis = unix.subsec_millis();
        out.push(b'.');
        out.extend([millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8));
        out.push(b'Z');
    }

    /// Calls `with` with the time now, `1994-11-06T08:49:37Z`.
    pub(crate) fn with_iso(&self, with: &mut dyn FnMut(&str)) {
        self.refresh(self.now());
        let iso = self.texts.borrow().iso;
        with(std::str::from_utf8(&iso).unwrap_or_default());
    }

    /// The time of day: what signatures and sessions are compared with.
    pub(crate) fn wall(&self) -> jiff::Timestamp {
        let unix = self.origin_unix.get() + self.now().saturating_duration_since(self.origin);
        let nanoseconds = i128::try_from(unix.as_nanos()).unwrap_or(i128::MAX);
        jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or(jiff::Timestamp::MAX)
    }

    fn refresh(&self, at: Instant) {
        let unix = self.origin_unix.get() + at.saturating_duration_since(self.origin);
        let mut texts = self.texts.borrow_mut();
        if texts.second != unix.as_secs() || texts.date_line.is_empty() {
            texts.second = unix.as_secs();
            texts.iso = iso(unix.as_secs());
            texts.date_line.clear();
            texts.date_line.extend_from_slice(b"date: ");
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix.as_secs()));
            texts.date_line.extend_from_slice(date.as_bytes());
            texts.date_line.extend_from_slice(b"\r\n");
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ` of a second since 1970. Years past 9999 show their last four digits.
fn iso(second: u64) -> [u8; 20] {
    // Days to civil date by eras of 400 years that begin on the first of March, so that the leap
    // day is the last of its year.
    let days = second / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00Z";
    let mut put = |at: usize, length: usize, mut value: u64| {
        for place in text[at..at + length].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, second / 3_600 % 24);
    put(14, 2, second / 60 % 60);
    put(17, 2, second % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_civil_time() {
        for (second, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(second), expected.as_bytes(), "{second}");
        }
    }

    #[test]
    fn milliseconds_stand_behind_a_point() {
        let clock = Clock::new();
        let mut text = Vec::new();
        clock.write_iso_millis(clock.now(), &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.len() == 24 && text.as_bytes()[19] == b'.' && text.ends_with('Z'), "{text}");
    }

    #[test]
    fn the_date_line_is_a_whole_header_line() {
        let clock = Clock::new();
        let text = clock.with_date_line(clock.now(), |line| String::from_utf8(line.to_vec()).unwrap());
        let date = text.strip_prefix("date: ").unwrap().strip_suffix("\r\n").unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{text}");
    }
}
