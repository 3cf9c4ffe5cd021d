//! OCI archives: a tar of `oci-layout`, `index.json` and `blobs/sha256/*`, as docker save, podman save, buildah and ctr
//! write them. What else is in one is passed over; a blob is kept only if it is what its name says.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use serde_json::Value;

use super::{ImageError, Images, LARGEST_DOCUMENT, Named, in_file};

/// Names of an image in an index, the fuller first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Indexes lead to manifests; no deeper than this.
const DEPTH: usize = 4;

pub(super) fn import(images: &Images, path: &Path, name: Option<&str>) -> Result<Vec<Named>, ImageError> {
    let broken = |reason: String| ImageError::Archive { reason };
    let mut archive = tar::Archive::new(File::open(path).map_err(in_file(path))?);
    // The library's own words would repeat what is in the file.
    let unread = |source: io::Error| match source.kind() {
        ErrorKind::Other | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            broken("it is no tar, or one that is cut short".into())
        }
        _ => in_file(path)(source),
    };
    let mut index = None;
    for entry in archive.entries().map_err(unread)? {
        let mut entry = entry.map_err(unread)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let place = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let place = place.strip_prefix("./").unwrap_or(&place);
        if place == "index.json" {
            let mut text = Vec::new();
            entry.by_ref().take(LARGEST_DOCUMENT).read_to_end(&mut text).map_err(unread)?;
            index = Some(serde_json::from_slice::<Value>(&text).map_err(|error| broken(error.to_string()))?);
        } else if let Some(hex) = place.strip_prefix("blobs/sha256/") {
            images.keep_stream(&format!("sha256:{hex}"), entry)?;
        }
    }
    let index = index.ok_or_else(|| broken("it has no index.json".into()))?;
    let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
    let mut named = Vec::new();
    for manifest in &manifests {
        let digest = manifest["digest"].as_str().unwrap_or_default();
        check(images, digest, DEPTH, &mut BTreeSet::new())?;
        let annotated = NAMES.iter().find_map(|key| manifest["annotations"][key].as_str());
        let called = match (name, annotated) {
            (Some(name), _) if manifests.len() == 1 => name,
            // A bare tag says nothing of what it is the tag of.
            (_, Some(annotated)) if annotated.contains(['/', ':']) => annotated,
            _ => return Err(ImageError::Nameless),
        };
        named.push(images.note(called, digest)?);
    }
    if named.is_empty() { Err(broken("its index.json names no image".into())) } else { Ok(named) }
}

/// Whether all that `digest` leads to is there. An index may name images of other machines that are not.
fn check(images: &Images, digest: &str, depth: usize, seen: &mut BTreeSet<String>) -> Result<(), ImageError> {
    let broken = |reason: String| ImageError::Archive { reason };
    let missing = || broken(format!("it has no blob {digest:?}"));
    if depth == 0 || !seen.insert(digest.to_owned()) {
        return Err(broken("its indexes lead nowhere".into()));
    }
    let path = images.blob(digest).ok_or_else(missing)?;
    let is_there = |digest: &str| images.blob(digest).is_some_and(|path| path.is_file());
    if !is_there(digest) {
        return Err(missing());
    }
    let mut text = Vec::new();
    let file = File::open(&path).map_err(in_file(&path))?;
    file.take(LARGEST_DOCUMENT).read_to_end(&mut text).map_err(in_file(&path))?;
    let document: Value = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    if let Some(manifests) = document["manifests"].as_array() {
        let digests = manifests.iter().filter_map(|manifest| manifest["digest"].as_str());
        let there: Vec<_> = digests.filter(|digest| is_there(digest)).collect();
        if there.is_empty() {
            return Err(missing());
        }
        return there.into_iter().try_for_each(|digest| check(images, digest, depth - 1, seen));
    }
    let layers = document["layers"].as_array().into_iter().flatten();
    for part in layers.chain([&document["config"]]) {
        let digest = part["digest"].as_str().unwrap_or_default();
        if !is_there(digest) {
            return Err(broken(format!("it has no blob {digest:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::hex;
    use sha2::{Digest as _, Sha256};

    fn archive(files: &[(String, Vec<u8>)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.as_file());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        builder.finish().unwrap();
        drop(builder);
        file
    }

    fn blob(content: &str) -> (String, (String, Vec<u8>)) {
        let hex = hex(&Sha256::digest(content));
        (format!("sha256:{hex}"), (format!("blobs/sha256/{hex}"), content.as_bytes().to_vec()))
    }

    fn image(name: &str) -> Vec<(String, Vec<u8>)> {
        let (layer, layer_file) = blob("layer");
        let (config, config_file) = blob("{}");
        let manifest = format!(r#"{{"config":{{"digest":"{config}"}},"layers":[{{"digest":"{layer}"}}]}}"#);
        let (manifest, manifest_file) = blob(&manifest);
        let index = format!(
            r#"{{"manifests":[{{"digest":"{manifest}","annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#
        );
        vec![("index.json".into(), index.into_bytes()), layer_file, config_file, manifest_file]
    }

    #[test]
    fn an_archive_is_taken_in_with_its_names_or_one_that_is_given() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::at(directory.path());
        let file = archive(&image("example.com/a/b:1"));
        assert_eq!(images.import(file.path(), None).unwrap()[0].name, "example.com/a/b:1");
        assert_eq!(images.import(file.path(), Some("c")).unwrap()[0].name, "docker.io/library/c:latest");
        let nameless = images.import(archive(&image("1.0")).path(), None).unwrap_err();
        assert!(matches!(nameless, ImageError::Nameless), "{nameless}");
    }

    #[test]
    fn an_archive_that_lacks_a_blob_or_has_another_under_its_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::at(directory.path());
        for spoil in [
            |files: &mut Vec<(String, Vec<u8>)>| drop(files.remove(1)),
            |files: &mut Vec<(String, Vec<u8>)>| files[1].1 = b"other".to_vec(),
            |files: &mut Vec<(String, Vec<u8>)>| drop(files.remove(0)),
            |files: &mut Vec<(String, Vec<u8>)>| files[0].1 = b"{}".to_vec(),
            |files: &mut Vec<(String, Vec<u8>)>| files.push(("blobs/sha256/../../x".into(), b"x".to_vec())),
        ] {
            let mut files = image("a/b:1");
            spoil(&mut files);
            // What tar itself refuses to write is no archive to try.
            if files.iter().any(|(name, _)| name.contains("..")) {
                continue;
            }
            let error = images.import(archive(&files).path(), None).unwrap_err();
            assert!(matches!(error, ImageError::Archive { .. }), "{error}");
        }
        assert_eq!(images.list().unwrap(), []);
        assert_eq!(images.blob("sha256:../../x"), None);
    }
}
