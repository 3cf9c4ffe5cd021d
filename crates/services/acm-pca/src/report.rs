//! Audit reports: every certificate that an authority has issued, and what became of it, as a file.
//!
//! AWS writes an object into a bucket of the caller's. Here a folder of the installation takes it, in which there is a
//! folder for each account and each name of a bucket: [`Reports`]. Nothing of an account's names leaves its own folder.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trellis_api::Exception;
use trellis_frame::operation::BoxFuture;
use trellis_frame::{Context, Progress, Records, Refusal, Surroundings, Work};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::authority::{AUTHORITIES, Authority, Status};
use crate::certificate::{CERTIFICATES, Issued};
use crate::revocation::REVOKED;
use crate::{refuse, wire};

pub(crate) const KIND: &str = "report";
/// By authority and id.
pub(crate) const REPORTS: Records<Report> = Records::new("acm-pca", KIND);

/// Reports that are remembered of one authority.
const MAX_REPORTS: usize = 1000;
/// Certificates read at a time.
const STEP: usize = 256;

/// The folder that reports are written below. Given at the start; without it there are none.
#[derive(Debug, Clone)]
pub struct Reports(pub PathBuf);

impl Reports {
    fn path(&self, home: &Home, report: &Report) -> PathBuf {
        self.0.join(home.account.as_str()).join(&report.bucket).join(&report.key)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    status: Outcome,
    bucket: String,
    key: String,
    is_csv: bool,
    created_at: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Creating,
    Success,
    Failed,
}

/// "Bucket names must be between 3 and 63 characters long, consist only of lowercase letters, numbers, dots and hyphens,
/// begin and end with a letter or number, and must not contain two adjacent periods."
fn is_bucket(name: &str) -> bool {
    let is_end =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && is_end(name.as_bytes().first())
        && is_end(name.as_bytes().last())
        && !name.contains("..")
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateCertificateAuthorityAuditReportInput,
) -> Result<wire::CreateCertificateAuthorityAuditReportOutput, Refusal> {
    let authority = Authority::find_live(tx, &ctx.home(), &input.certificate_authority_arn)?;
    if ctx.surroundings.extension::<Reports>().is_none() {
        return Err(refuse("RequestFailedException", "this installation has no folder for audit reports"));
    }
    if !matches!(authority.status, Status::Active | Status::Disabled) {
        return Err(authority.wrong_state("is neither ACTIVE nor DISABLED and has nothing to report"));
    }
    if !is_bucket(&input.s3_bucket_name) {
        return Err(Refusal::invalid("S3BucketName", "is not the name of a bucket"));
    }
    if REPORTS.count_of(tx, &authority.home, &authority.id)? >= MAX_REPORTS {
        let message = format_args!("the authority has the limit of {MAX_REPORTS} audit reports");
        return Err(refuse("RequestFailedException", message));
    }
    let id = ctx.surroundings.random.uuid();
    let is_csv = input.audit_report_response_format == wire::AuditReportResponseFormat::Csv;
    let ending = if is_csv { "csv" } else { "json" };
    let key = format!("audit-report/{}/{id}.{ending}", authority.id);
    let report = Report {
        status: Outcome::Creating,
        bucket: input.s3_bucket_name.clone(),
        key: key.clone(),
        is_csv,
        created_at: ctx.now,
    };
    REPORTS.put_pending(tx, &authority.home, format_args!("{}/{id}", authority.id), &report)?;
    Ok(wire::CreateCertificateAuthorityAuditReportOutput { audit_report_id: Some(id), s3_key: Some(key) })
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeCertificateAuthorityAuditReportInput,
) -> Result<wire::DescribeCertificateAuthorityAuditReportOutput, Refusal> {
    let authority = Authority::find_live(state, &ctx.home(), &input.certificate_authority_arn)?;
    let id = format!("{}/{}", authority.id, input.audit_report_id);
    let Some(report) = REPORTS.get(state, &authority.home, id)? else {
        let message = format_args!("{} has no audit report {}", authority.arn(), input.audit_report_id);
        return Err(refuse("ResourceNotFoundException", message));
    };
    Ok(wire::DescribeCertificateAuthorityAuditReportOutput {
        audit_report_status: Some(match report.status {
            Outcome::Creating => wire::AuditReportStatus::Creating,
            Outcome::Success => wire::AuditReportStatus::Success,
            Outcome::Failed => wire::AuditReportStatus::Failed,
        }),
        s3_bucket_name: Some(report.bucket),
        s3_key: Some(report.key),
        created_at: Some(report.created_at),
    })
}

/// Writes the report, and what became of it.
pub(crate) fn advance(
    surroundings: Arc<Surroundings>,
    work: Work,
) -> BoxFuture<'static, Result<Progress, Refusal>> {
    Box::pin(async move {
        let mut state = surroundings.store.read()?;
        let Some(mut report) = REPORTS.get(&mut state, &work.home, &work.id)? else {
            return work.settle(&surroundings, |_| Ok(())).await;
        };
        let folder = surroundings.extension::<Reports>().cloned();
        let (home, authority) = (work.home.clone(), work.id.split('/').next().unwrap_or_default().to_owned());
        let asked = report.clone();
        let writing = tokio::task::spawn_blocking(move || match folder {
            Some(folder) => write(&mut state, &home, &authority, &asked, &folder.path(&home, &asked)),
            None => Err(io::Error::other("no folder for audit reports").into()),
        });
        let written = writing.await.map_err(|error| Exception::internal(error.to_string()))?;
        report.status = match written {
            Ok(()) => Outcome::Success,
            Err(Fault::Refusal(refusal)) => return Err(refusal),
            Err(Fault::Io(error)) => {
                tracing::error!(report = work.id, %error, "an audit report could not be written");
                Outcome::Failed
            }
        };
        let Work { home, id, .. } = work.clone();
        work.settle(&surroundings, move |tx| match REPORTS.get(tx, &home, &id)? {
            Some(_) => REPORTS.put(tx, &home, &id, &report),
            None => Ok(()),
        })
        .await
    })
}

