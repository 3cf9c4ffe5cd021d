//! A line of an access log, and what it tells of the request.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Deserialize;
use trellis_policy::{Access, Caller, CallerKind, ConditionKey, Context, Layer, Organization, plain_path};

use crate::policy::{CONNECT, INVOKE, caller};

/// What a field of the log holds at most: a longer text was cut.
const MAX_LOGGED: usize = 2048;

/// The members of a line that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    start_time: Option<String>,
    event_timestamp: Option<String>,
    request_method: Option<String>,
    request_path: Option<String>,
    user_agent: Option<String>,
    source_ip_port: Option<String>,
    source_vpc_id: Option<String>,
    source_vpc_arn: Option<String>,
    service_network_arn: Option<String>,
    service_arn: Option<String>,
    listener_type: Option<String>,
    tls_version: Option<String>,
    resolved_user: Option<String>,
    auth_denied_reason: Option<String>,
    #[serde(rename = "callerPrincipalOrgID")]
    caller_principal_org_id: Option<String>,
    caller_principal_tags: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    Allowed,
    Denied(Layer),
    /// It was signed, and the signature did not hold: no policy was asked.
    Unproven,
}

/// A request of the log that policies may be asked about.
pub(super) struct Request {
    pub(super) recorded: Recorded,
    pub(super) caller: Caller,
    /// The path of a session's role is among the principals that were given.
    role_is_known: bool,
    pub(super) service: String,
    pub(super) network: String,
    /// `None` of a connection that was passed through.
    pub(super) method: Option<String>,
    /// Without the query.
    pub(super) path: String,
    query: Option<String>,
    /// Path or query are longer than logs have them.
    pub(super) is_cut: bool,
    user_agent: Option<String>,
    source: Option<String>,
    vpc: Option<String>,
    vpc_owner: Option<String>,
    secure: bool,
    started: Timestamp,
}

pub(super) enum Line {
    Request(Box<Request>),
    /// A connection to a resource, or a request that no service was found for or that was not understood.
    NoRequest,
    Malformed,
}

/// What does not apply is `-`; documents of AWS have null.
fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !matches!(text.as_str(), "" | "-" | "null"))
}

impl Line {
    /// `role` finds the ARN of a session's role.
    pub(super) fn parse(line: &[u8], role: &dyn Fn(&str) -> Option<String>) -> Self {
        let Ok(text) = serde_json::from_slice::<Text>(line) else { return Self::Malformed };
        if text.event_timestamp.is_some() {
            return Self::NoRequest;
        }
        let Some(started) = text.start_time.as_ref().and_then(|at| at.parse().ok()) else {
            return Self::Malformed;
        };
        let (Some(service), Some(network)) = (said(text.service_arn), said(text.service_network_arn)) else {
            return Self::NoRequest;
        };
        let method = said(text.request_method);
        let passed_through = text.listener_type.as_deref() == Some("TLS_PASSTHROUGH");
        if method.is_none() && !passed_through {
            return Self::NoRequest;
        }
        let user = said(text.resolved_user).unwrap_or_else(|| "Anonymous".to_owned());
        let recorded = match said(text.auth_denied_reason).as_deref() {
            None if user == "Unknown" => Recorded::Unproven,
            None => Recorded::Allowed,
            Some("Network") => Recorded::Denied(Layer::Network),
            Some("Service") => Recorded::Denied(Layer::Service),
            Some("Identity") => Recorded::Denied(Layer::Identity),
            Some(_) => return Self::Malformed,
        };
        let role = role(&user);
        let caller = match user.as_str() {
            "Anonymous" | "Unknown" => Caller::anonymous(),
            arn => match caller::named(arn, role.as_deref()) {
                Ok(caller) => caller,
                Err(_) => return Self::Malformed,
            },
        };
        let tags = said(text.caller_principal_tags).unwrap_or_else(|| "{}".to_owned());
        let Ok(tags) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(&tags) else {
            return Self::Malformed;
        };
        let mut caller = caller.with_tags(tags);
        if let Some(id) = said(text.caller_principal_org_id) {
            caller = caller.with_organization(Organization { id, paths: Vec::new() });
        }
        let path = said(text.request_path).unwrap_or_default();
        let is_cut = path.len() >= MAX_LOGGED;
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (path, None),
        };
        let source = said(text.source_ip_port).and_then(|source| source.parse::<SocketAddr>().ok());
        Self::Request(Box::new(Request {
            recorded,
            caller,
            role_is_known: role.is_some(),
            service,
            network,
            method,
            path,
            query,
            is_cut,
            user_agent: said(text.user_agent),
            source: source.map(|source| source.ip().to_canonical().to_string()),
            vpc: said(text.source_vpc_id),
            vpc_owner: said(text.source_vpc_arn).and_then(|arn| arn.split(':').nth(4).map(str::to_owned)),
            secure: said(text.tls_version).is_some() || passed_through,
            started,
        }))
    }
}

