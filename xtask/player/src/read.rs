//! Subscribing, and writing down what comes.

use std::time::Duration;

use futures::FutureExt;
use macula::wire::{NodeId, Sequence};
use macula::{Client, Delivery, Group, Order, Overflow, SubscribeOptions, Subscription};
use macula_testkit::history::{Did, Journal};

use super::label;
use super::part::{Asked, End, Failed, Part, say_ready};

/// How many deliveries are written down together, if as many wait.
const MAX_TOGETHER: usize = 256;

/// How long an event may be held without a word, where the application acknowledges by itself.
const REDELIVER_AFTER: Duration = Duration::from_secs(30);
/// When an event is wanted again that was not taken.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Subscribe to a pattern and write down what comes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    part: Part,
    /// To what.
    pattern: String,
    /// Wait this long after what was taken together, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    delay_us: u64,
    /// How many events may wait.
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    max_events: usize,
    /// Acknowledge by itself, and ask for each event again whose number this divides, once.
    #[arg(long, value_name = "N")]
    nack_each: Option<u64>,
    /// Share the events with the others of this group.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Let the link wait when as many wait, instead of dropping the oldest.
    #[arg(long)]
    block: bool,
    /// Take events as they come, in any order.
    #[arg(long)]
    unordered: bool,
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
        let end = follow(&args, &client, &journal, &mut asked, is_first).await?;
        is_first = false;
        match end {
            End::Done => {
                client.close().await;
                return Ok(());
            }
            End::Lost => journal.write(Did::Lost)?,
        }
    }
}

async fn follow(
    args: &Args,
    client: &Client,
    journal: &Journal,
    asked: &mut Asked,
    is_first: bool,
) -> Result<End, Failed> {
    journal.write(Did::Subscribe {
        subscription: 0,
        pattern: &args.pattern,
        group: args.group.as_deref(),
        unordered: args.unordered,
    })?;
    let options = SubscribeOptions::default().max_events(args.max_events);
    let options = if args.block {
        options.overflow(Overflow::Block)
    } else {
        options
    };
    let options = if args.unordered {
        options.order(Order::None)
    } else {
        options
    };
    let options = match args.nack_each {
        Some(_) => options.manual_acks(REDELIVER_AFTER, 0),
        None => options,
    };
    let subscribed = match &args.group {
        None => client.subscribe(&args.pattern, options).await,
        Some(name) => {
            let group = Group::new(name)?;
            client.subscribe_in(&group, &args.pattern, options).await
        }
    };
    let mut subscription = match subscribed {
        Ok(subscription) => subscription,
        Err(error) if error.is_unreachable() => return Ok(End::Lost),
        Err(error) => return Err(error.into()),
    };
    journal.write(Did::Subscribed { subscription: 0 })?;
    if is_first {
        say_ready();
    }
    let delay = Duration::from_micros(args.delay_us);
    listen(&mut subscription, journal, asked.wait(), |taken| {
        if let Some(each) = args.nack_each {
            acknowledge(taken, each);
        }
        delay
    })
    .await
}

/// Writes down what comes, until `asked` ends, which is written down as well, or the subscription. After each time it waits
/// as long as `taken` says.
pub(crate) async fn listen(
    subscription: &mut Subscription,
    journal: &Journal,
    asked: impl Future<Output = ()>,
    mut taken: impl FnMut(&[Delivery]) -> Duration,
) -> Result<End, Failed> {
    tokio::pin!(asked);
    loop {
        let first = tokio::select! {
            biased;
            () = &mut asked => {
                journal.write(Did::Unsubscribe { subscription: 0 })?;
                return Ok(End::Done);
            }
            first = subscription.next() => first,
        };
        let Some(first) = first else {
            return Ok(End::Lost);
        };
        let all = together(first, subscription);
        write_down(journal, &all)?;
        let delay = taken(&all);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

/// What waits already, behind `first`.
fn together(first: Delivery, subscription: &mut Subscription) -> Vec<Delivery> {
    let mut taken = vec![first];
    while taken.len() < MAX_TOGETHER {
        match subscription.next().now_or_never() {
            Some(Some(delivery)) => taken.push(delivery),
            _ => break,
        }
    }
    taken
}

/// Says of each event that it was taken, or that it is wanted again.
fn acknowledge(taken: &[Delivery], each: u64) {
    for delivery in taken {
        if let Delivery::Event(event) = delivery {
            let (_by, number) = label::read(event.payload());
            if event.attempt() == 0 && number.is_multiple_of(each.max(1)) {
                event.nack(AGAIN_AFTER);
            } else {
                event.ack();
            }
        }
    }
}

fn write_down(journal: &Journal, taken: &[Delivery]) -> std::io::Result<()> {
    // The ids of publishers as texts: few, and asked for each delivery.
    let mut texts: Vec<(NodeId, String)> = Vec::new();
    for publisher in taken.iter().filter_map(publisher) {
        if !texts.iter().any(|(known, _text)| *known == publisher) {
            texts.push((publisher, publisher.to_string()));
        }
    }
    let deeds = taken.iter().filter_map(|delivery| {
        if let Delivery::Lagged(count) = delivery {
            let (subscription, count) = (0, *count);
            return Some(Did::Lagged {
                subscription,
                count,
            });
        }
        let publisher = publisher(delivery)?;
        let (_known, text) = texts.iter().find(|(known, _text)| *known == publisher)?;
        deed(delivery, text)
    });
    journal.write_all(deeds)
}

fn publisher(delivery: &Delivery) -> Option<NodeId> {
    if let Delivery::Event(event) = delivery {
        Some(event.publisher())
    } else if let Delivery::Gap(gap) = delivery {
        Some(gap.publisher())
    } else {
        None
    }
}

/// A delivery as it is written down. The end of a subscription is seen by what follows it.
fn deed<'a>(delivery: &'a Delivery, publisher: &'a str) -> Option<Did<&'a str>> {
    if let Delivery::Event(event) = delivery {
        let (by, number) = label::read(event.payload());
        Some(Did::Delivered {
            subscription: 0,
            publisher,
            epoch: event.epoch().get(),
            topic: event.topic().as_str(),
            sequence: event.sequence().get(),
            by,
            number,
            again: event.attempt() > 0,
        })
    } else if let Delivery::Gap(gap) = delivery {
        Some(Did::Gap {
            subscription: 0,
            publisher,
            epoch: gap.epoch().get(),
            topic: gap.topic().as_str(),
            from: gap.from().get(),
            to: gap.to().map(Sequence::get),
            cause: gap.cause().name(),
        })
    } else {
        None
    }
}
