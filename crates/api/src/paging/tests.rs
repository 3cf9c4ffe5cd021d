use serde_json::json;

use super::*;
use crate::schema::Schema;

fn listing(service: &str, operation: &str, input: Value) -> Decoded {
    let service = Schema::all().by_signing_name(service).unwrap();
    Decoded { operation: service.operation(operation).unwrap(), protocol: service.protocol, input }
}

fn services(input: Value) -> Decoded {
    listing("vpc-lattice", "ListServices", input)
}

#[test]
fn a_token_leads_to_the_page_after_the_key_it_was_made_for() {
    let pager = Pager::new(b"key");
    assert_eq!(pager.page(&services(json!({})), "s").unwrap(), Page { after: None, limit: None });
    let token = pager.token(&services(json!({"maxResults": 2})), "s", "svc-0/é");
    let next = services(json!({"maxResults": 7, "nextToken": token}));
    assert_eq!(pager.page(&next, "s").unwrap(), Page { after: Some("svc-0/é".into()), limit: Some(7) });
}

#[test]
fn a_token_is_good_for_one_listing_of_one_caller_with_one_filter() {
    let pager = Pager::new(b"key");
    let vpcs = |filter: &str, token: &str| {
        listing(
            "ec2",
            "DescribeVpcs",
            json!({"Filters": [{"Name": "vpc-id", "Values": [filter]}], "NextToken": token}),
        )
    };
    let token = pager.token(&vpcs("a", ""), "111122223333/us-east-1", "vpc-1");
    assert!(pager.page(&vpcs("a", &token), "111122223333/us-east-1").is_ok());
    for (pager, request, scope) in [
        (&pager, vpcs("b", &token), "111122223333/us-east-1"),
        (&pager, vpcs("a", &token), "111122223333/us-east-2"),
        (&pager, listing("ec2", "DescribeSubnets", vpcs("a", &token).input), "111122223333/us-east-1"),
        (&Pager::new(b"other"), vpcs("a", &token), "111122223333/us-east-1"),
    ] {
        let exception = pager.page(&request, scope).unwrap_err();
        assert_eq!((exception.code.as_ref(), exception.status), ("InvalidNextToken", 400));
    }
}

#[test]
fn a_token_that_was_changed_or_made_up_is_refused_in_the_words_of_the_family() {
    let pager = Pager::new(b"key");
    let token = pager.token(&services(json!({})), "s", "svc-0");
    let mut made_up =
        vec!["x".to_owned(), "AAAA".to_owned(), format!("{token}A"), "é".to_owned(), "A".repeat(9999)];
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        made_up.push(String::from_utf8(bytes).unwrap());
    }
    for token in made_up {
        let exception = pager.page(&services(json!({"nextToken": token})), "s").unwrap_err();
        assert_eq!((exception.code.as_ref(), exception.status), ("ValidationException", 400), "{token}");
        assert_eq!(exception.members["fieldList"][0]["name"], "nextToken");
    }
    let tagging = listing("tagging", "GetResources", json!({"PaginationToken": "x"}));
    assert_eq!(pager.page(&tagging, "s").unwrap_err().code, "PaginationTokenExpiredException");
}

#[test]
fn the_empty_token_that_ends_a_tagging_list_starts_a_new_one() {
    let tagging = listing("tagging", "GetResources", json!({"PaginationToken": "", "ResourcesPerPage": 5}));
    let page = Pager::new(b"key").page(&tagging, "s").unwrap();
    assert_eq!(page, Page { after: None, limit: Some(5) });
}

#[test]
fn a_token_is_safe_in_urls_and_short_enough_for_every_client() {
    let token = Pager::new(b"key").token(&services(json!({})), "s", &"k".repeat(MAX_KEY));
    assert!(token.len() <= MAX_TOKEN, "{}", token.len());
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
}