impl Request {
    /// Asks about each way in which the path may be read, as the proxy does; all of them must be allowed.
    pub(super) fn each_access(&self, mut ask: impl FnMut(&Access<'_>)) {
        let plain = self.method.as_ref().and_then(|_| plain_path(&self.path));
        for path in std::iter::once(self.path.as_str()).chain(plain.as_deref()) {
            let action = if self.method.is_some() { INVOKE } else { CONNECT };
            let slash = if self.method.is_none() || path.starts_with('/') { "" } else { "/" };
            let resource = format!("{}{slash}{path}", self.service);
            let facts = Facts { request: self, path };
            ask(&Access { caller: &self.caller, action, resource: &resource, context: &facts });
        }
    }

    fn agent_is_cut(&self) -> bool {
        self.user_agent.as_ref().is_some_and(|agent| agent.len() >= MAX_LOGGED)
    }

    /// The name of a key that the request may have had and the log does not tell.
    pub(super) fn untold(&self, key: &ConditionKey) -> Option<String> {
        let kind = self.caller.kind();
        let signed = kind != CallerKind::Anonymous;
        let is_http = self.method.is_some();
        let missing = match (key.name(), key.argument()) {
            ("vpc-lattice-svcs:port", None) => "vpc-lattice-svcs:Port",
            ("vpc-lattice-svcs:requestheader", Some(name)) if name.eq_ignore_ascii_case("user-agent") => {
                return self.agent_is_cut().then(|| "the whole User-Agent".to_owned());
            }
            ("vpc-lattice-svcs:requestheader", Some(_)) if is_http => "vpc-lattice-svcs:RequestHeader",
            ("vpc-lattice-svcs:requestquerystring", Some(_)) if is_http && self.query.is_none() => {
                "vpc-lattice-svcs:RequestQueryString"
            }
            ("aws:useragent", None) if self.agent_is_cut() => "the whole User-Agent",
            ("aws:referer", None) if is_http => "aws:Referer",
            ("aws:sourceip", None) if self.source.is_none() => "aws:SourceIp",
            ("aws:resourcetag", Some(_)) => "aws:ResourceTag",
            ("aws:resourceorgid", None) => "aws:ResourceOrgID",
            ("aws:resourceorgpaths", None) => "aws:ResourceOrgPaths",
            ("aws:principalorgpaths", None) if self.caller.organization().is_some() => {
                "aws:PrincipalOrgPaths"
            }
            ("aws:principalarn", None) if kind == CallerKind::Session && !self.role_is_known => {
                return Some("the path of the caller's role (--principals tells it)".to_owned());
            }
            ("aws:userid", None) if matches!(kind, CallerKind::User | CallerKind::Session) => "aws:userid",
            ("aws:sourceidentity", None) if signed => "aws:SourceIdentity",
            ("aws:tokenissuetime", None) if signed => "aws:TokenIssueTime",
            ("aws:federatedprovider", None) if kind == CallerKind::Session => "aws:FederatedProvider",
            _ => return None,
        };
        Some(match key.argument() {
            Some(argument) => format!("{missing}/{argument}"),
            None => missing.to_owned(),
        })
    }
}

/// What the log tells; whether it tells all is [`Request::untold`].
struct Facts<'a> {
    request: &'a Request,
    /// As it is read this time.
    path: &'a str,
}

impl Context for Facts<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let request = self.request;
        let mut tell = |value: Option<&str>| value.into_iter().for_each(&mut *visit);
        match (key.name(), key.argument()) {
            ("vpc-lattice-svcs:servicenetworkarn", None) => tell(Some(&request.network)),
            ("vpc-lattice-svcs:servicearn", None) => tell(Some(&request.service)),
            ("vpc-lattice-svcs:sourcevpc" | "aws:sourcevpc", None) => tell(request.vpc.as_deref()),
            ("vpc-lattice-svcs:sourcevpcowneraccount", None) => tell(request.vpc_owner.as_deref()),
            ("vpc-lattice-svcs:requestmethod", None) => tell(request.method.as_deref()),
            ("vpc-lattice-svcs:requestpath", None) if request.method.is_some() => tell(Some(self.path)),
            ("vpc-lattice-svcs:requestheader", Some(name)) if name.eq_ignore_ascii_case("user-agent") => {
                tell(request.user_agent.as_deref());
            }
            ("vpc-lattice-svcs:requestquerystring", Some(name)) => {
                let query = request.query.as_deref().unwrap_or_default();
                let pairs = form_urlencoded::parse(query.as_bytes());
                pairs.filter(|(found, _)| found == name).for_each(|(_, value)| tell(Some(&value)));
            }
            ("aws:useragent", None) => tell(request.user_agent.as_deref()),
            ("aws:sourceip", None) => tell(request.source.as_deref()),
            ("aws:resourceaccount", None) => tell(request.service.split(':').nth(4)),
            ("aws:securetransport", None) => tell(Some(if request.secure { "true" } else { "false" })),
            ("aws:currenttime", None) => tell(Some(&request.started.to_string())),
            ("aws:epochtime", None) => tell(Some(&request.started.as_second().to_string())),
            _ => {}
        }
    }
}
