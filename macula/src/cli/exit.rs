//! How a command ends: one table of exit codes, and what is told when something fails.

use std::error::Error as StdError;
use std::io;

use macula::realm::{FileError, IssueError};
use macula::wire::{ErrorCode, RetryHint};
use macula::{ConfigError, DirectoryError};
use serde::Serialize;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line or a configuration file is wrong.
    Usage = 2,
    /// The identity or its rights do not allow it.
    Denied = 3,
    /// What was asked for is not there.
    NotFound = 4,
    /// It did not happen in time.
    Deadline = 5,
    /// Nobody answered.
    Unreachable = 6,
    /// Some of it was done.
    Partial = 7,
    /// Another program has the address.
    AddressInUse = 8,
    /// A file of a node or a realm is missing, unreadable or damaged.
    Damaged = 9,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            Self::Deadline => 5,
            Self::Unreachable => 6,
            Self::Partial => 7,
            Self::AddressInUse => 8,
            Self::Damaged => 9,
        }
    }

    /// The name where an error has no code of the protocol.
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failure => "FAILURE",
            Self::Usage => "USAGE",
            Self::Denied => "DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Deadline => "DEADLINE_EXCEEDED",
            Self::Unreachable => "UNREACHABLE",
            Self::Partial => "PARTIAL",
            Self::AddressInUse => "ADDRESS_IN_USE",
            Self::Damaged => "STATE_DAMAGED",
        }
    }

    /// How a command ends that fails with `code`.
    pub(crate) fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::OK | ErrorCode::NO_SUBSCRIBERS => Self::Ok,
            ErrorCode::INVALID_NAME | ErrorCode::INVALID_ARGUMENT => Self::Usage,
            ErrorCode::UNAUTHENTICATED
            | ErrorCode::DENIED
            | ErrorCode::AUTHZ_FAILED
            | ErrorCode::GATEWAY_DENIED
            | ErrorCode::CERT_EXPIRED
            | ErrorCode::CERT_REVOKED
            | ErrorCode::REALM_MISMATCH
            | ErrorCode::AUDIT_BLOCKED => Self::Denied,
            ErrorCode::NO_SUCH_REALM | ErrorCode::NO_SUCH_PROCEDURE | ErrorCode::CALL_GONE => {
                Self::NotFound
            }
            ErrorCode::DEADLINE_EXCEEDED | ErrorCode::EXPIRED => Self::Deadline,
            ErrorCode::NO_ROUTE_TO_REALM
            | ErrorCode::NO_AVAILABLE_CALLEE
            | ErrorCode::UNAVAILABLE
            | ErrorCode::CALLEE_LOST
            | ErrorCode::UNREACHABLE
            | ErrorCode::SHUTTING_DOWN
            | ErrorCode::DRAINING => Self::Unreachable,
            _ => Self::Failure,
        }
    }
}

/// Why a command failed, as it is told.
#[derive(Debug)]
pub(crate) struct Failed {
    exit: Exit,
    code: Option<ErrorCode>,
    application: Option<String>,
    detail: String,
    retry: Option<RetryHint>,
    retry_after_ms: Option<u32>,
}

impl Failed {
    /// A failure without a code of the protocol.
    pub(crate) fn new(exit: Exit, detail: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
            application: None,
            detail: detail.into(),
            retry: None,
            retry_after_ms: None,
        }
    }

    /// The user's to mend.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, detail)
    }

    /// A failure with a code of the protocol.
    pub(crate) fn coded(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            retry: Some(code.retry()),
            ..Self::new(Exit::of(code), detail)
        }
    }

    /// The same with another exit code.
    pub(crate) const fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// How the command ends.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// What is told; nothing where there is nobody to tell.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The name of the code.
    pub(crate) fn name(&self) -> &'static str {
        self.code.map_or_else(|| self.exit.name(), ErrorCode::name)
    }

    /// The object that tells it to a program.
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            event: "error",
            code: self.name(),
            number: self.code.map(ErrorCode::number),
            name: self.application.as_deref(),
            detail: &self.detail,
            retry: self.retry.map(retry_name),
            retry_after_ms: self.retry_after_ms,
            exit: self.exit.number(),
        }
    }
}

