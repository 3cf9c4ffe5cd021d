//! IAM policies from outside: what is refused as a policy, and what policies allow and deny.

mod conditions;
mod documents;
mod explained;
mod independent;
mod layers;
mod linted;
mod principals;

use trellis_policy::{Access, Caller, ConditionKey, Context, Decision, Organization, Policy, PolicyKind};

pub(crate) const SERVICE: &str = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0";

/// A context of listed values; several lines with one key are several values.
pub(crate) struct Facts(pub(crate) &'static [(&'static str, &'static str)]);

impl Context for Facts {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        let wanted = match key.argument() {
            Some(argument) => format!("{}/{argument}", key.name()),
            None => key.name().to_owned(),
        };
        for (name, value) in self.0 {
            if name.eq_ignore_ascii_case(&wanted) {
                visit(value);
            }
        }
    }
}

pub(crate) const ACCOUNT: &str = "111122223333";

pub(crate) fn alice() -> Caller {
    Caller::user(ACCOUNT, "/team/", "alice", "AIDAALICE00000000000")
}

/// A pod's session: role `app/cart`, session tags, an organisation.
pub(crate) fn cart() -> Caller {
    Caller::session(ACCOUNT, "/app/", "cart", "AROACART000000000000", "eks-demo-cart-1")
        .with_tags([("kubernetes-namespace".to_owned(), "shop".to_owned()), ("team".into(), "Red*".into())])
        .with_organization(Organization {
            id: "o-abc1234567".into(),
            paths: vec!["o-abc1234567/r-1/ou-1/".into(), "o-abc1234567/r-1/".into()],
        })
}

pub(crate) fn policy(text: &str) -> Policy {
    Policy::parse(text, PolicyKind::Resource).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What the policy says about a GET of `/rates/today` by `caller`.
pub(crate) fn ask(policy: &Policy, caller: &Caller, context: &dyn Context) -> Decision {
    let resource = format!("{SERVICE}/rates/today");
    policy.decide(&Access { caller, action: "vpc-lattice-svcs:Invoke", resource: &resource, context })
}
