//! The Rust of one shape.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::names::{field_name, type_name, variant_name};
use super::usage::{Usage, Used};
use crate::schema::{ErrorShape, Kind, Member, Service, ShapeId};

/// A structure; in an input and an output, or in both.
pub(super) fn structure(
    service: &Service,
    usage: &Usage,
    index: usize,
    members: &[Member],
    used: &Used,
) -> String {
    let name = type_name(&service.shapes()[index].name);
    let all_optional = members.iter().all(|member| !member.required);
    let mut text = String::new();
    let default = if all_optional { ", Default" } else { "" };
    let _ = writeln!(text, "#[derive(Debug, Clone, PartialEq{default})]\npub struct {name} {{");
    for member in members {
        let _ =
            writeln!(text, "    pub {}: {},", field_name(&member.name), member_type(service, usage, member));
    }
    text.push_str("}\n\n");
    if used.is_read {
        let mutable = if members.is_empty() { "_members" } else { "mut members" };
        let _ = writeln!(
            text,
            "impl ::trellis_api::typed::FromValue for {name} {{\n\
             \x20   fn from_value(value: ::trellis_api::typed::Value) -> Result<Self, ::trellis_api::typed::Mismatch> {{\n\
             \x20       let {mutable} = ::trellis_api::typed::Members::of(value)?;\n\
             \x20       Ok(Self {{"
        );
        for member in members {
            let how = if member.required { "required" } else { "optional" };
            let _ = writeln!(
                text,
                "            {}: members.{how}({:?})?,",
                field_name(&member.name),
                member.name
            );
        }
        text.push_str("        })\n    }\n}\n\n");
    }
    if used.is_written {
        text.push_str(&into_value(&name, members.iter(), ""));
    }
    text
}

/// `impl IntoValue`; `extra` is a line before the end.
fn into_value<'m>(name: &str, members: impl Iterator<Item = &'m Member>, extra: &str) -> String {
    let mut text = format!(
        "impl ::trellis_api::typed::IntoValue for {name} {{\n\
         \x20   fn into_value(self) -> ::trellis_api::typed::Value {{\n"
    );
    let members: Vec<&Member> = members.collect();
    let _ = writeln!(text, "        ::trellis_api::typed::Writer::new({})", members.len());
    for member in members {
        let how = if member.required { "put" } else { "put_some" };
        let _ = writeln!(text, "            .{how}({:?}, self.{})", member.name, field_name(&member.name));
    }
    let _ = writeln!(text, "            .finish(){extra}\n    }}\n}}\n");
    text
}

/// A structure with exactly one member present.
pub(super) fn union(
    service: &Service,
    usage: &Usage,
    index: usize,
    members: &[Member],
    used: &Used,
) -> String {
    let name = type_name(&service.shapes()[index].name);
    let mut text = format!("#[derive(Debug, Clone, PartialEq)]\npub enum {name} {{\n");
    for member in members {
        let _ = writeln!(text, "    {}({}),", variant_name(&member.name), plain_type(service, usage, member));
    }
    text.push_str("}\n\n");
    if used.is_read {
        let _ = writeln!(
            text,
            "impl ::trellis_api::typed::FromValue for {name} {{\n\
             \x20   fn from_value(value: ::trellis_api::typed::Value) -> Result<Self, ::trellis_api::typed::Mismatch> {{\n\
             \x20       let (name, value) = ::trellis_api::typed::only_member(value)?;\n\
             \x20       match name.as_str() {{"
        );
        for member in members {
            let _ = writeln!(
                text,
                "            {:?} => ::trellis_api::typed::FromValue::from_value(value).map(Self::{}),",
                member.name,
                variant_name(&member.name)
            );
        }
        let _ = writeln!(
            text,
            "            _ => Err(::trellis_api::typed::Mismatch::unknown(&name)),\n        }}\n    }}\n}}\n"
        );
    }
    if used.is_written {
        let _ = writeln!(
            text,
            "impl ::trellis_api::typed::IntoValue for {name} {{\n\
             \x20   fn into_value(self) -> ::trellis_api::typed::Value {{\n\
             \x20       match self {{"
        );
        for member in members {
            let _ = writeln!(
                text,
                "            Self::{}(value) => ::trellis_api::typed::Writer::new(1).put({:?}, value).finish(),",
                variant_name(&member.name),
                member.name
            );
        }
        text.push_str("        }\n    }\n}\n\n");
    }
    text
}