/// An error as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    event: &'static str,
    code: &'static str,
    number: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    detail: &'a str,
    retry: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
    exit: u8,
}

/// The name of a hint in output for programs.
pub(crate) const fn retry_name(hint: RetryHint) -> &'static str {
    match hint {
        RetryHint::No => "no",
        RetryHint::Never => "never",
        RetryHint::Backoff => "backoff",
        RetryHint::After => "after",
        RetryHint::AfterReauth => "after-reauth",
        RetryHint::AfterRenew => "after-renew",
        RetryHint::OtherPath => "other-path",
        RetryHint::ReResolve => "re-resolve",
        RetryHint::IfIdempotent => "if-idempotent",
        RetryHint::App => "app",
    }
}

/// The text of an error and of what caused it, each said once.
fn told(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

impl From<macula::Error> for Failed {
    fn from(error: macula::Error) -> Self {
        let application = error.failure().and_then(|failure| failure.name.clone());
        Self {
            exit: Exit::of(error.code()),
            code: Some(error.code()),
            application,
            detail: told(&error),
            retry: Some(error.retry()),
            retry_after_ms: error.retry_after_ms(),
        }
    }
}

impl From<macula::transport::LinkError> for Failed {
    fn from(error: macula::transport::LinkError) -> Self {
        macula::Error::from(error).into()
    }
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        let exit = match &error {
            FileError::Exists { .. } => Exit::Usage,
            FileError::Unwritable { .. } => Exit::Failure,
            FileError::Damaged { .. }
            | FileError::Missing { .. }
            | FileError::Permissions { .. }
            | FileError::Unreadable { .. } => Exit::Damaged,
            _ => Exit::Failure,
        };
        Self::new(exit, told(&error))
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Self {
        Self::usage(told(&error))
    }
}

impl From<DirectoryError> for Failed {
    fn from(error: DirectoryError) -> Self {
        let text = told(&error);
        match error {
            DirectoryError::Config(error) => error.into(),
            DirectoryError::Identity(error) => error.into(),
            DirectoryError::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                let path = path.display();
                let detail = format!(
                    "{path} is missing: restore it from a copy, or make a node with `macula init`"
                );
                Self::new(Exit::Damaged, detail)
            }
            DirectoryError::Damaged { .. } | DirectoryError::Io { .. } => {
                Self::new(Exit::Damaged, text)
            }
            _ => Self::new(Exit::Failure, text),
        }
    }
}

impl From<IssueError> for Failed {
    fn from(error: IssueError) -> Self {
        let exit = match &error {
            IssueError::BadName { .. } | IssueError::NoRole | IssueError::Validity => Exit::Usage,
            IssueError::RootNotValid | IssueError::Unusable(_) => Exit::Damaged,
            IssueError::Failed(_) => Exit::Failure,
            _ => Exit::Failure,
        };
        Self::new(exit, told(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_scripts_rely_on_have_their_exits() {
        for (code, exit) in [
            (ErrorCode::INVALID_NAME, 2),
            (ErrorCode::DENIED, 3),
            (ErrorCode::NO_SUCH_PROCEDURE, 4),
            (ErrorCode::DEADLINE_EXCEEDED, 5),
            (ErrorCode::UNREACHABLE, 6),
            (ErrorCode::PAYLOAD_TOO_LARGE, 1),
            (ErrorCode::INTERNAL, 1),
        ] {
            assert_eq!(Exit::of(code).number(), exit, "{code}");
        }
        for code in ErrorCode::ALL {
            let ends_well = Exit::of(*code) == Exit::Ok;
            assert_eq!(ends_well, code.number() < 0x10, "{code}");
        }
    }

    #[test]
    fn a_report_names_code_number_and_hint() {
        let failed = Failed::from(macula::Error::new(
            ErrorCode::NO_SUCH_PROCEDURE,
            "nobody serves a.b",
        ));
        let text = serde_json::to_string(&failed.report()).unwrap();
        let expected = r#"{"event":"error","code":"NO_SUCH_PROCEDURE","number":48,"detail":"nobody serves a.b","retry":"re-resolve","exit":4}"#;
        assert_eq!(text, expected);
    }
}
