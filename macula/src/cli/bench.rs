//! `macula bench`: how fast events and calls are between two processes, beside bare quinn in the same run.
#![expect(
    clippy::doc_paragraphs_missing_punctuation,
    reason = "help texts of options end without one"
)]

mod contestant;
mod figures;
mod measure;
mod memory;
mod mesh;
mod peer;
mod plain;
mod process;
mod receive;
mod stream;

use std::time::Duration;

use clap::{ValueEnum, value_parser};
use macula::wire::limit;
use serde::{Deserialize, Serialize};

use self::figures::{Figures, Report, median_ratio};
use super::exit::{Exit, Failed};
use super::output::Output;

/// Measure events, calls, streams, latency, fan-out or memory between processes on this machine
///
/// Further processes of this program are the other side, over loopback and with mutual TLS, through the public library.
/// Every message is counted and its order checked. With `--against quinn` the same work runs on bare quinn under the
/// same settings, in turn with Macula's, and the ratios are the medians of the pairs.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula bench events --size 64 --json --against quinn\n  macula bench calls --size 64\n  macula bench latency --size 64 --rate 100000\n  macula bench fanout --size 64 --subscribers 8\n  macula bench qos1 --size 1024\n  macula bench stream --size 65536 --against quinn\n  macula bench memory"
)]
pub(crate) struct Args {
    /// What is measured
    workload: Workload,
    /// Bytes of a payload; at least 16
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = value_parser!(u32).range(16..=1_048_576))]
    size: u32,
    /// Do the same work on another transport in the same run
    #[arg(long, value_name = "SYSTEM")]
    against: Option<Against>,
    /// How long one measurement takes
    #[arg(long, default_value_t = 2, value_name = "S", value_parser = value_parser!(u64).range(1..=10))]
    seconds: u64,
    /// Events a second of `latency`
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Subscribing nodes of `fanout`, each a process
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    subscribers: u16,
    /// How many times each is measured
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// The largest UDP payload that path MTU discovery tries, the same for both
    #[arg(long, default_value_t = 6_550, value_name = "BYTES", value_parser = value_parser!(u16).range(1_200..=65_527))]
    mtu: u16,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Workload {
    /// One publisher to one subscriber, as fast as it goes
    Events,
    /// Round trips one after the other, then 64 at a time
    Calls,
    /// Publish to delivery at a steady rate
    Latency,
    /// One publisher to several nodes, as fast as it goes, in turn with one of them
    Fanout,
    /// One publisher to one subscriber at least once, with a receipt of each event, in turn with at most once
    Qos1,
    /// Parts of one call, as fast as the callee takes them
    Stream,
    /// What a subscription takes, on its node and on a publisher's
    Memory,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Against {
    /// Bare quinn: the limit of the transport
    Quinn,
}

/// Who does the work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum System {
    Macula,
    Quinn,
}

/// What is measured in turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Contender {
    Macula,
    /// Macula with less to do: one subscriber instead of several, or at most once instead of at least once.
    Reference,
    Quinn,
}

/// One measurement, as all processes know it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) system: System,
    pub(super) workload: Workload,
    pub(super) size: usize,
    pub(super) millis: u64,
    pub(super) mtu: u16,
    /// How many processes receive.
    pub(super) peers: usize,
    /// Events a second where that is given.
    pub(super) rate: u32,
    /// Whether events are kept until they are acknowledged.
    pub(super) kept: bool,
}

impl Task {
    const fn duration(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// Half of it, for a measurement of two parts.
    const fn half(&self) -> Duration {
        Duration::from_millis(self.millis / 2)
    }

    /// Whether events are published and taken in batches.
    const fn gathers(&self) -> bool {
        matches!(
            self.workload,
            Workload::Events | Workload::Fanout | Workload::Qos1
        )
    }

    /// The transport's settings, the same for both systems.
    pub(super) fn transport(&self) -> macula::transport::Config {
        let mut config = macula::transport::Config::default();
        config.mtu_upper_bound = self.mtu;
        config.max_frame_len = limit::DEFAULT_MAX_FRAME_LEN;
        config
    }
}

impl Contender {
    const ALL: [Self; 3] = [Self::Macula, Self::Reference, Self::Quinn];

