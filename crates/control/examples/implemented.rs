//! Prints which operations are implemented, by the signing name of their service, as JSON.

#[allow(clippy::print_stdout)]
fn main() {
    let operations = trellis_control::implemented_operations();
    println!("{}", serde_json::to_string_pretty(&operations).expect("names are plain text"));
}
