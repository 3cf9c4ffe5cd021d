//! ACM: what is taken, what is refused and why, and what is told of it afterwards.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use trellis_ca::{Authority, KeyAlgorithm, Leaf, LeafRequest};
use trellis_store::Read as _;

use crate::installation::{ACCOUNT, Installation};

/// Somebody else's authority. Its certificates are valid from an hour before it was made.
static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::create("Example CA", Timestamp::now()).unwrap());

pub(crate) fn leaf(names: &[&str], key: KeyAlgorithm) -> Leaf {
    let request = LeafRequest { key, ..LeafRequest::for_hosts(names.iter().copied()) };
    AUTHORITY.issue(&request, Timestamp::now()).unwrap()
}

pub(crate) fn rsa(names: &[&str]) -> Leaf {
    leaf(names, KeyAlgorithm::Rsa2048)
}

/// A certificate that is cheap to make, for what does not depend on its key.
fn ec(names: &[&str]) -> Leaf {
    leaf(names, KeyAlgorithm::EcP256)
}

/// The input of ImportCertificate.
pub(crate) fn material(leaf: &Leaf) -> Value {
    json!({
        "Certificate": BASE64_STANDARD.encode(leaf.certificate_pem()),
        "PrivateKey": BASE64_STANDARD.encode(leaf.private_key().to_pem().as_bytes()),
    })
}

/// ImportCertificate; the ARN.
pub(crate) async fn import(trellis: &Installation, leaf: &Leaf) -> String {
    let answer = trellis.acm("ImportCertificate", material(leaf)).await.unwrap();
    answer["CertificateArn"].as_str().unwrap().to_owned()
}

