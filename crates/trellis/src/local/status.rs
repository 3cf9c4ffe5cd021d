//! `trellis status`.

use std::process::ExitCode;

use anyhow::bail;

use super::client::{print, table};
use super::{Answer, Ask, Connection};
use crate::cli;
use crate::data_dir::Layout;

/// Prints what each part of the running instance is up to; fails when one does not do its work.
pub(crate) fn status(args: &cli::Status) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Layout::at(&args.data_dir.data_dir)?)?;
    let Answer::Status { parts } = connection.ask(&Ask::Status)? else {
        bail!("the instance speaks another version of Trellis")
    };
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&parts)?))?;
    } else {
        let rows = parts.iter().map(|part| {
            let state = if part.healthy { "ok" } else { "FAILING" };
            [part.name.clone(), state.to_owned(), part.detail.clone()]
        });
        print(&table(["PART", "STATE", "DETAIL"], rows))?;
    }
    let healthy = parts.iter().all(|part| part.healthy);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
