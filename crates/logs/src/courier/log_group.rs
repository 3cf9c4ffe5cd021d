//! PutLogEvents, into a stream that is made when it is not there. The group is the user's to make.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::{InputLogEvent, RejectedLogEventsInfo};

use crate::batch::Record;
use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct LogStream {
    pub(super) client: Client,
    pub(super) group: String,
    pub(super) name: String,
}

impl LogStream {
    /// Puts one batch. `place` is for an operator. Gives how many events were too old or too new for the group.
    pub(super) async fn put(&self, place: &str, batch: &[Record<'_>]) -> Result<u64, Failure> {
        let refused = match self.put_events(place, batch).await {
            Err(failure) if failure.is("ResourceNotFoundException") => {
                self.make(place).await?;
                self.put_events(place, batch).await?
            }
            answered => answered?,
        };
        if refused > 0 {
            tracing::warn!(self.group, refused, "the log group takes no events that are so old or so new");
        }
        Ok(refused as u64)
    }

    async fn put_events(&self, place: &str, batch: &[Record<'_>]) -> Result<usize, Failure> {
        let event = |record: &Record<'_>| {
            let event = InputLogEvent::builder().timestamp(record.time.as_millisecond()).message(record.line);
            event.build().expect("an event has nothing but its time and its message")
        };
        let call = self.client.put_log_events().log_group_name(&self.group).log_stream_name(&self.name);
        let sent = call.set_log_events(Some(batch.iter().map(event).collect())).send().await;
        let answer = sent.map_err(|error| Failure::of_call(place, error))?;
        Ok(answer.rejected_log_events_info().map_or(0, |rejected| count(rejected, batch.len())))
    }

    async fn make(&self, place: &str) -> Result<(), Failure> {
        let call = self.client.create_log_stream().log_group_name(&self.group).log_stream_name(&self.name);
        match call.send().await.map_err(|error| Failure::of_call(place, error)) {
            Err(failure) if !failure.is("ResourceAlreadyExistsException") => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Events are in the order of their time, so both ends are enough.
fn count(rejected: &RejectedLogEventsInfo, of: usize) -> usize {
    let index = |index: Option<i32>| index.and_then(|index| usize::try_from(index).ok());
    let old =
        index(rejected.too_old_log_event_end_index()).max(index(rejected.expired_log_event_end_index()));
    let new = of.saturating_sub(index(rejected.too_new_log_event_start_index()).unwrap_or(of));
    (old.unwrap_or(0) + new).min(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_events_are_counted_from_both_ends() {
        for (too_old, expired, too_new, expected) in [
            (None, None, None, 0),
            (Some(2), None, None, 2),
            (Some(2), Some(3), None, 3),
            (Some(2), None, Some(9), 3),
            (Some(10), None, Some(0), 10),
            (Some(-1), None, Some(-1), 0),
        ] {
            let rejected = RejectedLogEventsInfo::builder()
                .set_too_old_log_event_end_index(too_old)
                .set_expired_log_event_end_index(expired)
                .set_too_new_log_event_start_index(too_new)
                .build();
            assert_eq!(count(&rejected, 10), expected, "{rejected:?}");
        }
    }
}
