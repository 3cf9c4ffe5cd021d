//! Identity provider configurations. There are none: an API server in a VPC reaches no issuer outside it, and one that is
//! written down and never asked would let nobody in.

use trellis_frame::{Context, Page, Paged, Refusal};
use trellis_store::{Read, Reader, Transaction};

use crate::input::refuse_when;
use crate::{cluster, invalid, wire};

fn missing(
    state: &mut impl Read,
    ctx: &Context,
    cluster: &str,
    asked: &wire::IdentityProviderConfig,
) -> Result<Refusal, Refusal> {
    cluster::find(state, &ctx.home(), cluster)?;
    if asked.r#type != "oidc" {
        return Ok(invalid("The type of an identity provider config is oidc"));
    }
    let name = trellis_frame::refusal::shown(&asked.name);
    Ok(crate::missing(format_args!("Identity provider config with name {name} not found")))
}

pub(crate) fn associate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::AssociateIdentityProviderConfigInput,
) -> Result<wire::AssociateIdentityProviderConfigOutput, Refusal> {
    cluster::find_active(tx, &ctx.home(), &input.cluster_name)?;
    refuse_when(true, "an identity provider, which the API server could not reach from its VPC,")?;
    Ok(Default::default())
}

pub(crate) fn disassociate(
    tx: &mut Transaction<'_>,
    ctx: &Context,
    input: &wire::DisassociateIdentityProviderConfigInput,
) -> Result<wire::DisassociateIdentityProviderConfigOutput, Refusal> {
    Err(missing(tx, ctx, &input.cluster_name, &input.identity_provider_config)?)
}

pub(crate) fn describe(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::DescribeIdentityProviderConfigInput,
) -> Result<wire::DescribeIdentityProviderConfigOutput, Refusal> {
    Err(missing(state, ctx, &input.cluster_name, &input.identity_provider_config)?)
}

pub(crate) fn list(
    state: &mut Reader,
    ctx: &Context,
    input: &wire::ListIdentityProviderConfigsInput,
    _: &Page,
) -> Result<Paged<wire::ListIdentityProviderConfigsOutput>, Refusal> {
    cluster::find(state, &ctx.home(), &input.cluster_name)?;
    let output = wire::ListIdentityProviderConfigsOutput {
        identity_provider_configs: Some(Vec::new()),
        next_token: None,
    };
    Ok(Paged { output, next_token: None })
}
