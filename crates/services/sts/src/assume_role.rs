//! AssumeRole: a role's credentials for whom its trust policy names.
//!
//! That the caller may assume the role is decided before this is reached, as for every operation; what else the trust
//! policy has to allow, where the call asks for it, is asked here.

use serde_json::{Value, json};
use trellis_auth::{SecretKey, Session, SessionKind};
use trellis_frame::{Context, Records, Refusal, Surroundings, key};
use trellis_model::AccountId;
use trellis_model::moment::Moment;
use trellis_model::resource::iam::{self, Named, Role};
use trellis_store::Read;

use crate::terms::{self, Limits, is_same_key};
use crate::{credentials, fault, wire};

const ROLES: Records<Role> = Records::new(iam::SERVICE, iam::ROLE);

/// Seconds, where the call does not say.
const DURATION: i32 = 3600;

/// "Role chaining limits your role session to a maximum of one hour."
const CHAINED: i32 = 3600;

/// The role of exactly this ARN, of whatever account.
///
/// # Errors
/// A state that does not read.
pub fn role(state: &mut impl Read, arn: &str) -> Result<Option<Role>, Refusal> {
    let Some(named) = Named::parse(arn).filter(|named| named.kind == iam::ROLE) else { return Ok(None) };
    let Ok(account) = named.account.parse::<AccountId>() else { return Ok(None) };
    let role = ROLES.get(state, &key::global(&account), iam::id(named.name))?;
    Ok(role.filter(|role| role.arn() == arn))
}

/// A session of `role` before its key is drawn.
pub(crate) struct Assumed<'a> {
    pub(crate) role: &'a Role,
    pub(crate) session_name: String,
    pub(crate) limits: Limits,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) transitive_tag_keys: Vec<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) federated_provider: Option<String>,
    pub(crate) duration: i32,
}

/// What callers get of it.
pub(crate) struct Answer {
    pub(crate) credentials: wire::Credentials,
    pub(crate) user: wire::AssumedRoleUser,
    pub(crate) packed_size: Option<i32>,
}

impl Assumed<'_> {
    pub(crate) fn seal(
        self,
        state: &mut impl Read,
        surroundings: &Surroundings,
        now: Moment,
    ) -> Result<Answer, Refusal> {
        let Assumed { role, session_name, limits, tags, transitive_tag_keys, .. } = self;
        let random = &surroundings.random;
        let packed_size = limits.packed_size(&tags);
        let issued_at = jiff::Timestamp::from(now).as_second();
        let user = wire::AssumedRoleUser {
            assumed_role_id: format!("{}:{session_name}", role.id),
            arn: format!("arn:aws:sts::{}:assumed-role/{}/{session_name}", role.account, role.name),
        };
        let session = Session {
            access_key_id: credentials::new_access_key_id(&role.account, random),
            secret_key: SecretKey::new(credentials::new_secret(random)).expect("forty characters"),
            kind: SessionKind::Role,
            account: role.account.to_string(),
            principal: role.arn(),
            principal_id: role.id.clone(),
            name: session_name,
            policies: limits.inline,
            policy_arns: limits.arns,
            tags,
            transitive_tag_keys,
            source_identity: self.source_identity,
            federated_provider: self.federated_provider,
            issued_at,
            expires_at: issued_at + i64::from(self.duration),
        };
        Ok(Answer { credentials: credentials::seal(state, surroundings, &session)?, user, packed_size })
    }
}

