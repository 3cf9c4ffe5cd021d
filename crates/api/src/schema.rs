//! What the descriptions say, as tables: services, operations, shapes, members, limits.
//!
//! Built once from the text files in `idl/` by [`crate::idl`]; every codec and the validation walk
//! these tables, so nothing about a wire form is written twice.

mod pattern;
mod uri;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use pattern::Pattern;
pub(crate) use uri::decode_label;
pub use uri::{Segment, UriTemplate};

use crate::idl;

/// All services that are described.
#[derive(Debug)]
pub struct Schema {
    services: Vec<Service>,
}

/// Name and text of every description in this crate.
pub(crate) const DESCRIPTIONS: [(&str, &str); 6] = [
    ("vpc-lattice.idl", include_str!("../idl/vpc-lattice.idl")),
    ("ec2.idl", include_str!("../idl/ec2.idl")),
    ("sts.idl", include_str!("../idl/sts.idl")),
    ("tagging.idl", include_str!("../idl/tagging.idl")),
    ("ram.idl", include_str!("../idl/ram.idl")),
    ("acm.idl", include_str!("../idl/acm.idl")),
];

impl Schema {
    /// The descriptions, parsed at the first call (a few milliseconds).
    pub fn all() -> &'static Self {
        static ALL: LazyLock<Schema> = LazyLock::new(|| {
            let services = DESCRIPTIONS
                .iter()
                .map(|(file, text)| match idl::parse(text) {
                    Ok(service) => service,
                    // The text is part of the program; a test parses every file.
                    Err(error) => panic!("{file}: {error}"),
                })
                .collect();
            Schema { services }
        });
        &ALL
    }

    /// Every service, in the order of the files.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service whose signatures name `name` in their scope, e.g. `vpc-lattice` or `tagging`.
    pub fn by_signing_name(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.signing_name == name)
    }

    /// The service whose `X-Amz-Target` begins with `prefix`.
    pub fn by_target_prefix(&self, prefix: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.target_prefix.as_deref() == Some(prefix))
    }

    /// The service reached at `<prefix>.<region>.amazonaws.com`.
    pub fn by_endpoint_prefix(&self, prefix: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.endpoint_prefix == prefix)
    }
}

/// A wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Method and path choose the operation; JSON bodies.
    RestJson,
    /// `X-Amz-Target` chooses; `application/x-amz-json-1.0`.
    Json10,
    /// `X-Amz-Target` chooses; `application/x-amz-json-1.1`.
    Json11,
    /// `Action=` chooses; form in, XML with a result wrapper out.
    Query,
    /// As [`Protocol::Query`] with EC2's own lists and errors.
    Ec2,
}

impl Protocol {
    /// Whether answers are JSON (else XML).
    pub const fn is_json(self) -> bool {
        matches!(self, Self::RestJson | Self::Json10 | Self::Json11)
    }

    /// The name the descriptions use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RestJson => "rest-json",
            Self::Json10 => "json-1.0",
            Self::Json11 => "json-1.1",
            Self::Query => "query",
            Self::Ec2 => "ec2",
        }
    }
}

/// One described AWS service.
#[derive(Debug)]
pub struct Service {
    /// SDK service id in words, e.g. `VPC Lattice`.
    pub id: String,
    /// Service part of a signature's scope.
    pub signing_name: String,
    /// First label of the public host names.
    pub endpoint_prefix: String,
    /// The protocol of its description.
    pub protocol: Protocol,
    /// API version, e.g. `2022-11-30`.
    pub version: String,
    /// Namespace of XML answers; empty for JSON.
    pub xml_namespace: String,
    /// What precedes the dot in `X-Amz-Target`.
    pub target_prefix: Option<String>,
    /// Code for a request that breaks the description, where the protocol has no word of its own.
    pub invalid_input: Option<String>,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// In the order of the file.
    pub operations: Vec<Operation>,
    /// Modelled exceptions, by [`ErrorShape::code`].
    pub errors: Vec<ErrorShape>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) operation_index: HashMap<String, usize>,
}

