//! STS: who is calling.

use serde_json::{Value, json};
use trellis_api::Exception;
use trellis_frame::{Context, Refusal, Service, words};
use trellis_model::AccountId;

/// The service: what the frame has to know of it.
pub(crate) static SERVICE: Service = Service {
    words,
    operations: OPERATIONS,
    ..Service::new(|| trellis_api::service_by_signing_name("sts").expect("described"))
};

trellis_frame::operations! {
    GetCallerIdentity => view get_caller_identity,
}

fn words(refusal: Refusal) -> Exception {
    match refusal {
        Refusal::NotServed { operation } => {
            Exception::plain("InvalidAction", 400, format!("{operation} is not supported"))
        }
        refusal => words::query(refusal),
    }
}

fn get_caller_identity(ctx: &Context, _: Value) -> Result<Value, Refusal> {
    let caller = &ctx.caller;
    Ok(identity(&caller.account, &caller.arn, &caller.access_key_id))
}

/// `UserId` of an account's root is the account; a user's is made of the access key, which is as
/// unique and as stable.
fn identity(account: &AccountId, arn: &str, access_key_id: &str) -> Value {
    let user_id = if arn.ends_with(":root") {
        account.to_string()
    } else {
        format!("AIDA{}", access_key_id.strip_prefix("AKIA").unwrap_or(access_key_id))
    };
    json!({"UserId": user_id, "Account": account, "Arn": arn})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_the_access_key_and_root_by_the_account() {
        let account = "111122223333".parse().unwrap();
        let (user, key) = ("arn:aws:iam::111122223333:user/admin", "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(
            identity(&account, user, key),
            json!({"UserId": "AIDAIOSFODNN7EXAMPLE", "Account": "111122223333", "Arn": user})
        );
        assert_eq!(identity(&account, "arn:aws:iam::111122223333:root", key)["UserId"], "111122223333");
    }
}
