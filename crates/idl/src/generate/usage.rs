//! Which shapes are read, which are written, and in which file each belongs.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::names::group_of;
use crate::schema::{Kind, Service, ShapeId};

/// How a shape is used.
#[derive(Debug, Clone, Default)]
pub(super) struct Used {
    /// In an input.
    pub(super) is_read: bool,
    /// In an output or an error.
    pub(super) is_written: bool,
    /// The file of the one group of operations that uses it, or `shared`.
    pub(super) file: String,
}

pub(super) struct Usage {
    used: HashMap<u32, Used>,
    /// Structures that contain themselves: a member of that type is boxed.
    circular: HashSet<u32>,
}

impl Usage {
    pub(super) fn of(service: &Service) -> Self {
        let mut used: BTreeMap<u32, Used> = BTreeMap::new();
        for operation in &service.operations {
            let group = group_of(&operation.name);
            mark(service, operation.input, &group, false, &mut used, &mut HashSet::new());
            mark(service, operation.output, &group, true, &mut used, &mut HashSet::new());
        }
        for error in &service.errors {
            for member in service.members(error.shape) {
                mark(service, member.shape, "errors", true, &mut used, &mut HashSet::new());
            }
        }
        let circular = (0..service.shapes().len() as u32)
            .filter(|&id| holds(service, ShapeId(id), ShapeId(id), &mut HashSet::new()))
            .collect();
        Self { used: used.into_iter().collect(), circular }
    }

    pub(super) fn of_shape(&self, index: usize) -> Option<&Used> {
        self.used.get(&(index as u32))
    }

    pub(super) fn is_circular(&self, id: ShapeId) -> bool {
        self.circular.contains(&id.0)
    }
}

fn mark(
    service: &Service,
    id: ShapeId,
    group: &str,
    is_output: bool,
    used: &mut BTreeMap<u32, Used>,
    seen: &mut HashSet<u32>,
) {
    if !seen.insert(id.0) {
        return;
    }
    let entry = used.entry(id.0).or_default();
    entry.is_read |= !is_output;
    entry.is_written |= is_output;
    if entry.file.is_empty() {
        group.clone_into(&mut entry.file);
    } else if entry.file != group {
        "shared".clone_into(&mut entry.file);
    }
    for inner in parts(service, id) {
        mark(service, inner, group, is_output, used, seen);
    }
}

/// The shapes directly within a shape.
fn parts(service: &Service, id: ShapeId) -> Vec<ShapeId> {
    match &service.shape(id).kind {
        Kind::Structure { members, .. } => members.iter().map(|member| member.shape).collect(),
        Kind::List { element, .. } => vec![*element],
        Kind::Map { key, value, .. } => vec![*key, *value],
        _ => Vec::new(),
    }
}

/// Whether `outer` holds `inner` in its own memory: through structures, not through lists and maps.
fn holds(service: &Service, outer: ShapeId, inner: ShapeId, seen: &mut HashSet<u32>) -> bool {
    let Kind::Structure { members, .. } = &service.shape(outer).kind else { return false };
    members.iter().any(|member| {
        member.shape == inner || seen.insert(member.shape.0) && holds(service, member.shape, inner, seen)
    })
}
