//! Decodes requests of the services that the files given describe: JSON lines in, JSON lines out.
//!
//! In: `{"service", "method", "path", "query", "headers": {name: value}, "body": text}`. Out:
//! `{"operation", "protocol", "input"}` or `{"error": {"code", "status", "message", "members"}}`.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use trellis_api::{Incoming, Schema, decode};

mod described;

fn main() -> Result<()> {
    let schema = described::schema()?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&schema, &serde_json::from_str(&line?)?)?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(schema: &Schema, request: &Value) -> Result<Value> {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let service = schema.by_signing_name(text("service")).context("no such service")?;
    let method = Method::from_bytes(text("method").as_bytes())?;
    let mut headers = HeaderMap::new();
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().context("a header is text")?)?;
        headers.append(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    let incoming = Incoming {
        method: &method,
        raw_path: text("path"),
        raw_query: text("query"),
        headers: &headers,
        body: text("body").as_bytes(),
    };
    Ok(match decode(service, &incoming) {
        Ok(decoded) => json!({
            "operation": decoded.operation.name,
            "protocol": decoded.protocol.as_str(),
            "input": decoded.input,
        }),
        Err(exception) => json!({"error": {
            "code": exception.code,
            "status": exception.status,
            "message": exception.message,
            "members": exception.members,
        }}),
    })
}
