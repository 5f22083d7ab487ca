//! Why a command did not succeed.

use std::fmt;
use std::process::ExitCode;

/// The result of a command that did not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The arguments make no sense; nothing was started. Exit code 2.
    Usage(String),
    /// A check does not hold, or a tool failed. Exit code 1.
    Failed(String),
}

impl Failure {
    /// A failed check.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// Wrong arguments.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

/// Prints one line for each violation and fails if there is one.
pub(crate) fn verdict(what: &str, violations: &[String]) -> Result<(), Failure> {
    for violation in violations {
        eprintln!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("1 violation of {what}"))),
        more => Err(Failure::failed(format!("{more} violations of {what}"))),
    }
}
