//! Serving a procedure, and writing down each run of it.

use std::sync::Arc;
use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{CallFailure, Invocation, RegisterOptions, Reply};
use macula_testkit::history::{Did, Journal};

use super::label;
use super::part::{Asked, End, Failed, Part, say_ready};

/// Serve a procedure, which answers with its arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    part: Part,
    /// Under which name.
    procedure: String,
    /// How long each call takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    takes_ms: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failed> {
    let journal = args.part.open()?;
    let mut asked = Asked::listen()?;
    let mut is_first = true;
    loop {
        let client = tokio::select! {
            client = args.part.attached(&journal) => client?,
            () = asked.wait() => return Ok(()),
        };
        let takes = Duration::from_millis(args.takes_ms);
        let book = Arc::clone(&journal);
        let function = move |invocation| answer(Arc::clone(&book), invocation, takes);
        let options = RegisterOptions::default();
        let end = match client.register(&args.procedure, options, function).await {
            Ok(served) => {
                if std::mem::take(&mut is_first) {
                    say_ready();
                }
                tokio::select! {
                    () = asked.wait() => {
                        client.unregister(served).await?;
                        End::Done
                    }
                    _ = client.closed() => End::Lost,
                }
            }
            Err(error) if error.is_unreachable() => End::Lost,
            Err(error) => return Err(error.into()),
        };
        match end {
            End::Done => {
                client.close().await;
                return Ok(());
            }
            End::Lost => journal.write(Did::Lost)?,
        }
    }
}

async fn answer(
    journal: Arc<Journal>,
    invocation: Invocation,
    takes: Duration,
) -> Result<Reply, CallFailure> {
    let call = invocation.call.to_string();
    let (by, number) = label::read(&invocation.payload);
    let begun = Did::Begun {
        call: call.as_str(),
        by,
        number,
    };
    journal.write(begun).map_err(|error| unwritten(&error))?;
    let mut run = Run {
        journal,
        call,
        has_ended: false,
    };
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }
    run.ends().map_err(|error| unwritten(&error))?;
    Ok(Reply::bytes(invocation.payload))
}

fn unwritten(error: &std::io::Error) -> CallFailure {
    CallFailure::code(ErrorCode::INTERNAL, &format!("the journal: {error}"))
}

/// A run of a call, which is given up where it is dropped before its end.
struct Run {
    journal: Arc<Journal>,
    call: String,
    has_ended: bool,
}

impl Run {
    fn ends(&mut self) -> std::io::Result<()> {
        self.has_ended = true;
        self.journal.write(Did::Ended { call: &self.call })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.has_ended {
            // Nobody is left to be told that this could not be written.
            drop(self.journal.write(Did::Stopped { call: &self.call }));
        }
    }
}