pub(crate) fn assume(ctx: &Context, input: wire::AssumeRoleInput) -> Result<wire::AssumeRoleOutput, Refusal> {
    let caller = &ctx.caller;
    let state = &mut ctx.read()?;
    let denied = || {
        Refusal::denied(format_args!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            caller.arn, input.role_arn
        ))
    };
    if input.serial_number.is_some() || input.token_code.is_some() {
        return Err(Refusal::denied("MultiFactorAuthentication failed: there are no MFA devices here"));
    }
    let role = role(state, &input.role_arn)?.ok_or_else(denied)?;
    let chained = caller.session.as_deref().filter(|session| session.kind == SessionKind::Role);
    let duration = input.duration_seconds.unwrap_or(DURATION);
    check_duration(&role, duration, chained.is_some())?;
    let limits = Limits::read(state, &role.account, input.policy, input.policy_arns)?;
    let tags = SessionTags::of(input.tags, input.transitive_tag_keys.unwrap_or_default(), chained)?;
    let source_identity = source_identity(input.source_identity, chained)?;

    let asked = json!({
        "RoleArn": input.role_arn,
        "RoleSessionName": input.role_session_name,
        "ExternalId": input.external_id,
        "SourceIdentity": source_identity,
        "Tags": tags.all.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>(),
        "TransitiveTagKeys": tags.transitive,
    });
    more_than_the_role(ctx, &role, &tags, source_identity.as_deref(), &asked)?;

    let assumed = Assumed {
        role: &role,
        session_name: input.role_session_name,
        limits,
        tags: tags.all,
        transitive_tag_keys: tags.transitive,
        source_identity: source_identity.clone(),
        federated_provider: None,
        duration,
    };
    let Answer { credentials, user, packed_size } = assumed.seal(state, &ctx.surroundings, ctx.now)?;
    Ok(wire::AssumeRoleOutput {
        credentials: Some(credentials),
        assumed_role_user: Some(user),
        packed_policy_size: packed_size,
        source_identity,
        ..Default::default()
    })
}

/// "sts:TagSession" and "sts:SetSourceIdentity" are needed where a session has tags and a source identity, whether the
/// call brings them or the calling session passes them on.
fn more_than_the_role(
    ctx: &Context,
    role: &Role,
    tags: &SessionTags,
    source_identity: Option<&str>,
    asked: &Value,
) -> Result<(), Refusal> {
    let arn = role.arn();
    if !tags.all.is_empty() {
        ctx.authorise("sts:TagSession", &arn, asked)?;
    }
    if source_identity.is_some() {
        ctx.authorise("sts:SetSourceIdentity", &arn, asked)?;
    }
    Ok(())
}

/// # Errors
/// Longer than the role's sessions may be, or a chain's.
pub(crate) fn check_duration(role: &Role, duration: i32, is_chained: bool) -> Result<(), Refusal> {
    if is_chained && duration > CHAINED {
        return Err(fault::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    if duration > role.max_session_duration {
        return Err(fault::invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(())
}

/// The tags of a new session: those of the call, and those that the calling session passes on.
struct SessionTags {
    all: Vec<(String, String)>,
    transitive: Vec<String>,
}

impl SessionTags {
    fn of(
        asked: Option<Vec<wire::Tag>>,
        transitive: Vec<String>,
        chained: Option<&Session>,
    ) -> Result<Self, Refusal> {
        let mut all = terms::tags(asked)?;
        let has =
            |tags: &[(String, String)], key: &str| tags.iter().any(|(other, _)| is_same_key(other, key));
        if transitive.iter().any(|key| !has(&all, key)) {
            return Err(fault::invalid(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        let mut passed_on = transitive;
        if let Some(session) = chained {
            let is_passed_on =
                |key: &str| session.transitive_tag_keys.iter().any(|each| is_same_key(each, key));
            for (key, value) in session.tags.iter().filter(|(key, _)| is_passed_on(key)) {
                if has(&all, key) {
                    return Err(fault::invalid(
                        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
                    ));
                }
                all.push((key.clone(), value.clone()));
                passed_on.push(key.clone());
            }
        }
        Ok(Self { all, transitive: passed_on })
    }
}

/// "After the source identity is set, the value cannot be changed."
fn source_identity(asked: Option<String>, chained: Option<&Session>) -> Result<Option<String>, Refusal> {
    match (asked, chained.and_then(|session| session.source_identity.clone())) {
        (Some(asked), Some(set)) if asked != set => {
            Err(fault::invalid("SourceIdentity: the calling session has another, which cannot be changed"))
        }
        (asked, set) => Ok(set.or(asked)),
    }
}
