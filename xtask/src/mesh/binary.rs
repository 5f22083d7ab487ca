//! The command that the scenarios start.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;
use crate::process::cargo;

/// The variable that names an existing binary.
const VARIABLE: &str = "MACULA_BIN";

/// The binary that `MACULA_BIN` names, or the one of the tree, built if need be.
///
/// # Errors
///
/// When the named file does not exist, and when the build fails.
pub(super) fn find() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        let path = PathBuf::from(path);
        let full = path.canonicalize().map_err(|error| {
            Failure::usage(format!("{VARIABLE} names {}: {error}", path.display()))
        })?;
        return Ok(full);
    }
    eprintln!("$ cargo build -p macula --bin macula");
    let messages =
        cargo("build -p macula --bin macula --message-format json-render-diagnostics").output()?;
    executable(&messages)
        .ok_or_else(|| Failure::failed("cargo built `macula` and does not tell where it is"))
}

/// Where cargo put the binary, by what it says of its artifacts.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_macula = message.pointer("/target/name")? == "macula";
        let path = message.get("executable")?.as_str()?;
        is_macula.then(|| PathBuf::from(path))
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
        assert_eq!(executable(messages), Some(PathBuf::from("/t/macula")));
        assert_eq!(executable("warning: nothing here\n"), None);
    }
}
