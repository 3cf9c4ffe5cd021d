//! Encodes answers of the services that the files given describe: JSON lines in, JSON lines out.
//!
//! In: `{"service", "operation", "output": {...}}`, or with `"error": {"code", "status", "message",
//! "members", "headers"}` in place of the output. Out: `{"status", "headers": {name: value}, "body"}`,
//! with `"problems"` listing what of the output the description does not allow.

use std::borrow::Cow;
use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use trellis_api::{Exception, Schema, encode, encode_error, validate};

const REQUEST_ID: &str = "0f1e2d3c-4b5a-4678-9a0b-c1d2e3f40516";

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

fn answer(schema: &Schema, order: &Value) -> Result<Value> {
    let text = |name: &str| order[name].as_str().unwrap_or_default();
    let service = schema.by_signing_name(text("service")).context("no such service")?;
    let operation = service.operation(text("operation")).context("no such operation")?;
    let (response, problems) = match &order["error"] {
        Value::Null => {
            let output = &order["output"];
            let response = encode(service, service.protocol, operation, output, REQUEST_ID);
            (response, validate::output(service, operation, output))
        }
        error => {
            let exception = exception(error).context("an error has code, status and message")?;
            (encode_error(Some(service), service.protocol, &exception, REQUEST_ID), Vec::new())
        }
    };
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap_or_default())))
        .collect();
    Ok(json!({
        "status": response.status().as_u16(),
        "headers": headers,
        "body": String::from_utf8_lossy(response.body()),
        "problems": problems,
    }))
}

fn exception(error: &Value) -> Option<Exception> {
    let status = u16::try_from(error["status"].as_u64()?).ok()?;
    let mut exception = Exception {
        code: Cow::Owned(error["code"].as_str()?.to_owned()),
        status,
        message: error["message"].as_str()?.to_owned(),
        members: Box::new(error["members"].as_object().cloned().unwrap_or_default()),
        headers: Vec::new(),
    };
    if let Some(seconds) = error["retry_after"].as_u64() {
        exception = exception.retry_after(u32::try_from(seconds).ok()?);
    }
    Some(exception)
}
