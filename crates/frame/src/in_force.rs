//! How far those are who make what is stored true.

use trellis_store::Revision;

/// Revisions that are in force: everything stored up to them is acted on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InForce {
    pub data_plane: Revision,
    pub kernel: Revision,
}
