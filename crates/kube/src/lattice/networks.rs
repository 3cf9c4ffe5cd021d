//! Service networks.

use aws_sdk_vpclattice::types;

use super::{Called, Known, Lattice, Tags, failed};

impl Lattice {
    pub(crate) async fn networks(&self) -> Called<Vec<Known>> {
        let pages = self.client.list_service_networks().into_paginator().items().send();
        let items: Vec<types::ServiceNetworkSummary> =
            pages.collect::<Result<_, _>>().await.map_err(|error| failed("ListServiceNetworks", error))?;
        let known = |item: types::ServiceNetworkSummary| Known {
            id: item.id.unwrap_or_default(),
            arn: item.arn.unwrap_or_default(),
            name: item.name.unwrap_or_default(),
            domain: None,
        };
        Ok(items.into_iter().map(known).collect())
    }

    pub(crate) async fn create_network(&self, name: &str, tags: Tags) -> Called<Known> {
        let call = self.client.create_service_network().name(name);
        let call = call.set_tags(Some(tags.into_iter().collect()));
        let made = call.send().await.map_err(|error| failed("CreateServiceNetwork", error))?;
        Ok(Known {
            id: made.id.unwrap_or_default(),
            arn: made.arn.unwrap_or_default(),
            name: name.to_owned(),
            domain: None,
        })
    }

    pub(crate) async fn delete_network(&self, id: &str) -> Called<()> {
        let call = self.client.delete_service_network().service_network_identifier(id);
        call.send().await.map(drop).map_err(|error| failed("DeleteServiceNetwork", error))
    }
}
