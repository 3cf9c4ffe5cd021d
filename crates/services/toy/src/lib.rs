//! A service of nothing but shelves: how a service's crate looks.
//!
//! `toy.idl` is its wire contract, this file its one [`SERVICE`], and each kind of resource has a file of its own.

mod shelf;

/// The types that the build makes of the description.
#[allow(clippy::all, dead_code, unreachable_pub)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/toy.rs"));
}

use trellis_frame::{Accounts, Service, words};

/// What the frame has to know of the service.
pub static SERVICE: Service = Service {
    words: words::rest_json,
    operations: OPERATIONS,
    quotas: &[&shelf::SHELVES_PER_REGION],
    accounts: Accounts { records: &["toy/"], ..Accounts::NONE },
    workflows: &[shelf::SETTLING],
    ..Service::new(wire::description)
};

trellis_frame::operations! { wire;
    CreateShelf => write shelf::create,
    DeleteShelf => write shelf::delete,
    GetShelf => read shelf::get,
    ListShelves => list shelf::list,
}
