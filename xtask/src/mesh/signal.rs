//! Signals, sent by the shell's own `kill`, which every system has.

use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A signal that a scenario sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    /// Asks it to end in order.
    Terminate,
    /// Lets it stand still.
    Stop,
    /// Lets it go on.
    Continue,
}

impl Signal {
    /// Sends it to a process that has not been waited for.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn send(self, process: u32) -> Result<(), Failure> {
        let name = match self {
            Self::Terminate => "TERM",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        };
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name])
            .arg(process.to_string())
            .stdin(Stdio::null())
            .status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::failed(format!("kill {name}: {status}"))),
            Err(error) => Err(Failure::failed(format!("sh: {error}"))),
        }
    }
}
