//! An image of one static program: a layer, a configuration, a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{ImageError, Images, MANIFEST, Named, in_file};

/// What an image is made of.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// A static program, which becomes `/NAME`.
    pub path: PathBuf,
    /// After the program.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
}

/// Program header of ELF: the path of an interpreter.
const PT_INTERP: u32 = 3;
/// Who runs it, where a pod does not say: nobody in particular.
const USER: &str = "65532:65532";

pub(super) fn build(images: &Images, name: &str, program: &Program) -> Result<Named, ImageError> {
    let content = fs::read(&program.path).map_err(in_file(&program.path))?;
    check_static(&program.path, &content)?;
    let base = program.path.file_name().and_then(|name| name.to_str()).unwrap_or("program");
    let layer = layer(base, &content).map_err(in_file(&program.path))?;
    let layer_digest = images.keep(&layer)?;
    let mut entrypoint = vec![format!("/{base}")];
    entrypoint.extend(program.arguments.iter().cloned());
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": program.environment, "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    })
    .to_string();
    let config_digest = images.keep(config.as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest,
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest,
            "size": layer.len(),
        }],
    })
    .to_string();
    let digest = images.keep(manifest.as_bytes())?;
    images.note(name, &digest)
}

/// The same for the same program, whenever it is made.
fn layer(name: &str, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    for (directory, mode) in [("etc/", 0o755), ("tmp/", 0o1777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        archive.append_data(&mut header, directory, std::io::empty())?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content)?;
    archive.into_inner()
}

/// A program that needs a loader is none in an image without one.
fn check_static(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    let not_a_program = || ImageError::NotAProgram { path: path.to_owned() };
    let bytes = |at: usize, length: usize| content.get(at..at.checked_add(length)?);
    let u16_at =
        |at| bytes(at, 2).map(|bytes| u16::from_le_bytes(bytes.try_into().expect("two bytes")) as usize);
    let u64_at = |at| bytes(at, 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
    // ELF, 64 bits, little-endian.
    if !content.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return Err(not_a_program());
    }
    let (Some(table), Some(size), Some(count)) = (u64_at(32), u16_at(54), u16_at(56)) else {
        return Err(not_a_program());
    };
    for index in 0..count {
        let at = usize::try_from(table).ok().and_then(|table| table.checked_add(index * size));
        let at = at.ok_or_else(not_a_program)?;
        let kind = bytes(at, 4).ok_or_else(not_a_program)?;
        if u32::from_le_bytes(kind.try_into().expect("four bytes")) == PT_INTERP {
            let place = |offset| u64_at(at + offset).and_then(|value| usize::try_from(value).ok());
            let interpreter = place(8).zip(place(32)).and_then(|(start, length)| bytes(start, length));
            let interpreter = String::from_utf8_lossy(interpreter.unwrap_or_default());
            let interpreter = interpreter.trim_end_matches('\0').chars().take(80).collect();
            return Err(ImageError::NotStatic { path: path.to_owned(), interpreter });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that is a static program: a header without a table.
    pub(crate) fn program(directory: &Path) -> PathBuf {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        let path = directory.join("program");
        fs::write(&path, elf).unwrap();
        path
    }

    #[test]
    fn an_image_is_the_same_for_the_same_program() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::at(directory.path().join("images"));
        let program = Program { path: program(directory.path()), ..Program::default() };
        let first = images.build("demo/app:1", &program).unwrap();
        let second = images.build("docker.io/demo/app:2", &program).unwrap();
        assert_eq!(first.digest, second.digest);
        assert_eq!(first.name, "docker.io/demo/app:1");
        assert_eq!(images.list().unwrap(), [first.clone(), second]);
        assert_eq!(images.find("docker.io/demo/app:1"), Some(first));
        assert_eq!(images.find("docker.io/demo/app"), None);
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::at(directory.path());
        let program = Program { path: "/bin/sh".into(), ..Program::default() };
        let error = images.build("sh", &program).unwrap_err();
        assert!(
            matches!(&error, ImageError::NotStatic { interpreter, .. } if interpreter.contains("ld-")),
            "{error}"
        );
        let text = directory.path().join("script");
        fs::write(&text, "#!/bin/sh\n").unwrap();
        let error = images.build("sh", &Program { path: text, ..Program::default() }).unwrap_err();
        assert!(matches!(error, ImageError::NotAProgram { .. }), "{error}");
    }
}