fn with(mut input: Value, more: Value) -> Value {
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[tokio::test]
async fn what_is_imported_is_described_and_given_back_without_its_key() {
    let trellis = Installation::new().await;
    let leaf = rsa(&["cart.example.com", "*.shop.example.com"]);
    let chain = json!({"CertificateChain": BASE64_STANDARD.encode(AUTHORITY.ca_pem())});
    let tags = json!({"Tags": [{"Key": "team", "Value": "a"}, {"Key": "bare"}]});
    let input = with(with(material(&leaf), chain), tags);
    let arn = trellis.acm("ImportCertificate", input).await.unwrap()["CertificateArn"].clone();
    let prefix = format!("arn:aws:acm:us-east-1:{ACCOUNT}:certificate/");
    let id = arn.as_str().unwrap().strip_prefix(&prefix).unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");

    let which = json!({"CertificateArn": arn});
    let described = trellis.acm("DescribeCertificate", which.clone()).await.unwrap();
    let certificate = &described["Certificate"];
    for (member, expected) in [
        ("CertificateArn", arn.clone()),
        ("DomainName", json!("cart.example.com")),
        ("SubjectAlternativeNames", json!(["cart.example.com", "*.shop.example.com"])),
        ("Serial", json!(leaf.facts().serial)),
        ("Issuer", json!("Trellis")),
        ("Status", json!("ISSUED")),
        ("KeyAlgorithm", json!("RSA_2048")),
        ("SignatureAlgorithm", json!("SHA256WITHECDSA")),
        ("InUseBy", json!([])),
        ("Type", json!("IMPORTED")),
        ("KeyUsages", json!([{"Name": "DIGITAL_SIGNATURE"}, {"Name": "KEY_ENCIPHERMENT"}])),
        ("ExtendedKeyUsages", json!([{"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"}])),
        ("RenewalEligibility", json!("INELIGIBLE")),
    ] {
        assert_eq!(certificate[member], expected, "{member}");
    }
    for member in ["CreatedAt", "ImportedAt", "NotBefore", "NotAfter"] {
        assert!(certificate[member].is_number(), "{member} is seconds since 1970: {}", certificate[member]);
    }
    assert!(certificate.get("IssuedAt").is_none());

    let got = trellis.acm("GetCertificate", which.clone()).await.unwrap();
    assert_eq!(got["Certificate"], leaf.certificate_pem());
    assert_eq!(got["CertificateChain"], AUTHORITY.ca_pem());
    let tags = trellis.acm("ListTagsForCertificate", which).await.unwrap();
    assert_eq!(tags, json!({"Tags": [{"Key": "bare", "Value": ""}, {"Key": "team", "Value": "a"}]}));
    for answer in [described, got] {
        assert!(!answer.to_string().contains("PRIVATE"));
    }
}

#[tokio::test]
async fn no_private_key_is_in_the_store_in_clear() {
    let trellis = Installation::new().await;
    let leaf = ec(&["a.example.com"]);
    import(&trellis, &leaf).await;
    let key = leaf.key_der().secret_der().to_vec();
    // The end of a PKCS #8 P-256 key is the public key; the secret is in its first half.
    let secret = &key[..key.len() / 2];
    for entry in trellis.store.read().unwrap().scan("", None, 10_000).unwrap() {
        assert!(!entry.value.windows(secret.len()).any(|window| window == secret), "{}", entry.key);
        assert!(!String::from_utf8_lossy(&entry.value).contains("PRIVATE KEY"), "{}", entry.key);
    }
}

#[tokio::test]
async fn material_that_would_fail_a_handshake_is_refused_with_the_reason() {
    let trellis = Installation::new().await;
    let good = ec(&["a.example.com"]);
    let encode = |text: &str| json!(BASE64_STANDARD.encode(text));
    let base = material(&good);
    let other_key = material(&ec(&["a.example.com"]))["PrivateKey"].clone();
    let two = format!("{}{}", good.certificate_pem(), good.certificate_pem());
    let stranger = Authority::create("Stranger CA", Timestamp::now()).unwrap();
    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 365);
    let past = Authority::create("Past CA", long_ago).unwrap();
    let expired = material(&past.issue(&LeafRequest::for_hosts(["a.example.com"]), long_ago).unwrap());
    let future = Timestamp::now() + SignedDuration::from_hours(24 * 365);
    let to_come = Authority::create("Future CA", future).unwrap();
    let early = material(&to_come.issue(&LeafRequest::for_hosts(["a.example.com"]), future).unwrap());
    for (input, reason) in [
        (with(base.clone(), json!({"Certificate": encode("nothing")})), "Certificate is not PEM"),
        (with(base.clone(), json!({"Certificate": encode(&two)})), "contains more than one certificate"),
        (with(base.clone(), json!({"PrivateKey": other_key})), "is not the one the certificate was made for"),
        (with(base.clone(), json!({"PrivateKey": encode("nothing")})), "PrivateKey is not PEM"),
        (with(base.clone(), json!({"CertificateChain": encode(&stranger.ca_pem())})), "Unable to validate"),
        (expired, "expired at"),
        (early, "is valid from"),
        (with(base.clone(), json!({"Tags": [{"Key": "a\u{7}"}]})), "characters other than"),
    ] {
        let fault = trellis.acm("ImportCertificate", input).await.unwrap_err();
        assert!(
            fault.is(400, "ValidationException") && fault.message().contains(reason),
            "{reason}: {fault:?}"
        );
        assert!(!fault.message().contains("PRIVATE"));
    }
    for (tags, code) in [
        (json!([{"Key": "aws:a"}]), "InvalidTagException"),
        (json!([{"Key": "a"}, {"Key": "a"}]), "InvalidParameterException"),
    ] {
        let input = with(base.clone(), json!({"Tags": tags}));
        assert!(trellis.acm("ImportCertificate", input).await.unwrap_err().is(400, code));
    }
    let all = json!({"Includes": {"keyTypes": ["EC_prime256v1"]}});
    assert_eq!(trellis.acm("ListCertificates", all).await.unwrap()["CertificateSummaryList"], json!([]));
}

