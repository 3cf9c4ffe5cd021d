use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::tests::Server;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment::new(move |name| variables.get(name).cloned())
}

async fn look(variables: &[(&str, &str)]) -> Result<Credentials, Failure> {
    Wallet::new(environment(variables)).credentials(Timestamp::now()).await
}

fn pair(credentials: &Credentials) -> (&str, &str, Option<&str>) {
    let Credentials { access_key_id, secret_key, session_token } = credentials;
    (access_key_id.as_str(), secret_key.expose(), session_token.as_ref().map(|token| token.as_str()))
}

const NO_INSTANCE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

#[tokio::test]
async fn keys_are_taken_from_the_environment_first() {
    let found = look(&[
        ("AWS_ACCESS_KEY_ID", "AKIAENV"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_PROFILE", "other"),
    ]);
    assert_eq!(pair(&found.await.unwrap()), ("AKIAENV", "secret", Some("token")));
}

#[tokio::test]
async fn keys_are_taken_from_the_profile_in_either_file() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    let credentials = "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key=one\n\n[ two ]\n\
                       aws_access_key_id=AKIATWO\naws_secret_access_key = a=b\n";
    fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
    let config =
        "[profile three]\nregion = x\naws_access_key_id = AKIATHREE\naws_secret_access_key = three\n";
    fs::write(home.path().join(".aws/config"), config).unwrap();
    let home = home.path().to_str().unwrap();
    for (profile, expected) in [
        ("", ("AKIADEFAULT", "one", None)),
        ("two", ("AKIATWO", "a=b", None)),
        ("three", ("AKIATHREE", "three", None)),
    ] {
        let found = look(&[("HOME", home), ("AWS_PROFILE", profile), NO_INSTANCE]).await.unwrap();
        assert_eq!(pair(&found), expected, "{profile}");
    }
    let failure = look(&[("HOME", home), ("AWS_PROFILE", "four"), NO_INSTANCE]).await.unwrap_err();
    assert!(failure.to_string().starts_with("no credentials"), "{failure}");
}

#[tokio::test]
async fn keys_are_fetched_from_a_containers_agent_with_its_token_and_kept() {
    let server = Server::start(|_, _| {
        let expiration = Timestamp::now() + SignedDuration::from_hours(1);
        let keys = format!(
            r#"{{"AccessKeyId":"ASIAAGENT","SecretAccessKey":"s","Token":"t","Expiration":"{expiration}"}}"#
        );
        (200, keys)
    });
    let url = format!("{}/v1/credentials", server.url);
    let wallet = Wallet::new(environment(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in"),
    ]));
    for _ in 0..2 {
        let found = wallet.credentials(Timestamp::now()).await.unwrap();
        assert_eq!(pair(&found), ("ASIAAGENT", "s", Some("t")));
    }
    let [(head, _)] = &server.seen()[..] else { panic!("not asked once") };
    assert!(head.starts_with("GET /v1/credentials HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: let me in\r\n"), "{head}");
    wallet.credentials(Timestamp::now() + SignedDuration::from_mins(56)).await.unwrap();
    assert_eq!(server.seen().len(), 2, "before they expire they are fetched again");
}

#[tokio::test]
async fn keys_cross_no_network_in_the_clear() {
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/"), NO_INSTANCE];
    assert!(look(&variables).await.unwrap_err().to_string().contains("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
}

#[tokio::test]
async fn keys_are_fetched_from_the_instance_with_a_session() {
    let server = Server::start(|head, _| match head.split(' ').nth(1).unwrap() {
        "/latest/api/token" => (200, "session".into()),
        _ if !head.contains("x-aws-ec2-metadata-token: session\r\n") => (401, String::new()),
        "/latest/meta-data/iam/security-credentials/" => (200, "role\n".into()),
        "/latest/meta-data/iam/security-credentials/role" => {
            (200, r#"{"Code":"Success","AccessKeyId":"ASIAROLE","SecretAccessKey":"s","Token":"t"}"#.into())
        }
        _ => (404, String::new()),
    });
    let found = look(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]).await.unwrap();
    assert_eq!(pair(&found), ("ASIAROLE", "s", Some("t")));
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "a.b+c\n").unwrap();
    let server = Server::start(|_, _| {
        let keys = "<AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
        (200, format!("<AssumeRoleWithWebIdentityResponse><Credentials>{keys}</Credentials></A>"))
    });
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r"),
        ("AWS_ENDPOINT_URL_STS", &server.url),
    ];
    assert_eq!(pair(&look(&variables).await.unwrap()), ("ASIAWEB", "s", Some("t")));
    let body = String::from_utf8(server.seen()[0].1.clone()).unwrap();
    assert!(
        body.contains("Action=AssumeRoleWithWebIdentity&") && body.ends_with("WebIdentityToken=a.b%2Bc"),
        "{body}"
    );
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_refused_without_being_shown() {
    let long = "x".repeat(300);
    let failure =
        look(&[("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", &long)]).await.unwrap_err();
    assert!(
        failure.to_string().contains("the environment") && !failure.to_string().contains("xxx"),
        "{failure}"
    );
}
