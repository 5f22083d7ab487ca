//! Other programs: started from the root of the workspace, never through a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A program with its arguments, and the line that a person would type for it.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    line: String,
}

impl Tool {
    /// A program found by the search path of the system.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = Path::new(program.as_ref())
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut command = Command::new(program);
        command.current_dir(root());
        Self {
            command,
            line: shown,
        }
    }

    /// Adds arguments, separated by white space; for arguments without white space only.
    pub(crate) fn words(mut self, words: &str) -> Self {
        for word in words.split_whitespace() {
            self = self.arg(word);
        }
        self
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.line.push(' ');
        self.line.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.line = format!(
            "{name}={} {}",
            quoted(&value.as_ref().to_string_lossy()),
            self.line
        );
        self.command.env(name, value);
        self
    }

    /// Removes a variable of the environment.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Shows the command line, runs the program and waits; its output goes where ours goes.
    ///
    /// # Errors
    ///
    /// When the program cannot be started or does not exit with 0.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        eprintln!("$ {}", self.line);
        let status = self
            .command
            .status()
            .map_err(|error| Failure::failed(format!("`{}` did not start: {error}", self.line)))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "`{}` failed ({status})",
            self.line
        )))
    }

    /// Runs the program and waits; its output goes where ours goes. Gives its exit code, if it ended by itself.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub(crate) fn exit_code(mut self) -> Result<Option<i32>, Failure> {
        let status = self
            .command
            .status()
            .map_err(|error| Failure::failed(format!("`{}` did not start: {error}", self.line)))?;
        Ok(status.code())
    }

    /// Runs the program silently and gives back its standard output.
    ///
    /// # Errors
    ///
    /// When the program cannot be started or does not exit with 0; the text then holds what it
    /// wrote to its standard error.
    pub(crate) fn output(self) -> Result<String, Failure> {
        let line = self.line.clone();
        let (succeeded, stdout, stderr) = self.captured()?;
        if succeeded {
            return Ok(stdout);
        }
        Err(Failure::failed(format!(
            "`{line}` failed:\n{}",
            stderr.trim_end()
        )))
    }

    /// Runs the program silently: whether it exited with 0, its standard output, its standard
    /// error.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub(crate) fn captured(mut self) -> Result<(bool, String, String), Failure> {
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::failed(format!("`{}` did not start: {error}", self.line)))?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

/// The value as a shell would need it.
fn quoted(value: &str) -> String {
    if value.contains(char::is_whitespace) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

/// The cargo that runs this program, with `words` as arguments.
pub(crate) fn cargo(words: &str) -> Tool {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Tool::new(program).words(words)
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent()
        .map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

/// The triple of this machine, as rustc names it.
///
/// # Errors
///
/// When rustc cannot be asked.
pub(crate) fn host() -> Result<String, Failure> {
    let version = Tool::new(rustc()).arg("-vV").output()?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::failed("`rustc -vV` names no host"))
}

/// The rustc that cargo would use.
pub(crate) fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The text of a file, with its name in the error.
///
/// # Errors
///
/// When the file cannot be read or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_tells_its_line() {
        let failure = cargo("no-such-command-here").output().unwrap_err();
        assert!(
            failure.to_string().contains("cargo no-such-command-here"),
            "{failure}"
        );
        assert!(cargo("--version").output().unwrap().starts_with("cargo "));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/src/main.rs").is_file());
    }

    #[test]
    fn a_program_is_looked_for_on_the_search_path() {
        assert!(!is_installed("a-program-that-nobody-has"));
        assert!(is_installed("rustc"));
    }
}
