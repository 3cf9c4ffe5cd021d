//! Finalizers: an object stays until nothing of it is left in Lattice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::Controller;
use crate::objects::Name;
use crate::world::Watched;

pub(super) fn is_held(metadata: &ObjectMeta, finalizer: &str) -> bool {
    metadata.finalizers.iter().flatten().any(|found| found == finalizer)
}

/// The list is replaced as a whole: not over somebody else's change.
pub(super) fn finalizer_patch(metadata: &ObjectMeta, finalizer: &str, is_wanted: bool) -> Value {
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|found| found != finalizer);
    if is_wanted {
        finalizers.push(finalizer.to_owned());
    }
    json!({"metadata": {"finalizers": finalizers, "resourceVersion": metadata.resource_version}})
}

impl Controller {
    /// Holds an object, or lets go of it.
    pub(super) async fn hold<T: Watched>(
        &self,
        object: &T,
        finalizer: &str,
        is_wanted: bool,
    ) -> Result<(), kube::Error> {
        if is_held(object.meta(), finalizer) == is_wanted {
            return Ok(());
        }
        let patch = finalizer_patch(object.meta(), finalizer, is_wanted);
        self.patch::<T>(&Name::of(object.meta()), patch).await
    }
}
