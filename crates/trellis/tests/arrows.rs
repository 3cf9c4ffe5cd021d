//! Who may use whom. ARCHITECTURE.md draws the same list.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate -> the crates of this workspace it may use. `trellis` may use all of them; `bench` drives the
/// binary through its API, and the data plane alone on loopback.
const ARROWS: &[(&str, &[&str])] = &[
    ("policy", &[]),
    ("store", &[]),
    ("idl", &[]),
    ("model", &["policy"]),
    ("auth", &["model", "policy"]),
    ("api", &["idl", "model"]),
    ("ca", &["model"]),
    ("dns", &["model"]),
    ("net", &["model"]),
    ("metadata", &["model"]),
    ("cluster", &["ca", "net"]),
    ("logs", &["model"]),
    ("frame", &["model", "auth", "policy", "api", "ca", "store"]),
    // Services never import each other.
    ("acm", &["frame", "idl", "api", "ca", "model", "store"]),
    ("acm-pca", &["frame", "idl", "api", "ca", "model", "policy", "store"]),
    ("ec2", &["frame", "idl", "api", "model", "store"]),
    ("eks", &["frame", "idl", "api", "model", "store"]),
    ("eks-auth", &["frame", "idl", "api", "auth", "model", "store"]),
    ("iam", &["frame", "idl", "api", "model", "store", "auth", "policy"]),
    ("lattice", &["frame", "idl", "api", "ca", "model", "policy", "store"]),
    ("ram", &["frame", "idl", "api", "model", "store"]),
    ("organizations", &["frame", "idl", "api", "model", "store", "policy"]),
    ("tagging", &["frame", "idl", "api", "model", "store"]),
    ("route53", &["frame", "idl", "api", "model", "store"]),
    ("toy", &["frame", "idl", "api", "model", "store"]),
    ("sts", &["model", "auth", "policy", "store", "api", "frame", "idl"]),
    // Of route53 what resolvers are told of its zones.
    ("publish", &["frame", "model", "policy", "ca", "store", "route53"]),
    (
        "control",
        &[
            "model",
            "ca",
            "store",
            "frame",
            "publish",
            "metadata",
            "acm",
            "acm-pca",
            "ec2",
            "eks",
            "eks-auth",
            "iam",
            "lattice",
            "organizations",
            "ram",
            "route53",
            "sts",
            "tagging",
        ],
    ),
    ("proxy", &["model", "auth", "policy"]),
    ("sign", &["model", "auth"]),
    ("kube", &[]),
    ("bench", &["model", "auth", "policy", "proxy"]),
];

/// Heavy subjects stay in their room: crate -> who may depend on it directly.
const ROOMS: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("hickory-proto", &["dns"]),
    ("rtnetlink", &["net"]),
    ("nix", &["net", "proxy", "bench"]),
    ("aws-config", &["logs", "sign", "kube"]),
    ("aws-sdk-s3", &["logs"]),
    ("aws-sdk-vpclattice", &["kube"]),
    ("hyper", &["trellis", "sign", "cluster"]),
    ("flate2", &["logs"]),
    ("httparse", &["proxy"]),
    ("quick-xml", &["api", "trellis"]),
    ("hmac", &["auth"]),
    ("rcgen", &["ca"]),
    ("rustls", &["proxy", "sign", "bench"]),
    ("h2", &["bench"]),
    ("kube", &["kube"]),
    ("k8s-openapi", &["kube"]),
];

fn workspace() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages is a list")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies is a list");
            // Development dependencies build tests, not the house.
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

fn room(package: &str) -> &str {
    package.strip_prefix("trellis-").unwrap_or(package)
}

#[test]
fn every_arrow_between_crates_is_in_the_drawing() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (package, dependencies) in workspace() {
        if package == "trellis" {
            continue;
        }
        let allowed = allowed
            .get(room(&package))
            .unwrap_or_else(|| panic!("{package} is not in the drawing: add it to ARCHITECTURE.md and here"));
        for dependency in dependencies.iter().filter_map(|name| name.strip_prefix("trellis-")) {
            assert!(allowed.contains(&dependency), "{package} may not use trellis-{dependency}");
        }
    }
}

#[test]
fn the_drawing_has_no_room_that_is_not_there() {
    let there: BTreeSet<_> = workspace().into_keys().collect();
    for (name, _) in ARROWS {
        assert!(there.iter().any(|package| room(package) == *name), "there is no crate {name}");
    }
}

#[test]
fn heavy_dependencies_stay_in_their_room() {
    let workspace = workspace();
    for (dependency, rooms) in ROOMS {
        for (package, dependencies) in &workspace {
            assert!(
                !dependencies.contains(*dependency) || rooms.contains(&room(package)),
                "{dependency} belongs to {rooms:?}, and {package} uses it"
            );
        }
    }
}
