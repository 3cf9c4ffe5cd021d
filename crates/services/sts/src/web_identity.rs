//! AssumeRoleWithWebIdentity: a role's credentials for whom an identity provider vouches for. Nobody signs this call:
//! the token proves who it is, and the role's trust policy says whether that is enough.

use std::sync::Arc;

use jiff::Timestamp;
use trellis_api::Exception;
use trellis_auth::jwt::{self, Claims, Expected, Jwks, JwtError};
use trellis_frame::authorise::Facts;
use trellis_frame::{Records, Refusal, Surroundings, Unsigned, key};
use trellis_model::resource::iam::{self, OidcProvider, Role};
use trellis_policy::{Caller, ConditionKey, Context};

use crate::assume_role::{Answer, Assumed, check_duration, role};
use crate::issuer_keys::IssuerKeys;
use crate::terms::{self, Limits};
use crate::trust::Wanted;
use crate::wire;

const PROVIDERS: Records<OidcProvider> = Records::new(iam::SERVICE, iam::OIDC_PROVIDER);

/// Seconds, where the call does not say.
const DURATION: i32 = 3600;

/// The claim with the source identity.
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

pub(crate) async fn assume(
    ctx: &Unsigned,
    input: wire::AssumeRoleWithWebIdentityInput,
) -> Result<wire::AssumeRoleWithWebIdentityOutput, Refusal> {
    let surroundings = &ctx.surroundings;
    let token = &input.web_identity_token.0;
    let issuer = jwt::issuer_of(token).ok_or_else(|| refused(&JwtError::Malformed { what: "no iss" }))?;
    let (role, provider) = {
        let state = &mut surroundings.store.read()?;
        let role = role(state, &input.role_arn)?.ok_or_else(denied)?;
        let provider = provider(state, &role, &issuer)?;
        (role, provider)
    };
    let claims = verified(surroundings, &provider, &issuer, token).await?;

    let tags =
        claims.principal_tags.iter().map(|(key, value)| wire::Tag { key: key.clone(), value: value.clone() });
    let tags = terms::tags(Some(tags.collect()))?;
    let source_identity = claims.others.get(SOURCE_IDENTITY).and_then(|values| values.first()).cloned();
    let vouched = Vouched {
        provider: &provider,
        claims: &claims,
        source_identity: source_identity.as_deref(),
        facts: &ctx.facts,
    };
    let wanted = Wanted {
        role: &role,
        caller: Caller::anonymous().with_federated_provider(provider.arn()),
        session_name: &input.role_session_name,
        tags: &tags,
        transitive_tag_keys: &claims.transitive_tag_keys,
        now: ctx.now.into(),
        more: &vouched,
    };
    let is_trusted = wanted.is_trusted("sts:AssumeRoleWithWebIdentity")
        && (source_identity.is_none() || wanted.allows("sts:SetSourceIdentity"));
    if !is_trusted {
        return Err(denied());
    }

    let duration = input.duration_seconds.unwrap_or(DURATION);
    check_duration(&role, duration, false)?;
    let state = &mut surroundings.store.read()?;
    let limits = Limits::read(state, &role.account, input.policy, input.policy_arns)?;
    let assumed = Assumed {
        role: &role,
        session_name: input.role_session_name,
        limits,
        tags,
        transitive_tag_keys: claims.transitive_tag_keys,
        source_identity: source_identity.clone(),
        federated_provider: Some(provider.arn()),
        duration,
    };
    let Answer { credentials, user, packed_size } = assumed.seal(state, surroundings, ctx.now)?;
    Ok(wire::AssumeRoleWithWebIdentityOutput {
        credentials: Some(credentials),
        assumed_role_user: Some(user),
        packed_policy_size: packed_size,
        subject_from_web_identity_token: Some(claims.subject),
        provider: Some(claims.issuer),
        audience: claims.audience.into_iter().find(|audience| provider.client_ids.contains(audience)),
        source_identity,
        ..Default::default()
    })
}

fn denied() -> Refusal {
    Refusal::denied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
}

