//! Types and tables of the service from its description.

fn main() {
    trellis_idl::generate("ram.idl");
}
