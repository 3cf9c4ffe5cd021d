//! Any text as an IAM policy: parsing and deciding must not panic, the same question has the same
//! answer, and nothing is allowed or denied without a statement that says so.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trellis_policy::{Access, Caller, ConditionKey, Context, Decision, Policy, PolicyKind, explain, lint};

struct Echo;

impl Context for Echo {
    fn values(&self, key: &ConditionKey, visit: &mut dyn FnMut(&str)) {
        visit(key.name());
        key.argument().into_iter().for_each(visit);
    }
}

fuzz_target!(|text: &str| {
    let account = "111122223333";
    let callers = [
        Caller::anonymous(),
        Caller::root(account),
        Caller::session(account, "/", "cart", "AROACART000000000000", "s")
            .with_tags([("team".to_owned(), "red".to_owned())]),
    ];
    assert_eq!(lint(text, None).is_ok(), Policy::parse(text, PolicyKind::Resource).is_ok());
    for kind in [PolicyKind::Identity, PolicyKind::Resource, PolicyKind::Trust] {
        let Ok(policy) = Policy::parse(text, kind) else { continue };
        for caller in &callers {
            let resource = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0/a/b";
            let access = Access { caller, action: "vpc-lattice-svcs:Invoke", resource, context: &Echo };
            let decision = policy.decide(&access);
            assert_eq!(decision, policy.decide(&access));
            // The explanation is of the same engine: what applies decides.
            let explained = explain(text, kind, &access).expect("it was parsed before");
            let applies = |denies| {
                explained.statements.iter().any(|each| each.obstacle.is_none() && each.denies == denies)
            };
            let expected = match (applies(true), applies(false)) {
                (true, _) => Decision::ExplicitDeny,
                (false, true) => Decision::Allow,
                (false, false) => Decision::ImplicitDeny,
            };
            assert_eq!((decision, explained.decision), (expected, expected));
            // One that only allows cannot deny, and the other way round.
            match decision {
                Decision::Allow => assert!(text.contains("Allow") || text.contains('\\')),
                Decision::ExplicitDeny => assert!(text.contains("Deny") || text.contains('\\')),
                Decision::ImplicitDeny => {}
            }
        }
    }
});
