//! Who is meant by a Principal, for each kind of caller.

use trellis_policy::{Caller, Decision};

use crate::{ACCOUNT, Facts, alice, ask, cart, policy};

fn callers() -> [(&'static str, Caller); 6] {
    [
        ("anonymous", Caller::anonymous()),
        ("root", Caller::root(ACCOUNT)),
        ("alice", alice()),
        ("cart", cart()),
        ("federated", Caller::federated_user(ACCOUNT, "bob").with_federated_provider("idp.example".into())),
        ("service", Caller::service("pods.eks.amazonaws.com")),
    ]
}

#[test]
fn a_principal_matches_the_callers_it_names() {
    for (principal, expected) in [
        (r#""*""#, "anonymous root alice cart federated service"),
        (r#"{"AWS":"*"}"#, "anonymous root alice cart federated service"),
        (r#"{"AWS":"111122223333"}"#, "root alice cart federated"),
        (r#"{"AWS":"arn:aws:iam::111122223333:root"}"#, "root alice cart federated"),
        (r#"{"AWS":"arn:aws:iam::444455556666:root"}"#, ""),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/team/alice"}"#, "alice"),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/alice"}"#, ""),
        (r#"{"AWS":"arn:aws:iam::444455556666:user/team/alice"}"#, ""),
        (r#"{"AWS":"arn:aws:iam::111122223333:role/app/cart"}"#, "cart"),
        (r#"{"AWS":"arn:aws:iam::111122223333:role/cart"}"#, ""),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/cart/eks-demo-cart-1"}"#, "cart"),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/cart/eks-demo-cart-2"}"#, ""),
        (r#"{"AWS":"arn:aws:sts::111122223333:federated-user/bob"}"#, "federated"),
        (r#"{"AWS":"AROACART000000000000"}"#, "cart"),
        (r#"{"AWS":["AIDAALICE00000000000","arn:aws:iam::111122223333:role/app/cart"]}"#, "alice cart"),
        (r#"{"Service":"pods.eks.amazonaws.com"}"#, "service"),
        (r#"{"Federated":"idp.example"}"#, "federated"),
        (
            r#"{"AWS":"arn:aws:iam::111122223333:role/app/cart","Service":["pods.eks.amazonaws.com"]}"#,
            "cart service",
        ),
    ] {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"*","Resource":"*"}}}}"#
        );
        let policy = policy(&text);
        let allowed: Vec<_> = callers()
            .into_iter()
            .filter(|(_, caller)| ask(&policy, caller, &Facts(&[])) == Decision::Allow)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(allowed.join(" "), expected, "{principal}");
    }
}

#[test]
fn not_principal_denies_all_others_and_never_lets_the_anonymous_in() {
    let with = |effect: &str| {
        policy(&format!(
            r#"{{"Statement":{{"Effect":"{effect}","NotPrincipal":{{"AWS":"arn:aws:iam::111122223333:role/app/cart"}},"Action":"*","Resource":"*"}}}}"#
        ))
    };
    let decided = |effect, decision| {
        let policy = with(effect);
        let is = |(_, caller): &(&str, Caller)| ask(&policy, caller, &Facts(&[])) == decision;
        callers().iter().filter(|pair| is(pair)).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(decided("Deny", Decision::ExplicitDeny), "anonymous root alice federated service");
    assert_eq!(decided("Allow", Decision::Allow), "root alice federated service");
}

#[test]
fn conditions_see_the_caller() {
    for (condition, expected) in [
        (r#""StringEquals":{"aws:PrincipalType":"Anonymous"}"#, "anonymous"),
        (
            r#""StringNotEqualsIgnoreCase":{"aws:PrincipalType":"anonymous"}"#,
            "root alice cart federated service",
        ),
        (r#""StringEquals":{"AWS:principalaccount":"111122223333"}"#, "root alice cart federated"),
        (r#""ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/app/cart"}"#, "cart"),
        (r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}"#, "alice"),
        (r#""StringEquals":{"aws:PrincipalTag/Kubernetes-Namespace":"shop"}"#, "cart"),
        (r#""StringEquals":{"aws:PrincipalOrgID":"o-abc1234567"}"#, "cart"),
        (r#""ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-*/r-1/ou-1/*"}"#, "cart"),
        (
            r#""ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-*/r-1/ou-1/*"},"Null":{"aws:PrincipalOrgPaths":false}"#,
            "",
        ),
        (r#""StringEquals":{"aws:username":"alice"}"#, "alice"),
        (r#""StringLike":{"aws:userid":"AROA*:eks-*"}"#, "cart"),
        (r#""Bool":{"aws:PrincipalIsAWSService":true}"#, "service"),
        (r#""Null":{"aws:PrincipalArn":"true"}"#, "anonymous service"),
    ] {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{{condition}}}}}}}"#
        );
        let policy = policy(&text);
        let is = |(_, caller): &(&str, Caller)| ask(&policy, caller, &Facts(&[])) == Decision::Allow;
        let allowed: Vec<_> = callers().iter().filter(|pair| is(pair)).map(|(name, _)| *name).collect();
        assert_eq!(allowed.join(" "), expected, "{condition}");
    }
}

#[test]
fn a_context_cannot_speak_for_the_caller() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}}}"#;
    let forged = Facts(&[("aws:PrincipalAccount", "111122223333")]);
    assert_eq!(ask(&policy(text), &Caller::anonymous(), &forged), Decision::ImplicitDeny);
}
