//! The fields of an answer, as they go to a client that speaks HTTP/2.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::call::Call;
use crate::answer::REQUEST_ID;
use crate::http1::response::ResponseHead;
use crate::worker::Worker;

/// The fields a target's head has for the client. `None`: one cannot be said over HTTP/2.
pub(super) fn fields(head: &ResponseHead<'_, '_>) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(16);
    for (name, value) in head.fields() {
        fields.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(fields)
}

/// Trailer lines that were checked, as fields.
pub(super) fn trailers(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
        let Some((name, value)) = memchr::memchr(b':', line).map(|colon| line.split_at(colon)) else {
            continue;
        };
        let value = HeaderValue::from_bytes(value[1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            fields.append(name, value);
        }
    }
    fields
}

/// Adds what every answer has: the request's id and, where the target gave none, the date.
pub(super) fn add_own(worker: &Worker, call: &Call, fields: &mut HeaderMap) {
    let record = &call.record;
    fields.remove(REQUEST_ID);
    if let Ok(id) = HeaderValue::from_bytes(record.request_id.within(&call.text)) {
        fields.insert(REQUEST_ID, id);
    }
    if !fields.contains_key(header::DATE) {
        let at = record.answered.unwrap_or(record.started);
        if let Ok(date) = worker.clock.with_date(at, HeaderValue::from_bytes) {
            fields.insert(header::DATE, date);
        }
    }
}

/// The head of an answer.
pub(super) fn with_fields(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
