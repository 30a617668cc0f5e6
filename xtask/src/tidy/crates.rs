//! Which crate may know which: the one-way street of ARCHITECTURE.md, read from the `Cargo.toml` files.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Finding;
use super::files::SourceFile;

/// What each of our crates may depend on among our crates.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("marft-topologies", &[]),
    ("marft-torch", &[]),
    ("marft-algorithms", &["marft-torch"]),
    ("marft-agents", &["marft-topologies", "marft-torch"]),
    ("marft-engine", &["marft-agents", "marft-algorithms", "marft-topologies"]),
    ("marft", &["marft-agents", "marft-algorithms", "marft-engine", "marft-topologies", "marft-torch"]),
    ("xtask", &[]),
];

/// Outside crates that only some of ours may use. Tensor libraries are kept out of whatever must run without libtorch.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bevy_ecs", &["marft-engine"]),
    ("petgraph", &["marft-topologies"]),
    ("tch", &["marft-torch", "marft-algorithms", "marft-agents", "marft-engine", "marft"]),
    ("torch-sys", &["marft-torch", "marft-algorithms", "marft-agents", "marft-engine", "marft"]),
];

/// Tables of a manifest that name dependencies of the built product; tests and benches may reach further.
const TABLES: &[&str] = &["dependencies", "build-dependencies"];

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    files.iter().filter(|file| is_member(&file.path)).flat_map(check_manifest).collect()
}

/// `Cargo.toml` of the workspace and of its members; a fuzz crate below a member is nobody's dependency.
fn is_member(path: &Path) -> bool {
    path.ends_with("Cargo.toml") && path.components().count() <= 2
}

fn check_manifest(file: &SourceFile) -> Vec<Finding> {
    let finding = |message: String| Finding::new(&file.path, 0, message);
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![finding(format!("is not TOML: {error}"))],
    };
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str) else {
        return Vec::new();
    };
    let Some((_, may_know)) = MAY_KNOW.iter().find(|(package, _)| *package == name) else {
        return vec![finding(format!(
            "crate {name} has no place in the order of dependencies (xtask/src/tidy/crates.rs)"
        ))];
    };
    let mut findings = Vec::new();
    for dependency in dependencies(&manifest) {
        let ours = MAY_KNOW.iter().any(|(package, _)| *package == dependency);
        if ours && !may_know.contains(&&*dependency) {
            findings.push(finding(format!("{name} must not depend on {dependency}")));
        }
        let owners = ONLY_IN.iter().find(|(package, _)| *package == dependency);
        if let Some((_, owners)) = owners.filter(|(_, owners)| !owners.contains(&name)) {
            findings.push(finding(format!("{dependency} is for {} only, not for {name}", owners.join(", "))));
        }
    }
    if manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true) {
        findings.push(finding(format!("{name} does not take the lints of the workspace")));
    }
    findings
}

/// Names of the packages a manifest depends on, whatever it calls them, for every target.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table).chain([manifest]);
    let mut names = BTreeSet::new();
    for table in tables {
        for key in TABLES {
            for (name, value) in table.get(*key).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str);
                names.insert(package.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::files::SourceFile;

    fn messages(manifest: &str) -> Vec<String> {
        let manifest = format!("{manifest}\n[lints]\nworkspace = true\n");
        let files = [SourceFile::new("some/Cargo.toml", &manifest)];
        check(&files).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn dependencies_run_one_way() {
        let found = messages("[package]\nname = 'marft-agents'\n[dependencies]\nmarft-engine.workspace = true\n");
        assert_eq!(found, ["marft-agents must not depend on marft-engine"]);
        let found = messages("[package]\nname = 'marft-engine'\n[dependencies]\nmarft-agents.workspace = true\n");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_crate_under_another_name_or_for_one_target_is_seen() {
        let found = messages(
            "[package]\nname = 'marft-algorithms'\n\
             [dependencies]\nhouse = { package = 'marft-agents', path = '../agents' }\n\
             [target.'cfg(unix)'.build-dependencies]\nbevy_ecs = '0.20'\n",
        );
        assert_eq!(
            found,
            [
                "bevy_ecs is for marft-engine only, not for marft-algorithms",
                "marft-algorithms must not depend on marft-agents",
            ]
        );
    }

    #[test]
    fn topologies_knows_no_tensors_and_only_it_knows_petgraph() {
        let found = messages("[package]\nname = 'marft-topologies'\n[dependencies]\ntch = '1'\npetgraph = '1'\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("tch is for"), "{found:?}");
        assert_eq!(messages("[package]\nname = 'marft-engine'\n[dependencies]\npetgraph = '1'\n").len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_given_its_place_and_take_the_lints() {
        assert!(messages("[package]\nname = 'marft-new'\n")[0].contains("has no place"));
        let files = [SourceFile::new("xtask/Cargo.toml", "[package]\nname = 'xtask'\n")];
        assert_eq!(check(&files).len(), 1);
    }

    #[test]
    fn tests_may_reach_further() {
        assert!(messages("[package]\nname = 'marft-agents'\n[dev-dependencies]\nmarft-engine = '1'\n").is_empty());
    }
}
