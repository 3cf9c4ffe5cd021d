//! ListCertificates: filtered, in the order of creation, a page at a time.

use serde::Deserialize;
use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_ca::{Facts, KeyAlgorithm};
use trellis_frame::page::{from_token, to_token};
use trellis_frame::{Context, Refusal};
use trellis_model::moment::Moment;
use trellis_store::Reader;

use super::describe::{names, without_nulls};
use super::invalid;
use super::record::Certificate;

/// Items on a page when `MaxItems` is absent; also the most there may be.
const MAX_ITEMS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct List {
    #[serde(default)]
    certificate_statuses: Vec<String>,
    #[serde(default)]
    certificate_key_pair_origins: Vec<String>,
    #[serde(default)]
    includes: Filters,
    next_token: Option<String>,
    max_items: Option<usize>,
    sort_by: Option<String>,
    sort_order: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filters {
    #[serde(default)]
    extended_key_usage: Vec<String>,
    #[serde(default)]
    key_usage: Vec<String>,
    #[serde(default)]
    key_types: Vec<String>,
    export_option: Option<String>,
    managed_by: Option<String>,
}

impl List {
    fn wants(&self, certificate: &Certificate, now: Moment) -> bool {
        let among =
            |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|one| one == found);
        let Filters { extended_key_usage, key_usage, key_types, export_option, managed_by } = &self.includes;
        let facts = certificate.facts.as_ref();
        let key_algorithm = certificate.key_algorithm();
        // "Default filtering returns only RSA_1024 and RSA_2048 certificates with at least one domain."
        let is_default = key_algorithm == Some(KeyAlgorithm::Rsa2048) && !certificate.names().is_empty();
        let key_name = key_algorithm.map_or("", KeyAlgorithm::as_str);
        (if key_types.is_empty() { is_default } else { among(key_types, key_name) })
            && among(&self.certificate_statuses, certificate.status(now))
            && among(&self.certificate_key_pair_origins, certificate.key_pair_origin())
            && any_of(key_usage, &usages(facts))
            && any_of(extended_key_usage, &extended_usages(facts))
            && export_option.as_deref().is_none_or(|wanted| wanted == certificate.export_option())
            && managed_by.is_none()
    }
}

fn any_of(wanted: &[String], found: &[Value]) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| found.iter().any(|name| name == one.as_str()))
}

/// A certificate that does not limit its use is for everything.
fn usages(facts: Option<&Facts>) -> Vec<Value> {
    match facts.map_or(&[][..], |facts| &facts.key_usages) {
        [] => vec![json!("ANY")],
        usages => usages.iter().map(|usage| json!(usage)).collect(),
    }
}

fn extended_usages(facts: Option<&Facts>) -> Vec<Value> {
    match facts.map_or(&[][..], |facts| &facts.extended_key_usages) {
        [] => vec![json!("NONE")],
        usages => usages.iter().map(|usage| json!(usage.name)).collect(),
    }
}

pub(super) fn list(state: &mut Reader, ctx: &Context, input: &List) -> Result<Value, Refusal> {
    if input.sort_by.is_some() != input.sort_order.is_some() {
        let message = "SortBy and SortOrder are given together or not at all";
        return Err(Exception::plain("InvalidArgsException", 400, message).into());
    }
    let after = input.next_token.as_deref().map(position).transpose()?;
    let mut found = Certificate::all(state, &ctx.home())?;
    found.retain(|certificate| input.wants(certificate, ctx.now));
    found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    if input.sort_order.as_deref() == Some("DESCENDING") {
        found.reverse();
    }
    // The place after the certificate the last page ended with, whether that is still there or not.
    let start = after.map_or(0, |(at, id)| {
        let is_behind = |certificate: &Certificate| {
            let order = (certificate.created_at, certificate.id.as_str()).cmp(&(at, id.as_str()));
            if input.sort_order.as_deref() == Some("DESCENDING") { order.is_ge() } else { order.is_le() }
        };
        found.partition_point(is_behind)
    });
    let limit = input.max_items.unwrap_or(MAX_ITEMS).clamp(1, MAX_ITEMS);
    let page = &found[start..found.len().min(start + limit)];
    let next = page.last().filter(|_| start + limit < found.len()).map(token);
    let page: Result<Vec<_>, Refusal> =
        page.iter().map(|certificate| summary(state, ctx, certificate)).collect();
    Ok(without_nulls(json!({"CertificateSummaryList": page?, "NextToken": next})))
}

fn token(certificate: &Certificate) -> String {
    to_token(&format!("{} {}", certificate.created_at, certificate.id))
}

fn position(token: &str) -> Result<(Moment, String), Exception> {
    let read = || {
        let text = from_token(token)?;
        let (at, id) = text.split_once(' ')?;
        Some((at.parse::<jiff::Timestamp>().ok()?.into(), id.to_owned()))
    };
    read().ok_or_else(|| invalid("NextToken was not given by this operation"))
}

fn summary(state: &mut Reader, ctx: &Context, certificate: &Certificate) -> Result<Value, Refusal> {
    let facts = certificate.facts.as_ref();
    let names = names(certificate);
    let has_more = certificate.names().len() > names.len();
    let is_in_use = !certificate.users(state)?.is_empty();
    Ok(without_nulls(json!({
        "CertificateArn": certificate.arn(),
        "DomainName": certificate.domain_name(),
        "SubjectAlternativeNameSummaries": (!names.is_empty()).then_some(names),
        "HasAdditionalSubjectAlternativeNames": has_more,
        "Status": certificate.status(ctx.now),
        "Type": certificate.kind(),
        "KeyAlgorithm": certificate.key_algorithm(),
        "KeyUsages": usages(facts),
        "ExtendedKeyUsages": extended_usages(facts),
        "ExportOption": certificate.export_option(),
        "InUse": is_in_use,
        "Exported": certificate.requested.as_ref().is_some_and(|requested| requested.is_exported),
        "RenewalEligibility": certificate.renewal_eligibility(is_in_use),
        "NotBefore": facts.map(|facts| facts.not_before),
        "NotAfter": facts.map(|facts| facts.not_after),
        "CreatedAt": certificate.created_at,
        "IssuedAt": certificate.requested.as_ref().and_then(|requested| requested.issued_at),
        "ImportedAt": certificate.imported_at,
        "CertificateKeyPairOrigin": certificate.key_pair_origin(),
    })))
}
