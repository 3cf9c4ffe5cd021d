//! What the account holds by name: read as a whole now and then, kept up by our own calls in between.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::lattice::{Called, Known, Lattice};

#[derive(Debug, Default)]
pub(crate) struct Inventory(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    services: HashMap<String, Known>,
    groups: HashMap<String, Known>,
    networks: Vec<Known>,
}

impl Inventory {
    pub(crate) async fn read(&self, lattice: &Lattice) -> Called<()> {
        let (services, groups) = (lattice.services().await?, lattice.target_groups().await?);
        let networks = lattice.networks().await?;
        let by_name =
            |known: Vec<Known>| known.into_iter().map(|known| (known.name.clone(), known)).collect();
        *self.books() = Books { services: by_name(services), groups: by_name(groups), networks };
        Ok(())
    }

    /// Service networks alone: they are few, and made by others.
    pub(crate) async fn read_networks(&self, lattice: &Lattice) -> Called<()> {
        let networks = lattice.networks().await?;
        self.books().networks = networks;
        Ok(())
    }

    /// Target groups alone: other clusters make theirs without a word.
    pub(crate) async fn read_groups(&self, lattice: &Lattice) -> Called<()> {
        let groups = lattice.target_groups().await?;
        self.books().groups = groups.into_iter().map(|known| (known.name.clone(), known)).collect();
        Ok(())
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().expect("nobody panics with the books open")
    }

    pub(crate) fn service(&self, name: &str) -> Option<Known> {
        self.books().services.get(name).cloned()
    }

    pub(crate) fn add_service(&self, known: Known) {
        self.books().services.insert(known.name.clone(), known);
    }

    pub(crate) fn forget_service(&self, name: &str) {
        self.books().services.remove(name);
    }

    pub(crate) fn group(&self, name: &str) -> Option<Known> {
        self.books().groups.get(name).cloned()
    }

    pub(crate) fn add_group(&self, known: Known) {
        self.books().groups.insert(known.name.clone(), known);
    }

    pub(crate) fn forget_group(&self, name: &str) {
        self.books().groups.remove(name);
    }

    pub(crate) fn groups(&self) -> Vec<Known> {
        self.books().groups.values().cloned().collect()
    }

    /// The service network of that name or id.
    pub(crate) fn network(&self, name: &str) -> Option<Known> {
        let books = self.books();
        books.networks.iter().find(|network| network.name == name || network.id == name).cloned()
    }
}
