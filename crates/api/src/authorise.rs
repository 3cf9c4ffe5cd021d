//! What a caller must be allowed to do for a call: the actions, and the ARNs they are on.

use serde_json::Value;

use crate::schema::{ActedOn, Operation, ResourceType, Service};

/// Where a call takes place: what ARNs begin with.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
}

/// One action on some resources: each of them has to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested<'a> {
    /// `vpc-lattice:GetService`.
    pub action: &'a str,
    /// Never empty: `*` where the action is on no resource of its own.
    pub resources: Vec<String>,
}

/// What `operation` with a decoded `input` asks for. A part of an ARN that the input does not tell, as
/// the id of what is made, is `*`. An identifier that is an ARN already is taken as it is.
pub fn requested<'a>(
    service: &Service,
    operation: &'a Operation,
    input: &Value,
    place: Place<'_>,
) -> Vec<Requested<'a>> {
    operation
        .authorisations
        .iter()
        .filter(|authorisation| authorisation.when.as_ref().is_none_or(|member| has(input, member)))
        .map(|authorisation| {
            let mut resources: Vec<String> =
                authorisation.on.iter().flat_map(|on| arns(service, on, input, place)).collect();
            if resources.is_empty() {
                resources.push("*".to_owned());
            }
            Requested { action: &authorisation.action, resources }
        })
        .collect()
}

/// The ARNs of one kind of resource; none where the input leaves out the members that name it.
fn arns(service: &Service, on: &ActedOn, input: &Value, place: Place<'_>) -> Vec<String> {
    let Some(resource) = service.resources.iter().find(|resource| resource.name == on.resource) else {
        return Vec::new();
    };
    let holes = resource.holes().count();
    let Some((last, parents)) = on.members.split_last() else {
        return vec![filled(resource, &vec!["*"; holes], place)];
    };
    let parents: Vec<&str> =
        parents.iter().map(|path| texts(input, path).first().map_or("*", |text| last_part(text))).collect();
    texts(input, last)
        .into_iter()
        .map(|text| {
            // What the last hole is filled with is the resource itself; a parent's ARN is not.
            if on.members.len() == holes && text.starts_with("arn:") {
                return text.to_owned();
            }
            let mut values = parents.clone();
            values.push(last_part(text));
            values.resize(holes, "*");
            filled(resource, &values, place)
        })
        .collect()
}

/// The id at the end of an ARN, or the text.
fn last_part(text: &str) -> &str {
    if text.starts_with("arn:") { text.rsplit(['/', ':']).next().unwrap_or(text) } else { text }
}

/// Whether the input has something at `path`, and be it of no length.
fn has(input: &Value, path: &str) -> bool {
    let found = path.split('.').try_fold(input, |value, step| value.get(step));
    found.is_some_and(|value| !value.is_null())
}

/// The texts at `path`; through lists, every element.
fn texts<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    let mut found = vec![value];
    let elements = |value: &'v Value| match value {
        Value::Array(list) => list.iter().collect(),
        value => vec![value],
    };
    for step in path.split('.') {
        found = found.into_iter().filter_map(|value| value.get(step)).flat_map(elements).collect();
    }
    found.into_iter().filter_map(Value::as_str).collect()
}

/// The resource's ARN with `values` in its holes, in order.
fn filled(resource: &ResourceType, values: &[&str], place: Place<'_>) -> String {
    let mut values = values.iter();
    let mut arn = String::new();
    let mut rest = resource.arn.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (hole, after) = after.split_once('}').unwrap_or((after, ""));
        arn.push_str(before);
        arn.push_str(match hole {
            "partition" => place.partition,
            "region" => place.region,
            "account" => place.account,
            _ => values.next().copied().unwrap_or("*"),
        });
        rest = after;
    }
    arn.push_str(rest);
    arn
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLACE: Place<'_> = Place { partition: "aws", region: "eu-west-1", account: "111122223333" };

    fn thing() -> Service {
        trellis_idl::parse(
            "service thing\n  id T\n  endpoint t\n  protocol rest-json\n  version 1\n\
             resource box arn:{partition}:thing:{region}:{account}:box/{box}\n\
             resource lid arn:{partition}:thing::{account}:box/{box}/lid/{lid}\n\
             op ListBoxes GET /b 200\n\
             op MakeBox POST /b 200\n  authorise on box\n  authorise thing:Tag on box when tags\n  in\n    tags String\n\
             op GetLid GET /l 200\n  authorise on lid=box,lid\n  in\n    box String query\n    lid String query\n\
             op MakeLids POST /l 200\n  authorise on box=box\n  authorise thing:MakeLid on lid=box\n  authorise thing:Look on box=see.box\n  in\n    box String query\n    see Sees\n\
             list Sees of See\nstruct See\n  box String\n",
        )
        .unwrap()
    }

    fn asked(operation: &str, input: &Value) -> Vec<String> {
        let service = thing();
        let operation = service.operation(operation).unwrap();
        let all = requested(&service, operation, input, PLACE);
        all.into_iter().map(|one| format!("{} {}", one.action, one.resources.join(" "))).collect()
    }

    #[test]
    fn a_list_is_on_everything_and_a_creation_on_what_has_no_id_yet() {
        assert_eq!(asked("ListBoxes", &json!({})), ["thing:ListBoxes *"]);
        assert_eq!(
            asked("MakeBox", &json!({})),
            ["thing:MakeBox arn:aws:thing:eu-west-1:111122223333:box/*"]
        );
    }

    #[test]
    fn what_a_call_brings_along_asks_for_more() {
        assert_eq!(
            asked("MakeBox", &json!({"tags": "x"})),
            [
                "thing:MakeBox arn:aws:thing:eu-west-1:111122223333:box/*",
                "thing:Tag arn:aws:thing:eu-west-1:111122223333:box/*"
            ]
        );
    }

    #[test]
    fn identifiers_may_be_ids_or_arns() {
        let expected = ["thing:GetLid arn:aws:thing::111122223333:box/b-1/lid/l-1"];
        assert_eq!(asked("GetLid", &json!({"box": "b-1", "lid": "l-1"})), expected);
        let arn = "arn:aws:thing:eu-west-1:111122223333:box/b-1";
        assert_eq!(asked("GetLid", &json!({"box": arn, "lid": "l-1"})), expected);
        let arn = "arn:aws:thing::444455556666:box/b-2/lid/l-2";
        assert_eq!(asked("GetLid", &json!({"box": "b-1", "lid": arn})), [format!("thing:GetLid {arn}")]);
    }

    #[test]
    fn several_actions_each_have_their_resources() {
        assert_eq!(
            asked("MakeLids", &json!({"box": "b-1", "see": [{"box": "b-2"}, {"box": "b-3"}]})),
            [
                "thing:MakeLids arn:aws:thing:eu-west-1:111122223333:box/b-1",
                "thing:MakeLid arn:aws:thing::111122223333:box/b-1/lid/*",
                "thing:Look arn:aws:thing:eu-west-1:111122223333:box/b-2 \
                 arn:aws:thing:eu-west-1:111122223333:box/b-3",
            ]
        );
    }
}
