fn main() {
    trellis_idl::generate("route53.idl");
}
