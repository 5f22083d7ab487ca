//! `macula call`: calling a procedure.

use std::time::Duration;

use bytes::Bytes;
use macula::realm::Zone;
use macula::wire::message::CancelMode;
use macula::wire::{ContentType, NodeId};
use macula::{CallOptions, Calling, Canceller, Client, NodeReply, PartSender, Reply};
use serde::Serialize;
use tokio::time::Instant;

use super::attach::Attach;
use super::duration::as_micros;
use super::exit::{Exit, Failed};
use super::input::Input;
use super::members::short;
use super::output::{Output, Payload, escaped};
use super::signal::Signals;
use super::{content, duration};

/// Call a procedure, wherever in the realm it is served.
///
/// With --stream each line of standard input is sent as a part of the arguments, and each part of the result is printed as
/// it comes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula call temperature.latest '{\"city\":\"seattle\"}' --node mesh/node\n  macula call clock.now --all --node mesh/node\n  seq 9 | macula call text.mirror --stream --node mesh/node"
)]
pub(crate) struct Args {
    /// The procedure.
    procedure: String,
    /// The arguments, or `-` for standard input; by default none.
    arguments: Option<String>,
    /// How long to wait for the answer, as in 5s.
    #[arg(long, visible_alias = "timeout", value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    deadline: Duration,
    /// What the arguments are: bytes, text, json, cbor, bincode, etf or a media type; by default text, or bytes for
    /// what comes from standard input.
    #[arg(long, value_name = "TYPE", value_parser = content::content)]
    content: Option<ContentType>,
    /// Ask this node alone, by its full id, whether it is known to serve the procedure or not.
    #[arg(long, value_name = "ID", conflicts_with_all = ["zone", "all"])]
    to: Option<NodeId>,
    /// Ask a provider in this zone.
    #[arg(long, value_name = "ZONE", conflicts_with = "all")]
    zone: Option<Zone>,
    /// Ask every node that serves the procedure, and print each answer as it comes.
    #[arg(long, conflicts_with_all = ["cast", "stream"])]
    all: bool,
    /// With --all, end when so many have answered; 0 for as many as there are.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "all")]
    max_replies: u32,
    /// Do not wait for the answer: end when a provider has taken the call.
    #[arg(long, conflicts_with = "stream")]
    cast: bool,
    /// Send the lines of standard input as parts of the arguments, and print parts of the result.
    #[arg(long)]
    stream: bool,
    /// Makes it safe to run the call twice, so that another provider may get it when one is lost; 1 to 64 bytes.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// What providers with the policy hash are chosen by; 1 to 64 bytes.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Ask another provider as well after so long without an answer.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "idempotency_key")]
    hedge_after: Option<Duration>,
    /// What an interrupt tells the provider: skip (nothing), kill (to stop, and wait for it) or kill-nowait.
    #[arg(long, value_name = "MODE", default_value = "kill-nowait", value_parser = cancel_mode)]
    cancel_mode: CancelMode,
    #[command(flatten)]
    attach: Attach,
}

fn cancel_mode(text: &str) -> Result<CancelMode, String> {
    match text {
        "skip" => Ok(CancelMode::Skip),
        "kill" => Ok(CancelMode::Kill),
        "kill-nowait" => Ok(CancelMode::KillNoWait),
        _ => Err("it is skip, kill or kill-nowait".into()),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    event: &'static str,
    procedure: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    content: &'a str,
    payload: Payload<'a>,
    latency_us: u64,
}

/// One of many that failed.
#[derive(Serialize)]
struct Refused<'a> {
    event: &'static str,
    procedure: &'a str,
    node: String,
    code: &'static str,
    detail: &'a str,
    latency_us: u64,
}

#[derive(Serialize)]
struct Taken<'a> {
    event: &'static str,
    procedure: &'a str,
    latency_us: u64,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    let (arguments, default) = match args.arguments.as_deref() {
        Some("-") if args.stream => {
            let detail = "with --stream the lines of standard input are parts, not the arguments";
            return Err(Failed::usage(detail));
        }
        Some("-") => (Input::stdin().whole().await?, ContentType::Bytes),
        Some(text) => (text.as_bytes().to_vec(), ContentType::Text),
        None => (Vec::new(), ContentType::Bytes),
    };
    let client = args.attach.client().await?;
    let canceller = Canceller::new();
    let content = args.content.clone().unwrap_or(default);
    let options = options(&args, &canceller).content(content);
    let making = make(&args, &client, arguments.into(), options, output);
    tokio::pin!(making);
    let done = loop {
        tokio::select! {
            done = &mut making => break done,
            _ = signals.next() => canceller.cancel(args.cancel_mode),
        }
    };
    client.close().await;
    done
}

