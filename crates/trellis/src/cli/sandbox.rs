//! What `trellis run` can say of a host's sandbox.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use trellis_model::resource::vpc::{Limits, Mount, Sandbox};
use trellis_net::host;

#[derive(Debug, Args)]
pub(crate) struct SandboxFlags {
    /// A file or directory of the machine that the host sees, at DST or where it is here; `:ro` lets it read only;
    /// repeatable
    #[arg(long = "mount", value_name = "SRC[:DST][:ro]")]
    mounts: Vec<MountFlag>,
    /// Memory of the host in MiB, its files in memory among it
    #[arg(long, value_name = "MIB", default_value_t = Limits::default().memory_mib,
          value_parser = clap::value_parser!(u64).range(16..=1 << 24))]
    memory: u64,
    /// Processes and threads the host may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().processes,
          value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    processes: u32,
    /// Processors the host may use, such as 0.5; an equal share of what is free when absent
    #[arg(long, value_name = "N", value_parser = parse_processors)]
    cpus: Option<u32>,
    /// Files each process of the host may have open
    #[arg(long, value_name = "N", default_value_t = Limits::default().open_files,
          value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    open_files: u32,
    /// Let the host see and write the machine's files as the user who runs `trellis up`, the keys of this instance
    /// among them: the network is its own, the files are not. For programs you trust as yourself
    #[arg(long)]
    share_filesystem: bool,
    /// Let the host's root do all the kernel lets it do in namespaces of its own: mount, make namespaces, links and
    /// cgroups, with no system call refused. What a container runtime or a Kubernetes node needs; more of the kernel
    /// can be attacked from it. It may send from addresses of its subnet that are nobody else's
    #[arg(long)]
    privileged: bool,
}

impl SandboxFlags {
    pub(crate) fn into_sandbox(self, environment: &[Variable]) -> Sandbox {
        let pair = |variable: &Variable| (variable.name.clone(), variable.value.clone());
        Sandbox {
            shares_filesystem: self.share_filesystem,
            is_privileged: self.privileged,
            mounts: self.mounts.into_iter().map(|flag| flag.0).collect(),
            environment: environment.iter().map(pair).collect(),
            limits: Limits {
                memory_mib: self.memory,
                processes: self.processes,
                millicpus: self.cpus,
                open_files: self.open_files,
            },
        }
    }
}

/// `SRC[:DST][:ro]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MountFlag(Mount);

impl FromStr for MountFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (paths, is_read_only) = text.strip_suffix(":ro").map_or((text, false), |paths| (paths, true));
        let (source, target) =
            paths.split_once(':').map_or((paths, None), |(source, target)| (source, Some(target)));
        if source.is_empty() {
            return Err("expected SRC[:DST][:ro], such as ./site:/srv/site:ro".into());
        }
        let source = std::path::absolute(source).map_err(|error| format!("{source}: {error}"))?;
        if !source.exists() {
            return Err(format!("there is no {}", source.display()));
        }
        let target = match target {
            Some(target) => PathBuf::from(target),
            // Where `.` and `..` lead.
            None => source.canonicalize().map_err(|error| format!("{}: {error}", source.display()))?,
        };
        if !host::is_mount_target(Path::new(&target)) {
            return Err(format!(
                "{} is no place for a mount: expected an absolute path below / that is not in /proc, /sys or /dev",
                target.display()
            ));
        }
        Ok(Self(Mount { source, target, is_read_only }))
    }
}

/// `NAME=VALUE`, or `NAME` with the value that this process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                (text, std::env::var(text).map_err(|_| format!("{text} is not set here: give {text}=VALUE"))?)
            }
        };
        if name.is_empty() || value.contains('\0') {
            return Err("expected NAME or NAME=VALUE".into());
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

fn parse_processors(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=1024.0).contains(&number) => Ok((number * 1000.0).round() as u32),
        _ => Err(format!("expected 0.01 to 1024 processors, found {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_a_source_and_may_have_a_target_and_be_read_only() {
        let mount = |text: &str| {
            text.parse::<MountFlag>().map(|MountFlag(mount)| {
                (mount.source.display().to_string(), mount.target.display().to_string(), mount.is_read_only)
            })
        };
        let is = |source: &str, target: &str, is_read_only| Ok((source.into(), target.into(), is_read_only));
        assert_eq!(mount("/usr"), is("/usr", "/usr", false));
        assert_eq!(mount("/usr:ro"), is("/usr", "/usr", true));
        assert_eq!(mount("/usr:/data"), is("/usr", "/data", false));
        assert_eq!(mount("/usr:/data:ro"), is("/usr", "/data", true));
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(mount(".:/here").unwrap().0, here);
        for wrong in
            ["", ":ro", ":/data", "/no/such", "/usr:data", "/usr:/../x", "/usr:/proc/x", "/usr:/", "/usr:"]
        {
            assert!(mount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_are_given_or_taken_from_here() {
        let variable = |text: &str| text.parse::<Variable>().map(|variable| (variable.name, variable.value));
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert_eq!(variable("PATH").unwrap().1, std::env::var("PATH").unwrap());
        assert!(variable("NOT_SET_ANYWHERE").unwrap_err().contains("NOT_SET_ANYWHERE=VALUE"));
        assert!(variable("=x").is_err());
    }

    #[test]
    fn processors_are_counted_in_thousandths() {
        assert_eq!(parse_processors("0.5"), Ok(500));
        assert_eq!(parse_processors("2"), Ok(2000));
        for wrong in ["0", "-1", "x", "NaN", "2000"] {
            assert!(parse_processors(wrong).is_err(), "{wrong}");
        }
    }
}
