//! GetAccessKeyInfo: which account a key is of. Keys of sessions say so by themselves.

use trellis_frame::{Context, Refusal, access_key};
use trellis_store::Reader;

use crate::wire::{GetAccessKeyInfoInput, GetAccessKeyInfoOutput};
use crate::{credentials, fault};

pub(crate) fn get(
    state: &mut Reader,
    _: &Context,
    input: &GetAccessKeyInfoInput,
) -> Result<GetAccessKeyInfoOutput, Refusal> {
    let id = &input.access_key_id;
    let account = match access_key::find(state, id)? {
        Some(key) => Some(key.account.to_string()),
        None => credentials::account_of(id),
    };
    let account = account.ok_or_else(|| fault::invalid(format_args!("Invalid AccessKeyId: {id}")))?;
    Ok(GetAccessKeyInfoOutput { account: Some(account) })
}
