//! `macula sub`: receiving events.

mod print;
mod sink;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use macula::{
    Balance, Client, ClosedReason, Delivery, Group, History, Order, Overflow, SubscribeOptions,
    Subscription,
};
use serde::Serialize;

use self::print::print_other;
use self::sink::Sink;
use super::attach::Attach;
use super::duration;
use super::exit::{Exit, Failed};
use super::merge::Merged;
use super::output::Output;
use super::signal::Signals;

/// Receive events.
///
/// `*` stands for one segment of a topic, a last `**` for any number. An event that several patterns match is printed
/// once for each.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula sub 'home.*.temperature' --node mesh/node --count 3\n  \
    macula sub 'home.*.temperature' --last --history 10 --node mesh/node\n  \
    macula sub 'home.**' --report-topics --timeout 10s --node mesh/node"
)]
pub(crate) struct Args {
    /// What to receive.
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this time, as in 5s; with exit code 5 or 7 if --count was not reached.
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print payloads as they are, each with a line feed behind it, and nothing else.
    #[arg(long)]
    raw: bool,
    /// Say before each event when it was printed, in milliseconds since 1970.
    #[arg(long, conflicts_with = "raw")]
    timestamp: bool,
    /// Write each payload to a file of its own in this folder instead of printing it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["raw", "timestamp", "report_topics"])]
    dump: Option<PathBuf>,
    /// Print at the end what came on each topic, instead of the events.
    #[arg(long, conflicts_with_all = ["raw", "timestamp"])]
    report_topics: bool,
    /// What to do with events that come faster than they are printed.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Policy::DropOldest)]
    overflow: Policy,
    /// Which order events come in: that of each publisher and topic, only the latest that waits, or none, each at once.
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
    /// Share the events with the other subscribers of this group: each event goes to one of them.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// How the one of the group is chosen.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Choice::RoundRobin, requires = "group")]
    balance: Choice,
    /// When an event that is kept counts as handed over: when it is taken, or when it was printed, by a word of its own.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Acks::Auto)]
    ack: Acks,
    /// With --ack manual: after which time without a word an event comes again.
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    redeliver_after: Duration,
    /// With --ack manual: how often an event comes before it is a dead letter; 0 for no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_deliver: u32,
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
    /// Each event as soon as it has come, also when earlier ones are missing yet.
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// By turns.
    RoundRobin,
    /// Any of them.
    Random,
    /// The same as before.
    Sticky,
    /// Whoever has the fewest events that are not acknowledged.
    LeastInflight,
    /// By the ordering key of the event, or its topic.
    Hash,
    /// Those of the publisher's node before others.
    LocalFirst,
    /// The first one; others only without it.
    Failover,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Acks {
    /// When it is taken.
    Auto,
    /// When it was printed.
    Manual,
}

impl Choice {
    const fn balance(self) -> Balance {
        match self {
            Self::RoundRobin => Balance::RoundRobin,
            Self::Random => Balance::Random,
            Self::Sticky => Balance::Sticky,
            Self::LeastInflight => Balance::LeastInflight,
            Self::Hash => Balance::Hash,
            Self::LocalFirst => Balance::LocalFirst,
            Self::Failover => Balance::Failover,
        }
    }
}

impl Args {
    fn options(&self) -> SubscribeOptions {
        let mut options = SubscribeOptions::default()
            .overflow(self.overflow.overflow())
            .max_events(self.max_events.get());
        options.order = match self.order {
            InOrder::PerKey => Order::PerKey,
            InOrder::Latest => Order::Latest,
            InOrder::None => Order::None,
        };
        options.last = self.last;
        let since = self.since.map(History::Since);
        options.history = self.history.map(History::Last).or(since);
        match self.ack {
            Acks::Auto => options,
            Acks::Manual => options.manual_acks(self.redeliver_after, self.max_deliver),
        }
    }

    async fn subscribe(&self, client: &Client, pattern: &str) -> Result<Subscription, Failed> {
        let options = self.options();
        let Some(name) = &self.group else {
            return Ok(client.subscribe(pattern, options).await?);
        };
        let group = Group::new(name)?.balance(self.balance.balance());
        Ok(client.subscribe_in(&group, pattern, options).await?)
    }
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
    let mut subscriptions = Vec::new();
    for pattern in &args.patterns {
        subscriptions.push(args.subscribe(&client, pattern).await?);
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
    let mut sink = Sink::new(&args)?;
    let end = tokio::select! {
        end = receive(&mut merged, &args, output, (&mut sink, &mut received)) => end?,
        () = waited(args.timeout) => End::Timeout,
        _ = signals.next() => End::Asked,
    };
    drop(merged);
    sink.end(output)?;
    ended(&end, &args, &client, received).await
}

async fn receive(
    merged: &mut Merged,
    args: &Args,
    output: Output,
    (sink, received): (&mut Sink, &mut u64),
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
        sink.take(name, &event, output)?;
        event.ack();
        *received = received.saturating_add(1);
        if let Some(delay) = args.delay {
            tokio::time::sleep(delay).await;
        }
    }
    Ok(End::Count)
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
