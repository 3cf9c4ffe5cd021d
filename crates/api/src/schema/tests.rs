use regex_lite::Regex;

use super::*;

#[test]
fn every_description_of_this_crate_parses_and_resolves() {
    for (file, text) in DESCRIPTIONS {
        trellis_idl::parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn every_pattern_of_every_description_compiles() {
    let mut patterns = 0;
    for service in Schema::all().services() {
        for shape in service.shapes() {
            if let Kind::String { pattern: Some(Pattern::Regex { text, .. }), .. } = &shape.kind {
                assert!(!text.contains("{id}") && !text.contains("{arn}"), "{}: {text}", shape.name);
                Regex::new(text).unwrap_or_else(|error| panic!("{}: {error}", shape.name));
                patterns += 1;
            }
        }
    }
    assert!(patterns > 50, "{patterns}");
}

#[test]
fn every_lattice_operation_is_described_with_its_errors() {
    let lattice = Schema::all().by_signing_name("vpc-lattice").unwrap();
    assert_eq!(lattice.operations.len(), 73);
    for operation in &lattice.operations {
        assert!(operation.errors.iter().any(|name| name == "ValidationException"), "{}", operation.name);
        assert_eq!(
            operation.name.starts_with("List") && operation.name != "ListTagsForResource",
            operation.paging.is_some()
        );
    }
}
