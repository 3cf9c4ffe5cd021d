//! GetTagKeys and GetTagValues: the words that tags are made of.

use std::collections::BTreeSet;

use trellis_frame::tags::Tags;
use trellis_frame::{Context, Listing, Page, Paged, Refusal};
use trellis_store::Reader;

use crate::resource::tagged;
use crate::{END, wire};

/// Keys or values on a page.
const ON_A_PAGE: usize = 1000;

/// Resources read at a time.
const BATCH: usize = 512;

pub(crate) fn keys(
    state: &mut Reader,
    ctx: &Context,
    _: &wire::GetTagKeysInput,
    page: &Page,
) -> Result<Paged<wire::GetTagKeysOutput>, Refusal> {
    let words = distinct(state, ctx, page, |tags| tags.into_keys().collect())?;
    Ok(words.into_output(|keys| wire::GetTagKeysOutput { pagination_token: END, tag_keys: Some(keys) }))
}

pub(crate) fn values(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::GetTagValuesInput,
    page: &Page,
) -> Result<Paged<wire::GetTagValuesOutput>, Refusal> {
    let words = distinct(state, ctx, page, |mut tags| tags.remove(&input.key).into_iter().collect())?;
    Ok(words
        .into_output(|values| wire::GetTagValuesOutput { pagination_token: END, tag_values: Some(values) }))
}

/// The words that `of` finds in the tags of any resource, a page of them.
fn distinct(
    state: &mut Reader,
    ctx: &Context,
    page: &Page,
    of: impl Fn(Tags) -> Vec<String>,
) -> Result<Listing<String>, Refusal> {
    let mut words = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let batch = tagged(state, ctx, after.as_deref(), BATCH)?;
        let is_full = batch.len() == BATCH;
        after = batch.last().map(|(arn, _)| arn.clone());
        words.extend(batch.into_iter().flat_map(|(_, tags)| of(tags)));
        if !is_full {
            return Ok(page.sized(ON_A_PAGE).cut(words.into_iter().collect(), String::clone));
        }
    }
}
