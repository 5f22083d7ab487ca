//! `macula bench`: how fast events and calls are between two processes, beside bare quinn in the same run.
#![expect(
    clippy::doc_paragraphs_missing_punctuation,
    reason = "help texts of options end without one"
)]

mod contestant;
mod figures;
mod measure;
mod mesh;
mod peer;
mod plain;
mod process;

use std::time::Duration;

use clap::{ValueEnum, value_parser};
use macula::wire::limit;
use serde::{Deserialize, Serialize};

use self::figures::{Figures, Report, median_ratio};
use super::exit::{Exit, Failed};
use super::output::Output;

/// Measure events, calls or latency between two processes on this machine
///
/// A second process of this program is the other side, over loopback and with mutual TLS, through the public library.
/// Every message is counted and its order checked. With `--against quinn` the same work runs on bare quinn under the
/// same settings, in turn with Macula's, and the ratios are the medians of the pairs.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula bench events --size 64 --json --against quinn\n  macula bench calls --size 64\n  macula bench latency --size 64"
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
    /// Publish to delivery at 1,000 events a second
    Latency,
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

/// One measurement, as both processes know it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) system: System,
    pub(super) workload: Workload,
    pub(super) size: usize,
    pub(super) millis: u64,
    pub(super) mtu: u16,
}

impl Task {
    const fn duration(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// Half of it, for a measurement of two parts.
    const fn half(&self) -> Duration {
        Duration::from_millis(self.millis / 2)
    }

    /// The transport's settings, the same for both systems.
    pub(super) fn transport(&self) -> macula::transport::Config {
        let mut config = macula::transport::Config::default();
        config.mtu_upper_bound = self.mtu;
        config.max_frame_len = limit::DEFAULT_MAX_FRAME_LEN;
        config
    }
}

/// Runs every measurement and reports the medians.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut macula = Vec::new();
    let mut quinn = Vec::new();
    for round in 0..args.rounds {
        let order = if round % 2 == 0 {
            [System::Macula, System::Quinn]
        } else {
            [System::Quinn, System::Macula]
        };
        for system in order {
            if system == System::Quinn && args.against.is_none() {
                continue;
            }
            let figures = measure_once(&args, system).await?;
            output.note(&format!(
                "round {}: {}",
                round.saturating_add(1),
                figures.line(system)
            ));
            match system {
                System::Macula => macula.push(figures),
                System::Quinn => quinn.push(figures),
            }
        }
    }
    let report = Report {
        workload: args.workload,
        size: args.size,
        mtu_upper_bound: args.mtu,
        macula: Figures::median(&macula),
        ratio: median_ratio(&macula, &quinn, |figures| Some(figures.per_second)),
        p50_ratio: median_ratio(&macula, &quinn, |figures| figures.p50_us),
        cpu_ratio: median_ratio(&macula, &quinn, |figures| Some(figures.cpu_s_per_million)),
        quinn: (!quinn.is_empty()).then(|| Figures::median(&quinn)),
    };
    output.either(&report, || report.text())?;
    let wrong = macula
        .iter()
        .any(|figures| figures.lost > 0 || figures.out_of_order > 0);
    Ok(if wrong { Exit::Partial } else { Exit::Ok })
}

async fn measure_once(args: &Args, system: System) -> Result<Figures, Failed> {
    let task = Task {
        system,
        workload: args.workload,
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
        millis: args.seconds.saturating_mul(1_000),
        mtu: args.mtu,
    };
    match system {
        System::Macula => mesh::measure(&task).await,
        System::Quinn => plain::measure(&task).await,
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
