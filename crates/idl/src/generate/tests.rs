use super::*;

fn generated(body: &str) -> BTreeMap<String, String> {
    let head = "service thing\n  id Thing\n  endpoint thing\n  protocol rest-json\n  version 1\n";
    files(&parse(&format!("{head}{body}")).unwrap())
}

const SHOP: &str = "enum Color RED sea-blue\nlist Names of String\nmap Tags of String Tag\nstruct Tag\n  Value String\n\
     struct Node\n  Next Node\nunion Choice\n  byName String\n  byTag Tag\n\
     error Gone 410 code=GoneFault\n  Message String\n  resourceId String required\n  wait Integer header=Retry-After\n\
     op CreateThing POST /things 200\n  in\n    name String required\n    type Color\n    secret String secret\n    names Names\n  out\n    tags Tags required\n    choice Choice\n  errors Gone\n\
     op ListThings GET /things 200\n  out\n    tag Tag\n\
     op GetNode GET /node 200\n  in\n    node Node\n    choice Choice required\n";

#[test]
fn a_required_member_is_plain_and_any_other_an_option() {
    let files = generated(SHOP);
    let thing = &files["op_thing"];
    for expected in [
        "pub struct CreateThing;",
        "pub struct CreateThingInput {\n    pub name: String,\n    pub r#type: Option<Color>,\n    pub secret: Option<::trellis_api::typed::Secret>,\n    pub names: Option<Vec<String>>,\n}",
        "name: members.required(\"name\")?,",
        "r#type: members.optional(\"type\")?,",
        ".put(\"tags\", self.tags)",
        ".put_some(\"choice\", self.choice)",
        "pub enum Color {\n    Red,\n    SeaBlue,\n}",
    ] {
        assert!(thing.contains(expected), "{expected}\nis not in\n{thing}");
    }
    // Without a required member nothing must be said; with one, leaving it out does not compile.
    assert!(thing.contains("#[derive(Debug, Clone, PartialEq, Default)]\npub struct ListThingsOutput"));
    assert!(thing.contains("#[derive(Debug, Clone, PartialEq)]\npub struct CreateThingInput"));
}

#[test]
fn a_shape_is_in_the_file_of_its_only_user_or_shared_and_only_as_it_is_used() {
    let files = generated(SHOP);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["errors", "op_node", "op_thing", "shared"]);
    assert!(files["shared"].contains("pub enum Choice {\n    ByName(String),\n    ByTag(Tag),\n}"));
    assert!(files["op_node"].contains("pub struct Node {\n    pub next: Option<Box<Node>>,\n}"));
    assert!(!files["op_node"].contains("IntoValue for Node"), "an input is never written");
    assert!(!files["op_thing"].contains("FromValue for CreateThingOutput"), "an output is never read");
}

#[test]
fn an_error_becomes_an_exception_with_its_code_and_status() {
    let errors = &generated(SHOP)["errors"];
    assert!(
        errors.contains("pub struct Gone {\n    pub message: String,\n    pub resource_id: String,\n}"),
        "{errors}"
    );
    assert!(errors.contains("CODE: &'static str = \"GoneFault\";") && errors.contains("STATUS: u16 = 410;"));
}
