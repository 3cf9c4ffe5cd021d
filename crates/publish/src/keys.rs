//! Prefixes of what is followed.

pub(crate) use trellis_frame::key::TAGS;

/// Of every VPC Lattice record.
pub(crate) const LATTICE: &str = "lattice/";

/// Of every EC2 record.
pub(crate) const EC2: &str = "ec2/";