#[tokio::test]
async fn an_import_to_the_same_arn_replaces_and_keeps_what_must_be_kept() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &ec(&["a.example.com"])).await;
    let before = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await.unwrap();
    trellis.advance_clock(Duration::from_secs(10));
    let again = ec(&["b.example.com", "c.example.com"]);
    let input = with(material(&again), json!({"CertificateArn": arn}));
    assert_eq!(trellis.acm("ImportCertificate", input.clone()).await.unwrap()["CertificateArn"], arn);
    let after = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await.unwrap();
    let (before, after) = (&before["Certificate"], &after["Certificate"]);
    assert_eq!(after["DomainName"], "b.example.com");
    assert_eq!(after["CreatedAt"], before["CreatedAt"]);
    assert!(after["ImportedAt"].as_f64() > before["ImportedAt"].as_f64());

    let other = leaf(&["b.example.com"], KeyAlgorithm::EcP384);
    for (input, reason) in [
        (with(input.clone(), json!({"Tags": [{"Key": "a"}]})), "Tagging is not permitted on re-import."),
        (with(material(&other), json!({"CertificateArn": arn})), "key type and size"),
    ] {
        let fault = trellis.acm("ImportCertificate", input).await.unwrap_err();
        assert!(fault.is(400, "ValidationException") && fault.message().contains(reason), "{fault:?}");
    }
    let gone = format!("arn:aws:acm:us-east-1:{ACCOUNT}:certificate/00000000-0000-4000-8000-000000000000");
    let input = with(material(&again), json!({"CertificateArn": gone}));
    let fault = trellis.acm("ImportCertificate", input).await.unwrap_err();
    assert!(fault.is(400, "ResourceNotFoundException"), "{fault:?}");
    let now = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await.unwrap();
    assert_eq!(now["Certificate"], *after);
}

