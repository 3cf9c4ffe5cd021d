//! STS: who is calling.

use serde_json::{Value, json};
use trellis_api::{Exception, Operation};

use crate::context::{Caller, Context};

/// Names of the operations that are implemented.
pub(crate) const IMPLEMENTED: &[&str] = &["GetCallerIdentity"];

/// Performs one operation; the answer is keyed by the model's member names.
///
/// # Errors
/// `InvalidAction` for an operation that is described and not there.
pub(crate) async fn call(
    ctx: &Context,
    operation: &'static Operation,
    _input: Value,
) -> Result<Value, Exception> {
    match operation.name.as_str() {
        "GetCallerIdentity" => Ok(identity(&ctx.caller)),
        other => Err(Exception::plain("InvalidAction", 400, format!("{other} is not supported"))),
    }
}

/// `UserId` of an account's root is the account; a user's is made of the access key, which is as
/// unique and as stable.
fn identity(caller: &Caller) -> Value {
    let user_id = if caller.arn.ends_with(":root") {
        caller.account.to_string()
    } else {
        let key = &caller.access_key_id;
        format!("AIDA{}", key.strip_prefix("AKIA").unwrap_or(key))
    };
    json!({"UserId": user_id, "Account": caller.account, "Arn": caller.arn})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_the_access_key_and_root_by_the_account() {
        let mut caller = Caller {
            account: "111122223333".parse().unwrap(),
            arn: "arn:aws:iam::111122223333:user/admin".into(),
            region: "us-east-1".parse().unwrap(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        };
        assert_eq!(
            identity(&caller),
            json!({
                "UserId": "AIDAIOSFODNN7EXAMPLE",
                "Account": "111122223333",
                "Arn": "arn:aws:iam::111122223333:user/admin",
            })
        );
        caller.arn = "arn:aws:iam::111122223333:root".into();
        assert_eq!(identity(&caller)["UserId"], "111122223333");
    }
}
