//! `macula demo`: a mesh of several nodes in one process, with real readings.

mod ledger;
mod mesh;
mod readings;
mod replay;
mod show;
mod station;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::ledger::Ledger;
use self::mesh::Mesh;
use self::readings::{City, Reading};
use self::replay::{CallMade, Caller};
use self::show::Show;
use self::station::Station;
use self::summary::Summary;
use super::exit::{Exit, Failed};
use super::output::Output;

/// How long events that were published may be on their way when the publishers are done.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the picture on the screen is drawn anew.
const DRAW_PERIOD: Duration = Duration::from_millis(100);
/// How many ended calls may wait to be shown.
const MAX_CALLS_SHOWN: usize = 64;

/// Run a mesh of several nodes in this process, with the temperatures of two cities.
///
/// Nodes 0 and 1 publish the hourly readings of Seattle and San Francisco of a whole year; the others receive them and
/// serve `temperature.latest` and `temperature.mean`, which are called all the while. Nothing is read from disk and
/// nothing leaves this machine. It ends with exit code 7 if anything did not arrive.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula demo --nodes 5 --seconds 20")]
pub(crate) struct Args {
    /// How many nodes: two that publish and the others.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = value_parser!(u16).range(3..=16))]
    nodes: u16,
    /// In how many seconds the year passes.
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = value_parser!(u32).range(1..=3_600))]
    seconds: u32,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let year: Vec<Arc<[Reading]>> = City::ALL
        .iter()
        .map(|city| city.readings())
        .collect::<Result<_, _>>()?;
    let ledger = Ledger::new(usize::from(args.nodes));
    let mesh = Mesh::start(usize::from(args.nodes)).await?;
    let mut show = Show::new(output, &mesh, year.iter().map(|city| city.len()).sum());
    show.started(&mesh)?;
    let mut tasks = JoinSet::new();
    let stations = Station::start_all(&mesh, &ledger, &mut tasks).await?;
    mesh.heard_by_all(&stations).await?;
    let pace = Duration::from_secs(u64::from(args.seconds));
    let begun = Instant::now();
    let result = play(&mesh, &ledger, &year, pace, &mut show).await;
    let settled = match result {
        Ok(()) => timeout(SETTLE_TIMEOUT, ledger.settled()).await.is_ok(),
        Err(failed) => return Err(failed),
    };
    let took = begun.elapsed();
    show.end();
    drop(stations);
    mesh.shutdown().await;
    tasks.shutdown().await;
    let summary = Summary::new(&mesh, &ledger, took);
    summary.print(output)?;
    Ok(if settled && summary.is_complete() {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

/// Replays the year and calls while it passes.
async fn play(
    mesh: &Mesh,
    ledger: &Ledger,
    year: &[Arc<[Reading]>],
    pace: Duration,
    show: &mut Show,
) -> Result<(), Failed> {
    let mut publishing = JoinSet::new();
    for (city, readings) in City::ALL.iter().zip(year) {
        let node = mesh.publisher(*city).clone();
        let (city, readings, tally) = (*city, Arc::clone(readings), ledger.of(city.index()));
        publishing.spawn(replay::replay(node, city, readings, pace, tally));
    }
    let (give, mut calls) = mpsc::channel::<CallMade>(MAX_CALLS_SHOWN);
    let mut calling = JoinSet::new();
    calling.spawn(Caller::new(mesh, ledger, pace).run(give));
    let mut draw = interval(DRAW_PERIOD);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            published = publishing.join_next() => match published {
                Some(Ok(result)) => result?,
                Some(Err(error)) => return Err(Failed::new(Exit::Failure, format!("a publisher failed: {error}"))),
                None => break,
            },
            Some(call) = calls.recv() => show.call(&call)?,
            _ = draw.tick() => show.draw(ledger)?,
        }
    }
    drop(calls);
    while calling.join_next().await.is_some() {}
    show.draw(ledger)
}