#[tokio::test]
async fn arns_of_other_things_places_and_accounts_name_no_certificate() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &ec(&["a.example.com"])).await;
    let id = arn.rsplit('/').next().unwrap();
    for (arn, code) in [
        ("nothing".to_owned(), "ValidationException"),
        (format!("arn:aws:acm:us-east-1:{ACCOUNT}:authority/{id}"), "InvalidArnException"),
        (format!("arn:aws:acm:us-west-2:{ACCOUNT}:certificate/{id}"), "ResourceNotFoundException"),
        (format!("arn:aws:acm:us-east-1:999999999999:certificate/{id}"), "ResourceNotFoundException"),
        (format!("{arn}x"), "ResourceNotFoundException"),
    ] {
        for operation in
            ["DescribeCertificate", "GetCertificate", "DeleteCertificate", "ListTagsForCertificate"]
        {
            let fault = trellis.acm(operation, json!({"CertificateArn": arn})).await.unwrap_err();
            assert!(fault.is(400, code), "{operation} {arn}: {fault:?}");
        }
    }
    let elsewhere = trellis.acm_in("us-west-2", "DescribeCertificate", json!({"CertificateArn": arn})).await;
    assert!(elsewhere.unwrap_err().is(400, "ResourceNotFoundException"));
    trellis.acm("DeleteCertificate", json!({"CertificateArn": arn})).await.unwrap();
    let fault = trellis.acm("DescribeCertificate", json!({"CertificateArn": arn})).await.unwrap_err();
    assert!(
        fault.is(400, "ResourceNotFoundException") && fault.message().contains("Could not find certificate")
    );
    let left = trellis.store.read().unwrap().scan("acm/", None, 10).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn lists_are_filtered_in_order_and_paged() {
    let trellis = Installation::new().await;
    let mut made = Vec::new();
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        made.push(import(&trellis, &ec(&[name])).await);
        trellis.advance_clock(Duration::from_secs(1));
    }
    let rsa = import(&trellis, &rsa(&["d.example.com"])).await;
    let arns = |answer: &Value| -> Vec<String> {
        let list = answer["CertificateSummaryList"].as_array().unwrap();
        list.iter().map(|one| one["CertificateArn"].as_str().unwrap().to_owned()).collect()
    };
    let list = async |input: Value| trellis.acm("ListCertificates", input).await.unwrap();
    assert_eq!(
        arns(&list(json!({})).await),
        std::slice::from_ref(&rsa),
        "RSA_2048 alone, unless asked for others"
    );
    let ec = json!({"keyTypes": ["EC_prime256v1"]});
    assert_eq!(arns(&list(json!({"Includes": ec})).await), made);
    let backwards = json!({"Includes": ec, "SortBy": "CREATED_AT", "SortOrder": "DESCENDING"});
    assert_eq!(arns(&list(backwards.clone()).await), made.iter().rev().cloned().collect::<Vec<_>>());
    for input in [json!({"Includes": ec}), backwards] {
        let expected = arns(&list(input.clone()).await);
        let first = list(with(input.clone(), json!({"MaxItems": 2}))).await;
        let rest = list(with(input, json!({"MaxItems": 2, "NextToken": first["NextToken"]}))).await;
        assert_eq!([arns(&first), arns(&rest)].concat(), expected);
        assert!(rest.get("NextToken").is_none());
    }
    for (more, count) in [
        (json!({"CertificateStatuses": ["ISSUED"]}), 1),
        (json!({"CertificateStatuses": ["EXPIRED", "REVOKED"]}), 0),
        (json!({"Includes": {"keyUsage": ["DIGITAL_SIGNATURE"]}}), 1),
        (json!({"Includes": {"keyUsage": ["CRL_SIGNING"]}}), 0),
        (json!({"Includes": {"extendedKeyUsage": ["TLS_WEB_SERVER_AUTHENTICATION"]}}), 1),
        (json!({"Includes": {"extendedKeyUsage": ["CODE_SIGNING"]}}), 0),
        (json!({"Includes": {"exportOption": "ENABLED"}}), 0),
        (json!({"Includes": {"managedBy": "CLOUDFRONT"}}), 0),
        (json!({"CertificateKeyPairOrigins": ["AWS_MANAGED"]}), 0),
    ] {
        assert_eq!(arns(&list(more.clone()).await).len(), count, "{more}");
    }
    let summary = &list(json!({})).await["CertificateSummaryList"][0];
    assert_eq!(summary["SubjectAlternativeNameSummaries"], json!(["d.example.com"]));
    assert_eq!((&summary["InUse"], &summary["Status"]), (&json!(false), &json!("ISSUED")));
    trellis.advance_clock(Duration::from_secs(100 * 24 * 3600));
    assert_eq!(list(json!({})).await["CertificateSummaryList"][0]["Status"], "EXPIRED");

    let fault = trellis.acm("ListCertificates", json!({"SortBy": "CREATED_AT"})).await.unwrap_err();
    assert!(fault.is(400, "InvalidArgsException"), "{fault:?}");
    let fault = trellis.acm("ListCertificates", json!({"NextToken": "x"})).await.unwrap_err();
    assert!(fault.is(400, "ValidationException"), "{fault:?}");
}

#[tokio::test]
async fn tags_are_added_replaced_and_taken_away() {
    let trellis = Installation::new().await;
    let arn = import(&trellis, &ec(&["a.example.com"])).await;
    let tags = async |operation: &str, tags: Value| {
        trellis.acm(operation, json!({"CertificateArn": arn, "Tags": tags})).await
    };
    tags("AddTagsToCertificate", json!([{"Key": "a", "Value": "1"}, {"Key": "é/ü", "Value": "2"}]))
        .await
        .unwrap();
    tags("AddTagsToCertificate", json!([{"Key": "a", "Value": "3"}])).await.unwrap();
    tags("RemoveTagsFromCertificate", json!([{"Key": "a", "Value": "1"}, {"Key": "é/ü"}])).await.unwrap();
    let listed = trellis.acm("ListTagsForCertificate", json!({"CertificateArn": arn})).await.unwrap();
    assert_eq!(listed["Tags"], json!([{"Key": "a", "Value": "3"}]));
    let many: Vec<_> = (0..50).map(|n| json!({"Key": format!("key-{n}")})).collect();
    let fault = tags("AddTagsToCertificate", json!(many)).await.unwrap_err();
    assert!(fault.is(400, "TooManyTagsException"), "{fault:?}");
    let unchanged = trellis.acm("ListTagsForCertificate", json!({"CertificateArn": arn})).await.unwrap();
    assert_eq!(unchanged, listed);
}
