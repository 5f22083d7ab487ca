//! `tidy`: rules about files that no compiler checks.

mod documents;
mod excerpts;
mod layout;
mod length;
mod source;

use std::path::Path;

use crate::failure::{Failure, verdict};
use crate::process::{Tool, root};

/// A file of the tree, tracked by git or about to be.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/`.
    path: String,
    /// In bytes.
    size: u64,
    /// What it holds, when that is UTF-8.
    text: Option<String>,
}

impl File {
    /// The text, or nothing when it is not text.
    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The folder that the file lies in, without a `/` at the end; empty for the root.
    fn folder(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or("", |(folder, _name)| folder)
    }

    fn name(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or(self.path.as_str(), |(_folder, name)| name)
    }

    /// Whether the whole file is test code.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.name() == "tests.rs"
    }

    #[cfg(test)]
    fn with(path: &str, text: &str) -> Self {
        let size = text.len().try_into().unwrap();
        Self {
            path: path.to_owned(),
            size,
            text: Some(text.to_owned()),
        }
    }
}

/// Runs all rules.
///
/// # Errors
///
/// When a rule is broken, or git cannot list the files.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(argument) = arguments.first() {
        return Err(Failure::usage(format!("`{argument}` is not accepted")));
    }
    let files = files()?;
    verdict("tidy", &violations(&files))?;
    println!("tidy: {} files", files.len());
    Ok(())
}

/// Everything that is wrong with `files`, one line each.
fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        if file.has_extension("rs") {
            found.extend(source::violations(file));
        }
        found.extend(layout::violations(file));
    }
    found.extend(length::violations(files));
    found.extend(layout::tree_violations(files));
    found.extend(documents::violations(files));
    found.extend(excerpts::violations(files));
    found
}

/// The files that are tracked, and those that are neither tracked nor ignored.
fn files() -> Result<Vec<File>, Failure> {
    let list = Tool::new("git")
        .words("ls-files -z -co --exclude-standard")
        .output()?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let full = root().join(path);
        // A tracked file that was deleted is still listed.
        let Ok(bytes) = std::fs::read(&full) else {
            continue;
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        files.push(File {
            path: path.to_owned(),
            size,
            text: String::from_utf8(bytes).ok(),
        });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_is_tidy() {
        let found = violations(&files().unwrap());
        assert!(
            found.is_empty(),
            "{} violations:\n{}",
            found.len(),
            found.join("\n")
        );
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(File::with("macula/tests/it/main.rs", "").is_test());
        assert!(File::with("macula/src/node/tests.rs", "").is_test());
        assert!(!File::with("macula/src/node.rs", "").is_test());
    }
}
