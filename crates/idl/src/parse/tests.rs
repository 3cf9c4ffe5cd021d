use super::*;
use crate::schema::{ActedOn, Authorisation, Location, Protocol};

const HEAD: &str = "service thing\n  id Thing\n  endpoint thing\n  protocol rest-json\n  version 1\n";

fn thing(body: &str) -> Result<Service, Mistake> {
    parse(&format!("{HEAD}{body}"))
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
    assert_eq!((item.as_deref(), *flattened), (Some("n"), true));
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
        ("op O GET / 200\n  errors Nope\n", 7, "the error Nope is not declared"),
        ("op O FETCH / 200\n", 6, "\"FETCH\" is none of GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("op O GET / 200\n  authorise on nothing\n", 7, "the resource nothing is not declared"),
        ("op O GET / 200\n  authorise on t=x\n", 6, "authorise names x, which is no member of the input"),
        (
            "op O GET / 200\n  authorise Put\n",
            7,
            "expected authorise [PREFIX:ACTION] [on TYPE[=MEMBER,MEMBER]] [when MEMBER]",
        ),
        ("op O PUT / 200\n  in\n    a Blob payload\n    b Blob payload\n", 6, "a second payload"),
        ("resource t arn:aws:x\n", 6, "\"arn:aws:x\" is no arn:{partition}:SERVICE:REGION:ACCOUNT:RESOURCE"),
        ("timestamp T rfc822\n", 6, "no timestamp format \"rfc822\""),
        ("op O GET / 200\n  pages in=a out=b items=c\n", 6, "pages names a member that does not exist"),
        ("enum E\n", 6, "an enum without values"),
        ("struct S\n  a String requierd\n", 7, "did not expect \"requierd\""),
    ] {
        let error = thing(body).unwrap_err();
        assert_eq!((error.line, error.problem.as_str()), (line, problem), "{body}");
    }
    assert_eq!(parse("struct S\n").unwrap_err().problem, "no service");
}

#[test]
fn an_operation_says_what_its_caller_must_be_allowed_to_do() {
    let service = parse(
        "service elasticthing\n  id T\n  endpoint t\n  protocol query\n  version 1\n  actions thing\n  global us-east-1\n\
         resource box arn:{partition}:thing:{region}:{account}:box/{box}\n\
         resource lid arn:{partition}:thing:{region}:{account}:box/{box}/lid/{lid}\n\
         op List POST / 200\n\
         op Put POST / 200\n  unsigned\n  authorise on box=Box lid=Box,Lids.Id\n  authorise thing:Tag on box when Lids\n  in\n    Box String\n    Lids String\n    Again String token\n",
    )
    .unwrap();
    assert_eq!(service.global.as_deref(), Some("us-east-1"));
    let list = service.operation("List").unwrap();
    assert_eq!(
        list.authorisations,
        [Authorisation { action: "thing:List".into(), on: Vec::new(), when: None }]
    );
    let put = service.operation("Put").unwrap();
    let on = |resource: &str, members: &[&str]| ActedOn {
        resource: resource.into(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    };
    assert_eq!(
        put.authorisations,
        [
            Authorisation {
                action: "thing:Put".into(),
                on: vec![on("box", &["Box"]), on("lid", &["Box", "Lids.Id"])],
                when: None,
            },
            Authorisation { action: "thing:Tag".into(), on: vec![on("box", &[])], when: Some("Lids".into()) },
        ]
    );
    assert!(put.unsigned && !list.unsigned);
    assert_eq!(put.token.as_deref(), Some("Again"));
}

#[test]
fn payloads_streams_and_pages_of_several_parts_are_read() {
    let service = thing(
        "float Weight 0..1\nblob Bytes 1..8\nlist Names of String\nmap M of String Weight key=k value=v flattened\n\
         op Get GET /t 200\n  in\n    a String query\n    b String query\n    c Bytes payload\n\
         \x20 out root=Got\n    a String header=A\n    b String header=B\n    names Names header=N\n    end Boolean header=E\n    code Integer status\n    body Blob stream\n\
         \x20 pages in=a,b out=a,b items=names more=end\n",
    )
    .unwrap();
    let get = service.operation("Get").unwrap();
    assert_eq!(get.root.as_deref(), Some("Got"));
    assert_eq!(service.members(get.input)[2].location, Location::Payload { stream: false });
    assert_eq!(service.members(get.output)[4].location, Location::Status);
    assert_eq!(service.members(get.output)[5].location, Location::Payload { stream: true });
    let paging = get.paging.as_ref().unwrap();
    assert_eq!((paging.input_tokens.len(), paging.more.as_deref()), (2, Some("end")));
    assert_eq!(service.protocol, Protocol::RestJson);
}
