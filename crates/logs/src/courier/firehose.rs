//! PutRecordBatch, which may take some records and refuse others.

use aws_sdk_firehose::Client;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types;

use crate::batch::Record;
use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct DeliveryStream {
    pub(super) client: Client,
    pub(super) name: String,
}

/// What became of a batch.
pub(super) struct Outcome {
    /// Records taken.
    pub(super) taken: u64,
    /// Why not all of them.
    pub(super) failure: Option<Failure>,
}

impl DeliveryStream {
    /// Puts one batch and marks what was taken of it. `place` is for an operator.
    pub(super) async fn put(&self, place: &str, batch: &[Record<'_>], is_done: &mut [bool]) -> Outcome {
        // With its end: Firehose puts records together as they are.
        let record = |record: &Record<'_>| {
            let data = Blob::new(format!("{}\n", record.line));
            types::Record::builder().data(data).build().expect("a record has nothing but its data")
        };
        let records = batch.iter().map(record).collect();
        let call = self.client.put_record_batch().delivery_stream_name(&self.name).set_records(Some(records));
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return Outcome { taken: 0, failure: Some(Failure::of_call(place, error)) },
        };
        let entries = answer.request_responses();
        let mut outcome = Outcome { taken: 0, failure: None };
        for (record, entry) in batch.iter().zip(entries) {
            match entry.error_code() {
                None => {
                    is_done[record.index] = true;
                    outcome.taken += 1;
                }
                Some(code) => {
                    let message = entry.error_message().unwrap_or("no message");
                    outcome.failure.get_or_insert_with(|| Failure::answered(code, message));
                }
            }
        }
        if entries.len() < batch.len() {
            outcome.failure =
                Some(Failure::new("the answer of PutRecordBatch does not tell of every record"));
        }
        outcome
    }
}
