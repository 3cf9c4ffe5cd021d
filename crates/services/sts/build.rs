//! Makes the types of STS's description.

fn main() {
    trellis_idl::generate("sts.idl");
}
