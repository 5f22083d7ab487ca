//! Rust in documents: each block stands word for word in something that is compiled and run.

use super::File;

/// Documents outside `docs` whose blocks are held to it as well.
const READMES: &[&str] = &["README.md", "macula/README.md"];

/// The Rust blocks that stand nowhere in the examples or in the documentation of a crate, one line each.
pub(super) fn violations(files: &[File]) -> Vec<String> {
    let sources: Vec<Vec<String>> = files.iter().filter_map(compiled).collect();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_held(file)) {
        for (line, block) in blocks(file.text()) {
            if !sources.iter().any(|source| holds(source, &block)) {
                found.push(format!(
                    "{}:{line}: this block stands in no example and no crate's documentation; take it over word for word, or name it text",
                    file.path
                ));
            }
        }
    }
    found
}

fn is_held(file: &File) -> bool {
    let is_document = file.path.starts_with("docs/") && file.has_extension("md");
    is_document || READMES.contains(&file.path.as_str())
}

/// The lines of what cargo compiles and CI runs: an example, or the examples in the documentation of a crate.
fn compiled(file: &File) -> Option<Vec<String>> {
    if file.path.contains("/examples/") && file.has_extension("rs") {
        return Some(file.text().lines().map(str::to_owned).collect());
    }
    if !file.path.ends_with("/src/lib.rs") {
        return None;
    }
    let documented = file
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("//!"));
    let shown = documented
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .filter(|line| *line != "#" && !line.starts_with("# "));
    Some(shown.map(str::to_owned).collect())
}

/// The Rust blocks of a Markdown text, with the line that each begins at.
fn blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Vec<&str>)> = None;
    for (line, number) in text.lines().zip(1_usize..) {
        match &mut open {
            Some(_) if line.trim_end() == "```" => found.extend(open.take()),
            Some((_, block)) => block.push(line),
            None if line.starts_with("```rust") => open = Some((number, Vec::new())),
            None => {}
        }
    }
    found
}

/// Whether the lines of `block` follow one another in `source`, all indented by the same.
fn holds(source: &[String], block: &[&str]) -> bool {
    let indent = |line: &str| line.len().saturating_sub(line.trim_start().len());
    let Some(first) = block.first() else {
        return true;
    };
    source.windows(block.len()).any(|window| {
        let Some(start) = window.first() else {
            return false;
        };
        let Some(by) = indent(start).checked_sub(indent(first)) else {
            return false;
        };
        window.iter().zip(block).all(|(line, shown)| {
            if shown.is_empty() {
                return line.trim().is_empty();
            }
            let (before, after) = line.split_at_checked(by).unwrap_or(("x", ""));
            before.trim().is_empty() && after == *shown
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(document: &str) -> Vec<File> {
        vec![
            File::with("docs/a.md", document),
            File::with(
                "macula/examples/tour.rs",
                "fn main() {\n    let a = 1;\n\n    if a > 0 {\n        go(a);\n    }\n}\n",
            ),
            File::with(
                "macula/src/lib.rs",
                "//! L.\n//! ```\n//! # hidden();\n//! shown();\n//! ```\nfn private() {}\n",
            ),
        ]
    }

    #[track_caller]
    fn accepted(block: &str) {
        let found = violations(&tree(&format!("text\n```rust\n{block}\n```\n")));
        assert_eq!(found, Vec::<String>::new());
    }

    #[track_caller]
    fn refused(block: &str) {
        let found = violations(&tree(&format!("text\n```rust\n{block}\n```\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("docs/a.md:2: "), "{found:?}");
    }

    #[test]
    fn a_block_stands_in_an_example_at_any_depth() {
        accepted("let a = 1;\n\nif a > 0 {\n    go(a);\n}");
        accepted("    let a = 1;");
        accepted("go(a);");
        accepted("shown();");
        refused("let a = 2;");
        refused("let a = 1;\nif a > 0 {");
        refused("if a > 0 {\ngo(a);");
        refused("private();");
    }

    #[test]
    fn only_rust_of_documents_is_held_to_it() {
        let mut files = tree("```text\nnothing\n```\n");
        assert!(violations(&files).is_empty());
        files.push(File::with(
            "macula-wire/README.md",
            "```rust\nown();\n```\n",
        ));
        assert!(violations(&files).is_empty());
        files.push(File::with("README.md", "```rust\nown();\n```\n"));
        assert_eq!(violations(&files).len(), 1);
    }
}
