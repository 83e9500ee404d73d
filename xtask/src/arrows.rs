//! Which crate may know which. ARCHITECTURE.md shows the same picture.

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, Metadata};

/// A crate may only depend on crates of a lower layer. So concerns do not know
/// each other, and neither do assemblies.
const LAYERS: &[(&str, u8)] = &[
    ("helix-proto", 0),
    ("helix-base", 1),
    // The concerns.
    ("helix-agent", 2),
    ("helix-dialects", 2),
    ("helix-scheduler", 2),
    ("helix-isolation", 2),
    ("helix-stream", 2),
    ("helix-tunnel", 2),
    // The facade over them.
    ("helix-core", 3),
    // The assemblies.
    ("helix-runner", 4),
    ("helix-sandbox", 4),
    ("helix-media", 4),
    ("helix-server", 4),
    // What stands on top: tests, examples, tools.
    ("helix-tests", 5),
    ("helix-security-tests", 5),
    ("helix-examples", 5),
    ("xtask", 5),
];

/// What `helix-proto` must stay free of: it has no runtime, no clock, no I/O.
const NOT_IN_PROTO: &[&str] = &[
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "sqlx",
    "rand",
    "getrandom",
];

/// Fails when a crate of the workspace depends on one that it must not know.
pub(crate) fn check(metadata: &Metadata) -> Result<()> {
    let names: Vec<_> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let mut arrows = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            // A test may use what it likes, as long as cargo can build it.
            let ours = names.contains(&dependency.name.as_str());
            let shipped = dependency.kind != DependencyKind::Development;
            if shipped && (ours || package.name.as_str() == "helix-proto") {
                arrows.push((package.name.as_str(), dependency.name.as_str()));
            }
        }
    }
    let faults = faults(&names, &arrows);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{} crates, no forbidden arrow", names.len());
    Ok(())
}

/// What is wrong with these crates and the arrows between them, one line each.
fn faults(crates: &[&str], arrows: &[(&str, &str)]) -> Vec<String> {
    let layer = |name: &str| {
        LAYERS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, layer)| layer)
    };
    let mut faults: Vec<_> = crates
        .iter()
        .filter(|name| layer(name).is_none())
        .map(|name| format!("{name} has no layer: give it one in xtask/src/arrows.rs"))
        .collect();
    for (from, to) in arrows {
        if *from == "helix-proto" && NOT_IN_PROTO.contains(to) {
            faults.push(format!(
                "helix-proto must not depend on {to}: it has no I/O and no clock"
            ));
        }
        let (Some(above), Some(below)) = (layer(from), layer(to)) else {
            continue;
        };
        if below >= above {
            faults.push(format!(
                "{from} (layer {above}) must not depend on {to} (layer {below}): arrows point \
                 from a higher layer to a lower one; join the two in a crate above both"
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_that_point_down_are_fine() {
        let crates = ["helix-proto", "helix-base", "helix-tunnel", "helix-server"];
        let arrows = [
            ("helix-base", "helix-proto"),
            ("helix-tunnel", "helix-base"),
            ("helix-server", "helix-tunnel"),
            ("helix-server", "helix-proto"),
            ("helix-proto", "serde"),
        ];
        assert_eq!(faults(&crates, &arrows), Vec::<String>::new());
    }

    #[test]
    fn a_concern_that_knows_another_is_a_fault() {
        let found = faults(&[], &[("helix-scheduler", "helix-tunnel")]);
        assert!(found[0].starts_with("helix-scheduler (layer 2) must not depend on helix-tunnel"));
    }

    #[test]
    fn an_assembly_that_knows_another_is_a_fault() {
        assert_eq!(faults(&[], &[("helix-server", "helix-runner")]).len(), 1);
    }

    #[test]
    fn an_arrow_that_points_up_is_a_fault() {
        assert_eq!(faults(&[], &[("helix-base", "helix-server")]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_a_fault() {
        let found = faults(&["helix-novelty"], &[]);
        assert_eq!(
            found,
            ["helix-novelty has no layer: give it one in xtask/src/arrows.rs"]
        );
    }

    #[test]
    fn a_runtime_in_the_wire_types_is_a_fault() {
        assert_eq!(faults(&[], &[("helix-proto", "tokio")]).len(), 1);
    }

    #[test]
    fn the_workspace_itself_has_no_fault() {
        let metadata = cargo_metadata::MetadataCommand::new()
            .no_deps()
            .exec()
            .unwrap();
        check(&metadata).unwrap();
    }

    #[test]
    fn a_forbidden_arrow_planted_in_the_workspace_is_found() {
        let command = cargo_metadata::MetadataCommand::new()
            .no_deps()
            .cargo_command();
        let text = String::from_utf8({ command }.output().unwrap().stdout).unwrap();
        let mut workspace: serde_json::Value = serde_json::from_str(&text).unwrap();
        let packages = workspace["packages"].as_array_mut().unwrap();
        let base = packages
            .iter_mut()
            .find(|package| package["name"] == "helix-base")
            .unwrap();
        let mut planted = base["dependencies"][0].clone();
        planted["name"] = "helix-server".into();
        planted["kind"] = serde_json::Value::Null;
        base["dependencies"].as_array_mut().unwrap().push(planted);
        let metadata: Metadata = serde_json::from_value(workspace).unwrap();
        let error = check(&metadata).unwrap_err().to_string();
        assert!(
            error.contains("helix-base (layer 1) must not depend on helix-server"),
            "{error}"
        );
    }
}
