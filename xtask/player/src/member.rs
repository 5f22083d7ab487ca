//! A node that publishes and subscribes itself: what a program does that is a member of the realm.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use macula::realm::{NodeIdentity, TrustBundle};
use macula::transport::Clock;
use macula::{
    EventOptions, MemberInfo, Node, NodeDirectory, Order, PublishOptions, Publisher, Qos, Receipt,
    SubscribeOptions, Subscription,
};
use macula_testkit::history::{Did, Journal};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::label;
use super::part::{Asked, End, Failed, Part, say};
use super::read;

/// How often it is looked who is a member.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// How long receipts are waited for when the member was asked to end.
const RECEIPTS_LIMIT: Duration = Duration::from_secs(10);

/// Run a node, publish events at it, topics in turn, and subscribe; what the node is told is told as `macula node run` is.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    part: Part,
    /// The UDP address to listen at.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// An address that others are to dial.
    #[arg(long, value_name = "ADDR")]
    advertise: Vec<SocketAddr>,
    /// A member to join by.
    #[arg(long, value_name = "ADDR")]
    join: Vec<SocketAddr>,
    /// On what, each event on the next of them; without it nothing is published.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// How events are published.
    #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Keep what was accepted on disk, in the node's folder, until everybody has it.
    #[arg(long)]
    durable: bool,
    /// How many, over all processes of this application; without it, until SIGTERM.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Go on beyond the count until this file is there.
    #[arg(long, value_name = "FILE", requires = "count")]
    enough: Option<PathBuf>,
    /// Publish only when so many members are alive and linked, the node itself included.
    #[arg(long, value_name = "N", default_value_t = 1)]
    members: usize,
    /// A pattern to subscribe to.
    #[arg(long, value_name = "PATTERN")]
    read: Option<String>,
    /// Take what is read as it comes, in any order.
    #[arg(long, requires = "read")]
    unordered: bool,
    /// How many are written down and published together.
    #[arg(long, value_name = "N", default_value_t = 16)]
    burst: u64,
    /// How long to wait after each burst, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    every_us: u64,
    /// By when an event has to be accepted or refused, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    deadline_ms: u64,
    /// How long a payload is, in bytes.
    #[arg(long, value_name = "N", default_value_t = 64)]
    size: usize,
}

pub(crate) async fn run(args: Args) -> Result<(), Failed> {
    let journal = args.part.open()?;
    let number = args.part.next_number(|did| {
        if let Did::Publish { number, .. } = did {
            Some(*number)
        } else {
            None
        }
    })?;
    let mut asked = Asked::listen()?;
    let node = started(&args).await?;
    let id = node.node_id().to_string();
    journal.write(Did::Attached { node: &id })?;
    let subscription = match &args.read {
        Some(pattern) => Some(subscribed(&node, pattern, args.unordered, &journal).await?),
        None => None,
    };
    say(&json!({
        "event": "ready",
        "node": id,
        "realm": node.realm().as_str(),
        "listen": node.local_addr(),
    }));
    known(&node, args.members).await?;
    let mut publishers = Vec::new();
    let qos = match args.qos {
        0 => Qos::AtMostOnce,
        _ if args.durable => Qos::Durable,
        _ => Qos::AtLeastOnce,
    };
    for topic in &args.topic {
        let options = PublishOptions::default().qos(qos);
        publishers.push(node.publisher(topic, options).await?);
    }
    let mut member = Member {
        name: args.part.name(),
        journal: &journal,
        args: &args,
        publishers,
        number,
    };
    let over = Notify::new();
    let publishing = async {
        let published = member.publish(&mut asked).await;
        over.notify_one();
        published
    };
    let reading = async {
        let Some(mut subscription) = subscription else {
            return Ok(End::Done);
        };
        let at_once = |_: &[_]| Duration::ZERO;
        read::listen(&mut subscription, &journal, over.notified(), at_once).await
    };
    let ((), _end) = tokio::try_join!(publishing, reading)?;
    node.shutdown().await;
    Ok(())
}

