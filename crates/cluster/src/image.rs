//! Images of a closed machine: a directory of blobs by digest and of names, filled from OCI archives and from programs,
//! and served to nodes by [`registry`].
//!
//! ```text
//! blobs/sha256/{hex}    manifests, configurations, layers
//! names/{sha256 of the name}.json   {"name": "registry.k8s.io/pause:3.10", "digest": "sha256:..."}
//! ```

mod archive;
mod build;
pub mod registry;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;

pub use build::Program;

/// A manifest, an index or a configuration is no longer than this.
const LARGEST_DOCUMENT: u64 = 4 << 20;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The images of an installation.
#[derive(Debug, Clone)]
pub struct Images {
    directory: PathBuf,
}

/// A name and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// In full: registry, repository and tag.
    pub name: String,
    /// `sha256:HEX` of a manifest or an index.
    pub digest: String,
}

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the archive is not of the OCI image layout: {reason}")]
    Archive { reason: String },
    #[error("{name:?} is not the name of an image, such as registry.example/team/app:1")]
    Name { name: String },
    #[error("the archive does not say what its image is called: give a name")]
    Nameless,
    #[error(
        "the libraries of {path} are not found, {reason}: install them, or build it statically (CGO_ENABLED=0, or -static)"
    )]
    NotLinked { path: PathBuf, reason: String },
    #[error("{path} is not a program of Linux (ELF)")]
    NotAProgram { path: PathBuf },
}

impl Images {
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// [`ImageError::File`].
    pub fn create(&self) -> Result<(), ImageError> {
        for directory in [self.directory.join("blobs/sha256"), self.directory.join("names")] {
            files::directory(&directory).map_err(in_file(&directory))?;
        }
        Ok(())
    }

    /// Takes in the images of an OCI archive; their names. `name` is for an archive of one image that has none, or
    /// another.
    ///
    /// # Errors
    /// [`ImageError`]; blobs that were taken in before stay.
    pub fn import(&self, archive: &Path, name: Option<&str>) -> Result<Vec<Named>, ImageError> {
        self.create()?;
        archive::import(self, archive, name)
    }

    /// Makes an image of a program.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn build(&self, name: &str, program: &Program) -> Result<Named, ImageError> {
        self.create()?;
        build::build(self, name, program)
    }

    /// Every name, in their order.
    ///
    /// # Errors
    /// [`ImageError::File`].
    pub fn list(&self) -> Result<Vec<Named>, ImageError> {
        let directory = self.directory.join("names");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(in_file(&directory))?,
        };
        let mut all: Vec<Named> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// What an image called `name` is, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Named> {
        let named: Named = serde_json::from_slice(&fs::read(self.name_file(name)).ok()?).ok()?;
        (named.name == name).then_some(named)
    }

    fn name_file(&self, name: &str) -> PathBuf {
        self.directory.join("names").join(format!("{}.json", hex(&Sha256::digest(name))))
    }

    /// Where a blob is; `None` for what is no digest.
    pub(crate) fn blob(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| self.directory.join("blobs/sha256").join(hex))
    }

    fn note(&self, name: &str, digest: &str) -> Result<Named, ImageError> {
        let named = Named { name: full_name(name)?, digest: digest.to_owned() };
        let path = self.name_file(&named.name);
        let text = serde_json::to_vec(&named).expect("two texts");
        files::write(&path, &text).map_err(in_file(&path))?;
        Ok(named)
    }

    /// Keeps bytes; their digest.
    fn keep(&self, bytes: &[u8]) -> Result<String, ImageError> {
        let digest = format!("sha256:{}", hex(&Sha256::digest(bytes)));
        let path = self.blob(&digest).expect("it has just been made");
        if !path.exists() {
            files::write(&path, bytes).map_err(in_file(&path))?;
        }
        Ok(digest)
    }

    /// Keeps what `content` gives if it is what `digest` says.
    fn keep_stream(&self, digest: &str, mut content: impl Read) -> Result<(), ImageError> {
        let path = self
            .blob(digest)
            .ok_or_else(|| ImageError::Archive { reason: format!("{digest:?} is not a digest") })?;
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut copy = || {
            let mut file = fs::File::create(&beside)?;
            let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
            loop {
                let length = content.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                hash.update(&buffer[..length]);
                file.write_all(&buffer[..length])?;
            }
            file.sync_all()?;
            Ok(format!("sha256:{}", hex(&hash.finalize())))
        };
        let copied: io::Result<String> = copy();
        match copied {
            Ok(found) if found == digest => fs::rename(&beside, &path).map_err(in_file(&path)),
            Ok(found) => {
                let _ = fs::remove_file(&beside);
                Err(ImageError::Archive { reason: format!("a blob called {digest} is {found}") })
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(ImageError::File { path, source: error })
            }
        }
    }
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::File { path, source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The whole of a name that people shorten: `nginx` is `docker.io/library/nginx:latest`.
///
/// # Errors
/// [`ImageError::Name`].
pub(crate) fn full_name(name: &str) -> Result<String, ImageError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let is_broken = name.is_empty()
        || name.len() > 255
        || !name.chars().all(is_plain)
        || name.split('/').any(|part| part.is_empty() || part.starts_with(['.', '-', ':']));
    if is_broken {
        return Err(ImageError::Name { name: name.chars().take(80).collect() });
    }
    let registry = name.split_once('/').map(|(first, _)| first);
    // As everybody does it: a first part with a dot, a port or called localhost is a registry.
    let has_registry = registry.is_some_and(|first| first.contains(['.', ':']) || first == "localhost");
    let mut full = match (has_registry, registry) {
        (true, _) => name.to_owned(),
        (false, Some(_)) => format!("docker.io/{name}"),
        (false, None) => format!("docker.io/library/{name}"),
    };
    let has_tag = full.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if !has_tag {
        full.push_str(":latest");
    }
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_everybody_does_it_and_nothing_else_is_one() {
        for (short, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("team/app:1", "docker.io/team/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
        ] {
            assert_eq!(full_name(short).unwrap(), full);
        }
        for wrong in ["", "a//b", "../../x", "a b", "-x", "a/.."] {
            assert!(full_name(wrong).is_err(), "{wrong}");
        }
    }
}
