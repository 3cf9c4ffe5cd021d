//! What a service demands of a signature.

use jiff::SignedDuration;

/// How far a signature's time may be from ours, unless a rule says otherwise: 15 minutes.
pub const DEFAULT_MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);
/// The same for the services of VPC Lattice, as their denials say it: 5 minutes.
pub const LATTICE_MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How long a presigned call of STS is good, whatever less it says: a cluster's token is one that says a minute, and
/// "must be no older than 15 minutes".
const STS_LIFE: SignedDuration = SignedDuration::from_mins(15);
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
    /// A presigned request is good for this long at least; zero where only it says how long.
    pub shortest_life: SignedDuration,
    pub payload: PayloadRule,
    /// `x-amz-*` headers that may arrive unsigned.
    pub unsigned_headers: UnsignedHeaders<'a>,
    /// Whether SigV4A is accepted beside SigV4.
    pub ecdsa: bool,
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
            shortest_life: if services == ["sts"] { STS_LIFE } else { SignedDuration::ZERO },
            payload: PayloadRule::Any,
            unsigned_headers: UnsignedHeaders::Only(&["x-amz-user-agent"]),
            ecdsa: false,
        }
    }

    /// What a service of VPC Lattice demands of its clients, in the listener's region: SigV4 or
    /// SigV4A, the payload unsigned, 5 minutes. Its callers use many signers, and every `x-amz-*`
    /// header but those of the signature itself is a matter between them and the target.
    pub fn for_lattice_service(regions: &'a [&'a str]) -> Self {
        Self {
            services: &["vpc-lattice-svcs"],
            region: RegionRule::OneOf(regions),
            path: PathEncoding::AsSigned,
            max_skew: LATTICE_MAX_SKEW,
            shortest_life: SignedDuration::ZERO,
            payload: PayloadRule::UnsignedOnly,
            unsigned_headers: UnsignedHeaders::AllBut(&["x-amz-security-token", "x-amz-region-set"]),
            ecdsa: true,
        }
    }
}

/// Which `x-amz-*` headers, in lower case, may arrive unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsignedHeaders<'a> {
    /// These; every other one must be signed, so that nothing AWS-like can be added on the way.
    Only(&'a [&'a str]),
    /// Every one but these.
    AllBut(&'a [&'a str]),
}

impl UnsignedHeaders<'_> {
    pub(crate) fn must_cover(&self, name: &str) -> bool {
        let is_among = |names: &[&str]| names.iter().any(|each| each.eq_ignore_ascii_case(name));
        match self {
            Self::Only(names) => !is_among(names),
            Self::AllBut(names) => is_among(names),
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
    /// Whichever of the known ways the signer has: `Double`, the same without removing segments,
    /// `Once`, or exactly as received. For the data plane, whose callers use many signers; each form
    /// binds the path. A bare `+` of the query may have been signed as itself, `%20` or `%2B`.
    AsSigned,
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
