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

#[test]
fn every_lattice_operation_that_is_on_one_resource_says_which() {
    let lattice = Schema::all().by_signing_name("vpc-lattice").unwrap();
    let input = serde_json::json!({
        "serviceIdentifier": "svc-1",
        "listenerIdentifier": "listener-1",
        "ruleIdentifier": "rule-1",
        "rules": [{"ruleIdentifier": "rule-2"}],
    });
    let place = crate::authorise::Place { partition: "aws", region: "us-east-1", account: "111122223333" };
    let on = |name: &str| {
        let operation = lattice.operation(name).unwrap();
        crate::authorise::requested(lattice, operation, &input, place).remove(0).resources.remove(0)
    };
    let head = "arn:aws:vpc-lattice:us-east-1:111122223333:";
    assert_eq!(on("CreateService"), format!("{head}service/*"));
    assert_eq!(on("GetService"), format!("{head}service/svc-1"));
    assert_eq!(on("DeleteRule"), format!("{head}service/svc-1/listener/listener-1/rule/rule-1"));
    assert_eq!(on("BatchUpdateRule"), format!("{head}service/svc-1/listener/listener-1/rule/rule-2"));
    for operation in &lattice.operations {
        let is_list = operation.name.starts_with("List");
        assert!(is_list || !operation.authorisations[0].on.is_empty(), "{}", operation.name);
    }
}
