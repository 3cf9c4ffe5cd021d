//! Brings the lines of a segment to one destination.
//!
//! S3 takes a segment whole, under a name that depends on nothing but the segment: sent again it replaces
//! itself. CloudWatch Logs and Firehose take batches; what was taken is remembered while the process lives,
//! so that a retry sends only the rest, and is sent again after a restart: at least once, not exactly once.

mod firehose;
mod log_group;

use std::io::Write;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use flate2::Compression;
use flate2::write::GzEncoder;
use trellis_model::resource::lattice::{AccessLogSubscription, LogDestination, LogDestinationKind};

use crate::batch::{FIREHOSE, LOG_EVENTS, Limits, Record};
use crate::failure::Failure;
use crate::naming::{log_stream, object_key};
use crate::options::{Endpoint, Options};
use crate::record::{is_sound, time};
use crate::sdk::Sdk;
use crate::spool::{Segment, lines};
use crate::tally::Tally;

use self::firehose::DeliveryStream;
use self::log_group::LogStream;

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
    /// What is called, for an operator: a URL, or a service of Amazon's.
    place: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Bucket { client: aws_sdk_s3::Client, bucket: String, prefix: String },
    LogStream(LogStream),
    DeliveryStream(DeliveryStream),
}

impl Courier {
    pub(crate) fn new(
        options: &Options,
        sdk: &Sdk,
        subscription: Arc<AccessLogSubscription>,
        destination: &LogDestination,
    ) -> Result<Self, Failure> {
        let (kind, region) = match destination {
            LogDestination::Bucket { .. } => (LogDestinationKind::S3, &subscription.home.region),
            LogDestination::LogGroup { region, .. } => (LogDestinationKind::Logs, region),
            LogDestination::DeliveryStream { region, .. } => (LogDestinationKind::Firehose, region),
        };
        let url = match options.endpoint(kind) {
            Endpoint::Url(url) => Some(url.as_str()),
            Endpoint::Amazon => None,
            Endpoint::Files => {
                return Err(Failure::new(format!("there is no endpoint for {}", kind.as_str())));
            }
        };
        let place = url.map_or_else(|| format!("{} in {region}", kind.as_str()), str::to_owned);
        let config = sdk.config(region.as_str(), url);
        let way = match destination.clone() {
            LogDestination::Bucket { bucket, prefix } => {
                // Amazon has a name for each bucket; other servers want the bucket in the path.
                let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(url.is_some());
                Way::Bucket { client: aws_sdk_s3::Client::from_conf(config.build()), bucket, prefix }
            }
            LogDestination::LogGroup { name: group, .. } => {
                let client = aws_sdk_cloudwatchlogs::Client::new(&config);
                Way::LogStream(LogStream { client, group, name: log_stream(&subscription) })
            }
            LogDestination::DeliveryStream { name, .. } => {
                Way::DeliveryStream(DeliveryStream { client: aws_sdk_firehose::Client::new(&config), name })
            }
        };
        Ok(Self { subscription, place, way })
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
        let place = &self.place;
        match &self.way {
            Way::Bucket { client, bucket, prefix } => {
                let (object, sound) = compress(&content);
                if sound > 0 {
                    let key = object_key(&self.subscription, prefix, segment.begun, &content);
                    let put = client.put_object().bucket(bucket).key(key).content_type("application/gzip");
                    let sent = put.body(ByteStream::from(object)).send().await;
                    sent.map_err(|error| Failure::of_call(place, error))?;
                }
                tally.delivered.add(sound);
                tally.refused.add(is_done.len() as u64 - sound);
            }
            Way::LogStream(stream) => {
                let records = waiting(&content, segment, LOG_EVENTS, is_done, tally);
                let mut start = 0;
                while start < records.len() {
                    let batch = LOG_EVENTS.batch(&records, start);
                    start = batch.end;
                    let batch = &records[batch];
                    let refused = stream.put(place, batch).await?;
                    batch.iter().for_each(|record| is_done[record.index] = true);
                    tally.refused.add(refused);
                    tally.delivered.add((batch.len() as u64).saturating_sub(refused));
                }
            }
            Way::DeliveryStream(stream) => {
                let records = waiting(&content, segment, FIREHOSE, is_done, tally);
                let mut start = 0;
                while start < records.len() {
                    let batch = FIREHOSE.batch(&records, start);
                    start = batch.end;
                    let outcome = stream.put(place, &records[batch], is_done).await;
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
