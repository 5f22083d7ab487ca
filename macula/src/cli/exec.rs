//! A program that answers calls.

use std::process::{ExitStatus, Stdio};

use macula::wire::ErrorCode;
use macula::{CallFailure, Invocation, Reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::output::escaped;

/// The most that a program may write to standard output in bytes.
const MAX_RESULT_LEN: u64 = 1 << 20;
/// How much of the end of standard error is kept in bytes.
const MAX_ERROR_LEN: usize = 4 << 10;
/// How much of a line of standard error is told to the caller, in characters.
const MAX_DETAIL_CHARS: usize = 120;

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    arguments: Vec<String>,
}

/// What became of one run.
struct Outcome {
    status: ExitStatus,
    result: Vec<u8>,
    error: Vec<u8>,
}

impl Program {
    /// The program `name`, found as the shell finds it.
    pub(crate) fn new(name: &str, arguments: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.to_vec(),
        }
    }

    /// Runs it for one call. Dropping the future kills it.
    pub(crate) async fn run(&self, invocation: Invocation) -> Result<Reply, CallFailure> {
        let child = Command::new(&self.name)
            .args(&self.arguments)
            .env("MACULA_PROCEDURE", invocation.procedure.as_str())
            .env("MACULA_CALLER", invocation.caller.to_string())
            .env("MACULA_CONTENT", invocation.content.media_type())
            .env(
                "MACULA_DEADLINE_MS",
                invocation.deadline.as_millis().to_string(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| broken(&format!("{} cannot be started: {error}", self.name)))?;
        let outcome = converse(child, &invocation.payload)
            .await
            .map_err(|error| broken(&format!("{} cannot be run: {error}", self.name)))?;
        self.reply(outcome)
    }

    fn reply(&self, outcome: Outcome) -> Result<Reply, CallFailure> {
        if u64::try_from(outcome.result.len()).unwrap_or(u64::MAX) > MAX_RESULT_LEN {
            return Err(CallFailure::code(
                ErrorCode::PAYLOAD_TOO_LARGE,
                "the program wrote more than 1 MiB",
            ));
        }
        if !outcome.status.success() {
            let said = last_line(&outcome.error);
            let detail = if said.is_empty() {
                format!("{}: {}", self.name, outcome.status)
            } else {
                said
            };
            return Err(CallFailure::application("exit", &detail));
        }
        Ok(match String::from_utf8(outcome.result) {
            Ok(text) => Reply::text(text),
            Err(error) => Reply::bytes(error.into_bytes()),
        })
    }
}

/// The program's own fault is the provider's, not the caller's.
fn broken(detail: &str) -> CallFailure {
    CallFailure::application("exec", detail)
}

/// Hands the arguments over while it reads what the program says, and waits for its end.
async fn converse(mut child: Child, arguments: &[u8]) -> std::io::Result<Outcome> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let hand_over = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its arguments.
            drop(stdin.write_all(arguments).await);
        }
    };
    let ((), result, error) = tokio::join!(hand_over, first_part(stdout), last_part(stderr));
    let result = result?;
    if u64::try_from(result.len()).unwrap_or(u64::MAX) > MAX_RESULT_LEN {
        child.start_kill()?;
    }
    Ok(Outcome {
        status: child.wait().await?,
        result,
        error,
    })
}

/// Reads one byte more than is allowed, at most; closing the pipe then ends the program.
async fn first_part(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream
            .take(MAX_RESULT_LEN.saturating_add(1))
            .read_to_end(&mut bytes)
            .await?;
    }
    Ok(bytes)
}

/// Reads everything and keeps the end.
async fn last_part(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else {
        return kept;
    };
    let mut piece = vec![0; MAX_ERROR_LEN];
    while let Ok(len @ 1..) = stream.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..len).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(MAX_ERROR_LEN));
    }
    kept
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    escaped(line.trim())
        .chars()
        .take(MAX_DETAIL_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_was_said_last() {
        assert_eq!(last_line(b"one\ntwo\n\n"), "two");
        assert_eq!(last_line(b"\n \n"), "");
        assert_eq!(
            last_line("x".repeat(500).as_bytes()).len(),
            MAX_DETAIL_CHARS
        );
    }

    #[tokio::test]
    async fn only_the_end_of_standard_error_is_kept() {
        let mut text = vec![b'a'; MAX_ERROR_LEN * 3];
        text.extend_from_slice(b"\nend");
        let kept = last_part(Some(&text[..])).await;
        assert_eq!(
            (kept.len(), last_line(&kept).as_str()),
            (MAX_ERROR_LEN, "end")
        );
    }
}
