//! Rules about names, sizes, manifests and what a text must not contain.

use super::File;
use super::source::numbered;

/// In bytes; git keeps every version of every file for ever.
const MAX_SIZE: u64 = 128 * 1024;
/// The manifest that belongs to no member of the workspace.
const FUZZ_MANIFEST: &str = "xtask/fuzz/Cargo.toml";

/// What is wrong with `file`, one line each.
pub(super) fn violations(file: &File) -> Vec<String> {
    let mut found = names(file);
    found.extend(size(file));
    found.extend(manifest(file));
    found.extend(machine_paths(file));
    found
}

fn names(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    if file.name() == "mod.rs" {
        let folder = file.folder();
        found.push(format!(
            "{}: name it {folder}.rs, beside the folder",
            file.path
        ));
    }
    let folder = file.folder();
    let binary =
        folder.ends_with("/tests") && !folder.contains("/src/") && file.has_extension("rs");
    if binary {
        found.push(format!(
            "{}: every file here is linked by itself; make it a module of {folder}/it/main.rs",
            file.path
        ));
    }
    let lints = matches!(file.name(), "clippy.toml" | ".clippy.toml");
    if lints && file.path != "clippy.toml" {
        found.push(format!(
            "{}: it replaces the one at the root and turns its rules off; move what it says there",
            file.path
        ));
    }
    found
}

fn size(file: &File) -> Vec<String> {
    let exempt = file.name() == "Cargo.lock"
        || (file.folder() == "macula/data" && file.has_extension("csv"))
        || file.path.starts_with("xtask/fuzz/corpus/");
    if exempt || file.size <= MAX_SIZE {
        return Vec::new();
    }
    vec![format!(
        "{}: {} bytes; keep what is over {MAX_SIZE} out of git",
        file.path, file.size
    )]
}

/// Every member takes the lints of the workspace.
fn manifest(file: &File) -> Vec<String> {
    let member =
        file.name() == "Cargo.toml" && file.path != "Cargo.toml" && file.path != FUZZ_MANIFEST;
    if !member {
        return Vec::new();
    }
    let mut section = "";
    for line in file.text().lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[lints]" && line.replace(' ', "") == "workspace=true" {
            return Vec::new();
        }
    }
    vec![format!(
        "{}: add `[lints]` with `workspace = true`",
        file.path
    )]
}

/// A path of one machine is wrong on every other.
fn machine_paths(file: &File) -> Vec<String> {
    // Written apart, so that this file does not find itself.
    let folders = ["home", "root", "Users", "work", "workspace", "workspaces"];
    let patterns: Vec<String> = folders.iter().map(|folder| format!("/{folder}/")).collect();
    let mut found = Vec::new();
    for (number, line) in numbered(file.text()) {
        for pattern in patterns
            .iter()
            .filter(|pattern| begins_a_path(line, pattern))
        {
            found.push(format!(
                "{}:{number}: a path below {pattern} exists on one machine only; make it relative",
                file.path
            ));
        }
    }
    found
}

/// Whether `pattern` stands in `line` where a path begins.
fn begins_a_path(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _pattern)| {
        let before = line.split_at(at).0.chars().next_back();
        before.is_none_or(|before| {
            before.is_whitespace()
                || matches!(before, '"' | '\'' | '`' | '(' | '=' | ':' | '<' | '[')
        }) && !line.split_at(at).0.ends_with("://")
    })
}

/// What is wrong with the tree as a whole.
pub(super) fn tree_violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    let there = |path: &str| files.iter().any(|file| file.path == path);
    for file in files {
        let folder = file.folder();
        let public = file.name() == "Cargo.toml" && folder.starts_with("macula");
        if public && !there(&format!("{folder}/README.md")) {
            found.push(format!(
                "{folder}: add a README.md that says what the crate is for"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";

    #[track_caller]
    fn refused(path: &str, text: &str, fault: &str) {
        let found = violations(&File::with(path, text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(fault), "{found:?}");
    }

    #[track_caller]
    fn accepted(path: &str, text: &str) {
        assert_eq!(violations(&File::with(path, text)), Vec::<String>::new());
    }

    #[test]
    fn modules_are_named_beside_their_folder() {
        refused("macula/src/node/mod.rs", "", "macula/src/node.rs");
        accepted("macula/src/node.rs", "");
    }

    #[test]
    fn a_crate_has_one_binary_of_integration_tests() {
        refused("macula/tests/links.rs", "", "make it a module");
        accepted("macula/tests/it/main.rs", "");
        accepted("macula/tests/it/links.rs", "");
        accepted("macula/src/node/tests/links.rs", "");
    }

    #[test]
    fn lints_are_configured_once() {
        refused("macula/clippy.toml", "", "replaces");
        refused(".clippy.toml", "", "replaces");
        accepted("clippy.toml", "");
    }

    #[test]
    fn members_take_the_lints_of_the_workspace() {
        refused(
            "macula/Cargo.toml",
            "[package]\nname = \"a\"\n",
            "add `[lints]`",
        );
        refused(
            "macula/Cargo.toml",
            "[package]\nworkspace = true\n",
            "add `[lints]`",
        );
        accepted("macula/Cargo.toml", MANIFEST);
        accepted("Cargo.toml", "[workspace]\n");
        accepted("xtask/fuzz/Cargo.toml", "[package]\n");
    }

    #[test]
    fn large_files_stay_out_of_git() {
        let file = |path: &str, size| File {
            size,
            ..File::with(path, "")
        };
        assert_eq!(violations(&file("docs/film.gif", MAX_SIZE + 1)).len(), 1);
        for exempt in [
            "macula/data/sf.csv",
            "Cargo.lock",
            "xtask/fuzz/corpus/frame/a",
        ] {
            assert!(
                violations(&file(exempt, MAX_SIZE + 1)).is_empty(),
                "{exempt}"
            );
        }
        assert!(violations(&file("docs/film.gif", MAX_SIZE)).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        let path = format!("/{}/me/macula", "home");
        refused(
            "docs/a.md",
            &format!("Look into `{path}`.\n"),
            "one machine",
        );
        refused("docs/a.md", &format!("{path}\n"), "one machine");
        accepted("docs/a.md", &format!("https://example.org{path}\n"));
        accepted("docs/a.md", "~/macula and target/home/x\n");
    }

    #[test]
    fn a_public_crate_has_a_readme() {
        let manifest = File::with("macula-wire/Cargo.toml", MANIFEST);
        let tool = File::with("xtask/testkit/Cargo.toml", MANIFEST);
        assert_eq!(tree_violations(&[manifest.clone(), tool.clone()]).len(), 1);
        let readme = File::with("macula-wire/README.md", "");
        assert!(tree_violations(&[manifest, tool, readme]).is_empty());
    }
}