/// Waits until so many members are alive and linked.
async fn known(node: &Node, count: usize) -> Result<(), Failed> {
    loop {
        let members = node.members().await?;
        let is_up = |member: &&MemberInfo| member.state == "alive" && member.linked;
        if members.iter().filter(is_up).count() >= count {
            return Ok(());
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

async fn subscribed(
    node: &Node,
    pattern: &str,
    unordered: bool,
    journal: &Journal,
) -> Result<Subscription, Failed> {
    let subscription = 0;
    journal.write(Did::Subscribe {
        subscription,
        pattern,
        group: None,
        unordered,
    })?;
    let options = SubscribeOptions::default();
    let options = if unordered {
        options.order(Order::None)
    } else {
        options
    };
    let subscribed = node.subscribe(pattern, options).await?;
    journal.write(Did::Subscribed { subscription })?;
    Ok(subscribed)
}

async fn started(args: &Args) -> Result<Node, Failed> {
    let directory = NodeDirectory::new(args.part.folder());
    let mut config = directory.config().map_err(Failed::setup)?;
    config.listen = args.listen;
    config.advertise.clone_from(&args.advertise);
    config.join.clone_from(&args.join);
    let identity = NodeIdentity::load(directory.path()).map_err(Failed::setup)?;
    let trust = TrustBundle::load(directory.path()).map_err(Failed::setup)?;
    let builder = Node::builder()
        .identity(identity)
        .trust(trust)
        .local_socket(directory.socket_path())
        .member_cache(directory.members_path());
    let builder = if args.durable {
        builder.event_log(directory.path().join("events"))
    } else {
        builder
    };
    let epoch = directory
        .next_epoch(Clock::new().unix_ms())
        .map_err(Failed::setup)?;
    Ok(config.apply(builder).epoch(epoch).start().await?)
}

struct Member<'a> {
    name: String,
    journal: &'a Journal,
    args: &'a Args,
    publishers: Vec<Publisher>,
    /// The number of the next event.
    number: u64,
}

impl Member<'_> {
    /// Publishes until the signal comes, and then waits for receipts.
    async fn publish(&mut self, asked: &mut Asked) -> Result<(), Failed> {
        let mut receipts = FuturesUnordered::new();
        let pace = Duration::from_micros(self.args.every_us);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = asked.wait() => break,
                Some((number, receipt)) = receipts.next(), if !receipts.is_empty() => {
                    self.receipt(number, receipt)?;
                }
                () = tokio::time::sleep_until(next), if self.goes_on() => {
                    for _turn in 0..self.args.burst.max(1) {
                        if !self.goes_on() {
                            break;
                        }
                        let number = self.number;
                        self.number = number.saturating_add(1);
                        if let Some(pending) = self.event(number).await? {
                            receipts.push(async move { (number, pending.receipt().await.ok()) });
                        }
                    }
                    next = (next + pace).max(Instant::now());
                }
            }
        }
        let rest = async {
            while let Some((number, receipt)) = receipts.next().await {
                self.receipt(number, receipt)?;
            }
            Ok::<(), Failed>(())
        };
        // What has not come by then is missing in the journal.
        tokio::time::timeout(RECEIPTS_LIMIT, rest)
            .await
            .unwrap_or(Ok(()))
    }

    /// Whether there is anything left to publish.
    fn goes_on(&self) -> bool {
        let is_left = self.args.count.is_none_or(|count| self.number < count);
        let is_asked = |file: &PathBuf| !file.exists();
        (is_left || self.args.enough.as_ref().is_some_and(is_asked)) && !self.publishers.is_empty()
    }

    fn publisher(&self, number: u64) -> Option<&Publisher> {
        let count = u64::try_from(self.publishers.len()).ok()?;
        let turn = number.checked_rem(count)?;
        self.publishers.get(usize::try_from(turn).ok()?)
    }

    /// Writes down that an event is about to be published, publishes it, and writes down whether it was accepted.
    async fn event(&self, number: u64) -> Result<Option<macula::PendingReceipt>, Failed> {
        let Some(publisher) = self.publisher(number) else {
            return Ok(None);
        };
        let is_kept = self.args.qos > 0;
        self.journal.write(Did::Publish {
            topic: publisher.topic().as_str(),
            number,
            qos: self.args.qos,
            wait_ms: is_kept.then_some(self.args.deadline_ms),
            receipt: is_kept,
        })?;
        let payload = label::payload(&self.name, number, self.args.size);
        if !is_kept {
            let taken = publisher.publish(payload).await;
            self.journal.write(match taken {
                Ok(()) => Did::Accepted { number },
                Err(error) => {
                    let code = u16::from(error.code().number());
                    Did::Refused { number, code }
                }
            })?;
            return Ok(None);
        }
        let deadline = Duration::from_millis(self.args.deadline_ms);
        let options = EventOptions::default().deadline(deadline);
        match publisher.publish_with_receipt(payload, &options).await {
            Ok(pending) => {
                self.journal.write(Did::Accepted { number })?;
                Ok(Some(pending))
            }
            Err(error) => {
                let code = u16::from(error.code().number());
                self.journal.write(Did::Refused { number, code })?;
                Ok(None)
            }
        }
    }

    fn receipt(&self, number: u64, receipt: Option<Receipt>) -> std::io::Result<()> {
        let Some(receipt) = receipt else {
            return Ok(());
        };
        self.journal.write(Did::Receipt {
            number,
            matched: u64::from(receipt.matched),
            acked: u64::from(receipt.acked),
            expired: u64::from(receipt.expired),
            dropped: u64::from(receipt.dropped),
        })
    }
}
