//! The `trellis` binary: flags -> configuration -> wiring.
fn main() {}