impl Service {
    /// The operation called `name`.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operation_index.get(name).and_then(|&index| self.operations.get(index))
    }

    /// The shape `id` stands for.
    pub fn shape(&self, id: ShapeId) -> &Shape {
        // Ids are made by the parser, which refuses a reference that does not resolve.
        &self.shapes[id.0 as usize]
    }

    /// The members of a structure, none for any other shape.
    pub fn members(&self, id: ShapeId) -> &[Member] {
        match &self.shape(id).kind {
            Kind::Structure { members, .. } => members,
            _ => &[],
        }
    }

    /// The modelled exception with this code on the wire.
    pub fn error(&self, code: &str) -> Option<&ErrorShape> {
        self.errors.iter().find(|error| error.code == code)
    }

    /// Every shape, in the order of the file (then operations' inputs and outputs).
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }
}

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    pub name: String,
    pub method: http::Method,
    pub uri: UriTemplate,
    /// Status of success.
    pub status: u16,
    /// Always a structure, perhaps an empty one.
    pub input: ShapeId,
    /// Always a structure, perhaps an empty one.
    pub output: ShapeId,
    /// Names of modelled exceptions ([`ErrorShape::name`]).
    pub errors: Vec<String>,
    /// Present where the operation lists in pages.
    pub paging: Option<Paging>,
}

/// Which members carry the page.
#[derive(Debug, Clone)]
pub struct Paging {
    /// Input member with the token of the page wanted.
    pub input_token: String,
    /// Output member with the token of the next page.
    pub output_token: String,
    /// Input member with the page size, where there is one.
    pub limit: Option<String>,
    /// Output member with the list.
    pub items: String,
}

/// A modelled exception.
#[derive(Debug)]
pub struct ErrorShape {
    /// Shape name.
    pub name: String,
    /// Code on the wire; mostly the name.
    pub code: String,
    pub status: u16,
    /// Its members, as a structure.
    pub shape: ShapeId,
}

/// Index of a shape within its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShapeId(pub(crate) u32);

/// A named shape.
#[derive(Debug)]
pub struct Shape {
    pub name: String,
    pub kind: Kind,
}

/// What a shape is, with its limits.
#[derive(Debug)]
pub enum Kind {
    Structure {
        members: Vec<Member>,
        /// Exactly one member may be present.
        union: bool,
    },
    List {
        element: ShapeId,
        length: Range,
        /// Element name on XML and Query wires: `item`, `member`, ...
        item: String,
        /// No wrapper level on the Query wire.
        flattened: bool,
    },
    Map {
        key: ShapeId,
        value: ShapeId,
        length: Range,
    },
    String {
        length: Range,
        pattern: Option<Pattern>,
        /// Empty: any text.
        values: Vec<String>,
    },
    Integer {
        range: Range,
        /// 64 bits instead of 32.
        wide: bool,
    },
    Boolean,
    Timestamp(TimestampFormat),
    Blob,
}

/// How a point in time is written on the wire; as a value it is always ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Whatever the protocol's default is: seconds in JSON, ISO 8601 in XML and Query.
    Default,
    Iso8601,
    /// Seconds since 1970 as a number.
    Unix,
}

/// Inclusive bounds, either of which may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The model's name; the key in decoded and encoded values.
    pub name: String,
    /// Name in JSON and in XML answers, of the header, or of the query parameter.
    pub wire: String,
    /// Name in a Query or EC2 form.
    pub form: String,
    pub shape: ShapeId,
    pub location: Location,
    pub required: bool,
    /// An idempotency token that clients fill in by themselves.
    pub token: bool,
}

/// Where REST binds a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Body,
    /// A segment of the path.
    Label,
    /// A query parameter, repeated for a list.
    Query,
    Header,
}

impl Kind {
    /// With its article, for messages: `a string`.
    pub const fn article(&self) -> &'static str {
        match self {
            Self::Structure { .. } => "a structure",
            Self::List { .. } => "a list",
            Self::Map { .. } => "a map",
            Self::String { .. } => "a string",
            Self::Integer { wide: false, .. } => "a 32-bit integer",
            Self::Integer { wide: true, .. } => "a 64-bit integer",
            Self::Boolean => "a boolean",
            Self::Timestamp(_) => "a timestamp",
            Self::Blob => "base64 text",
        }
    }
}
