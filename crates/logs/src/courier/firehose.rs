//! PutRecordBatch, which may take some records and refuse others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::batch::Record;
use crate::failure::Failure;
use crate::service::Session;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordBatch<'a> {
    delivery_stream_name: &'a str,
    records: Vec<Data>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    /// Base64.
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    request_responses: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    error_code: Option<String>,
    error_message: Option<String>,
}

/// What became of a batch.
pub(super) struct Outcome {
    /// Records taken.
    pub(super) taken: u64,
    /// Why not all of them.
    pub(super) failure: Option<Failure>,
}

/// Puts one batch and marks what was taken of it.
pub(super) async fn put(
    session: &mut Session<'_>,
    stream: &str,
    batch: &[Record<'_>],
    is_done: &mut [bool],
) -> Outcome {
    let failed = |failure| Outcome { taken: 0, failure: Some(failure) };
    // With its end: Firehose puts records together as they are.
    let data = |record: &Record<'_>| Data { data: STANDARD.encode(format!("{}\n", record.line)) };
    let request = PutRecordBatch { delivery_stream_name: stream, records: batch.iter().map(data).collect() };
    let body = serde_json::to_vec(&request).expect("a plain struct of texts");
    let answer = match session.post("Firehose_20150804.PutRecordBatch", body.into()).await {
        Ok(answer) => answer,
        Err(failure) => return failed(failure),
    };
    let entries = match serde_json::from_slice::<Answer>(&answer) {
        Ok(answer) => answer.request_responses,
        Err(error) => return failed(Failure::because("the answer of PutRecordBatch does not read", &error)),
    };
    let mut outcome = Outcome { taken: 0, failure: None };
    for (record, entry) in batch.iter().zip(&entries) {
        match &entry.error_code {
            None => {
                is_done[record.index] = true;
                outcome.taken += 1;
            }
            Some(code) => {
                let message = entry.error_message.as_deref().unwrap_or("no message");
                outcome.failure.get_or_insert_with(|| Failure::answered(code, message));
            }
        }
    }
    if entries.len() < batch.len() {
        outcome.failure = Some(Failure::new("the answer of PutRecordBatch does not tell of every record"));
    }
    outcome
}
