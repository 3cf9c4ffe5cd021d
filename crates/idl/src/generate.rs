//! Rust types of a service's inputs, outputs, enumerations and errors, made when the service is built.
//!
//! Called by a build script; what it writes goes to the build directory and is committed nowhere. The
//! types are read from and written to the value that the codecs use, by the traits of
//! `trellis_api::typed`, in plain code: a derive would cost a service of EC2's size more to compile than
//! all the rest of it.

mod names;
mod shapes;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::parse;
use crate::schema::{Kind, Location, Service};
use names::{group_of, type_name};
use usage::Usage;

/// Writes the types of the service that `description` (a path beside the `Cargo.toml`) describes into the
/// build directory, as `NAME.rs` for the crate to include:
///
/// ```text
/// pub mod wire {
///     include!(concat!(env!("OUT_DIR"), "/NAME.rs"));
/// }
/// ```
///
/// # Panics
/// When the description cannot be read or understood, or nothing can be written; the build ends there.
#[allow(clippy::print_stdout)] // How build scripts speak to Cargo.
pub fn generate(description: &str) {
    println!("cargo::rerun-if-changed={description}");
    let variable = |name: &str| {
        PathBuf::from(
            std::env::var_os(name).unwrap_or_else(|| panic!("no {name}: this is for build scripts")),
        )
    };
    let path = variable("CARGO_MANIFEST_DIR").join(description);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let service = parse(&text).unwrap_or_else(|mistake| panic!("{}: {mistake}", path.display()));
    let out = variable("OUT_DIR");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("service").to_owned();
    write(&service, &path, &out, &stem).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

fn write(service: &Service, description: &Path, out: &Path, stem: &str) -> std::io::Result<()> {
    let folder = out.join(stem);
    std::fs::create_dir_all(&folder)?;
    let mut index = format!(
        "/// The tables of this service, made at the first call.\n\
         pub fn description() -> &'static ::trellis_api::Service {{\n\
         \x20   static DESCRIPTION: ::std::sync::LazyLock<::trellis_api::Service> = ::std::sync::LazyLock::new(|| {{\n\
         \x20       ::trellis_idl::parse(include_str!({description:?})).expect(\"the build script has read it\")\n\
         \x20   }});\n\
         \x20   &DESCRIPTION\n\
         }}\n\n"
    );
    for (name, text) in files(service) {
        let path = folder.join(format!("{name}.rs"));
        // An unchanged file keeps its time, and what is compiled from it.
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            std::fs::write(&path, &text)?;
        }
        let _ = writeln!(index, "include!({path:?});");
    }
    std::fs::write(out.join(format!("{stem}.rs")), index)
}

/// The files by name: one for every group of operations, and what several of them use.
fn files(service: &Service) -> BTreeMap<String, String> {
    let usage = Usage::of(service);
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for operation in &service.operations {
        let file = files.entry(group_of(&operation.name)).or_default();
        let name = type_name(&operation.name);
        let _ = writeln!(
            file,
            "/// The operation of that name.\n\
             #[derive(Debug, Clone, Copy)]\n\
             pub struct {name};\n\n\
             impl ::trellis_api::typed::Operation for {name} {{\n\
             \x20   const NAME: &'static str = {:?};\n\
             \x20   type Input = {name}Input;\n\
             \x20   type Output = {name}Output;\n\
             }}\n\n\
             ::trellis_api::by_serde!({name}Input, {name}Output);\n",
            operation.name
        );
    }
    for (index, shape) in service.shapes().iter().enumerate() {
        let Some(used) = usage.of_shape(index) else { continue };
        let text = match &shape.kind {
            Kind::Structure { members, union: false } => {
                shapes::structure(service, &usage, index, members, used)
            }
            Kind::Structure { members, union: true } => shapes::union(service, &usage, index, members, used),
            Kind::String { values, .. } if !values.is_empty() => {
                shapes::enumeration(&type_name(&shape.name), values)
            }
            _ => continue,
        };
        files.entry(used.file.clone()).or_default().push_str(&text);
    }
    for error in &service.errors {
        let members: Vec<_> = service
            .members(error.shape)
            .iter()
            // What is a header of its own is set with the exception.
            .filter(|member| member.location == Location::Body)
            .collect();
        files
            .entry("errors".to_owned())
            .or_default()
            .push_str(&shapes::error(service, &usage, error, &members));
    }
    files
}

#[cfg(test)]
mod tests;
