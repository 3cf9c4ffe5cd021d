//! Where the programs of Kubernetes are on this machine, and what to do about those that are not.

use std::path::{Path, PathBuf};

/// Where a host finds [`Programs::folder`].
pub const IN_HOST: &str = "/opt/kubernetes";

/// Of Kubernetes itself: in the folder, and nowhere else.
const OF_KUBERNETES: [&str; 5] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];

/// Of the images that every cluster needs: in `images` of the folder.
const OF_IMAGES: [&str; 2] = ["pause", "coredns"];

/// In the folder, or of the distribution. Each with the Debian package that has it.
const BESIDE: [(&str, &str); 6] = [
    ("etcd", "etcd-server"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("mount", "mount"),
];

/// Where distributions keep programs that a host sees as well.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where the plugins of the container network interface are.
const CNI: [&str; 2] = ["/usr/lib/cni", "/usr/libexec/cni"];

/// What is wanted of a plugin's folder.
const PLUGINS: [&str; 3] = ["ptp", "host-local", "portmap"];

/// Programs that a cluster can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// On the machine.
    pub folder: PathBuf,
    /// As a host sees them.
    pub cni: PathBuf,
}

/// What there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error(
        "{folder} has no {program}: build the programs of Kubernetes with scripts/kubernetes, or name a folder of release \
         binaries with `trellis up --kubernetes DIR`"
    )]
    Program { folder: String, program: &'static str },
    #[error("there is no {program}: apt-get install --no-install-recommends {package}")]
    Package { program: &'static str, package: &'static str },
}

impl Programs {
    /// Looks for all of them.
    ///
    /// # Errors
    /// The first that is not there, with the command that mends it.
    pub fn find(folder: &Path) -> Result<Self, Missing> {
        let is_in = |directory: &Path, program: &str| directory.join(program).is_file();
        for program in OF_KUBERNETES {
            if !is_in(folder, program) {
                return Err(Missing::Program { folder: folder.display().to_string(), program });
            }
        }
        let images = folder.join("images");
        for program in OF_IMAGES {
            if !is_in(&images, program) {
                return Err(Missing::Program { folder: images.display().to_string(), program });
            }
        }
        for (program, package) in BESIDE {
            let is_there = is_in(folder, program)
                || DIRECTORIES.iter().any(|directory| is_in(Path::new(directory), program));
            if !is_there {
                return Err(Missing::Package { program, package });
            }
        }
        let in_folder = folder.join("cni");
        let has_plugins = |directory: &Path| PLUGINS.iter().all(|plugin| is_in(directory, plugin));
        let cni = if has_plugins(&in_folder) {
            Some(Path::new(IN_HOST).join("cni"))
        } else {
            CNI.iter().map(PathBuf::from).find(|directory| has_plugins(directory))
        };
        let cni = cni.ok_or(Missing::Package { program: "ptp", package: "containernetworking-plugins" })?;
        // Links in it may lead to where a host sees nothing.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Self { folder, cni })
    }

    /// `PATH` in a host: what is in the folder goes before what the distribution has.
    pub fn path() -> String {
        format!("{IN_HOST}:{}", DIRECTORIES.join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Programs::find(folder.path()).unwrap_err();
        assert!(matches!(missing, Missing::Program { program: "kube-apiserver", .. }));
        assert!(missing.to_string().contains("scripts/kubernetes"), "{missing}");
        for program in OF_KUBERNETES {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        let missing = Programs::find(folder.path()).unwrap_err();
        assert!(matches!(missing, Missing::Program { program: "pause", .. }), "{missing}");
        std::fs::create_dir(folder.path().join("images")).unwrap();
        std::fs::create_dir(folder.path().join("cni")).unwrap();
        for program in OF_IMAGES {
            std::fs::write(folder.path().join("images").join(program), "").unwrap();
        }
        for program in
            BESIDE.map(|(program, _)| program).iter().chain(&["cni/ptp", "cni/host-local", "cni/portmap"])
        {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        assert_eq!(Programs::find(folder.path()).unwrap().cni, Path::new("/opt/kubernetes/cni"));
    }
}
