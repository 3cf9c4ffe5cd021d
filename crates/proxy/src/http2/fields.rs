//! The fields of an answer, as they go to a client that speaks HTTP/2.

use super::codec::HeadWriter;
use crate::answer::REQUEST_ID;
use crate::record::Record;
use crate::worker::Worker;

/// Adds what every answer has: the request's id and, where the target gave none, the date.
pub(super) fn add_own(worker: &Worker, head: &mut HeadWriter<'_>, record: &Record, text: &[u8], dated: bool) {
    head.field(REQUEST_ID, record.request_id.within(text));
    if !dated {
        let at = record.answered.unwrap_or(record.started);
        worker.clock.with_date(at, |date| head.field(b"date", date));
    }
}

/// Trailer lines that were checked, as fields.
pub(super) fn trailers(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
