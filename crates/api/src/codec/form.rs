//! Query and EC2 requests: dotted names in a form, in the body or in the query string.
//!
//! EC2 counts list elements directly (`Filter.1.Value.2`), Query puts the element's name between
//! (`Tags.member.1.Key`) unless the list is flattened, and writes maps as `Tags.entry.1.key`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value};

use super::{Incoming, text};
use crate::exception::Exception;
use crate::fault::{Faults, Path, Rule, unreadable};
use crate::schema::{Kind, Member, Operation, Protocol, Service, ShapeId};

/// Parameters of one request.
const MAX_PARAMETERS: usize = 10_000;
/// Dots in one name; no described member lies nearly as deep.
const MAX_DEPTH: usize = 16;

pub(super) fn decode(
    service: &'static Service,
    incoming: &Incoming<'_>,
) -> Result<(&'static Operation, Value), Exception> {
    let protocol = service.protocol;
    let form = Node::parse(incoming)
        .ok_or_else(|| unreadable(service, protocol, format!("More than {MAX_PARAMETERS} parameters.")))?;
    let Some(action) = form.child("Action").and_then(|node| node.value.as_deref()) else {
        return Err(Exception::plain("MissingAction", 400, "The request must contain the parameter Action."));
    };
    let Some(operation) = service.operation(action) else {
        let action: String = action.chars().take(128).collect();
        let message = format!("The action {action} is not valid for this web service.");
        return Err(Exception::plain("InvalidAction", 400, message));
    };
    let mut faults = Faults::new(protocol);
    let reader = Reader { service, ec2: protocol == Protocol::Ec2 };
    let input = reader.structure(service.members(operation.input), &form, &Path::ROOT, &mut faults);
    faults.into_result(service)?;
    Ok((operation, input))
}

/// The form as a tree: one level for every dot.
#[derive(Debug, Default)]
struct Node<'f> {
    value: Option<Cow<'f, str>>,
    children: BTreeMap<String, Node<'f>>,
}

impl<'f> Node<'f> {
    /// Query string first, then a posted body, whose values win. `None`: too many parameters.
    fn parse(incoming: &Incoming<'f>) -> Option<Self> {
        let posted = if *incoming.method == Method::GET { &[] } else { incoming.body };
        let pairs =
            form_urlencoded::parse(incoming.raw_query.as_bytes()).chain(form_urlencoded::parse(posted));
        let mut root = Self::default();
        for (count, (name, value)) in pairs.enumerate() {
            if count >= MAX_PARAMETERS {
                return None;
            }
            if name.split('.').count() > MAX_DEPTH {
                continue;
            }
            let mut node = &mut root;
            for step in name.split('.') {
                node = node.children.entry(step.to_owned()).or_default();
            }
            node.value = Some(value);
        }
        Some(root)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.get(name)
    }

    /// The numbered children in numeric order, with their numbers; numbers may have gaps.
    fn elements(&self) -> Vec<(usize, &Self)> {
        let mut elements: Vec<_> = self
            .children
            .iter()
            .filter_map(|(name, node)| Some((name.parse::<u32>().ok()? as usize, node)))
            .collect();
        elements.sort_by_key(|&(number, _)| number);
        elements
    }

    /// `Name=` with nothing below: how clients write an empty list or structure.
    fn is_blank(&self) -> bool {
        self.children.is_empty() && self.value.as_deref().is_none_or(str::is_empty)
    }
}

struct Reader<'s> {
    service: &'s Service,
    ec2: bool,
}

impl Reader<'_> {
    fn structure(&self, members: &[Member], node: &Node<'_>, path: &Path<'_>, faults: &mut Faults) -> Value {
        let mut object = Map::new();
        for member in members {
            if let Some(node) = node.child(self.form_name(member))
                && let Some(value) = self.read(member.shape, node, &path.member(member), faults)
            {
                object.insert(member.name.clone(), value);
            }
        }
        Value::Object(object)
    }

    /// A flattened list of Query goes by the name of its elements, where they have one.
    fn form_name<'m>(&'m self, member: &'m Member) -> &'m str {
        match &self.service.shape(member.shape).kind {
            Kind::List { item: Some(item), flattened: true, .. } if !self.ec2 => item,
            _ => &member.form,
        }
    }

    fn read(&self, shape: ShapeId, node: &Node<'_>, path: &Path<'_>, faults: &mut Faults) -> Option<Value> {
        let kind = &self.service.shape(shape).kind;
        match kind {
            Kind::Structure { members, .. } if !node.children.is_empty() => {
                Some(self.structure(members, node, path, faults))
            }
            Kind::Structure { .. } if node.is_blank() => None,
            Kind::List { element, item, flattened, .. } => {
                let bare = self.ec2 || *flattened;
                let item = item.as_deref().unwrap_or("member");
                let holder = if bare { Some(node) } else { node.child(item) };
                let list: Vec<Value> = holder
                    .map(Node::elements)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|(number, node)| {
                        self.read(*element, node, &path.index(number.saturating_sub(1)), faults)
                    })
                    .collect();
                (!list.is_empty() || node.is_blank()).then_some(Value::Array(list))
            }
            Kind::Map { key, value, key_name, value_name, flattened, .. } => {
                let key_kind = &self.service.shape(*key).kind;
                let mut map = Map::new();
                let holder = if *flattened { Some(node) } else { node.child("entry") };
                for (_, entry) in holder.map(Node::elements).unwrap_or_default() {
                    let name = entry.child(key_name).and_then(|node| node.value.as_deref());
                    if let (Some(name), Some(found)) = (name, entry.child(value_name))
                        && text::read(key_kind, name).is_some()
                        && let Some(found) = self.read(*value, found, &path.key(name), faults)
                    {
                        map.insert(name.to_owned(), found);
                    }
                }
                Some(Value::Object(map))
            }
            kind => {
                let read = node.value.as_deref().and_then(|text| text::read(kind, text));
                if read.is_none() {
                    faults.push(path, Rule::Type(kind.article()), node.value.as_deref());
                }
                read
            }
        }
    }
}
