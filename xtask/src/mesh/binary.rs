//! The programs that the scenarios start.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::process::cargo;

/// A program of the workspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary {
    /// The variable that names an existing one.
    variable: &'static str,
    name: &'static str,
    package: &'static str,
}

/// The command that everything is about.
pub(super) const COMMAND: Binary = Binary {
    variable: "MACULA_BIN",
    name: "macula",
    package: "macula",
};

/// What plays the applications of scenarios about promises.
pub(super) const PLAYER: Binary = Binary {
    variable: "MACULA_PLAYER",
    name: "macula-player",
    package: "macula-player",
};

impl Binary {
    /// The binary that its variable names, or the one of the tree, built if need be.
    ///
    /// # Errors
    ///
    /// When the named file does not exist, and when the build fails.
    pub(super) fn find(self) -> Result<PathBuf, Failure> {
        let Self {
            variable,
            name,
            package,
        } = self;
        if let Some(path) = std::env::var_os(variable) {
            let path = PathBuf::from(path);
            let full = path.canonicalize().map_err(|error| {
                Failure::usage(format!("{variable} names {}: {error}", path.display()))
            })?;
            return Ok(full);
        }
        let words = format!("build -p {package} --bin {name}");
        eprintln!("$ cargo {words}");
        let tool = cargo(&format!("{words} --message-format json-render-diagnostics"));
        executable(name, &tool.output()?).ok_or_else(|| {
            Failure::failed(format!(
                "cargo built `{name}` and does not tell where it is"
            ))
        })
    }
}

/// A program, started by what stands before it.
pub(super) fn by(prefix: &[String], program: &Path) -> Command {
    match prefix.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// Where cargo put a binary, by what it says of its artifacts.
fn executable(name: &str, messages: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message.pointer("/target/name")? == name;
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_the_artifact_with_an_executable() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"bytes"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"macula"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"macula"},"executable":"/t/macula"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        assert_eq!(
            executable("macula", messages),
            Some(PathBuf::from("/t/macula"))
        );
        assert_eq!(executable("macula", "warning: nothing here\n"), None);
    }
}