/// An enumeration, read and written by its wire names.
pub(super) fn enumeration(name: &str, values: &[String]) -> String {
    let mut seen = HashSet::new();
    let variants: Vec<(String, &String)> = values
        .iter()
        .map(|value| {
            let mut variant = variant_name(value);
            while !seen.insert(variant.clone()) {
                variant.push('_');
            }
            (variant, value)
        })
        .collect();
    let mut text =
        format!("#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\npub enum {name} {{\n");
    for (variant, _) in &variants {
        let _ = writeln!(text, "    {variant},");
    }
    let _ = writeln!(
        text,
        "}}\n\nimpl {name} {{\n    /// As the wire spells it.\n    pub const fn as_str(self) -> &'static str {{\n        match self {{"
    );
    for (variant, value) in &variants {
        let _ = writeln!(text, "            Self::{variant} => {value:?},");
    }
    let list: Vec<String> = variants.iter().map(|(variant, _)| format!("Self::{variant}")).collect();
    let _ = writeln!(
        text,
        "        }}\n    }}\n}}\n\n\
         impl ::trellis_api::typed::Enumeration for {name} {{\n\
         \x20   const ALL: &'static [Self] = &[{}];\n\
         \x20   fn as_str(self) -> &'static str {{\n        Self::as_str(self)\n    }}\n\
         }}\n\n\
         impl ::std::fmt::Display for {name} {{\n\
         \x20   fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {{\n        f.write_str((*self).as_str())\n    }}\n\
         }}\n\n\
         impl ::std::str::FromStr for {name} {{\n\
         \x20   type Err = ::trellis_api::typed::Mismatch;\n\
         \x20   fn from_str(text: &str) -> Result<Self, Self::Err> {{\n        ::trellis_api::typed::variant(text)\n    }}\n\
         }}\n\n\
         impl ::trellis_api::typed::FromValue for {name} {{\n\
         \x20   fn from_value(value: ::trellis_api::typed::Value) -> Result<Self, ::trellis_api::typed::Mismatch> {{\n        ::trellis_api::typed::variant_of(&value)\n    }}\n\
         }}\n\n\
         impl ::trellis_api::typed::IntoValue for {name} {{\n\
         \x20   fn into_value(self) -> ::trellis_api::typed::Value {{\n        self.as_str().into()\n    }}\n\
         }}\n",
        list.join(", ")
    );
    text
}

/// An error: a structure that becomes an exception with its code and status.
pub(super) fn error(service: &Service, usage: &Usage, error: &ErrorShape, members: &[&Member]) -> String {
    let name = type_name(&error.name);
    let is_message = |member: &Member| member.name.eq_ignore_ascii_case("message");
    let mut text =
        format!("#[derive(Debug, Clone, PartialEq)]\npub struct {name} {{\n    pub message: String,\n");
    let members: Vec<&Member> = members.iter().copied().filter(|member| !is_message(member)).collect();
    for member in &members {
        let _ =
            writeln!(text, "    pub {}: {},", field_name(&member.name), member_type(service, usage, member));
    }
    let _ = writeln!(
        text,
        "}}\n\n\
         impl {name} {{\n\
         \x20   /// On the wire.\n    pub const CODE: &'static str = {:?};\n\
         \x20   pub const STATUS: u16 = {};\n\
         }}\n\n\
         impl From<{name}> for ::trellis_api::Exception {{\n\
         \x20   fn from(error: {name}) -> Self {{\n\
         \x20       let members = ::trellis_api::typed::Writer::new({})",
        error.code,
        error.status,
        members.len()
    );
    for member in &members {
        let how = if member.required { "put" } else { "put_some" };
        let _ = writeln!(text, "            .{how}({:?}, error.{})", member.name, field_name(&member.name));
    }
    let _ = writeln!(
        text,
        "            .into_members();\n\
         \x20       Self::plain({name}::CODE, {name}::STATUS, error.message).with_members(members)\n\
         \x20   }}\n\
         }}\n"
    );
    text
}

fn member_type(service: &Service, usage: &Usage, member: &Member) -> String {
    let plain = plain_type(service, usage, member);
    if member.required { plain } else { format!("Option<{plain}>") }
}

fn plain_type(service: &Service, usage: &Usage, member: &Member) -> String {
    let plain = rust_type(service, member.shape);
    match &service.shape(member.shape).kind {
        Kind::String { values, .. } if member.secret && values.is_empty() => {
            "::trellis_api::typed::Secret".to_owned()
        }
        Kind::Structure { .. } if usage.is_circular(member.shape) => format!("Box<{plain}>"),
        _ => plain,
    }
}

fn rust_type(service: &Service, id: ShapeId) -> String {
    let shape = service.shape(id);
    match &shape.kind {
        Kind::Structure { .. } => type_name(&shape.name),
        Kind::String { values, .. } if !values.is_empty() => type_name(&shape.name),
        Kind::String { .. } => "String".to_owned(),
        Kind::List { element, .. } => format!("Vec<{}>", rust_type(service, *element)),
        Kind::Map { value, .. } => {
            format!("::std::collections::BTreeMap<String, {}>", rust_type(service, *value))
        }
        Kind::Integer { wide: false, .. } => "i32".to_owned(),
        Kind::Integer { wide: true, .. } => "i64".to_owned(),
        Kind::Float { .. } => "f64".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Timestamp(_) => "::trellis_api::typed::Moment".to_owned(),
        Kind::Blob { .. } => "::trellis_api::typed::Blob".to_owned(),
    }
}
