//! What a description declares, before names are resolved.

use std::collections::HashMap;

use super::line::Line;
use crate::schema::{ActedOn, ErrorShape, Kind, Location, Paging, Range, ResourceType, ShapeId, UriTemplate};

/// Everything that was read, in the order of the text.
pub(super) struct Declared<'t> {
    pub(super) names: HashMap<String, ShapeId>,
    pub(super) shapes: Vec<(String, DeclaredKind<'t>)>,
    pub(super) signing_name: Option<&'t str>,
    pub(super) header: HashMap<&'t str, &'t str>,
    pub(super) operations: Vec<DeclaredOperation<'t>>,
    pub(super) errors: Vec<ErrorShape>,
    pub(super) resources: Vec<ResourceType>,
}

/// A reference that is resolved when everything is declared.
pub(super) struct Pending<'t> {
    pub(super) line: Line<'t>,
    pub(super) name: &'t str,
}

pub(super) enum DeclaredKind<'t> {
    Structure {
        members: Vec<DeclaredMember<'t>>,
        union: bool,
    },
    List {
        element: Pending<'t>,
        length: Range,
        item: Option<String>,
        flattened: bool,
    },
    Map {
        key: Pending<'t>,
        value: Pending<'t>,
        length: Range,
        key_name: String,
        value_name: String,
        flattened: bool,
    },
    Done(Kind),
}

pub(super) struct DeclaredMember<'t> {
    pub(super) name: &'t str,
    pub(super) shape: Pending<'t>,
    pub(super) wire: Option<&'t str>,
    pub(super) form: Option<&'t str>,
    pub(super) location: Location,
    pub(super) required: bool,
    pub(super) token: bool,
    pub(super) secret: bool,
}

pub(super) struct DeclaredOperation<'t> {
    pub(super) name: &'t str,
    pub(super) method: &'t str,
    pub(super) uri: UriTemplate,
    pub(super) status: u16,
    pub(super) root: Option<&'t str>,
    pub(super) input: ShapeId,
    pub(super) output: ShapeId,
    pub(super) token: Option<&'t str>,
    pub(super) errors: Vec<Pending<'t>>,
    pub(super) unsigned: bool,
    pub(super) authorisations: Vec<DeclaredAuthorisation<'t>>,
    pub(super) paging: Option<Paging>,
}

pub(super) struct DeclaredAuthorisation<'t> {
    pub(super) line: Line<'t>,
    /// With its prefix, or `None` for the operation's own name with the service's.
    pub(super) action: Option<&'t str>,
    pub(super) on: Vec<ActedOn>,
    pub(super) when: Option<&'t str>,
}
