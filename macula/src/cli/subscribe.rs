//! `macula sub`: receiving events.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use macula::{
    Client, ClosedReason, Delivery, Event, Gap, History, Order, Overflow, SubscribeOptions,
};
use serde::Serialize;

use super::attach::Attach;
use super::duration;
use super::exit::{Exit, Failed};
use super::merge::Merged;
use super::output::{Output, Payload, shown};
use super::signal::Signals;

/// Receive events.
///
/// `*` stands for one segment of a topic, a last `**` for any number. An event that several patterns match is printed
/// once for each.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula sub 'home.*.temperature' --node mesh/node --count 3\n  \
    macula sub 'home.*.temperature' --last --history 10 --node mesh/node"
)]
pub(crate) struct Args {
    /// What to receive.
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this time, as in 5s; with exit code 5 or 7 if --count was not reached.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print payloads as they are, each with a line feed behind it, and nothing else.
    #[arg(long)]
    raw: bool,
    /// What to do with events that come faster than they are printed.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Policy::DropOldest)]
    overflow: Policy,
    /// Which order events come in: all of each publisher and topic, or only the latest that waits.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = InOrder::PerKey)]
    order: InOrder,
    /// Begin with the last values of the topics.
    #[arg(long)]
    last: bool,
    /// Begin with the last N events of each publisher and topic that anybody keeps.
    #[arg(long, value_name = "N", conflicts_with = "since")]
    history: Option<u32>,
    /// Begin with the events that were published so long ago at most, as in 5m, as far as anybody keeps them.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    since: Option<Duration>,
    /// How many events may wait.
    #[arg(long, value_name = "N", default_value = "1024")]
    max_events: NonZeroUsize,
    /// Wait this long after each event, to act as a slow reader.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    delay: Option<Duration>,
    #[command(flatten)]
    attach: Attach,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    /// The oldest make room.
    DropOldest,
    /// The newest are refused.
    DropNewest,
    /// The link waits, and with it the other events on it.
    Block,
    /// Only the newest of each topic and key waits.
    LatestPerKey,
    /// The command ends.
    Disconnect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InOrder {
    /// All events, in their order.
    PerKey,
    /// Of each publisher and topic the latest that waits.
    Latest,
}

impl Policy {
    const fn overflow(self) -> Overflow {
        match self {
            Self::DropOldest => Overflow::DropOldest,
            Self::DropNewest => Overflow::DropNewest,
            Self::Block => Overflow::Block,
            Self::LatestPerKey => Overflow::LatestPerKey,
            Self::Disconnect => Overflow::Disconnect,
        }
    }
}

#[derive(Serialize)]
struct Subscribed<'a> {
    event: &'static str,
    patterns: &'a [String],
}

