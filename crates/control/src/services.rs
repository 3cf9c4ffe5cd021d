//! The services there are. One more is one line.

use trellis_frame::Service;

use crate::{acm, ec2, lattice, ram};

pub(crate) const ALL: &[&Service] = &[
    &lattice::SERVICE,
    &ec2::SERVICE,
    &trellis_iam::SERVICE,
    &trellis_sts::SERVICE,
    &trellis_organizations::SERVICE,
    &trellis_tagging::SERVICE,
    &ram::SERVICE,
    &acm::SERVICE,
    &trellis_route53::SERVICE,
    &trellis_acm_pca::SERVICE,
];
