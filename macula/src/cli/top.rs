//! `macula top`: what passes a node, second by second.

mod rates;
mod screen;

use std::io::{self, IsTerminal};
use std::num::NonZeroU64;
use std::time::Duration;

use macula::Client;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::rates::{Rates, Sample};
use self::screen::Screen;
use super::attach::{self, Attach};
use super::duration;
use super::exit::{Exit, Failed};
use super::output::Output;
use super::signal::Signals;

/// How often the node may be asked at most.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Watch what passes a node: events, calls, drops and links, as rates; Ctrl-C ends it.
///
/// On a terminal the screen is drawn anew each time, elsewhere each time is a line.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula top --node mesh/node\n  macula top --node mesh/node --interval 5s --count 12 --json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
    /// The time between two looks, at least 100ms.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    interval: Duration,
    /// End after so many looks.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
}

#[derive(Serialize)]
struct Look<'a> {
    event: &'static str,
    #[serde(flatten)]
    rates: &'a Rates,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    if args.interval < MIN_INTERVAL {
        return Err(Failed::usage(
            "--interval is under 100ms: ask for 100ms or more",
        ));
    }
    let mut signals = Signals::listen()?;
    let client = args.attach.client().await?;
    let node: Map<String, Value> = attach::ask(&client, "$sys.node").await?;
    let mut screen = (io::stdout().is_terminal() && !output.is_json())
        .then(|| Screen::open(&node))
        .transpose()?;
    let ended = tokio::select! {
        looked = watch(&client, &args, &mut screen, output) => looked,
        _ = signals.next() => Ok(()),
        reason = client.closed() => {
            Err(Failed::new(Exit::Unreachable, format!("the node closed the link: {reason}")))
        }
    };
    // The terminal is as it was before anything is said.
    drop(screen);
    ended?;
    client.close().await;
    Ok(Exit::Ok)
}

async fn watch(
    client: &Client,
    args: &Args,
    screen: &mut Option<Screen>,
    output: Output,
) -> Result<(), Failed> {
    let mut before = Sample::take(client).await?;
    let mut tick = tokio::time::interval_at(Instant::now() + args.interval, args.interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0_u64;
    loop {
        tick.tick().await;
        let now = Sample::take(client).await?;
        let rates = Rates::between(&before, &now);
        before = now;
        match screen {
            Some(screen) => screen.draw(&rates)?,
            None => output.either(
                &Look {
                    event: "top",
                    rates: &rates,
                },
                || rates.line(),
            )?,
        }
        looks = looks.saturating_add(1);
        if args.count.is_some_and(|count| looks >= count.get()) {
            return Ok(());
        }
    }
}
