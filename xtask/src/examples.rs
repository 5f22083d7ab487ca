//! `examples`: each example of the library runs to its end; each checks by itself what it shows.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;
use crate::options::{Accepts, Names, Options};
use crate::process::{Tool, cargo};

const ACCEPTS: Accepts = Accepts {
    flags: &["--list"],
    numbers: &[],
    names: Names::Many,
};
/// With the features of the tests, so that nothing is compiled a second time behind them.
const BUILD: &str =
    "build --workspace --all-features --locked --examples --message-format json-render-diagnostics";

/// An example as cargo built it.
#[derive(Debug, Eq, PartialEq)]
struct Example {
    name: String,
    executable: PathBuf,
}

/// Runs the examples that `arguments` name, or all.
///
/// # Errors
///
/// When one does not build or does not exit with 0, and for a name that is not known.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::read(ACCEPTS, arguments)?;
    let all = built(&cargo(BUILD).output()?);
    if all.is_empty() {
        return Err(Failure::failed("cargo built no example of `macula`"));
    }
    if options.has("--list") {
        for example in &all {
            println!("{}", example.name);
        }
        return Ok(());
    }
    for name in options.names() {
        if !all.iter().any(|example| example.name == *name) {
            return Err(Failure::usage(format!(
                "no example `{name}`; --list shows all"
            )));
        }
    }
    let chosen =
        |example: &&Example| options.names().is_empty() || options.names().contains(&example.name);
    for example in all.iter().filter(chosen) {
        Tool::new(&example.executable).run()?;
    }
    Ok(())
}

/// The examples of the library among what cargo tells of its artifacts, by name.
fn built(messages: &str) -> Vec<Example> {
    let mut found: Vec<Example> = messages
        .lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let target = message.get("target")?;
            let is_example = target
                .get("kind")?
                .as_array()?
                .iter()
                .any(|kind| kind == "example");
            let path = target.get("src_path")?.as_str()?.replace('\\', "/");
            let is_ours = path.contains("/macula/examples/");
            (is_example && is_ours).then_some(())?;
            Some(Example {
                name: target.get("name")?.as_str()?.to_owned(),
                executable: PathBuf::from(message.get("executable")?.as_str()?),
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_library_are_found_and_no_others() {
        let line = |kind: &str, path: &str, name: &str| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "target": { "kind": [kind], "name": name, "src_path": path },
                "executable": format!("/t/{name}"),
            })
            .to_string()
        };
        let messages = [
            line("example", "/w/macula/examples/work_queue.rs", "work_queue"),
            line("example", "/w/macula/examples/chat.rs", "chat"),
            line("example", "/w/macula-kad/examples/lookup.rs", "lookup"),
            line("bin", "/w/macula/src/main.rs", "macula"),
            "warning: nothing here".to_owned(),
        ]
        .join("\n");
        let found = built(&messages);
        let names: Vec<&str> = found.iter().map(|example| example.name.as_str()).collect();
        assert_eq!(names, ["chat", "work_queue"]);
    }
}
