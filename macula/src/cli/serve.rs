//! `macula serve`: serving a procedure by a program, or by an echo.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use macula::wire::ErrorCode;
use macula::{CallFailure, Invocation, RegisterOptions, Reply};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attach::Attach;
use super::duration::{as_micros, micros};
use super::exec::Program;
use super::exit::{Exit, Failed};
use super::output::Output;
use super::signal::Signals;

/// How many ended calls may wait to be printed; beyond it calls wait.
const MAX_ENDED: usize = 256;

/// Serve a procedure.
///
/// With --exec a program is started for each call: it reads the arguments on standard input, and what it writes to
/// standard output is the result, 1 MiB at most. A program that ends with another code than 0 fails the call with the
/// last line of its standard error. It is killed when the caller gives up. The environment tells it MACULA_PROCEDURE,
/// MACULA_CALLER, MACULA_CONTENT and MACULA_DEADLINE_MS.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula serve text.upper --node mesh/node --exec tr a-z A-Z\n  macula serve ping --echo --node mesh/node",
    group = clap::ArgGroup::new("by").required(true)
)]
pub(crate) struct Args {
    /// The procedure.
    #[arg(value_name = "NAME")]
    procedure: String,
    /// Answer each call with its own arguments.
    #[arg(long, group = "by")]
    echo: bool,
    /// Run this program for each call; everything behind it belongs to the program.
    #[arg(long, group = "by", value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    exec: Vec<String>,
    /// How many calls run at a time; a further one is told that the provider is busy.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    concurrency: u32,
    /// End after this many calls.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    attach: Attach,
}

#[derive(Serialize)]
struct Serving<'a> {
    event: &'static str,
    procedure: &'a str,
    concurrency: u32,
}

/// A call that has ended.
#[derive(Debug, Serialize)]
struct Ended {
    event: &'static str,
    procedure: String,
    caller: String,
    duration_us: u64,
    code: &'static str,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    let client = args.attach.client().await?;
    let program = args
        .exec
        .split_first()
        .map(|(name, rest)| Arc::new(Program::new(name, rest)));
    let (give, mut ended) = mpsc::channel(MAX_ENDED);
    let left = Arc::new(AtomicU64::new(args.count.unwrap_or(u64::MAX)));
    let mut options = RegisterOptions::default();
    options.concurrency = args.concurrency;
    let served = client
        .register(&args.procedure, options, move |invocation| {
            answer(invocation, program.clone(), give.clone(), Arc::clone(&left))
        })
        .await?;
    let serving = Serving {
        event: "serving",
        procedure: served.pattern().as_str(),
        concurrency: args.concurrency,
    };
    if output.is_json() {
        output.object(&serving)?;
    } else {
        output.note(&format!("serving {}", serving.procedure));
    }
    let mut count: u64 = 0;
    while args.count.is_none_or(|max| count < max) {
        tokio::select! {
            Some(call) = ended.recv() => {
                count = count.saturating_add(1);
                print(&call, output)?;
            }
            reason = client.closed() => {
                return Err(Failed::new(Exit::Unreachable, format!("the node closed the link: {reason}")));
            }
            _ = signals.next() => break,
        }
    }
    client.unregister(served).await?;
    client.close().await;
    Ok(Exit::Ok)
}

fn print(call: &Ended, output: Output) -> Result<(), Failed> {
    output.either(call, || {
        let caller = call.caller.get(..8).unwrap_or_default();
        format!(
            "{} for {caller}: {} after {}",
            call.procedure,
            call.code,
            micros(call.duration_us)
        )
    })
}

/// Answers one call and tells that it has ended.
async fn answer(
    invocation: Invocation,
    program: Option<Arc<Program>>,
    give: mpsc::Sender<Ended>,
    left: Arc<AtomicU64>,
) -> Result<Reply, CallFailure> {
    let take = |left: u64| left.checked_sub(1);
    if left
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
        .is_err()
    {
        return Err(CallFailure::code(
            ErrorCode::UNAVAILABLE,
            "the provider is about to end",
        ));
    }
    let begun = Instant::now();
    let (procedure, caller) = (
        invocation.procedure.to_string(),
        invocation.caller.to_string(),
    );
    let result = match program {
        None => Ok(Reply::new(invocation.content, invocation.payload)),
        Some(program) => program.run(invocation).await,
    };
    let ended = Ended {
        event: "call",
        procedure,
        caller,
        duration_us: as_micros(begun.elapsed()),
        code: if result.is_ok() { "OK" } else { "APPLICATION" },
    };
    // Nobody reads it any more when the command is at its end.
    drop(give.send(ended).await);
    result
}
