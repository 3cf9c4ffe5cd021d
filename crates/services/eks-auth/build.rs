//! Makes the types of the service's inputs and outputs.

fn main() {
    trellis_idl::generate("eks-auth.idl");
}