#[derive(Serialize)]
struct Received<'a> {
    event: &'static str,
    topic: &'a str,
    publisher: String,
    epoch: u64,
    seq: u64,
    content: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_left_ms: Option<u64>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Lagged {
    event: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Closed {
    event: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Missing<'a> {
    event: &'static str,
    topic: &'a str,
    publisher: String,
    epoch: u64,
    from: u64,
    to: Option<u64>,
    count: Option<u64>,
    cause: &'static str,
}

/// Why the command stops receiving.
enum End {
    Count,
    Timeout,
    Asked,
    Lost,
    Overflow,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    let client = args.attach.client().await?;
    let options = options(&args);
    let mut subscriptions = Vec::new();
    for pattern in &args.patterns {
        subscriptions.push(client.subscribe(pattern, options).await?);
    }
    if output.is_json() {
        output.object(&Subscribed {
            event: "subscribed",
            patterns: &args.patterns,
        })?;
    } else {
        output.note(&format!("subscribed to {}", args.patterns.join(", ")));
    }
    let mut received = 0;
    let mut merged = Merged::new(subscriptions);
    let end = tokio::select! {
        end = receive(&mut merged, &args, output, &mut received) => end?,
        () = waited(args.timeout) => End::Timeout,
        _ = signals.next() => End::Asked,
    };
    drop(merged);
    ended(&end, &args, &client, received).await
}

fn options(args: &Args) -> SubscribeOptions {
    let mut options = SubscribeOptions::default()
        .overflow(args.overflow.overflow())
        .max_events(args.max_events.get());
    options.order = match args.order {
        InOrder::PerKey => Order::PerKey,
        InOrder::Latest => Order::Latest,
    };
    options.last = args.last;
    let since = args.since.map(History::Since);
    options.history = args.history.map(History::Last).or(since);
    options
}

async fn receive(
    merged: &mut Merged,
    args: &Args,
    output: Output,
    received: &mut u64,
) -> Result<End, Failed> {
    while args.count.is_none_or(|count| *received < count) {
        let (name, event) = match merged.next().await {
            Some(Delivery::Event(event)) => ("event", event),
            Some(Delivery::Retained(event)) => ("retained", event),
            Some(other) => {
                print_other(&other, output)?;
                if matches!(other, Delivery::Closed(ClosedReason::Overflow)) {
                    return Ok(End::Overflow);
                }
                continue;
            }
            None => return Ok(End::Lost),
        };
        print(name, &event, args.raw, output)?;
        *received = received.saturating_add(1);
        if let Some(delay) = args.delay {
            tokio::time::sleep(delay).await;
        }
    }
    Ok(End::Count)
}

/// What is no event.
fn print_other(delivery: &Delivery, output: Output) -> Result<(), Failed> {
    match delivery {
        Delivery::Gap(gap) => print_gap(gap, output),
        Delivery::Lagged(count) => print_lagged(*count, output),
        Delivery::Closed(reason) if output.is_json() => output.object(&Closed {
            event: "closed",
            reason: reason.name(),
        }),
        Delivery::Closed(_) | Delivery::Event(_) | Delivery::Retained(_) | _ => Ok(()),
    }
}

async fn waited(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

async fn ended(end: &End, args: &Args, client: &Client, received: u64) -> Result<Exit, Failed> {
    match end {
        End::Lost => {
            let reason = client.closed().await;
            return Err(Failed::new(
                Exit::Unreachable,
                format!("the node closed the link: {reason}"),
            ));
        }
        End::Overflow => {
            client.close().await;
            let detail =
                "events came faster than they were printed, and --overflow disconnect was chosen";
            return Err(Failed::new(Exit::Partial, detail));
        }
        End::Count | End::Asked => {}
        End::Timeout => {
            if let (Some(count), Some(timeout)) = (args.count, args.timeout) {
                let exit = if received == 0 {
                    Exit::Deadline
                } else {
                    Exit::Partial
                };
                let detail = format!("{received} of {count} events came within {timeout:?}");
                return Err(Failed::new(exit, detail));
            }
        }
    }
    client.close().await;
    Ok(Exit::Ok)
}

fn print_lagged(count: u64, output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(&Lagged {
            event: "lagged",
            count,
        });
    }
    output.note(&format!("{count} events were dropped for newer ones"));
    Ok(())
}

fn print(name: &'static str, event: &Event, raw: bool, output: Output) -> Result<(), Failed> {
    let payload = event.payload();
    if raw {
        let mut bytes = payload.to_vec();
        bytes.push(b'\n');
        return output.bytes(&bytes);
    }
    if !output.is_json() {
        return output.line(&format!(
            "{} {}",
            event.topic(),
            shown(event.content_type(), payload)
        ));
    }
    output.object(&Received {
        event: name,
        topic: event.topic().as_str(),
        publisher: event.publisher().to_string(),
        epoch: event.epoch().get(),
        seq: event.sequence().get(),
        content: event.content_type().media_type(),
        headers: event
            .headers()
            .iter()
            .map(|header| (header.key.as_str(), text(&header.value)))
            .collect(),
        key: event.key().map(|key| text(key)),
        dedup_id: event.dedup_id().map(|id| text(id)),
        ttl_left_ms: event
            .ttl_left()
            .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        payload: Payload::new(payload),
    })
}

/// Bytes that are mostly text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print_gap(gap: &Gap, output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(&Missing {
            event: "gap",
            topic: gap.topic().as_str(),
            publisher: gap.publisher().to_string(),
            epoch: gap.epoch().get(),
            from: gap.from().get(),
            to: gap.to().map(macula::wire::Sequence::get),
            count: gap.count(),
            cause: gap.cause().name(),
        });
    }
    let count = gap.count().map_or_else(
        || "an unknown number of".to_owned(),
        |count| count.to_string(),
    );
    output.note(&format!(
        "gap: {count} events of {} on {} are missing ({})",
        gap.publisher().short(),
        gap.topic(),
        gap.cause().name()
    ));
    Ok(())
}
