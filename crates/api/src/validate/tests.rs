use serde_json::json;

use super::*;
use crate::schema::Schema;

fn lattice(operation: &str, value: Value) -> Result<(), Exception> {
    let service = Schema::all().by_signing_name("vpc-lattice").unwrap();
    input(service, Protocol::RestJson, service.operation(operation).unwrap(), &value)
}

/// The names and messages of `fieldList`.
fn fields(exception: &Exception) -> Vec<(String, String)> {
    let list = exception.members["fieldList"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.iter().map(|field| (text(&field["name"]), text(&field["message"]))).collect()
}

fn refused(operation: &str, value: Value) -> Vec<(String, String)> {
    let exception = lattice(operation, value).unwrap_err();
    assert_eq!((exception.code.as_ref(), exception.status), ("ValidationException", 400));
    assert_eq!(exception.members["reason"], "fieldValidationFailed");
    fields(&exception)
}

fn rule(action: Value) -> Value {
    json!({
        "serviceIdentifier": "svc-0123456789abcdef0",
        "listenerIdentifier": "listener-0123456789abcdef0",
        "name": "first",
        "priority": 1,
        "match": {"httpMatch": {"pathMatch": {"match": {"prefix": "/"}}}},
        "action": action,
    })
}

#[test]
fn an_input_within_every_limit_passes() {
    assert_eq!(lattice("CreateService", json!({"name": "cart"})), Ok(()));
    assert_eq!(lattice("CreateRule", rule(json!({"fixedResponse": {"statusCode": 404}}))), Ok(()));
}

#[test]
fn each_kind_of_limit_is_named_with_its_member() {
    for (operation, value, field, message) in [
        ("CreateService", json!({}), "name", "Member must not be null"),
        ("CreateService", json!({"name": null}), "name", "Member must not be null"),
        (
            "CreateService",
            json!({"name": "ab"}),
            "name",
            "Member must have length greater than or equal to 3",
        ),
        (
            "CreateService",
            json!({"name": "a".repeat(41)}),
            "name",
            "Member must have length less than or equal to 40",
        ),
        (
            "CreateService",
            json!({"name": "svc-mine"}),
            "name",
            "Member must satisfy regular expression pattern: (?!svc-)(?!-)(?!.*-$)(?!.*--)[a-z0-9-]+",
        ),
        (
            "CreateService",
            json!({"name": "cart", "authType": "SOME"}),
            "authType",
            "Member must satisfy enum value set: [NONE, AWS_IAM]",
        ),
        (
            "CreateService",
            json!({"name": "cart", "tags": {"": "v"}}),
            "tags..member",
            "Member must have length greater than or equal to 1",
        ),
        (
            "ListServices",
            json!({"maxResults": 0}),
            "maxResults",
            "Member must have value greater than or equal to 1",
        ),
        (
            "ListServices",
            json!({"maxResults": 101}),
            "maxResults",
            "Member must have value less than or equal to 100",
        ),
        (
            "GetService",
            json!({"serviceIdentifier": "cart-the-service-01"}),
            "serviceIdentifier",
            "Member must satisfy regular expression pattern: svc-[0-9a-z]{17}|\
             arn:[a-z0-9-]+:vpc-lattice:[a-zA-Z0-9-]+:[0-9]{12}:service/svc-[0-9a-z]{17}",
        ),
        (
            "RegisterTargets",
            json!({"targetGroupIdentifier": "tg-0123456789abcdef0", "targets": []}),
            "targets",
            "Member must have length greater than or equal to 1",
        ),
        (
            "RegisterTargets",
            json!({"targetGroupIdentifier": "tg-0123456789abcdef0", "targets": [{"id": "i"}, {"id": "", "port": 1}]}),
            "targets.2.member.id",
            "Member must have length greater than or equal to 1",
        ),
        (
            "CreateRule",
            rule(json!({})),
            "action",
            "Member must have exactly one of its members set, but 0 are",
        ),
        (
            "CreateRule",
            rule(
                json!({"fixedResponse": {"statusCode": 404}, "forward": {"targetGroups": [{"targetGroupIdentifier": "tg-0123456789abcdef0"}]}}),
            ),
            "action",
            "Member must have exactly one of its members set, but 2 are",
        ),
    ] {
        assert_eq!(refused(operation, value), [(field.to_owned(), message.to_owned())]);
    }
}

#[test]
fn every_fault_is_listed_and_the_list_is_bounded() {
    let two = lattice("CreateService", json!({"name": "a", "authType": "X"})).unwrap_err();
    assert_eq!(fields(&two).len(), 2);
    assert!(
        two.message.starts_with("2 validation errors detected: Value 'a' at 'name' failed"),
        "{}",
        two.message
    );

    let targets: Vec<Value> = (0..100).map(|_| json!({"id": ""})).collect();
    let many = lattice(
        "RegisterTargets",
        json!({"targetGroupIdentifier": "tg-0123456789abcdef0", "targets": targets}),
    )
    .unwrap_err();
    assert_eq!(fields(&many).len(), 20);
    assert!(many.message.starts_with("100 validation errors detected"), "{}", many.message);
}

#[test]
fn a_long_value_is_cut_in_messages() {
    let exception = lattice("CreateService", json!({"name": "x".repeat(100_000)})).unwrap_err();
    assert!(exception.message.len() < 300, "{}", exception.message.len());
}

#[test]
fn length_counts_characters_not_bytes() {
    let key = "ключ".repeat(32);
    assert_eq!(key.chars().count(), 128);
    assert_eq!(lattice("CreateService", json!({"name": "cart", "tags": {key: "é".repeat(256)}})), Ok(()));
}

#[test]
fn a_policy_with_line_breaks_is_still_a_policy() {
    let policy = "{\n  \"Statement\": []\n}\n";
    let arn = "arn:aws:vpc-lattice:us-east-1:111122223333:service/svc-0123456789abcdef0";
    assert_eq!(lattice("PutResourcePolicy", json!({"resourceArn": arn, "policy": policy})), Ok(()));
    assert!(lattice("PutResourcePolicy", json!({"resourceArn": arn, "policy": " \n "})).is_err());
}

#[test]
fn each_family_has_its_own_words() {
    let schema = Schema::all();
    let ec2 = schema.by_signing_name("ec2").unwrap();
    let refused = |operation: &str, value: Value| {
        let exception = input(ec2, Protocol::Ec2, ec2.operation(operation).unwrap(), &value).unwrap_err();
        (exception.code.into_owned(), exception.status, exception.message)
    };
    assert_eq!(
        refused("DeleteVpc", json!({})),
        ("MissingParameter".into(), 400, "The request must contain the parameter VpcId".into())
    );
    let (code, status, message) = refused("DescribeVpcs", json!({"MaxResults": 4}));
    assert_eq!((code.as_str(), status), ("InvalidParameterValue", 400));
    assert!(message.starts_with("Value (4) for parameter MaxResults is invalid."), "{message}");

    let tagging = schema.by_signing_name("tagging").unwrap();
    let operation = tagging.operation("TagResources").unwrap();
    let exception = input(tagging, Protocol::Json11, operation, &json!({"Tags": {"a": "b"}})).unwrap_err();
    assert_eq!((exception.code.as_ref(), exception.status), ("InvalidParameterException", 400));
    assert!(exception.message.contains("'ResourceARNList'"), "{}", exception.message);
}

#[test]
fn an_output_is_held_to_the_description_member_by_member() {
    let service = Schema::all().by_signing_name("vpc-lattice").unwrap();
    let operation = service.operation("ListServices").unwrap();
    assert_eq!(output(service, operation, &json!({"items": []})), Vec::<String>::new());
    assert_eq!(
        output(service, operation, &json!({"items": [{"nmae": "x", "createdAt": 5}]})),
        [
            "items.1.member.createdAt: Member must be a timestamp",
            "items.1.member.nmae.member: Member is not described"
        ]
    );
    let operation = service.operation("ListTargets").unwrap();
    assert_eq!(output(service, operation, &json!({})), ["items: Member must not be null"]);
}
