//! What fits into one call of a service.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// A line and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its place among the lines of its segment.
    pub(crate) index: usize,
    pub(crate) line: &'a str,
    pub(crate) time: Timestamp,
}

/// The bounds of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    /// Of all records, each with `overhead`.
    pub(crate) bytes: usize,
    pub(crate) overhead: usize,
    /// A record that is larger is not taken at all.
    pub(crate) record_bytes: usize,
    /// Between the first and the last record.
    pub(crate) span: Duration,
}

/// PutLogEvents: "The maximum batch size is 1,048,576 bytes. This size is calculated as the sum of all
/// event messages in UTF-8, plus 26 bytes for each log event"; "can't be larger than 1 MB"; "10,000 log
/// events"; "A batch of log events in a single request cannot span more than 24 hours". An event may be
/// 1 MB since 2025 and 256 KiB before; no record here comes near either.
pub(crate) const LOG_EVENTS: Limits = Limits {
    records: 10_000,
    bytes: 1_048_576,
    overhead: 26,
    record_bytes: 256 * 1024 - 26,
    span: Duration::from_secs(24 * 60 * 60 - 1),
};

/// PutRecordBatch: "up to 500 records. Each record in the request can be as large as 1,000 KB (before
/// base64 encoding), up to a limit of 4 MB for the entire request." Base64 makes four bytes of three; the
/// overhead is the line's end and the JSON around a record.
pub(crate) const FIREHOSE: Limits =
    Limits { records: 500, bytes: 2_900_000, overhead: 16, record_bytes: 1_000_000 - 1, span: Duration::MAX };

impl Limits {
    pub(crate) fn fits(&self, record: &Record<'_>) -> bool {
        record.line.len() <= self.record_bytes
    }

    /// The longest run of `records` from `start` on that one call takes; at least one record, if there is.
    pub(crate) fn batch(&self, records: &[Record<'_>], start: usize) -> Range<usize> {
        let Some(first) = records.get(start) else { return start..start };
        let mut bytes = 0;
        let taken = records[start..].iter().take(self.records).take_while(|record| {
            bytes += record.line.len() + self.overhead;
            let span = record.time.duration_since(first.time).unsigned_abs();
            bytes <= self.bytes && span <= self.span
        });
        start..start + taken.count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records<'a>(lines: &'a [String], step: i64) -> Vec<Record<'a>> {
        let time = |at: i64| Timestamp::from_second(1_800_000_000 + at * step).unwrap();
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| Record { index, line, time: time(index as i64) })
            .collect()
    }

    fn batches(limits: Limits, records: &[Record<'_>]) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut start = 0;
        while start < records.len() {
            let batch = limits.batch(records, start);
            sizes.push(batch.len());
            start = batch.end;
        }
        sizes
    }

    #[test]
    fn batches_end_at_the_number_of_records() {
        let lines = vec!["x".to_owned(); 20_001];
        assert_eq!(batches(LOG_EVENTS, &records(&lines, 0)), [10_000, 10_000, 1]);
        assert_eq!(batches(FIREHOSE, &records(&lines[..1_001], 0)), [500, 500, 1]);
    }

    #[test]
    fn batches_end_at_their_size_with_its_overhead() {
        let lines = vec!["x".repeat(131_072 - 26); 17];
        assert_eq!(batches(LOG_EVENTS, &records(&lines, 0)), [8, 8, 1]);
        let lines = vec!["x".repeat(131_072 - 25); 9];
        assert_eq!(batches(LOG_EVENTS, &records(&lines, 0)), [7, 2]);
        let lines = vec!["x".repeat(999_999); 5];
        assert_eq!(batches(FIREHOSE, &records(&lines, 0)), [2, 2, 1]);
    }

    #[test]
    fn batches_of_log_events_end_before_a_day_is_over() {
        let lines = vec!["x".to_owned(); 4];
        assert_eq!(batches(LOG_EVENTS, &records(&lines, 12 * 60 * 60)), [2, 2]);
        assert_eq!(batches(FIREHOSE, &records(&lines, 12 * 60 * 60)), [4]);
    }

    #[test]
    fn an_oversized_record_fits_nowhere_and_still_ends_a_batch() {
        let lines = vec!["x".repeat(2_000_000); 2];
        let records = records(&lines, 0);
        assert!(!LOG_EVENTS.fits(&records[0]) && !FIREHOSE.fits(&records[0]));
        assert_eq!(batches(FIREHOSE, &records), [1, 1]);
    }
}
