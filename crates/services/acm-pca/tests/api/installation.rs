//! AWS Private CA alone on a directory of its own, called as an SDK calls it, with a clock that can be put forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use trellis_acm_pca::Reports;
use trellis_auth::Scope;
use trellis_ca::SealingKey;
use trellis_ca::distinguished_name::Text;
use trellis_ca::{
    Csr, DistinguishedName, Extension, GeneralName, KeyAlgorithm, PrivateKey, SignatureAlgorithm,
};
use trellis_frame::{Clock, Config, Extensions, Frame, Service};
use trellis_store::{OpenError, Store};

use crate::client::{KEY_ID, REGION, SECRET, signed};

const SERVICES: &[&Service] = &[&trellis_acm_pca::SERVICE];

pub(crate) struct Installation {
    pub(crate) frame: Frame,
    dir: tempfile::TempDir,
    ahead: Arc<AtomicI64>,
    sealing_key: Arc<SealingKey>,
}

/// Code and message of an error answer.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Installation {
    pub(crate) async fn new() -> Self {
        let sealing_key = Arc::new(SealingKey::generate().unwrap());
        Self::start(tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(0)), sealing_key).await
    }

    /// The same state in another process.
    pub(crate) async fn restarted(self) -> Self {
        let Self { frame, dir, ahead, sealing_key } = self;
        frame.stop().await;
        drop(frame);
        Self::start(dir, ahead, sealing_key).await
    }

    async fn start(dir: tempfile::TempDir, ahead: Arc<AtomicI64>, sealing_key: Arc<SealingKey>) -> Self {
        let seconds = ahead.clone();
        let clock = Clock::new(move || {
            Timestamp::from_second(Timestamp::now().as_second() + seconds.load(Ordering::SeqCst)).unwrap()
        });
        let config = Config {
            access_key_id: KEY_ID.into(),
            secret_access_key: SECRET.into(),
            clock,
            sealing_key: sealing_key.clone(),
            extensions: Extensions::default().with(Reports(dir.path().join("reports"))),
            ..Config::default()
        };
        // The file is closed when the writer has seen that nobody is left.
        let store = loop {
            match Store::open(dir.path()) {
                Ok(store) => break store,
                Err(OpenError::Locked { .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        let frame = Frame::start(store, SERVICES, config).await.unwrap();
        Self { frame, dir, ahead, sealing_key }
    }

    /// Where reports are.
    pub(crate) fn reports(&self) -> std::path::PathBuf {
        self.dir.path().join("reports")
    }

    pub(crate) fn put_forward(&self, days: i64) {
        self.ahead.fetch_add(days * 86_400, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.frame.surroundings().clock.now()
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.call_as((KEY_ID, SECRET), operation, input).await
    }

    /// As [`call`](Self::call), with another key.
    pub(crate) async fn call_as(
        &self,
        key: (&str, &str),
        operation: &str,
        input: Value,
    ) -> Result<Value, Fault> {
        let body = Bytes::from(serde_json::to_vec(&input).unwrap());
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("ACMPrivateCA.{operation}")),
        ];
        let scope = Scope { region: REGION, service: "acm-pca" };
        let request = signed(key, scope, self.now(), ("POST", "/", ""), headers, body);
        let response = self.frame.serve(request).await;
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        if response.status() == 200 {
            return Ok(body);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let code = text("__type");
        let message = [text("message"), text("Message")].concat();
        Err(Fault { code: code.rsplit('#').next().unwrap_or_default().to_owned(), message })
    }

    pub(crate) async fn refused(&self, operation: &str, input: Value) -> Fault {
        let shown = input.to_string();
        let answer = self.call(operation, input).await;
        answer.expect_err(&format!("{operation} {}", shown.chars().take(300).collect::<String>()))
    }

    /// CreateCertificateAuthority, and its key is made.
    pub(crate) async fn authority(&self, input: Value) -> String {
        let answer = self.call("CreateCertificateAuthority", input).await.unwrap();
        let arn = answer["CertificateAuthorityArn"].as_str().unwrap().to_owned();
        self.until_status(&arn, "PENDING_CERTIFICATE").await;
        arn
    }

    pub(crate) async fn describe(&self, arn: &str) -> Value {
        let answer = self.call("DescribeCertificateAuthority", of(arn)).await.unwrap();
        answer["CertificateAuthority"].clone()
    }

    pub(crate) async fn until_status(&self, arn: &str, status: &str) {
        while self.describe(arn).await["Status"] != status {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// An ACTIVE root, valid for ten years.
    pub(crate) async fn root(&self, input: Value) -> String {
        let arn = self.authority(input).await;
        let csr = self.call("GetCertificateAuthorityCsr", of(&arn)).await.unwrap();
        let signing =
            self.describe(&arn).await["CertificateAuthorityConfiguration"]["SigningAlgorithm"].clone();
        let order = json!({
            "Csr": BASE64_STANDARD.encode(csr["Csr"].as_str().unwrap()),
            "SigningAlgorithm": signing,
            "TemplateArn": template("RootCACertificate"),
            "Validity": {"Type": "YEARS", "Value": 10},
        });
        let issued = self.issue(&arn, order).await.unwrap();
        assert_eq!(issued["CertificateChain"], Value::Null);
        self.import(&arn, &issued).await.unwrap();
        assert_eq!(self.describe(&arn).await["Status"], "ACTIVE");
        arn
    }

    /// IssueCertificate and GetCertificate.
    pub(crate) async fn issue(&self, authority: &str, order: Value) -> Result<Value, Fault> {
        let issued = self.call("IssueCertificate", with(of(authority), order)).await?;
        let which = json!({"CertificateAuthorityArn": authority, "CertificateArn": issued["CertificateArn"]});
        self.call("GetCertificate", which).await
    }

    /// ImportCertificateAuthorityCertificate of what GetCertificate answered.
    pub(crate) async fn import(&self, authority: &str, issued: &Value) -> Result<Value, Fault> {
        let encoded = |member: &str| issued[member].as_str().map(|text| BASE64_STANDARD.encode(text));
        let mut input =
            json!({"CertificateAuthorityArn": authority, "Certificate": encoded("Certificate").unwrap()});
        if let Some(chain) = encoded("CertificateChain") {
            input["CertificateChain"] = chain.into();
        }
        self.call("ImportCertificateAuthorityCertificate", input).await
    }
}

pub(crate) fn of(authority: &str) -> Value {
    json!({"CertificateAuthorityArn": authority})
}

pub(crate) fn with(mut input: Value, more: Value) -> Value {
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

pub(crate) fn template(name: &str) -> String {
    format!("arn:aws:acm-pca:::template/{name}/V1")
}

/// The input of CreateCertificateAuthority for a key that is quickly made.
pub(crate) fn quick(kind: &str, name: &str) -> Value {
    configured(
        kind,
        "EC_prime256v1",
        "SHA256WITHECDSA",
        json!({"CommonName": name, "Organization": "example"}),
    )
}

pub(crate) fn configured(kind: &str, key: &str, signing: &str, subject: Value) -> Value {
    json!({
        "CertificateAuthorityType": kind,
        "CertificateAuthorityConfiguration":
            {"KeyAlgorithm": key, "SigningAlgorithm": signing, "Subject": subject},
    })
}

/// A request for these host names, in PEM.
pub(crate) fn request(hosts: &[&str], more: &[Extension]) -> String {
    let key = PrivateKey::generate(KeyAlgorithm::EcP256).unwrap();
    let name = DistinguishedName::of(hosts.first().map(|host| ("2.5.4.3", Text::Utf8, *host))).unwrap();
    let names: Vec<_> = hosts.iter().map(|host| GeneralName::Dns((*host).to_owned())).collect();
    let mut wanted = more.to_vec();
    if !names.is_empty() {
        wanted.push(Extension::subject_alternative_name(&names, false).unwrap());
    }
    Csr::create(&key, SignatureAlgorithm::Sha256Ecdsa, &name, &wanted).unwrap()
}

/// The rest of IssueCertificate's input.
pub(crate) fn order(csr: &str, template_name: &str, days: u32) -> Value {
    json!({
        "Csr": BASE64_STANDARD.encode(csr),
        "SigningAlgorithm": "SHA256WITHECDSA",
        "TemplateArn": template(template_name),
        "Validity": {"Type": "DAYS", "Value": days},
    })
}