/// The provider of the role's account that the token says to be from.
fn provider(
    state: &mut impl trellis_store::Read,
    role: &Role,
    issuer: &str,
) -> Result<OidcProvider, Refusal> {
    let url = issuer.strip_prefix("https://").unwrap_or_default();
    let url = url.strip_suffix('/').unwrap_or(url);
    let found = match url {
        "" => None,
        url => PROVIDERS.get(state, &key::global(&role.account), url)?,
    };
    found.ok_or_else(|| {
        let issuer: String = issuer.chars().take(255).collect();
        let message = format!("No OpenIDConnect provider found in your account for {issuer}");
        Exception::from(wire::InvalidIdentityTokenException { message }).into()
    })
}

/// What the token says, once the provider's keys have proved it.
async fn verified(
    surroundings: &Arc<Surroundings>,
    provider: &OidcProvider,
    issuer: &str,
    token: &str,
) -> Result<Claims, Refusal> {
    let now = surroundings.clock.now();
    let audiences: Vec<&str> = provider.client_ids.iter().map(String::as_str).collect();
    let verify = |keys: &Jwks| jwt::verify(token, keys, Expected { issuer, audiences: &audiences }, now);
    let keys = keys(surroundings, provider, now, None).await?;
    match verify(&keys) {
        // The provider may have a new key.
        Err(JwtError::UnknownKey { .. }) => {
            let newer = self::keys(surroundings, provider, now, Some(&keys)).await?;
            verify(&newer).map_err(|error| refused(&error))
        }
        verdict => verdict.map_err(|error| refused(&error)),
    }
}

async fn keys(
    surroundings: &Arc<Surroundings>,
    provider: &OidcProvider,
    now: Timestamp,
    not: Option<&Arc<Jwks>>,
) -> Result<Arc<Jwks>, Refusal> {
    let known = surroundings.extension::<IssuerKeys>();
    let found = match known {
        Some(known) => known.of(&provider.url, now, not).await,
        None => Err("nothing is fetched here".to_owned()),
    };
    found.map_err(|fault| {
        tracing::warn!(issuer = provider.url, fault, "the keys of an identity provider cannot be had");
        let message = format!("Couldn't retrieve the verification keys of https://{}", provider.url);
        Exception::from(wire::IDPCommunicationErrorException { message }).into()
    })
}

/// What the caller learns of a token that is not accepted; the log learns which check failed.
fn refused(error: &JwtError) -> Refusal {
    tracing::info!(%error, "a web identity token was refused");
    if let JwtError::Expired { expired_at } = error {
        let message = format!("Token expired: it was good until {expired_at}");
        return Exception::from(wire::ExpiredTokenException { message }).into();
    }
    let message = match error {
        JwtError::Audience => "Incorrect token audience",
        JwtError::Malformed { .. } | JwtError::Algorithm { .. } => {
            "The ID Token provided is not a valid JWT."
        }
        _ => "The token could not be verified with the keys of its identity provider",
    };
    Exception::from(wire::InvalidIdentityTokenException { message: message.to_owned() }).into()
}

/// What a provider says of who asks, and the request itself.
struct Vouched<'a> {
    provider: &'a OidcProvider,
    claims: &'a Claims,
    source_identity: Option<&'a str>,
    facts: &'a Facts,
}

impl Context for Vouched<'_> {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        if self.facts.values(key, visit) {
            return;
        }
        match (key.name(), key.argument()) {
            ("sts:sourceidentity", None) => self.source_identity.into_iter().for_each(visit),
            // `oidc.example.com/id/1:sub`: a claim of the provider's. After a port the path is the key's argument.
            (name, argument) => {
                let whole = argument.map_or_else(|| name.to_owned(), |argument| format!("{name}/{argument}"));
                let Some((issuer, claim)) = whole.rsplit_once(':') else { return };
                if !issuer.eq_ignore_ascii_case(&self.provider.url) {
                    return;
                }
                match claim.to_ascii_lowercase().as_str() {
                    "sub" => visit(&self.claims.subject),
                    "aud" => self.claims.audience.iter().for_each(|audience| visit(audience)),
                    claim => {
                        let found =
                            self.claims.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(claim));
                        found.into_iter().flat_map(|(_, values)| values).for_each(|value| visit(value));
                    }
                }
            }
        }
    }
}
