//! DecodeAuthorizationMessage: why EC2 denied a call.

use trellis_api::Exception;
use trellis_frame::{Context, Refusal, denial_message};

use crate::wire;

pub(crate) fn decode(
    ctx: &Context,
    input: wire::DecodeAuthorizationMessageInput,
) -> Result<wire::DecodeAuthorizationMessageOutput, Refusal> {
    // Another account's denials are its own matter.
    let found = denial_message::decode(&input.encoded_message, ctx.vault());
    match found.filter(|(account, _)| account == ctx.caller.account.as_str()) {
        Some((_, said)) => Ok(wire::DecodeAuthorizationMessageOutput { decoded_message: Some(said) }),
        None => {
            let message =
                "The error returned if the message passed to DecodeAuthorizationMessage was invalid.";
            Err(Exception::from(wire::InvalidAuthorizationMessageException { message: message.into() })
                .into())
        }
    }
}
