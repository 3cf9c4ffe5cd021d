//! Whose large bodies are on which connections of a target.
//!
//! Bodies that a target does not read stay where they are, so nobody's may use up its connections: as in
//! [`crate::budget`], everybody may have as many as are then left, and shares its own after that.

use std::net::IpAddr;
use std::rc::Rc;

use trellis_model::VpcId;

use super::{BodySize, Pool, Shared};

/// Who sends a body: the client, and the VPC it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) vpc: &'a VpcId,
    pub(crate) address: IpAddr,
}

/// What a request wants of a target's connections.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// What the target is called if it speaks TLS.
    pub(crate) name: Option<Rc<str>>,
    pub(crate) body: BodySize,
    pub(crate) owner: Owner<'a>,
    /// Connections there may be.
    pub(crate) most: usize,
}

/// Whose connections a body has to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Client,
    Vpc,
}

impl Pool {
    /// Whose connections a body has to share, where those with large bodies of its client, or of its VPC, are as
    /// many as are left for others.
    pub(super) fn own_if_many(&self, wanted: &Wanted<'_>) -> Option<Own> {
        if wanted.body == BodySize::Nothing {
            return None;
        }
        let (mut all, mut of_vpc, mut of_client) = (0, 0, 0);
        for shared in self.open.borrow().iter().filter(|shared| shared.large.get() > 0) {
            all += 1;
            if shared.name == wanted.name
                && let Some((vpc, address)) = &*shared.owner.borrow()
            {
                of_vpc += usize::from(vpc == wanted.owner.vpc);
                of_client += usize::from(vpc == wanted.owner.vpc && *address == wanted.owner.address);
            }
        }
        let free = wanted.most.saturating_sub(all);
        let left = free.saturating_sub(of_vpc);
        (of_client > 0 && of_client >= left)
            .then_some(Own::Client)
            .or((of_vpc > 0 && of_vpc >= free).then_some(Own::Vpc))
    }

    /// The freest connection that has a large body of the same owner.
    pub(super) fn own(&self, wanted: &Wanted<'_>, own: Own) -> Option<Rc<Shared>> {
        let open = self.open.borrow();
        let fits = |shared: &&Rc<Shared>| {
            shared.large.get() > 0
                && shared.name == wanted.name
                && shared.has_room()
                && shared.owner.borrow().as_ref().is_some_and(|(vpc, address)| {
                    vpc == wanted.owner.vpc && (own == Own::Vpc || *address == wanted.owner.address)
                })
        };
        open.iter().filter(fits).max_by_key(|shared| shared.codec.borrow().free_window()).cloned()
    }
}
