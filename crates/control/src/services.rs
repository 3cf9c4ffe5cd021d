//! The services there are. One more is one line.

use trellis_frame::Service;

pub(crate) const ALL: &[&Service] = &[
    &trellis_lattice::SERVICE,
    &trellis_ec2::SERVICE,
    &trellis_iam::SERVICE,
    &trellis_sts::SERVICE,
    &trellis_organizations::SERVICE,
    &trellis_tagging::SERVICE,
    &trellis_ram::SERVICE,
    &trellis_acm::SERVICE,
    &trellis_route53::SERVICE,
    &trellis_acm_pca::SERVICE,
    &trellis_eks::SERVICE,
    &trellis_eks_auth::SERVICE,
];
