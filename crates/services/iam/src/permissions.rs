//! The policies that say what someone may do, each with where it comes from.

use std::sync::Arc;

use trellis_frame::{Refusal, key};
use trellis_model::AccountId;
use trellis_model::resource::iam::{self, Group, Named, Permissions, Role, User};
use trellis_model::resource::lattice::Home;
use trellis_policy::{Policy, PolicyKind};
use trellis_store::Read;

use crate::entity::{Entity, by_arn, find};
use crate::managed_policy;
use crate::wire::PolicySourceType;

/// One policy.
pub(crate) struct Source {
    /// The ARN of a managed policy; `role_deploy_inline-1` of an inline one.
    pub(crate) id: String,
    pub(crate) kind: PolicySourceType,
    pub(crate) document: String,
}

impl Source {
    /// `None` for what the engine does not take, which is reported; whoever needs it is denied.
    pub(crate) fn compile(&self) -> Option<Arc<Policy>> {
        match Policy::parse(&self.document, PolicyKind::Identity) {
            Ok(policy) => Some(Arc::new(policy)),
            Err(error) => {
                tracing::error!(policy = self.id, %error, "a stored policy does not read and allows nothing");
                None
            }
        }
    }
}

/// What an identity may do: what its policies allow, within its boundary.
pub(crate) struct Bounds {
    pub(crate) policies: Vec<Source>,
    pub(crate) boundary: Option<Source>,
}

impl Bounds {
    /// Of the user, group or role an ARN names; `None` where there is none.
    pub(crate) fn of_arn(state: &mut impl Read, arn: &str) -> Result<Option<Self>, Refusal> {
        let Some(named) = Named::parse(arn) else { return Ok(None) };
        let Ok(account) = named.account.parse::<AccountId>() else { return Ok(None) };
        let home = key::global(&account);
        Ok(match named.kind {
            iam::USER => match by_arn::<User>(state, &home, arn)? {
                Some(user) => Some(Self::of_user(state, &home, &user)?),
                None => None,
            },
            iam::ROLE => by_arn::<Role>(state, &home, arn)?
                .map(|role| Self::of(state, &home, &role, PolicySourceType::Role))
                .transpose()?,
            iam::GROUP => by_arn::<Group>(state, &home, arn)?
                .map(|group| Self::of(state, &home, &group, PolicySourceType::Group))
                .transpose()?,
            _ => None,
        })
    }

    /// A user has the policies of its groups too.
    pub(crate) fn of_user(state: &mut impl Read, home: &Home, user: &User) -> Result<Self, Refusal> {
        let mut bounds = Self::of(state, home, user, PolicySourceType::User)?;
        for name in &user.groups {
            if let Some(group) = find::<Group>(state, home, name)? {
                bounds.policies.extend(Self::of(state, home, &group, PolicySourceType::Group)?.policies);
            }
        }
        Ok(bounds)
    }

    fn of<E: Entity>(
        state: &mut impl Read,
        home: &Home,
        entity: &E,
        kind: PolicySourceType,
    ) -> Result<Self, Refusal> {
        let Permissions { inline, attached, boundary } = entity.permissions();
        let inline = inline.iter().map(|(name, document)| Source {
            id: format!("{}_{}_{name}", E::NOUN, entity.name()),
            kind,
            document: document.clone(),
        });
        let mut policies: Vec<Source> = inline.collect();
        for arn in attached {
            policies.push(managed(state, home, arn)?.unwrap_or_else(|| gone(arn)));
        }
        let boundary = match boundary {
            None => None,
            Some(arn) => Some(managed(state, home, arn)?.unwrap_or_else(|| gone(arn))),
        };
        Ok(Self { policies, boundary })
    }
}

/// A policy that is not there, as only another release can have left it: it does not read, and so nothing is allowed.
fn gone(arn: &str) -> Source {
    Source { id: arn.to_owned(), kind: PolicySourceType::None, document: String::new() }
}

/// A managed policy.
pub(crate) fn managed(state: &mut impl Read, home: &Home, arn: &str) -> Result<Option<Source>, Refusal> {
    let found = managed_policy::find(state, home, arn)?;
    Ok(found.map(|policy| Source {
        id: arn.to_owned(),
        kind: match policy {
            managed_policy::Policy::Aws(_) => PolicySourceType::AwsManaged,
            managed_policy::Policy::Customers(_) => PolicySourceType::UserManaged,
        },
        document: policy.document().to_owned(),
    }))
}
