//! PutLogEvents, into a stream that is made when it is not there. The group is the user's to make.

use serde::{Deserialize, Serialize};

use crate::batch::Record;
use crate::failure::Failure;
use crate::service::Session;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutLogEvents<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
    log_events: Vec<Event<'a>>,
}

#[derive(Serialize)]
struct Event<'a> {
    /// Milliseconds since 1970.
    timestamp: i64,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateLogStream<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    rejected_log_events_info: Option<Rejected>,
}

/// Events are in the order of their time, so both ends are enough.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Rejected {
    too_new_log_event_start_index: Option<usize>,
    too_old_log_event_end_index: Option<usize>,
    expired_log_event_end_index: Option<usize>,
}

impl Rejected {
    fn count(&self, of: usize) -> usize {
        let old = self.too_old_log_event_end_index.max(self.expired_log_event_end_index).unwrap_or(0);
        let new = of.saturating_sub(self.too_new_log_event_start_index.unwrap_or(of));
        (old + new).min(of)
    }
}

/// Gives how many events were too old or too new for the group.
pub(super) async fn put(
    session: &mut Session<'_>,
    group: &str,
    stream: &str,
    batch: &[Record<'_>],
) -> Result<u64, Failure> {
    let events = batch
        .iter()
        .map(|record| Event { timestamp: record.time.as_millisecond(), message: record.line })
        .collect();
    let body = to_json(&PutLogEvents { log_group_name: group, log_stream_name: stream, log_events: events });
    let mut answer = session.post("Logs_20140328.PutLogEvents", body.clone().into()).await;
    if answer.as_ref().is_err_and(|failure| failure.is("ResourceNotFoundException")) {
        let stream = to_json(&CreateLogStream { log_group_name: group, log_stream_name: stream });
        match session.post("Logs_20140328.CreateLogStream", stream.into()).await {
            Ok(_) => {}
            Err(failure) if failure.is("ResourceAlreadyExistsException") => {}
            Err(failure) => return Err(failure),
        }
        answer = session.post("Logs_20140328.PutLogEvents", body.into()).await;
    }
    let answer: Answer = serde_json::from_slice(&answer?)
        .map_err(|error| Failure::because("the answer of PutLogEvents does not read", &error))?;
    let refused = answer.rejected_log_events_info.map_or(0, |rejected| rejected.count(batch.len()));
    if refused > 0 {
        tracing::warn!(group, refused, "the log group takes no events that are so old or so new");
    }
    Ok(refused as u64)
}

fn to_json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("a plain struct of texts and numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_events_are_counted_from_both_ends() {
        for (text, expected) in [
            ("{}", 0),
            (r#"{"tooOldLogEventEndIndex":2}"#, 2),
            (r#"{"expiredLogEventEndIndex":3,"tooOldLogEventEndIndex":2}"#, 3),
            (r#"{"tooNewLogEventStartIndex":9,"tooOldLogEventEndIndex":2}"#, 3),
            (r#"{"tooNewLogEventStartIndex":0,"tooOldLogEventEndIndex":10}"#, 10),
        ] {
            assert_eq!(serde_json::from_str::<Rejected>(text).unwrap().count(10), expected, "{text}");
        }
    }
}
