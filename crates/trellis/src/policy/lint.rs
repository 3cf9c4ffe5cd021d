//! `trellis policy lint`: what auth policies say and nobody means.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use trellis_policy::lint;

use super::read;

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// Auth policies of services or service networks
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file of the principals there are, one ARN a line; without it that is not looked at
    #[arg(long, value_name = "FILE")]
    principals: Option<PathBuf>,
}

pub(super) fn run(args: &Lint, text: &mut String) -> anyhow::Result<ExitCode> {
    let principals = args.principals.as_ref().map(|path| {
        let list = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok::<_, anyhow::Error>(list.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
    });
    let principals = principals.transpose()?;
    let exists = principals.as_ref().map(|known| move |named: &str| is_among(named, known));
    let mut code = ExitCode::SUCCESS;
    for path in &args.files {
        let exists = exists.as_ref().map(|exists| exists as &dyn Fn(&str) -> bool);
        let findings = lint(&read(path)?, exists).with_context(|| path.display().to_string())?;
        for found in findings {
            let sid = found.sid.map(|sid| format!(" ({sid})")).unwrap_or_default();
            *text += &format!("{}: statement {}{sid}: {}\n", path.display(), found.statement, found.problem);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// An account is there where one of its principals is; a session where its role is.
fn is_among(named: &str, known: &[String]) -> bool {
    let account_of = |arn: &str| arn.split(':').nth(4).map(str::to_owned);
    let account = match named.strip_suffix(":root") {
        Some(_) => account_of(named),
        None => named.bytes().all(|byte| byte.is_ascii_digit()).then(|| named.to_owned()),
    };
    if let Some(account) = account {
        return known.iter().any(|arn| account_of(arn).as_ref() == Some(&account));
    }
    let session = named.split_once(":assumed-role/").and_then(|(before, rest)| {
        Some((before.split(':').nth(4)?.to_owned(), rest.split('/').next()?.to_owned()))
    });
    match session {
        Some((account, role)) => known.iter().any(|arn| {
            let name = arn.split_once(":role/").and_then(|(_, path)| path.rsplit('/').next());
            name == Some(&role) && account_of(arn).as_ref() == Some(&account)
        }),
        None => known.iter().any(|arn| arn == named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{place, run};

    #[test]
    fn findings_name_file_and_statement_and_are_an_exit_status() {
        let place = place();
        let (text, code) = run(place.path(), "trellis policy lint @service.json");
        assert_eq!((text.as_str(), code), ("", ExitCode::SUCCESS));
        fs::write(place.path().join("known"), "arn:aws:iam::111122223333:role/other\n").unwrap();
        let (text, code) = run(place.path(), "trellis policy lint @service.json --principals @known");
        assert!(text.contains("service.json: statement 1 (Team): there is no principal"), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }

    #[test]
    fn a_principal_is_there_as_itself_as_an_account_or_as_a_session_of_a_role() {
        let known = ["arn:aws:iam::111122223333:role/apps/app".to_owned()];
        for (named, there) in [
            ("111122223333", true),
            ("arn:aws:iam::111122223333:root", true),
            ("222233334444", false),
            ("arn:aws:iam::111122223333:role/apps/app", true),
            ("arn:aws:iam::111122223333:role/app", false),
            ("arn:aws:sts::111122223333:assumed-role/app/any", true),
            ("arn:aws:sts::111122223333:assumed-role/gone/any", false),
        ] {
            assert_eq!(is_among(named, &known), there, "{named}");
        }
    }
}
