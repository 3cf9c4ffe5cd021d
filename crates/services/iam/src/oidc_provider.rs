//! OpenID Connect providers: whose tokens may be changed for a role's credentials.

use trellis_frame::{Context, Kind, Quota, Records, Refusal, tags as all_tags};
use trellis_model::resource::iam::{self, OidcProvider};
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Reader, Transaction};

use crate::entity::home;
use crate::{fault, tags, wire};

pub(crate) const PROVIDERS: Quota = Quota::new("iam", "L-858F3967", 100, "OpenIdConnectProvidersPerAccount");

const KIND: Kind = Kind::new("OpenIDConnect Provider", "OIDC_PROVIDER");

const RECORDS: Records<OidcProvider> = Records::new(iam::SERVICE, iam::OIDC_PROVIDER);

/// Audiences of one provider.
const CLIENT_IDS: usize = 100;
/// Thumbprints of one provider.
const THUMBPRINTS: usize = 5;

/// # Errors
/// `NoSuchEntity`.
pub(crate) fn find(state: &mut impl Read, home: &Home, arn: &str) -> Result<OidcProvider, Refusal> {
    let beginning = iam::arn(&home.account, iam::OIDC_PROVIDER, "/", "");
    let found = match arn.strip_prefix(&beginning) {
        Some(url) if !url.is_empty() => RECORDS.get(state, home, url)?,
        _ => None,
    };
    found.ok_or_else(|| fault::missing(format_args!("OpenIDConnect Provider not found for arn {arn}")))
}

fn put(tx: &mut Transaction<'_>, home: &Home, provider: &OidcProvider) -> Result<(), Refusal> {
    RECORDS.put(tx, home, &provider.url, provider)
}

/// Host and path of an issuer's URL.
///
/// # Errors
/// What cannot be an issuer: no `https`, a query, a fragment, credentials.
fn issuer(url: &str) -> Result<String, Refusal> {
    let refused = |why: &str| fault::invalid(format_args!("Url: {why}"));
    let rest = url.strip_prefix("https://").ok_or_else(|| refused("expected https://host[/path]"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%:@".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) || !path.bytes().all(is_path) || rest.contains("//") {
        return Err(refused("expected https://host[/path] without a query, a fragment or credentials"));
    }
    Ok(rest.to_owned())
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), Refusal> {
    if thumbprints.len() > THUMBPRINTS {
        return Err(fault::invalid(format_args!(
            "Thumbprint list must contain at most {THUMBPRINTS} entries."
        )));
    }
    let is_hex = |text: &String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if thumbprints.iter().all(is_hex) {
        Ok(())
    } else {
        Err(fault::invalid("ThumbprintList: expected 40 hexadecimal digits each"))
    }
}

pub(crate) fn create(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::CreateOpenIDConnectProviderInput,
) -> Result<wire::CreateOpenIDConnectProviderOutput, Refusal> {
    let home = home(ctx);
    let url = issuer(&input.url)?;
    if RECORDS.get(tx, &home, &url)?.is_some() {
        return Err(fault::exists(format_args!("Provider with url https://{url} already exists.")));
    }
    let have = RECORDS.count(tx, &home)?;
    ctx.quotas().check(&PROVIDERS, have, 1, &KIND, None)?;
    let thumbprints = input.thumbprint_list.clone().unwrap_or_default();
    check_thumbprints(&thumbprints)?;
    let mut client_ids = input.client_id_list.clone().unwrap_or_default();
    client_ids.dedup();
    check_client_ids(client_ids.len())?;
    let provider = OidcProvider {
        account: ctx.caller.account.clone(),
        url,
        client_ids,
        thumbprints,
        created_at: ctx.now,
    };
    put(tx, &home, &provider)?;
    let arn = provider.arn();
    tags::add(tx, &home, &arn, input.tags.as_ref())?;
    let tags = tags::shown(tx, &home, &arn)?;
    Ok(wire::CreateOpenIDConnectProviderOutput { open_id_connect_provider_arn: Some(arn), tags })
}

fn check_client_ids(count: usize) -> Result<(), Refusal> {
    if count > CLIENT_IDS {
        return Err(fault::too_large(format_args!(
            "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {CLIENT_IDS}"
        )));
    }
    Ok(())
}

pub(crate) fn get(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetOpenIDConnectProviderInput,
) -> Result<wire::GetOpenIDConnectProviderOutput, Refusal> {
    let home = home(ctx);
    let provider = find(state, &home, &input.open_id_connect_provider_arn)?;
    Ok(wire::GetOpenIDConnectProviderOutput {
        tags: tags::shown(state, &home, &provider.arn())?,
        url: Some(provider.url),
        client_id_list: Some(provider.client_ids),
        thumbprint_list: Some(provider.thumbprints),
        create_date: Some(provider.created_at),
    })
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::ListOpenIDConnectProvidersInput,
) -> Result<wire::ListOpenIDConnectProvidersOutput, Refusal> {
    let providers = RECORDS.all(state, &home(ctx))?;
    let entry = |provider: OidcProvider| wire::OpenIDConnectProviderListEntry { arn: Some(provider.arn()) };
    let list = providers.into_iter().map(entry).collect();
    Ok(wire::ListOpenIDConnectProvidersOutput { open_id_connect_provider_list: Some(list) })
}

pub(crate) fn delete(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DeleteOpenIDConnectProviderInput,
) -> Result<wire::DeleteOpenIDConnectProviderOutput, Refusal> {
    let home = home(ctx);
    let provider = find(tx, &home, &input.open_id_connect_provider_arn)?;
    all_tags::forget(tx, &home, &provider.arn());
    RECORDS.delete(tx, &home, &provider.url)?;
    Ok(Default::default())
}

pub(crate) fn update_thumbprints(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::UpdateOpenIDConnectProviderThumbprintInput,
) -> Result<wire::UpdateOpenIDConnectProviderThumbprintOutput, Refusal> {
    let home = home(ctx);
    let mut provider = find(tx, &home, &input.open_id_connect_provider_arn)?;
    check_thumbprints(&input.thumbprint_list)?;
    provider.thumbprints.clone_from(&input.thumbprint_list);
    put(tx, &home, &provider)?;
    Ok(Default::default())
}

pub(crate) fn add_client_id(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AddClientIDToOpenIDConnectProviderInput,
) -> Result<wire::AddClientIDToOpenIDConnectProviderOutput, Refusal> {
    let home = home(ctx);
    let mut provider = find(tx, &home, &input.open_id_connect_provider_arn)?;
    if !provider.client_ids.contains(&input.client_id) {
        provider.client_ids.push(input.client_id.clone());
        check_client_ids(provider.client_ids.len())?;
        put(tx, &home, &provider)?;
    }
    Ok(Default::default())
}

pub(crate) fn remove_client_id(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::RemoveClientIDFromOpenIDConnectProviderInput,
) -> Result<wire::RemoveClientIDFromOpenIDConnectProviderOutput, Refusal> {
    let home = home(ctx);
    let mut provider = find(tx, &home, &input.open_id_connect_provider_arn)?;
    provider.client_ids.retain(|id| *id != input.client_id);
    put(tx, &home, &provider)?;
    Ok(Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_https_url_of_host_and_path() {
        assert_eq!(issuer("https://oidc.example.com/id/1/").unwrap(), "oidc.example.com/id/1");
        assert_eq!(issuer("https://localhost:8443").unwrap(), "localhost:8443");
        for url in
            ["http://a.example", "https://", "https://a/?x", "https://u@a/", "https://a//b", "a.example"]
        {
            assert!(issuer(url).is_err(), "{url}");
        }
    }
}