fn options(args: &Args, canceller: &Canceller) -> CallOptions {
    let mut options = CallOptions::default()
        .deadline(args.deadline)
        .canceller(canceller);
    if let Some(node) = args.to {
        options = options.to_node(node);
    }
    if let Some(zone) = &args.zone {
        options = options.to_zone(zone.clone());
    }
    if let Some(key) = &args.idempotency_key {
        options = options.idempotency_key(key.clone());
    }
    if let Some(key) = &args.key {
        options = options.key(key.clone());
    }
    options.hedge_after = args.hedge_after;
    options
}

async fn make(
    args: &Args,
    client: &Client,
    arguments: Bytes,
    options: CallOptions,
    output: Output,
) -> Result<Exit, Failed> {
    let begun = Instant::now();
    let procedure = args.procedure.as_str();
    if args.cast {
        client.cast(procedure, arguments, options).await?;
        if output.is_json() {
            let latency_us = as_micros(begun.elapsed());
            output.object(&Taken {
                event: "taken",
                procedure,
                latency_us,
            })?;
        }
        return Ok(Exit::Ok);
    }
    if args.all {
        return all(args, client, arguments, options, output).await;
    }
    let reply = if args.stream {
        let calling = client.open_call(procedure, arguments, options).await?;
        stream(calling, procedure, begun, output).await?
    } else {
        client.call(procedure, arguments, options).await?
    };
    print(("reply", procedure, begun), None, &reply, output)?;
    Ok(Exit::Ok)
}

/// Prints an answer or a part of it.
fn print(
    (event, procedure, begun): (&'static str, &str, Instant),
    node: Option<NodeId>,
    reply: &Reply,
    output: Output,
) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(&Answer {
            event,
            procedure,
            node: node.map(|node| node.to_string()),
            content: reply.content.media_type(),
            payload: Payload::new(&reply.payload),
            latency_us: as_micros(begun.elapsed()),
        });
    }
    let text = std::str::from_utf8(&reply.payload);
    match (node, text) {
        (None, Err(_)) => output.bytes(&reply.payload),
        (None, Ok("")) if event == "part" => Ok(()),
        (None, Ok(text)) => output.line(&lines(text)),
        (Some(node), Ok(text)) => {
            output.line(&format!("{}  {}", short(&node.to_string()), lines(text)))
        }
        (Some(node), Err(_)) => {
            let length = reply.payload.len();
            output.line(&format!("{}  {length} bytes", short(&node.to_string())))
        }
    }
}

fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

async fn all(
    args: &Args,
    client: &Client,
    arguments: Bytes,
    options: CallOptions,
    output: Output,
) -> Result<Exit, Failed> {
    let begun = Instant::now();
    let procedure = args.procedure.as_str();
    let called = client.call_all(procedure, arguments, options, args.max_replies);
    let mut replies = called.await?;
    let (mut answered, mut failed) = (false, false);
    while let Some(NodeReply { node, result, .. }) = replies.next().await? {
        match result {
            Ok(reply) => {
                answered = true;
                print(("reply", procedure, begun), Some(node), &reply, output)?;
            }
            Err(error) => {
                failed = true;
                let node = node.to_string();
                let refused = Refused {
                    event: "failed",
                    procedure,
                    code: error.code().name(),
                    detail: error.detail(),
                    latency_us: as_micros(begun.elapsed()),
                    node,
                };
                output.either(&refused, || {
                    let (code, detail) = (refused.code, escaped(refused.detail));
                    format!("{}  {code}: {detail}", short(&refused.node))
                })?;
            }
        }
    }
    Ok(match (answered, failed) {
        (true, false) => Exit::Ok,
        (true, true) => Exit::Partial,
        (false, _) => Exit::Failure,
    })
}

/// Sends the lines of standard input, and prints the parts of the result, until the call has ended.
async fn stream(
    mut calling: Calling,
    procedure: &str,
    begun: Instant,
    output: Output,
) -> Result<Reply, Failed> {
    let feeding = feed(calling.take_sender());
    tokio::pin!(feeding);
    let mut is_fed = false;
    loop {
        tokio::select! {
            fed = &mut feeding, if !is_fed => {
                fed?;
                is_fed = true;
            }
            part = calling.next() => match part {
                Some(part) => print(("part", procedure, begun), None, &part, output)?,
                None => break,
            },
        }
    }
    Ok(calling.result().await?)
}

/// Sends the lines of standard input, until there are no more or the call has ended.
async fn feed(sender: Option<PartSender>) -> Result<(), Failed> {
    let Some(sender) = sender else {
        return Ok(());
    };
    let mut input = Input::stdin();
    while let Some(line) = input.line().await? {
        let part = Reply::text(String::from_utf8_lossy(&line?));
        if sender.send(part).await.is_err() {
            // How the call ended is told where its end is waited for.
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_mode_has_one_of_three_names() {
        assert_eq!(cancel_mode("skip"), Ok(CancelMode::Skip));
        assert_eq!(cancel_mode("kill"), Ok(CancelMode::Kill));
        assert_eq!(cancel_mode("kill-nowait"), Ok(CancelMode::KillNoWait));
        assert!(cancel_mode("stop").is_err());
    }
}