enum Fault {
    Refusal(Refusal),
    Io(io::Error),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One line of a report. Members are named and ordered as AWS's are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    aws_account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by_service_principal: Option<String>,
    certificate_arn: String,
    serial: String,
    subject: String,
    not_before: Option<String>,
    not_after: String,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template_arn: Option<String>,
}

impl Line {
    fn of(state: &mut Reader, authority: &Authority, issued: Issued) -> Result<Self, Refusal> {
        let revoked =
            REVOKED.get(state, &authority.home, format_args!("{}/{}", authority.id, issued.serial))?;
        let octets: Vec<&str> =
            (0..issued.serial.len()).step_by(2).filter_map(|at| issued.serial.get(at..at + 2)).collect();
        Ok(Self {
            aws_account_id: authority.home.account.to_string(),
            requested_by_service_principal: issued.requested_by,
            certificate_arn: format!("{}/certificate/{}", authority.arn(), issued.serial),
            serial: octets.join(":"),
            subject: issued.subject,
            not_before: issued.not_before.map(|moment| moment.to_string()),
            not_after: issued.not_after.to_string(),
            issued_at: issued.issued_at.to_string(),
            revoked_at: revoked.as_ref().map(|revoked| revoked.at().to_string()),
            revocation_reason: revoked.map(|revoked| revoked.reason_name()),
            template_arn: issued.template,
        })
    }

    fn csv(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let fields = [
            self.aws_account_id.clone(),
            text(&self.requested_by_service_principal),
            self.certificate_arn.clone(),
            self.serial.clone(),
            self.subject.clone(),
            text(&self.not_before),
            self.not_after.clone(),
            self.issued_at.clone(),
            text(&self.revoked_at),
            self.revocation_reason.unwrap_or_default().to_owned(),
            text(&self.template_arn),
        ];
        // RFC 4180, 2: a name has commas.
        fields.map(|field| format!("\"{}\"", field.replace('"', "\"\""))).join(",")
    }
}

const HEADER: &str = "awsAccountId,requestedByServicePrincipal,certificateArn,serial,subject,notBefore,notAfter,issuedAt,\
                      revokedAt,revocationReason,templateArn";

/// Writes the report beside its place and then into it: who finds it finds all of it.
fn write(
    state: &mut Reader,
    home: &Home,
    authority: &str,
    report: &Report,
    path: &Path,
) -> Result<(), Fault> {
    let Some(authority) = AUTHORITIES.get(state, home, authority)? else { return Ok(()) };
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let beside = path.with_extension("part");
    let mut out = BufWriter::new(fs::File::create(&beside)?);
    out.write_all(if report.is_csv { HEADER.as_bytes() } else { b"[" })?;
    let prefix = CERTIFICATES.key(home, format_args!("{}/", authority.id));
    let (mut after, mut is_first): (Option<String>, bool) = (None, true);
    loop {
        let entries = state.scan(&prefix, after.as_deref(), STEP).map_err(Refusal::from)?;
        for entry in &entries {
            let line = Line::of(state, &authority, trellis_frame::record::decode(entry)?)?;
            if report.is_csv {
                write!(out, "\n{}", line.csv())?;
            } else {
                out.write_all(if is_first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            }
            is_first = false;
        }
        if entries.len() < STEP {
            break;
        }
        after = entries.last().map(|entry| entry.key.clone());
    }
    out.write_all(if report.is_csv { b"\n" } else { b"\n]\n" })?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(fs::rename(&beside, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_folder_and_leads_nowhere_else() {
        for name in ["abc", "my.bucket-1", "0-0"] {
            assert!(is_bucket(name), "{name}");
        }
        for name in
            ["ab", "..", "a..b", "../x", "a/b", ".ab", "ab.", "-ab", "Abc", "a b", "a\0b", &"a".repeat(64)]
        {
            assert!(!is_bucket(name), "{name}");
        }
    }
}
