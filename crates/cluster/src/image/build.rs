//! An image of one program: a layer with it and the libraries it is linked with, a configuration, a manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::{ImageError, Images, MANIFEST, Named, in_file};

/// What an image is made of.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program, which becomes `/NAME`. The libraries of one that is not static come along.
    pub path: PathBuf,
    /// Programs that it or a person calls, each `/NAME` too.
    pub companions: Vec<PathBuf>,
    /// After the program.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
}

/// Program header of ELF: the path of an interpreter.
const PT_INTERP: u32 = 3;
/// Where Debian has them, and everybody looks.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Who runs it, where a pod does not say: nobody in particular.
const USER: &str = "65532:65532";

pub(super) fn build(images: &Images, name: &str, program: &Program) -> Result<Named, ImageError> {
    let mut files = BTreeMap::new();
    for path in std::iter::once(&program.path).chain(&program.companions) {
        let content = fs::read(path).map_err(in_file(path))?;
        if let Some(loader) = interpreter(path, &content)? {
            for library in libraries(path, &loader)? {
                // Under the name by which the program asks for it, whatever that leads to on this machine.
                let inside = library.strip_prefix("/").unwrap_or(&library).to_owned();
                files.insert(inside, fs::read(&library).map_err(in_file(&library))?);
            }
        }
        files.insert(base(path).into(), content);
    }
    // Whom programs trust that call others over TLS: those this machine trusts.
    if let Ok(authorities) = fs::read(AUTHORITIES) {
        files.insert(AUTHORITIES.trim_start_matches('/').into(), authorities);
    }
    let layer = layer(&files).map_err(in_file(&program.path))?;
    let layer_digest = images.keep(&layer)?;
    let mut entrypoint = vec![format!("/{}", base(&program.path))];
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

fn base(program: &Path) -> &str {
    program.file_name().and_then(|name| name.to_str()).unwrap_or("program")
}

/// The same for the same files, whenever it is made.
fn layer(files: &BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (directory, mode) in [("etc/", 0o755), ("tmp/", 0o1777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        archive.append_data(&mut header, directory, std::io::empty())?;
    }
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if name.ends_with("ca-certificates.crt") { 0o644 } else { 0o755 });
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    archive.into_inner()
}

/// The loader of a program that is linked with libraries; `None` for a static one.
fn interpreter(path: &Path, content: &[u8]) -> Result<Option<PathBuf>, ImageError> {
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
            return Ok(Some(interpreter.trim_end_matches('\0').chars().take(256).collect::<String>().into()));
        }
    }
    Ok(None)
}

/// The loader of a program and every library it finds for it, in their order.
fn libraries(program: &Path, loader: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let not_linked = |reason: String| ImageError::NotLinked { path: program.to_owned(), reason };
    // It is about to be run, and the program says which: only where the system keeps its own.
    let is_system = ["/lib", "/lib64", "/usr/lib"].iter().any(|place| loader.starts_with(place))
        && !loader.components().any(|part| part.as_os_str() == "..");
    if !is_system {
        return Err(not_linked(format!("{} is no loader of this system", loader.display())));
    }
    let program = fs::canonicalize(program).map_err(in_file(program))?;
    // It lists, as ldd has it do, and does not run the program.
    let listed = Command::new(loader).arg("--list").arg(&program).env_clear().stdin(Stdio::null()).output();
    let listed = listed.map_err(in_file(loader))?;
    let (text, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    if !listed.status.success() || text.contains("not found") {
        return Err(not_linked(if said.trim().is_empty() { text.trim() } else { said.trim() }.to_owned()));
    }
    Ok(linked(&text, loader))
}

/// The files that a loader's list names: `libm.so.6 => /lib/libm.so.6 (0x...)`, or a path alone.
fn linked(list: &str, loader: &Path) -> Vec<PathBuf> {
    let path = |line: &str| {
        let found = line.split_once("=>").map_or(line, |(_, found)| found).trim();
        let found = found.rsplit_once(" (").map_or(found, |(path, _)| path);
        found.starts_with('/').then(|| PathBuf::from(found))
    };
    let mut found: Vec<PathBuf> = list.lines().filter_map(path).collect();
    found.push(loader.to_owned());
    found.sort();
    found.dedup();
    found
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
    fn a_program_comes_with_the_libraries_it_is_linked_with() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::at(directory.path());
        let program =
            Program { path: "/bin/sh".into(), companions: vec!["/bin/cat".into()], ..Program::default() };
        images.build("demo/sh:1", &program).unwrap();
        let blobs = fs::read_dir(directory.path().join("blobs/sha256")).unwrap();
        let layer = blobs.map(|blob| fs::read(blob.unwrap().path()).unwrap()).max_by_key(Vec::len).unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let names: Vec<PathBuf> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        for wanted in ["sh", "cat", "libc.so.6"] {
            assert!(names.iter().any(|name| name.ends_with(wanted)), "{wanted}: {names:?}");
        }
        let content = fs::read("/bin/sh").unwrap();
        let loader = interpreter("/bin/sh".as_ref(), &content).unwrap().unwrap();
        assert!(names.iter().any(|name| Path::new("/").join(name) == loader), "{loader:?}: {names:?}");
    }

    #[test]
    fn what_a_loader_lists_is_read_whatever_it_resolves_to() {
        let list = "\tlinux-vdso.so.1 (0x00007f1d)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f1e)\n\
                    \t/lib64/ld.so.2 (0x00007f1f)\n\tstatically linked\n";
        let found = linked(list, "/lib64/ld.so.2".as_ref());
        assert_eq!(found, [PathBuf::from("/lib/x/libm.so.6"), PathBuf::from("/lib64/ld.so.2")]);
    }

    #[test]
    fn what_the_system_cannot_link_is_refused_and_no_other_loader_is_run() {
        let directory = tempfile::tempdir().unwrap();
        for loader in ["/tmp/ld.so", "/lib/../tmp/ld.so", "ld.so"] {
            let error = libraries("/bin/sh".as_ref(), loader.as_ref()).unwrap_err();
            assert!(matches!(error, ImageError::NotLinked { .. }), "{error}");
        }
        let images = Images::at(directory.path());
        let text = directory.path().join("script");
        fs::write(&text, "#!/bin/sh\n").unwrap();
        let error = images.build("sh", &Program { path: text, ..Program::default() }).unwrap_err();
        assert!(matches!(error, ImageError::NotAProgram { .. }), "{error}");
    }
}
