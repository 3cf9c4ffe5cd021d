//! Keys that another process hands out, for a while.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Environment, Held, LOOK_AGAIN, read};
use crate::connection::{Connection, Site};
use crate::failure::Failure;
use crate::service::{amazon_host, element};

/// AssumeRoleWithWebIdentity with the token in a file, as Kubernetes mounts it.
pub(super) async fn web_identity(environment: &Environment) -> Result<Option<Held>, Failure> {
    let (Some(path), Some(role)) =
        (environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN"))
    else {
        return Ok(None);
    };
    let token = std::fs::read_to_string(&path)
        .map_err(|error| Failure::because(format_args!("cannot read {path}"), &error))?;
    let session = environment.get("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "trellis".into());
    let site = match environment.get("AWS_ENDPOINT_URL_STS") {
        Some(url) => Site::of_url(&url).ok_or_else(|| Failure::new("AWS_ENDPOINT_URL_STS is no URL"))?,
        None => {
            let region = environment.get("AWS_REGION").unwrap_or_else(|| "us-east-1".into());
            Site::https(amazon_host("sts", &region))
        }
    };
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role),
            ("RoleSessionName", &session),
            ("WebIdentityToken", token.trim()),
        ])
        .finish();
    let form = (header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
    let path = format!("{}/", site.path);
    let answer = fetch(&site, Method::POST, &path, &[form], body).await?;
    let part = |name| element(&answer, name).map(str::to_owned);
    let keys = Keys {
        access_key_id: part("AccessKeyId").unwrap_or_default(),
        secret_access_key: part("SecretAccessKey").unwrap_or_default(),
        token: part("SessionToken"),
        expiration: part("Expiration"),
    };
    keys.hold("the answer of AssumeRoleWithWebIdentity").map(Some)
}

/// The agent of a container.
pub(super) async fn container(environment: &Environment) -> Result<Option<Held>, Failure> {
    let url = match (
        environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ) {
        (Some(path), _) => format!("http://169.254.170.2{path}"),
        (None, Some(url)) => url,
        (None, None) => return Ok(None),
    };
    let wrong = || Failure::new("AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL of this machine or of HTTPS");
    let (base, query) = url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
    let site = Site::of_url(base).ok_or_else(wrong)?;
    // Keys come back: they may cross no network in the clear. The last two are EKS Pod Identity's.
    let is_near = matches!(
        site.host.as_str(),
        "127.0.0.1" | "localhost" | "[::1]" | "169.254.170.2" | "169.254.170.23" | "[fd00:ec2::23]"
    );
    if !site.is_tls && !is_near {
        return Err(wrong());
    }
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(
            std::fs::read_to_string(&path)
                .map_err(|error| Failure::because(format_args!("cannot read {path}"), &error))?,
        ),
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let token = token.map(|token| token.trim().to_owned());
    let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    let path = query.map_or_else(|| site.path.clone(), |query| format!("{}?{query}", site.path));
    let answer = fetch(&site, Method::GET, &path, &headers, String::new()).await?;
    Keys::read(&answer)?.hold("the answer of the container's agent").map(Some)
}

/// The instance's metadata service; `None` where there is none.
pub(super) async fn instance(environment: &Environment) -> Option<Result<Held, Failure>> {
    if environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    let url = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let site = Site::of_url(url.as_deref().unwrap_or("http://169.254.169.254"))?;
    let life = ("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let token = fetch(&site, Method::PUT, "/latest/api/token", &[life], String::new()).await.ok()?;
    let token = [("x-aws-ec2-metadata-token", token.as_str())];
    let roles = "/latest/meta-data/iam/security-credentials/";
    let look = async {
        let role = fetch(&site, Method::GET, roles, &token, String::new()).await?;
        let path = format!("{roles}{}", role.lines().next().unwrap_or_default());
        Keys::read(&fetch(&site, Method::GET, &path, &token, String::new()).await?)?
            .hold("the instance's metadata")
    };
    Some(look.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Keys {
    fn read(text: &str) -> Result<Self, Failure> {
        // serde's message would show a part of the text.
        serde_json::from_str(text).map_err(|_| Failure::new("the credentials handed out do not read"))
    }

    fn hold(self, place: &str) -> Result<Held, Failure> {
        let credentials = read(place, &self.access_key_id, self.secret_access_key, self.token)?;
        let expiration = self.expiration.and_then(|text| text.parse::<Timestamp>().ok());
        let until = match expiration {
            Some(expiration) => expiration.saturating_sub(LOOK_AGAIN),
            None => Timestamp::now().saturating_add(LOOK_AGAIN),
        };
        Ok(Held { credentials, until: until.unwrap_or(Timestamp::UNIX_EPOCH) })
    }
}

/// One call without a signature; the answer's text.
async fn fetch(
    site: &Site,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<String, Failure> {
    let path = if path.is_empty() { "/" } else { path };
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, site.authority());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| Failure::new("the place of credentials is no URL"))?;
    let answer = Connection::open(site).await?.call(request).await?;
    if !answer.status.is_success() {
        let host = site.authority();
        return Err(Failure::new(format!("{host} was asked for credentials and answered {}", answer.status)));
    }
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
