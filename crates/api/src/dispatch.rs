//! Which service a request is for: one port serves them all.
//!
//! The order is the signature's scope, then a presigned credential, then `X-Amz-Target`, then an
//! action that is never signed, then the host name. Never the path: `/tags/{arn}` and `POST /`
//! belong to several services.

use http::Method;

use crate::auth_failure::{AuthFailure, auth_failure};
use crate::codec::Incoming;
use crate::exception::Exception;
use crate::schema::{Protocol, Schema, Service};

mod looks;
mod unserved;

/// Host names after `<service>[.<region>]`.
const HOST_SUFFIXES: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];

/// What told the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The scope in the `Authorization` header.
    Signature,
    /// The scope in `X-Amz-Credential` of the query string.
    Presigned,
    /// The prefix of `X-Amz-Target`; the request is not signed.
    Target,
    /// An action that needs no signature.
    UnsignedAction,
    /// The host name; the request is not signed.
    Host,
}

/// The service a request is for.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    pub service: &'static Service,
    /// From the scope or the host name; `None` where neither names one.
    pub region: Option<&'a str>,
    pub source: Source,
}

/// Finds the service.
///
/// # Errors
/// The family's word for a missing token when nothing names a service, and for a wrong signature
/// when the scope names one that is not served here; encode it with [`guess_protocol`].
pub fn route<'a>(schema: &Schema, incoming: &Incoming<'a>) -> Result<Route<'a>, Exception> {
    let signed = scope(incoming).map_err(|Unreadable| {
        let message = "The signature's credential must be KEY/DATE/REGION/SERVICE/aws4_request.".to_owned();
        auth_failure(AuthFailure::Incomplete, guess_protocol(schema, incoming), Some(message))
    })?;
    if let Some((scope, source)) = signed {
        return match schema.by_signing_name(scope.service) {
            Some(service) => Ok(Route { service, region: scope.region, source }),
            None => {
                let services = schema.services().iter();
                let served: Vec<&str> = services.map(|service| service.signing_name.as_str()).collect();
                let named: String = scope.service.chars().take(64).collect();
                let message = format!(
                    "Credential is scoped to service '{named}', which is not served here. Served: {}.",
                    served.join(", ")
                );
                Err(auth_failure(AuthFailure::BadSignature, guess_protocol(schema, incoming), Some(message)))
            }
        };
    }
    let target = incoming.header("x-amz-target").and_then(|target| target.split_once('.'));
    if let Some(service) = target.and_then(|(prefix, _)| schema.by_target_prefix(prefix)) {
        return Ok(Route { service, region: None, source: Source::Target });
    }
    if let Some(service) =
        form_value(incoming, "Action").and_then(|action| schema.by_unsigned_operation(&action))
    {
        return Ok(Route { service, region: None, source: Source::UnsignedAction });
    }
    if let Some((prefix, region)) = incoming.header("host").and_then(host_names)
        && let Some(service) = schema.by_endpoint_prefix(prefix)
    {
        return Ok(Route { service, region, source: Source::Host });
    }
    Err(auth_failure(AuthFailure::MissingToken, guess_protocol(schema, incoming), None))
}

/// The protocol to answer in before the service is known, or where it is not served: from the target,
/// else from the service that scope, host name or SDK name, else from the looks of the request.
pub fn guess_protocol(schema: &Schema, incoming: &Incoming<'_>) -> Protocol {
    let media_type = incoming.media_type();
    if incoming.headers.contains_key("x-amz-target") || media_type.starts_with("application/x-amz-json-") {
        return if media_type == "application/x-amz-json-1.0" { Protocol::Json10 } else { Protocol::Json11 };
    }
    let scoped = scope(incoming).ok().flatten().map(|(scope, _)| scope.service);
    let of_scope = |name| match schema.by_signing_name(name) {
        Some(service) => Some(service.protocol),
        None => unserved::protocol(name),
    };
    let of_host = || {
        let (prefix, _) = host_names(incoming.header("host")?)?;
        match schema.by_endpoint_prefix(prefix) {
            Some(service) => Some(service.protocol),
            None => unserved::protocol(prefix),
        }
    };
    let named = looks::named(incoming);
    let of_sdk = |name: &str| {
        let served = schema.services().iter().find(|service| looks::plain(&service.id) == name);
        served.map(|service| service.protocol).or_else(|| unserved::protocol(name))
    };
    let told = scoped.and_then(of_scope).or_else(of_host);
    if let Some(protocol) = told.or_else(|| of_sdk(named.as_deref()?)) {
        return protocol;
    }
    let is_anonymous = scoped.is_none() && named.is_none();
    match form_value(incoming, "Action") {
        Some(_) if form_value(incoming, "Version").as_deref() == Some(unserved::EC2_VERSION) => Protocol::Ec2,
        Some(_) => Protocol::Query,
        None if media_type == "application/x-www-form-urlencoded" => Protocol::Query,
        None if unserved::is_rest_xml_path(incoming.raw_path) => Protocol::RestXml,
        None if is_anonymous && looks::is_of_s3(incoming) => Protocol::S3,
        None if media_type.ends_with("/xml") => Protocol::RestXml,
        None if is_anonymous && looks::may_be_of_s3(schema, incoming) => Protocol::S3,
        None => Protocol::RestJson,
    }
}