    const fn takes_part(self, args: &Args) -> bool {
        match self {
            Self::Macula => true,
            Self::Reference => matches!(args.workload, Workload::Fanout | Workload::Qos1),
            Self::Quinn => args.against.is_some(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Macula => "macula",
            Self::Reference => "less",
            Self::Quinn => "quinn",
        }
    }

    fn task(self, args: &Args) -> Task {
        let peers = match (args.workload, self) {
            (Workload::Fanout, Self::Macula | Self::Quinn) => usize::from(args.subscribers),
            _ => 1,
        };
        Task {
            system: match self {
                Self::Macula | Self::Reference => System::Macula,
                Self::Quinn => System::Quinn,
            },
            workload: args.workload,
            size: usize::try_from(args.size).unwrap_or(usize::MAX),
            millis: args.seconds.saturating_mul(1_000),
            mtu: args.mtu,
            peers,
            rate: args.rate,
            kept: args.workload == Workload::Qos1 && self == Self::Macula,
        }
    }
}

/// Runs every measurement and reports the medians.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    if args.workload == Workload::Memory {
        return memory::run(&Contender::Macula.task(&args), output).await;
    }
    let mut rounds: [Vec<Figures>; 3] = Default::default();
    for round in 0..args.rounds {
        let mut order: Vec<_> = Contender::ALL.into_iter().zip(0..).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (contender, place) in order {
            if !contender.takes_part(&args) {
                continue;
            }
            let figures = measure_once(&contender.task(&args)).await?;
            let line = figures.line(contender.name());
            output.note(&format!("round {}: {line}", round.saturating_add(1)));
            if let Some(all) = rounds.get_mut(place) {
                all.push(figures);
            }
        }
    }
    let [macula, reference, quinn] = rounds;
    let report = Report {
        workload: args.workload,
        size: args.size,
        mtu_upper_bound: args.mtu,
        macula: Figures::median(&macula),
        ratio: median_ratio(&macula, &quinn, |figures| Some(figures.per_second)),
        p50_ratio: median_ratio(&macula, &quinn, |figures| figures.p50_us),
        cpu_ratio: median_ratio(&macula, &quinn, |figures| Some(figures.cpu_s_per_million)),
        reference_ratio: median_ratio(&macula, &reference, |figures| Some(figures.per_second)),
        reference: (!reference.is_empty()).then(|| Figures::median(&reference)),
        quinn: (!quinn.is_empty()).then(|| Figures::median(&quinn)),
    };
    output.either(&report, || report.text())?;
    let wrong = [macula, reference]
        .iter()
        .flatten()
        .any(|figures| figures.lost > 0 || figures.out_of_order > 0);
    Ok(if wrong { Exit::Partial } else { Exit::Ok })
}

async fn measure_once(task: &Task) -> Result<Figures, Failed> {
    let task = *task;
    spawned(async move {
        match task.system {
            System::Macula => mesh::measure(&task).await,
            System::Quinn => plain::measure(&task).await,
        }
    })
    .await
}

/// Runs `work` as a task, as applications do: the thread that waits for the command itself is woken at a higher price.
async fn spawned<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failed>> + Send + 'static,
) -> Result<T, Failed> {
    let mut one = tokio::task::JoinSet::new();
    one.spawn(work);
    match one.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) => Err(failed("the measurement", error)),
        None => Err(failed("the measurement", "it did not run")),
    }
}

/// Runs the other side of a measurement; see [`peer`].
pub(crate) async fn run_peer(output: Output) -> Result<Exit, Failed> {
    peer::run(output).await
}

/// An error of the work itself.
pub(super) fn failed(what: &str, error: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Failure, format!("{what}: {error}"))
}
