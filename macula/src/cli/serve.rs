//! `macula serve`: serving a procedure by a program, or by an echo.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use macula::realm::Zone;
use macula::wire::ErrorCode;
use macula::wire::message::Invoke;
use macula::{CallFailure, Invocation, Match, RegisterOptions, Reply, ServiceOptions};
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
    after_help = "Examples:\n  macula serve text.upper --node mesh/node --exec tr a-z A-Z\n  macula serve ping --echo --node mesh/node\n  macula serve heat.up --echo --service thermostat@1.4.0 --node mesh/node",
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
    /// How the name is read: exact, prefix (it and all below it) or wildcard (`*` is one segment, a last `**` any number).
    #[arg(long = "match", value_name = "HOW", default_value = "exact", value_parser = matching)]
    matching: Match,
    /// Which of several providers gets a call: single, round-robin, random, first, last, least-loaded, p2c, hash or
    /// local-first. All providers have to say the same.
    #[arg(long, value_name = "POLICY", default_value = "p2c", value_parser = invoke)]
    invoke: Invoke,
    /// The share of the calls beside those of other providers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    weight: u32,
    /// Where the provider stands; by default the zone of its node.
    #[arg(long, value_name = "ZONE")]
    zone: Option<Zone>,
    /// Take the place of whoever serves it.
    #[arg(long)]
    takeover: bool,
    /// The service that it is a part of, with its version, as in thermostat@1.4.0: what `macula services` shows it under.
    #[arg(long, value_name = "NAME@VERSION", value_parser = service)]
    service: Option<ServiceOptions>,
    /// How many calls run at a time; a further one is told that the provider is busy.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    concurrency: u32,
    /// End after this many calls.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    attach: Attach,
}

fn matching(text: &str) -> Result<Match, String> {
    text.parse()
        .map_err(|_| "it is exact, prefix or wildcard".into())
}

fn invoke(text: &str) -> Result<Invoke, String> {
    Invoke::from_word(text).ok_or_else(|| {
        let words: Vec<&str> = Invoke::ALL.iter().map(|one| one.word()).collect();
        format!("it is one of {}", words.join(", "))
    })
}

fn service(text: &str) -> Result<ServiceOptions, String> {
    let (name, version) = text
        .split_once('@')
        .ok_or("it is a name and a version, as in thermostat@1.4.0")?;
    Ok(ServiceOptions::new(name, version))
}

#[derive(Serialize)]
struct Serving<'a> {
    event: &'static str,
    procedure: &'a str,
    concurrency: u32,
    invoke: &'static str,
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
    let mut options = RegisterOptions::default()
        .concurrency(args.concurrency)
        .invoke(args.invoke)
        .matching(args.matching)
        .weight(args.weight);
    options.zone.clone_from(&args.zone);
    options.takeover = args.takeover;
    let function =
        move |invocation| answer(invocation, program.clone(), give.clone(), Arc::clone(&left));
    let service = args.service.clone();
    let service = service.map(|about| client.service(about)).transpose()?;
    let served = match &service {
        Some(service) => service.register(&args.procedure, options, function).await?,
        None => client.register(&args.procedure, options, function).await?,
    };
    let serving = Serving {
        event: "serving",
        procedure: served.pattern().as_str(),
        concurrency: args.concurrency,
        invoke: args.invoke.word(),
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
            why = served.ended() => {
                return Err(why.into());
            }
            reason = client.closed() => {
                return Err(Failed::new(Exit::Unreachable, format!("the node closed the link: {reason}")));
            }
            _ = signals.next() => break,
        }
    }
    // What runs ends; the caller gives up what takes longer than closing waits.
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
        None => echo(invocation).await,
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

/// Sends each part of the arguments back as it comes, and answers with the arguments.
async fn echo(invocation: Invocation) -> Result<Reply, CallFailure> {
    while let Some(part) = invocation.next_part().await {
        invocation.progress(part).await?;
    }
    Ok(Reply::new(invocation.content, invocation.payload))
}