/// The parts of a credential scope that say who is asked, `date` and key left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scope<'a> {
    /// Absent in SigV4A.
    region: Option<&'a str>,
    service: &'a str,
}

/// A signature is there, but its credential cannot be read.
struct Unreadable;

fn scope<'a>(incoming: &Incoming<'a>) -> Result<Option<(Scope<'a>, Source)>, Unreadable> {
    // Another scheme, such as `Bearer`, is no signature.
    let header = incoming.header("authorization").and_then(|header| header.strip_prefix("AWS4-"));
    if let Some(header) = header {
        let (_, parameters) = header.split_once(' ').ok_or(Unreadable)?;
        let credential = parameters
            .split(',')
            .find_map(|part| part.trim().strip_prefix("Credential="))
            .ok_or(Unreadable)?;
        let scope = parse_scope(credential, "/").ok_or(Unreadable)?;
        return Ok(Some((scope, Source::Signature)));
    }
    let mut pairs = incoming.raw_query.split('&');
    let Some(credential) = pairs.find_map(|pair| pair.strip_prefix("X-Amz-Credential=")) else {
        return Ok(None);
    };
    let separator = ["/", "%2F", "%2f"].into_iter().find(|separator| credential.contains(separator));
    let scope = separator.and_then(|separator| parse_scope(credential, separator)).ok_or(Unreadable)?;
    Ok(Some((scope, Source::Presigned)))
}

/// `AKID/20260102/us-east-1/ec2/aws4_request`, read from its end: the key id is the caller's choice.
fn parse_scope<'a>(credential: &'a str, separator: &str) -> Option<Scope<'a>> {
    let mut parts = credential.trim().rsplit(separator);
    if parts.next()? != "aws4_request" {
        return None;
    }
    let service = parts.next()?;
    let region = parts.next()?;
    // SigV4A has the date where SigV4 has the region.
    let dated = region.len() == 8 && region.bytes().all(|byte| byte.is_ascii_digit());
    Some(Scope { region: (!dated).then_some(region), service })
}

/// The service's prefix and the region of `vpc-lattice.us-east-1.amazonaws.com` or `sts.amazonaws.com`,
/// with or without a port.
fn host_names(host: &str) -> Option<(&str, Option<&str>)> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let stem = HOST_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    let (prefix, region) = match stem.split_once('.') {
        Some((prefix, region)) => (prefix, Some(region)),
        None => (stem, None),
    };
    (!region.is_some_and(|region| region.contains('.'))).then_some((prefix, region))
}

/// One parameter of a form, in the query string or in a posted body of a bearable size.
fn form_value(incoming: &Incoming<'_>, name: &str) -> Option<String> {
    const MAX_SEARCHED: usize = 64 * 1024;
    let find = |text: &[u8]| {
        form_urlencoded::parse(text).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    find(incoming.raw_query.as_bytes()).or_else(|| {
        let form =
            *incoming.method == Method::POST && incoming.media_type() == "application/x-www-form-urlencoded";
        if form { find(&incoming.body[..incoming.body.len().min(MAX_SEARCHED)]) } else { None }
    })
}

#[cfg(test)]
mod tests;
