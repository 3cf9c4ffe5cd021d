//! The watches: one for each kind, for as long as the process runs.
//!
//! `kube::runtime::watcher` begins with a list, goes on from where it was after a lost connection, and lists again where
//! it cannot; so no change is missed, and what went away unseen is found missing in the list.

use std::sync::{Arc, PoisonError};

use futures_util::{StreamExt as _, pin_mut};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::objects::{
    AccessLogPolicy, EndpointSlice, Gateway, GatewayClass, GrpcRoute, HttpRoute, IamAuthPolicy, Name,
    Namespace, Pod, ReferenceGrant, Service, ServiceExport, ServiceImport, ServiceNetwork, TargetGroupPolicy,
    TlsRoute, VpcAssociationPolicy,
};
use crate::reconcile::Controller;
use crate::world::Watched;

/// Tells when every kind was listed once.
pub(crate) struct Synced(mpsc::Receiver<()>);

impl Synced {
    pub(crate) async fn wait(mut self) {
        // Each watch holds an end until its first list was read.
        while self.0.recv().await.is_some() {}
    }
}

/// `with_pods` where readiness gates are served: there are many pods.
pub(crate) fn start(controller: &Arc<Controller>, tasks: &mut JoinSet<()>, with_pods: bool) -> Synced {
    let (listed, synced) = mpsc::channel(1);
    macro_rules! watch {
        ($($kind:ident)*) => {
            $(tasks.spawn(watch::<$kind>(controller.clone(), listed.clone()));)*
        };
    }
    watch!(GatewayClass Gateway HttpRoute GrpcRoute TlsRoute Service EndpointSlice Namespace ReferenceGrant
        ServiceExport ServiceImport ServiceNetwork TargetGroupPolicy IamAuthPolicy VpcAssociationPolicy AccessLogPolicy);
    if with_pods {
        watch!(Pod);
    }
    Synced(synced)
}

async fn watch<T: Watched>(controller: Arc<Controller>, listed: mpsc::Sender<()>) {
    let mut listed = Some(listed);
    let kind = T::kind(&());
    let events = watcher(T::every(controller.client.0.clone()), watcher::Config::default()).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let mut world = controller.world.write().unwrap_or_else(PoisonError::into_inner);
        let keys = match event {
            Ok(Event::Init) => {
                world.list_begins::<T>();
                continue;
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => world.apply(object),
            Ok(Event::Delete(object)) => world.delete::<T>(&Name::of(object.meta())),
            Ok(Event::InitDone) => {
                listed = None;
                world.list_ends::<T>()
            }
            Err(error) => {
                drop(world);
                // A kind that the cluster does not have is as good as none of it.
                if is_unknown_kind(&error) {
                    listed = None;
                    tracing::debug!(%kind, "the cluster has no such kind yet");
                } else {
                    tracing::warn!(%kind, %error, "the watch is interrupted");
                }
                continue;
            }
        };
        drop(world);
        controller.touch(keys);
    }
    drop(listed);
}

fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 404
    )
}
