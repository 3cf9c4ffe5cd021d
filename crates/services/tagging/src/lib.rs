//! The Resource Groups Tagging API: resources found by tag, across services.
//!
//! Reads the same tags that every service's own operations write, in the newest state, so a look-up
//! sees what has just been made. Only resources that have a tag are found. Which resources there are is
//! asked of the services: none is known here.

mod filter;
mod resource;
mod tag;

/// The types that the build makes of the description.
#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/tagging.rs"));
}

use trellis_api::Exception;
use trellis_frame::{Refusal, Service, words};

/// What the frame has to know of the service.
pub static SERVICE: Service = Service { words, operations: OPERATIONS, ..Service::new(wire::description) };

trellis_frame::operations! { wire;
    GetResources => list resource::get,
    GetTagKeys => list tag::keys,
    GetTagValues => list tag::values,
    TagResources => call resource::tag,
    UntagResources => call resource::untag,
}

fn words(refusal: Refusal) -> Exception {
    let message = refusal.to_string();
    match refusal {
        Refusal::NotServed { operation } => {
            Exception::plain("UnknownOperationException", 400, format!("{operation} is not supported"))
        }
        Refusal::NotAPage { member } => invalid(format!("{member} was not given by this operation")),
        Refusal::Invalid { .. } => invalid(message),
        refusal => words::json(refusal),
    }
}

fn invalid(message: String) -> Exception {
    wire::InvalidParameterException { message }.into()
}

/// The end of a list is the empty token, not an absent one.
const END: Option<String> = Some(String::new());
