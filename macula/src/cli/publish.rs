//! `macula pub`: publishing events.

mod with;

use std::time::Duration;

use clap::ValueEnum;
use macula::wire::ContentType;
use macula::wire::message::Priority;
use macula::{Client, EventOptions, PublishOptions, Publisher, Qos};
use serde::Serialize;

use self::with::With;
use super::attach::Attach;
use super::exit::{Exit, Failed};
use super::input::Input;
use super::output::Output;
use super::signal::Signals;
use super::table::grouped;
use super::{content, duration};

/// Publish events.
///
/// Without BODY, or with `-`, the payload comes from standard input.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula pub home.42.temperature 21.5 --node mesh/node\n  \
    macula pub home.42.temperature 21.5 --retain --ttl 1h -H unit:celsius --node mesh/node\n  \
    tail -f readings.txt | macula pub home.42.temperature --send-on newline --node mesh/node"
)]
pub(crate) struct Args {
    /// The topic.
    topic: String,
    /// The payload, or `-` for standard input.
    body: Option<String>,
    /// When to send what standard input holds: each line for itself, or all of it at its end.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = SendOn::Eof)]
    send_on: SendOn,
    /// How many times to publish the payload.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
    /// How long to wait between two events, as in 500ms.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    sleep: Option<Duration>,
    /// The class that the events travel in: realtime, high, normal or bulk.
    #[arg(long, value_name = "CLASS", default_value = "normal", value_parser = content::priority)]
    priority: Priority,
    /// What the payload is: bytes, text, json, cbor, bincode, etf or a media type; by default text, or bytes for what
    /// --send-on eof sends.
    #[arg(long, value_name = "TYPE", value_parser = content::content)]
    content: Option<ContentType>,
    /// What is promised: 0, at most once; 1, kept by the node until every subscriber that is known has it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// With --qos 1: on the disk of the node before the event counts as published.
    #[arg(long, requires = "qos")]
    durable: bool,
    /// With --qos 1: wait until it is known what became of each event, and tell it; exit code 7 if not every subscriber
    /// has been handed it.
    #[arg(long, requires = "qos")]
    receipt: bool,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    attach: Attach,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum SendOn {
    /// Each line is an event.
    Newline,
    /// All of it is one event.
    Eof,
}

#[derive(Serialize)]
struct Published<'a> {
    event: &'static str,
    topic: &'a str,
    count: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Received {
    event: &'static str,
    matched: u32,
    acked: u32,
    expired: u32,
    dropped: u32,
}

/// One run of the command.
struct Run<'a> {
    args: &'a Args,
    publisher: &'a Publisher,
    with: EventOptions,
    output: Output,
    count: u64,
    refused: Option<Failed>,
    refusals: u64,
    /// Whether some receiver of an event has not been handed it.
    is_short: bool,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    let client = args.attach.client().await?;
    let from_input = args.body.as_deref().is_none_or(|body| body == "-");
    let is_text = !from_input || args.send_on == SendOn::Newline;
    let default = if is_text {
        ContentType::Text
    } else {
        ContentType::Bytes
    };
    let options = PublishOptions::default()
        .priority(args.priority)
        .content(args.content.clone().unwrap_or(default))
        .qos(args.qos()?);
    let publisher = client.publisher(&args.topic, options)?;
    let mut run = Run {
        args: &args,
        publisher: &publisher,
        with: args.with.options(),
        output,
        count: 0,
        refused: None,
        refusals: 0,
        is_short: false,
    };
    let ended = tokio::select! {
        result = run.all(from_input) => result,
        reason = client.closed() => Err(lost(&reason.to_string())),
        _ = signals.next() => Ok(()),
    };
    let (count, refusals, refused) = (run.count, run.refusals, run.refused);
    let is_short = run.is_short;
    ended?;
    finish(&client, &publisher).await?;
    let published = Published {
        event: "published",
        topic: publisher.topic().as_str(),
        count,
        refused: refusals,
    };
    if output.is_json() {
        output.object(&published)?;
    } else {
        output.note(&format!(
            "published {} on {}",
            grouped(count),
            published.topic
        ));
    }
    match refused {
        None if is_short => Ok(Exit::Partial),
        None => Ok(Exit::Ok),
        Some(failed) if count == 0 => Err(failed),
        Some(_) => Ok(Exit::Partial),
    }
}

impl Args {
    fn qos(&self) -> Result<Qos, Failed> {
        match (self.qos, self.durable, self.receipt) {
            (0, false, false) => Ok(Qos::AtMostOnce),
            (0, _, _) => Err(Failed::new(
                Exit::Usage,
                "--durable and --receipt are of events that are kept: add --qos 1",
            )),
            (_, false, _) => Ok(Qos::AtLeastOnce),
            (_, true, _) => Ok(Qos::Durable),
        }
    }
}

/// Lets everything leave and ends the link.
async fn finish(client: &Client, publisher: &Publisher) -> Result<(), Failed> {
    tokio::select! {
        () = publisher.flush() => {}
        reason = client.closed() => return Err(lost(&reason.to_string())),
    }
    client.close().await;
    Ok(())
}

fn lost(reason: &str) -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("the node closed the link before everything had left: {reason}"),
    )
}

impl Run<'_> {
    async fn all(&mut self, from_input: bool) -> Result<(), Failed> {
        let body = match &self.args.body {
            Some(body) if !from_input => body.clone().into_bytes(),
            _ if self.args.send_on == SendOn::Eof => Input::stdin().whole().await?,
            _ => return self.lines().await,
        };
        self.repeated(&body).await
    }

    async fn lines(&mut self) -> Result<(), Failed> {
        let mut input = Input::stdin();
        while let Some(line) = input.line().await? {
            match line {
                Ok(line) => self.repeated(&line).await?,
                Err(failed) => self.refuse(failed),
            }
        }
        Ok(())
    }

    async fn repeated(&mut self, body: &[u8]) -> Result<(), Failed> {
        for _ in 0..self.args.count {
            if let (Some(pause), true) = (self.args.sleep, self.count > 0) {
                tokio::time::sleep(pause).await;
            }
            match self.publish(body.to_vec()).await {
                Ok(()) => self.count = self.count.saturating_add(1),
                // It says nothing of the next one.
                Err(error) => self.refuse(error.into()),
            }
        }
        Ok(())
    }

    async fn publish(&mut self, body: Vec<u8>) -> Result<(), macula::Error> {
        if !self.args.receipt {
            return self.publisher.publish_with(body, &self.with).await;
        }
        let pending = self
            .publisher
            .publish_with_receipt(body, &self.with)
            .await?;
        let receipt = pending.receipt().await?;
        self.is_short |= !receipt.is_complete();
        let received = Received {
            event: "receipt",
            matched: receipt.matched,
            acked: receipt.acked,
            expired: receipt.expired,
            dropped: receipt.dropped,
        };
        if self.output.is_json() {
            // What cannot be told any more ends the command with its next word.
            drop(self.output.object(&received));
        } else {
            self.output.note(&format!(
                "{} of {} have it, {} expired, {} dropped",
                received.acked, received.matched, received.expired, received.dropped
            ));
        }
        Ok(())
    }

    /// Goes on behind an event that is not acceptable, and remembers it; where it was the only one, the command
    /// tells it at its end.
    fn refuse(&mut self, failed: Failed) {
        self.refusals = self.refusals.saturating_add(1);
        if let Some(earlier) = self.refused.replace(failed) {
            self.output.failed(&earlier);
        }
    }
}
