//! What the issuers of clusters' tokens publish: nobody has to fetch it from where their URLs lead.

use trellis_frame::Refusal;
use trellis_store::Store;

use crate::cluster::every_cluster;

/// What an issuer publishes, as OpenID Connect Discovery says; `None` for a URL of no cluster here.
///
/// # Errors
/// A state that cannot be read.
pub fn issuer_document(store: &Store, url: &str) -> Result<Option<Vec<u8>>, Refusal> {
    const CONFIGURATION: &str = "/.well-known/openid-configuration";
    const KEYS: &str = "/keys";
    let document = [CONFIGURATION, KEYS].into_iter().find(|end| url.ends_with(end));
    let Some(document) = document.filter(|_| url.starts_with("https://oidc.eks.")) else { return Ok(None) };
    let issuer = &url[..url.len() - document.len()];
    let found = every_cluster(&mut store.read()?)?;
    let Some(cluster) = found.into_iter().find(|cluster| cluster.issuer() == issuer) else { return Ok(None) };
    Ok(match document {
        KEYS => cluster.running.map(|running| running.keys.into_bytes()),
        _ => Some(
            format!(
                r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}{KEYS}","authorization_endpoint":"urn:kubernetes:programmatic_authorization","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}}"#
            )
            .into_bytes(),
        ),
    })
}
