//! GetCallerIdentity: who calls.

use trellis_frame::{Caller, Context, Refusal};

use crate::wire::{GetCallerIdentityInput, GetCallerIdentityOutput};

pub(crate) fn get(ctx: &Context, _: GetCallerIdentityInput) -> Result<GetCallerIdentityOutput, Refusal> {
    let caller = &ctx.caller;
    Ok(GetCallerIdentityOutput {
        user_id: Some(user_id(caller)),
        account: Some(caller.account.to_string()),
        arn: Some(caller.arn.clone()),
    })
}

/// The unique id of the caller. The user of an operator's key is no record of IAM's and is known by the key, which is
/// as unique and as stable.
fn user_id(caller: &Caller) -> String {
    match caller.principal.user_id() {
        Some(id) if !id.starts_with("AKIA") => id.to_owned(),
        _ => format!("AIDA{}", caller.access_key_id.get(4..).unwrap_or(&caller.access_key_id)),
    }
}
