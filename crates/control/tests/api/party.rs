//! An account of the installation with a key of its own, as a client of every REST service.

use serde_json::{Value, json};
use trellis_control::Key;
use trellis_model::resource::lattice::Home;

use crate::installation::{Fault, Installation, REGION};

pub(crate) struct Party<'a> {
    trellis: &'a Installation,
    pub(crate) key: Key,
}

impl<'a> Party<'a> {
    /// The account of the admin key.
    pub(crate) fn owner(trellis: &'a Installation) -> Self {
        let key = trellis.control.frame().key(crate::installation::ACCOUNT).unwrap();
        Self { trellis, key }
    }

    /// A new account.
    pub(crate) async fn new(trellis: &'a Installation) -> Self {
        let account = trellis.control.frame().create_account(None, None).await.unwrap();
        let key = trellis.control.frame().create_key(account.id.as_str()).await.unwrap();
        Self { trellis, key }
    }

    pub(crate) fn account(&self) -> &str {
        self.key.account.as_str()
    }

    pub(crate) fn home(&self) -> Home {
        Home { account: self.key.account.clone(), region: REGION.parse().unwrap() }
    }

    pub(crate) async fn call_service(
        &self,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, Fault> {
        let key = (self.key.access_key_id.as_str(), self.key.secret_access_key.expose());
        self.trellis.outcome(self.trellis.request_as(key, service, REGION, operation, &input)).await
    }

    /// An operation of VPC Lattice.
    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.call_service("vpc-lattice", operation, input).await
    }

    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input.clone())
            .await
            .unwrap_or_else(|fault| panic!("{operation} {input}: {fault:?}"))
    }

    /// The code of a refusal.
    pub(crate) async fn refused(&self, operation: &str, input: Value) -> String {
        match self.call(operation, input.clone()).await {
            Ok(answer) => panic!("{operation} {input} was accepted: {answer}"),
            Err(fault) => fault.code,
        }
    }

    /// An operation of RAM.
    pub(crate) async fn ram(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.call_service("ram", operation, input).await
    }

    pub(crate) async fn ram_ok(&self, operation: &str, input: Value) -> Value {
        self.ram(operation, input.clone())
            .await
            .unwrap_or_else(|fault| panic!("{operation} {input}: {fault:?}"))
    }

    pub(crate) async fn ram_refused(&self, operation: &str, input: Value) -> String {
        match self.ram(operation, input.clone()).await {
            Ok(answer) => panic!("{operation} {input} was accepted: {answer}"),
            Err(fault) => fault.code,
        }
    }

    pub(crate) async fn network(&self) -> Value {
        let name = format!("network-{}", self.trellis.next());
        self.ok("CreateServiceNetwork", json!({"name": name})).await
    }

    /// An ACTIVE service.
    pub(crate) async fn service(&self) -> Value {
        let name = format!("service-{}", self.trellis.next());
        let service = self.ok("CreateService", json!({"name": name})).await;
        self.wait_status("GetService", json!({"serviceIdentifier": service["id"]}), "ACTIVE").await
    }

    /// Calls until the answer has that status.
    pub(crate) async fn wait_status(&self, operation: &str, input: Value, status: &str) -> Value {
        for _ in 0..4000 {
            let answer = self.ok(operation, input.clone()).await;
            if answer["status"] == status {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{operation} {input} does not come to {status}");
    }

    /// Calls until the answer is ResourceNotFoundException.
    pub(crate) async fn wait_gone(&self, operation: &str, input: Value) {
        for _ in 0..4000 {
            match self.call(operation, input.clone()).await {
                Err(fault) if fault.is(404, "ResourceNotFoundException") => return,
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
        panic!("{operation} {input} does not go");
    }

    /// Shares resources with another account, which accepts; the share's ARN.
    pub(crate) async fn share(&self, resources: &[&Value], with: &Party<'_>) -> String {
        let arns: Vec<&Value> = resources.iter().map(|resource| &resource["arn"]).collect();
        let input = json!({"name": "share", "resourceArns": arns, "principals": [with.account()]});
        let share =
            self.ram_ok("CreateResourceShare", input).await["resourceShare"]["resourceShareArn"].clone();
        with.accept(&share).await;
        share.as_str().unwrap().to_owned()
    }

    /// Accepts the invitation to a share.
    pub(crate) async fn accept(&self, share: &Value) {
        let invitations =
            self.ram_ok("GetResourceShareInvitations", json!({"resourceShareArns": [share]})).await;
        let invitation = &invitations["resourceShareInvitations"][0]["resourceShareInvitationArn"];
        let answer = self
            .ram_ok("AcceptResourceShareInvitation", json!({"resourceShareInvitationArn": invitation}))
            .await;
        assert_eq!(answer["resourceShareInvitation"]["status"], "ACCEPTED");
    }
}
