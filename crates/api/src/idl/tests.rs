use regex_lite::Regex;

use super::*;
use crate::schema::{DESCRIPTIONS, Pattern, Schema};

const HEAD: &str = "service thing\n  id Thing\n  endpoint thing\n  protocol rest-json\n  version 1\n";

fn thing(body: &str) -> Result<Service, IdlError> {
    parse(&format!("{HEAD}{body}"))
}

#[test]
fn every_description_of_this_crate_parses_and_resolves() {
    for (file, text) in DESCRIPTIONS {
        parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
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
fn names_limits_and_places_are_read() {
    let service = thing(
        "let id = [0-9]{3}\n\
         string Id 5..9 /t-{id}/\n\
         string Name ..40 name !t-\n\
         enum Color RED\n  GREEN BLUE\n\
         long Size 0..\n\
         list Names 1..2 of Name item=n flattened\n\
         map Tags 3 of Name String\n\
         error Gone 410 code=GoneFault\n  message String required\n\
         op Put PUT /t/{id} 201\n  in\n    id Id required label\n    size Size query=s\n    names Names\n  errors Gone\n",
    )
    .unwrap();
    let put = service.operation("Put").unwrap();
    let members = service.members(put.input);
    assert_eq!(members[0].location, Location::Label);
    assert!(members[0].required);
    assert_eq!((members[1].location, members[1].wire.as_str()), (Location::Query, "s"));
    let Kind::String { length, pattern: Some(pattern), .. } = &service.shape(members[0].shape).kind else {
        panic!("an id is text with a pattern");
    };
    assert_eq!(*length, Range { min: Some(5), max: Some(9) });
    assert!(pattern.matches("t-123") && !pattern.matches("t-12"));
    let Kind::List { item, flattened, .. } = &service.shape(members[2].shape).kind else { panic!() };
    assert_eq!((item.as_str(), *flattened), ("n", true));
    assert_eq!(service.error("GoneFault").unwrap().status, 410);
}

#[test]
fn ec2_names_follow_from_the_member_name_unless_given() {
    let service = parse(
        "service ec2\n  id E\n  endpoint e\n  protocol ec2\n  version 1\n\
         struct S\n  VpcId String\n  Tags String wire=tagSet\n  Groups String wire=groupSet form=SecurityGroup\n",
    )
    .unwrap();
    let shape = service.shapes().iter().find(|shape| shape.name == "S").unwrap();
    let Kind::Structure { members, .. } = &shape.kind else { panic!() };
    let names: Vec<_> = members.iter().map(|member| (member.wire.as_str(), member.form.as_str())).collect();
    assert_eq!(names, [("vpcId", "VpcId"), ("tagSet", "TagSet"), ("groupSet", "SecurityGroup")]);
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    for (body, line, problem) in [
        ("struct S\n  a Missing\n", 7, "Missing is not declared"),
        ("struct S\n  a String\n  a String\n", 8, "a is declared twice"),
        ("struct S\nstruct S\n", 7, "S is declared twice"),
        ("struct S\n    a String\n", 7, "a member stands 2 spaces in"),
        ("string S 9..3\n", 6, "9..3 is empty"),
        ("string S /x\n", 6, "a pattern ends with a slash"),
        ("strung S\n", 6, "no declaration begins with \"strung\""),
        ("op O GET /{x} 200\n", 6, "no member of the input is bound to {x}"),
        ("op O GET / 99\n", 6, "\"99\" is no status"),
        ("op O GET / 200\n  errors Nope\n", 0, "O: the error Nope is not declared"),
        ("op O GET / 200\n  pages in=a out=b items=c\n", 6, "pages names a member that does not exist"),
        ("enum E\n", 6, "an enum without values"),
        ("struct S\n  a String requierd\n", 7, "did not expect \"requierd\""),
    ] {
        let error = thing(body).unwrap_err();
        assert_eq!((error.line, error.problem.as_str()), (line, problem), "{body}");
    }
    assert_eq!(parse("struct S\n").unwrap_err().problem, "no service");
}
