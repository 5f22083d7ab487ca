//! The dependencies of the workspace, asked of cargo.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Defaults, Graph, Kind, Row};
use crate::failure::Failure;
use crate::process::cargo;

/// Reads the direct edges of all members, and the closure of each core in `table`.
///
/// The closure comes from `cargo tree` for one crate alone, because `cargo metadata` unifies the
/// features of the whole workspace and would blame a core for what another member turned on.
///
/// # Errors
///
/// When cargo fails or answers something else than expected.
pub(super) fn read(table: &[Row]) -> Result<Graph, Failure> {
    let text = cargo("metadata --no-deps --format-version 1 --locked").output()?;
    let mut graph = direct(&text)?;
    for row in table.iter().filter(|row| row.kind == Kind::Core) {
        if !graph.direct.contains_key(row.name) {
            continue;
        }
        let mut tree = cargo("tree --edges normal --locked --prefix none --package").arg(row.name);
        if row.defaults == Defaults::Shell {
            tree = tree.arg("--no-default-features");
        }
        graph
            .reachable
            .insert(row.name.to_owned(), closure(row.name, &tree.output()?));
    }
    Ok(graph)
}

/// The direct edges that `cargo metadata` printed.
fn direct(metadata: &str) -> Result<Graph, Failure> {
    let unexpected = || Failure::failed("`cargo metadata` printed something unexpected");
    let metadata: Value = serde_json::from_str(metadata).map_err(|_error| unexpected())?;
    let mut graph = Graph::default();
    for package in metadata
        .get("packages")
        .and_then(Value::as_array)
        .ok_or_else(unexpected)?
    {
        let name = text(package, "name").ok_or_else(unexpected)?;
        let direct = graph.direct.entry(name.to_owned()).or_default();
        let dev = graph.dev.entry(name.to_owned()).or_default();
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.ok_or_else(unexpected)? {
            let used = text(dependency, "name").ok_or_else(unexpected)?.to_owned();
            match text(dependency, "kind") {
                Some("dev") => dev.insert(used),
                _ => direct.insert(used),
            };
        }
    }
    Ok(graph)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The names of the crates in a `cargo tree` without indentation, other than `root`.
fn closure(root: &str, tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != root)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_edges_are_told_apart() {
        let graph = direct(
            r#"{"packages": [{"name": "a", "dependencies": [
                {"name": "bytes", "kind": null},
                {"name": "cc", "kind": "build"},
                {"name": "proptest", "kind": "dev"}]}]}"#,
        )
        .unwrap();
        assert_eq!(
            graph.direct["a"],
            BTreeSet::from(["bytes".to_owned(), "cc".to_owned()])
        );
        assert_eq!(graph.dev["a"], BTreeSet::from(["proptest".to_owned()]));
        assert!(direct("{}").is_err());
        assert!(direct("no json").is_err());
    }

    #[test]
    fn a_tree_is_read_by_its_first_column() {
        let tree = "a v0.1.0 (path)\nbytes v1.12.2\nb v0.1.0 (path)\nbytes v1.12.2 (*)\n";
        assert_eq!(
            closure("a", tree),
            BTreeSet::from(["b".to_owned(), "bytes".to_owned()])
        );
    }
}
