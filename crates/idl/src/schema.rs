//! What a description says, as tables: one service, its operations, shapes, members and limits.
//!
//! Made by [`crate::parse`]; every codec and the validation walk these tables, so nothing about a wire
//! form is written twice.

mod authorise;
mod pattern;
mod uri;

use std::collections::HashMap;

pub use authorise::{ActedOn, Authorisation, ResourceType};
pub use pattern::Pattern;
pub use uri::{Segment, UriTemplate};

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
    /// Method and path choose the operation; XML bodies.
    RestXml,
    /// As [`Protocol::RestXml`] with S3's own errors.
    S3,
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
            Self::RestXml => "rest-xml",
            Self::S3 => "s3",
        }
    }

    /// The protocol a description names so.
    pub fn named(name: &str) -> Option<Self> {
        const ALL: [Protocol; 7] = [
            Protocol::RestJson,
            Protocol::Json10,
            Protocol::Json11,
            Protocol::Query,
            Protocol::Ec2,
            Protocol::RestXml,
            Protocol::S3,
        ];
        ALL.into_iter().find(|protocol| protocol.as_str() == name)
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
    /// What stands before the colon of its action names in policies.
    pub action_prefix: String,
    /// Where the service is one for all regions: the region its signatures name.
    pub global: Option<String>,
    /// Code for a request that breaks the description, where the protocol has no word of its own.
    pub invalid_input: Option<String>,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// In the order of the file.
    pub operations: Vec<Operation>,
    /// Modelled exceptions, by [`ErrorShape::code`].
    pub errors: Vec<ErrorShape>,
    /// What policies may name as a resource.
    pub resources: Vec<ResourceType>,
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

    /// The modelled exception for a fault that is the service's own, where it models one.
    pub fn internal_error(&self) -> Option<&ErrorShape> {
        self.errors.iter().find(|error| error.status == 500)
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
    pub method: String,
    pub uri: UriTemplate,
    /// Status of success.
    pub status: u16,
    /// Always a structure, perhaps an empty one.
    pub input: ShapeId,
    /// Always a structure, perhaps an empty one.
    pub output: ShapeId,
    /// Name of the root element of the answer, where REST-XML has another than `NAMEResponse`.
    pub root: Option<String>,
    /// Names of modelled exceptions ([`ErrorShape::name`]).
    pub errors: Vec<String>,
    /// Whether it is called without a signature.
    pub unsigned: bool,
    /// What a caller must be allowed to do; at least one.
    pub authorisations: Vec<Authorisation>,
    /// The input member that makes a repeated call the same call ([`Member::token`]).
    pub token: Option<String>,
    /// Present where the operation lists in pages.
    pub paging: Option<Paging>,
}

/// Which members carry the page. Most lists have one token; a place of several parts has a member for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Input members with the place of the page wanted.
    pub input_tokens: Vec<String>,
    /// Output members with the place of the next page.
    pub output_tokens: Vec<String>,
    /// Input member with the page size, where there is one.
    pub limit: Option<String>,
    /// Output members with the list, or lists.
    pub items: Vec<String>,
    /// Output member that tells whether there is a next page, where the tokens do not.
    pub more: Option<String>,
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
        /// Element name on XML and Query wires: `item`, `member`, ... `None` where a flattened list
        /// has the name of its member.
        item: Option<String>,
        /// No wrapper level on XML and Query wires.
        flattened: bool,
    },
    Map {
        key: ShapeId,
        value: ShapeId,
        length: Range,
        /// Element names of key and value on XML and Query wires.
        key_name: String,
        value_name: String,
        /// No `entry` level on XML and Query wires.
        flattened: bool,
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
    Float {
        range: Range,
        /// 64 bits instead of 32.
        wide: bool,
    },
    Boolean,
    Timestamp(TimestampFormat),
    Blob {
        /// In bytes.
        length: Range,
    },
}

/// How a point in time is written on the wire; as a value it is always ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Whatever the place's default is: seconds in JSON, ISO 8601 in XML and Query, HTTP's in headers.
    Default,
    Iso8601,
    /// Seconds since 1970 as a number.
    Unix,
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    Http,
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
    /// Never to be printed.
    pub secret: bool,
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
    /// The whole body; with `stream`, one whose end is not known when it begins.
    Payload {
        stream: bool,
    },
    /// The status of the answer.
    Status,
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
            Self::Float { .. } => "a number",
            Self::Boolean => "a boolean",
            Self::Timestamp(_) => "a timestamp",
            Self::Blob { .. } => "base64 text",
        }
    }
}
