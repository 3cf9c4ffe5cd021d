//! Makes the types of IAM's description.

fn main() {
    trellis_idl::generate("iam.idl");
}
