//! Where EC2's records are in the store: `ec2/{account}/{region}/{kind}/{id}` -> `model::resource::vpc`. Indexes are
//! [`crate::place`]'s, and what lies beside the records of VPC Lattice is [`crate::traits`]'.

use trellis_frame::key::Scope;
use trellis_model::resource::lattice::Home;

/// Prefix of every EC2 record.
pub(crate) const EC2: &str = "ec2/";

/// Keys of EC2 in `home`.
pub(crate) fn ec2(home: &Home) -> Scope {
    Scope::new("ec2", home)
}

/// Keys of VPC Lattice in `home`.
pub(crate) fn lattice(home: &Home) -> Scope {
    Scope::new("lattice", home)
}
