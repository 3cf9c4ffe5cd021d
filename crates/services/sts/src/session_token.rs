//! GetSessionToken and GetFederationToken: credentials for a while of a user, and of somebody a user vouches for.

use trellis_auth::{SecretKey, Session, SessionKind};
use trellis_frame::access_key::Rights;
use trellis_frame::{Context, Refusal};
use trellis_model::resource::iam;

use crate::terms::{self, Limits};
use crate::{credentials, wire};

/// "The default is 43,200 seconds (12 hours)."
const DURATION: i32 = 43_200;

pub(crate) fn get(
    ctx: &Context,
    input: wire::GetSessionTokenInput,
) -> Result<wire::GetSessionTokenOutput, Refusal> {
    check_long_lived(ctx, "GetSessionToken")?;
    if input.serial_number.is_some() || input.token_code.is_some() {
        return Err(Refusal::denied("MultiFactorAuthentication failed: there are no MFA devices here"));
    }
    let session = session(ctx, SessionKind::User, input.duration_seconds);
    let credentials = credentials::seal(&mut ctx.read()?, &ctx.surroundings, &session)?;
    Ok(wire::GetSessionTokenOutput { credentials: Some(credentials), ..Default::default() })
}

pub(crate) fn get_for_federated_user(
    ctx: &Context,
    input: wire::GetFederationTokenInput,
) -> Result<wire::GetFederationTokenOutput, Refusal> {
    check_long_lived(ctx, "GetFederationToken")?;
    let state = &mut ctx.read()?;
    let account = &ctx.caller.account;
    let limits = Limits::read(state, account, input.policy, input.policy_arns)?;
    let tags = terms::tags(input.tags)?;
    if !tags.is_empty() {
        let arn = format!("arn:aws:sts::{account}:federated-user/{}", input.name);
        let listed: Vec<_> =
            tags.iter().map(|(key, value)| serde_json::json!({"Key": key, "Value": value})).collect();
        ctx.authorise("sts:TagSession", &arn, &serde_json::json!({"Tags": listed}))?;
    }
    let packed_policy_size = limits.packed_size(&tags);
    let session = Session {
        name: input.name.clone(),
        policies: limits.inline,
        policy_arns: limits.arns,
        tags,
        ..session(ctx, SessionKind::Federated, input.duration_seconds)
    };
    let credentials = credentials::seal(state, &ctx.surroundings, &session)?;
    let federated_user = wire::FederatedUser {
        federated_user_id: format!("{account}:{}", input.name),
        arn: format!("arn:aws:sts::{account}:federated-user/{}", input.name),
    };
    Ok(wire::GetFederationTokenOutput {
        credentials: Some(credentials),
        federated_user: Some(federated_user),
        packed_policy_size,
        ..Default::default()
    })
}

/// # Errors
/// Credentials for a while give no others of this kind.
fn check_long_lived(ctx: &Context, operation: &str) -> Result<(), Refusal> {
    match ctx.caller.session {
        Some(_) => Err(Refusal::denied(format_args!("Cannot call {operation} with session credentials"))),
        None => Ok(()),
    }
}

/// A session of the calling user.
fn session(ctx: &Context, kind: SessionKind, duration: Option<i32>) -> Session {
    let (caller, random) = (&ctx.caller, &ctx.surroundings.random);
    let issued_at = jiff::Timestamp::from(ctx.now).as_second();
    // The user of an operator's key is the same one whichever key it is.
    let principal_id = match caller.rights {
        Rights::Policies => caller.principal.user_id().unwrap_or_default().to_owned(),
        _ => iam::OPERATOR.to_owned(),
    };
    Session {
        access_key_id: credentials::new_access_key_id(&caller.account, random),
        secret_key: SecretKey::new(credentials::new_secret(random)).expect("forty characters"),
        kind,
        account: caller.account.to_string(),
        principal: caller.arn.clone(),
        principal_id,
        name: String::new(),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        federated_provider: None,
        issued_at,
        expires_at: issued_at + i64::from(duration.unwrap_or(DURATION)),
    }
}
