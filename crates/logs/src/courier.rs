//! Brings the lines of a segment to one destination.
//!
//! S3 takes a segment whole, under a name that depends on nothing but the segment: sent again it replaces
//! itself. CloudWatch Logs and Firehose take batches; what was taken is remembered while the process lives,
//! so that a retry sends only the rest, and is sent again after a restart: at least once, not exactly once.

mod firehose;
mod log_group;

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use trellis_model::resource::lattice::{AccessLogSubscription, LogDestination, LogDestinationKind};

use crate::batch::{FIREHOSE, LOG_EVENTS, Limits, Record};
use crate::connection::Site;
use crate::credentials::Wallet;
use crate::failure::Failure;
use crate::naming::{log_stream, object_key};
use crate::options::{Endpoint, Options};
use crate::record::{is_sound, time};
use crate::service::{Service, amazon_host};
use crate::spool::{Segment, lines};
use crate::tally::Tally;

/// What S3's signature leaves as it is in a path.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// How far the delivery of one segment to one destination has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sequence: Option<u64>,
    /// By place of the line in the segment.
    is_done: Vec<bool>,
}

impl Progress {
    /// Of this segment: another one begins at its first line.
    fn of(&mut self, segment: &Segment, lines: usize) -> &mut Vec<bool> {
        if self.sequence != Some(segment.sequence) || self.is_done.len() != lines {
            *self = Self { sequence: Some(segment.sequence), is_done: vec![false; lines] };
        }
        &mut self.is_done
    }
}

/// A way to one destination, for one subscription.
#[derive(Debug)]
pub(crate) struct Courier {
    subscription: Arc<AccessLogSubscription>,
    service: Service,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// `root` is what the key comes after, encoded: the bucket where it is not in the host's name.
    Bucket {
        root: String,
        prefix: String,
    },
    LogGroup {
        group: String,
        stream: String,
    },
    DeliveryStream {
        name: String,
    },
}

impl Courier {
    pub(crate) fn new(
        options: &Options,
        wallet: &Arc<Wallet>,
        subscription: Arc<AccessLogSubscription>,
        destination: &LogDestination,
    ) -> Result<Self, Failure> {
        let (kind, region) = match destination {
            LogDestination::Bucket { .. } => (LogDestinationKind::S3, &subscription.home.region),
            LogDestination::LogGroup { region, .. } => (LogDestinationKind::Logs, region),
            LogDestination::DeliveryStream { region, .. } => (LogDestinationKind::Firehose, region),
        };
        let name = kind.as_str();
        let mut site = match options.endpoint(kind) {
            Endpoint::Url(url) => Site::of_url(url),
            Endpoint::Amazon => Some(Site::https(amazon_host(name, region.as_str()))),
            Endpoint::Files => None,
        }
        .ok_or_else(|| Failure::new(format!("there is no endpoint for {name}")))?;
        let way = match destination.clone() {
            LogDestination::Bucket { bucket, prefix } => {
                // A certificate of Amazon's names one label before `s3`; other servers want the path.
                let is_host = *options.endpoint(kind) == Endpoint::Amazon && !bucket.contains('.');
                let root = if is_host {
                    site.host = format!("{bucket}.{}", site.host);
                    String::new()
                } else {
                    format!("/{}", utf8_percent_encode(&bucket, KEY))
                };
                Way::Bucket { root, prefix }
            }
            LogDestination::LogGroup { name: group, .. } => {
                Way::LogGroup { group, stream: log_stream(&subscription) }
            }
            LogDestination::DeliveryStream { name, .. } => Way::DeliveryStream { name },
        };
        let service = Service { name, region: region.to_string(), site, wallet: wallet.clone() };
        Ok(Self { subscription, service, way })
    }

    /// Brings every sound line of `segment` there, but for those `progress` has already.
    pub(crate) async fn deliver(
        &self,
        segment: &Segment,
        progress: &mut Progress,
        tally: &Tally,
    ) -> Result<(), Failure> {
        let content = segment.read().map_err(|error| Failure::because("cannot read the spool", &error))?;
        let is_done = progress.of(segment, lines(&content).count());
        let mut session = self.service.session();
        match &self.way {
            Way::Bucket { root, prefix } => {
                let (object, sound) = compress(&content);
                if sound > 0 {
                    let key = object_key(&self.subscription, prefix, segment.begun, &content);
                    let path = format!("{root}/{}", utf8_percent_encode(&key, KEY));
                    session.put(&path, object.into()).await?;
                }
                tally.delivered.add(sound);
                tally.refused.add(is_done.len() as u64 - sound);
            }
            Way::LogGroup { group, stream } => {
                let records = waiting(&content, segment, LOG_EVENTS, is_done, tally);
                let mut start = 0;
                while start < records.len() {
                    let batch = LOG_EVENTS.batch(&records, start);
                    start = batch.end;
                    let batch = &records[batch];
                    let refused = log_group::put(&mut session, group, stream, batch).await?;
                    batch.iter().for_each(|record| is_done[record.index] = true);
                    tally.refused.add(refused);
                    tally.delivered.add((batch.len() as u64).saturating_sub(refused));
                }
            }
            Way::DeliveryStream { name } => {
                let records = waiting(&content, segment, FIREHOSE, is_done, tally);
                let mut start = 0;
                while start < records.len() {
                    let batch = FIREHOSE.batch(&records, start);
                    start = batch.end;
                    let outcome = firehose::put(&mut session, name, &records[batch], is_done).await;
                    tally.delivered.add(outcome.taken);
                    if let Some(failure) = outcome.failure {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The sound lines, compressed, and their number.
fn compress(content: &[u8]) -> (Vec<u8>, u64) {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 8), Compression::default());
    let mut sound = 0;
    for line in lines(content).filter(|line| is_sound(line)) {
        sound += 1;
        encoder.write_all(line).and_then(|()| encoder.write_all(b"\n")).expect("a Vec takes every write");
    }
    (encoder.finish().expect("a Vec takes every write"), sound)
}

/// The lines that are still to be brought, in the order of their time. What can never be is counted once.
fn waiting<'a>(
    content: &'a [u8],
    segment: &Segment,
    limits: Limits,
    is_done: &mut [bool],
    tally: &Tally,
) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    for ((index, line), is_done) in lines(content).enumerate().zip(is_done) {
        if *is_done {
            continue;
        }
        let text = std::str::from_utf8(line).ok().filter(|_| is_sound(line));
        let record = text.map(|text| Record { index, line: text, time: time(line).unwrap_or(segment.begun) });
        match record.filter(|record| limits.fits(record)) {
            Some(record) => records.push(record),
            None => {
                *is_done = true;
                tally.refused.add(1);
            }
        }
    }
    // Stable, so that a retry makes the same batches.
    records.sort_by_key(|record| record.time);
    records
}

#[cfg(test)]
mod tests;
