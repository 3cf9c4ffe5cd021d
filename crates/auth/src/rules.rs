//! What a service demands of a signature.

use jiff::SignedDuration;

/// How far a signature's time may be from ours, unless a rule says otherwise: 15 minutes.
pub const DEFAULT_MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);
/// The longest life of a presigned request: 7 days.
pub const MAX_EXPIRES: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What [`verify`](crate::verify) insists on. Start from [`Rules::for_service`].
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The scope's service must be one of these; none of them means that nothing is accepted.
    pub services: &'a [&'a str],
    pub region: RegionRule<'a>,
    pub path: PathEncoding,
    /// A header-signed request must be this close to our time, before or after. A presigned one
    /// must not be further than this in the future.
    pub max_skew: SignedDuration,
    pub payload: PayloadRule,
    /// `x-amz-*` headers (lower case) that may arrive unsigned. Every other one must be signed,
    /// so that nothing AWS-like can be added on the way.
    pub unsigned_headers: &'a [&'a str],
}

impl<'a> Rules<'a> {
    /// What AWS services other than S3 demand: any region, the path encoded twice, 15 minutes,
    /// any payload; only `x-amz-user-agent` may be unsigned, as browser SDKs leave it.
    pub fn for_service(services: &'a [&'a str]) -> Self {
        Self {
            services,
            region: RegionRule::Any,
            path: PathEncoding::Double,
            max_skew: DEFAULT_MAX_SKEW,
            payload: PayloadRule::Any,
            unsigned_headers: &["x-amz-user-agent"],
        }
    }
}

/// Which regions a scope may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionRule<'a> {
    /// Any well-formed one; the scope's region is the request's region.
    Any,
    OneOf(&'a [&'a str]),
}

/// How the path enters the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathEncoding {
    /// Dot segments and empty segments removed, then encoded again: every service but S3.
    Double,
    /// Encoded once and otherwise untouched: S3.
    Once,
    /// `Double`, and where that does not match the path exactly as received. For the data plane,
    /// whose callers use many signers; both forms bind the path.
    DoubleOrAsReceived,
}

/// What is demanded of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadRule {
    /// A hash, sent or computed here, or UNSIGNED-PAYLOAD.
    Any,
    /// `x-amz-content-sha256: UNSIGNED-PAYLOAD` and nothing else, as VPC Lattice services do.
    UnsignedOnly,
    /// The body must be covered by the signature.
    HashRequired,
}
