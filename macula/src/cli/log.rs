//! The log on standard error.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug or trace, or a filter such as `warn,macula=debug`.
    #[arg(long = "log", env = "MACULA_LOG", value_name = "LEVEL", default_value = "warn,macula=info", value_parser = filter)]
    level: String,
    /// How to log.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    log_format: Format,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    match text.parse::<Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: write error, warn, info, debug or trace")),
    }
}

impl LogArgs {
    /// Begins to log.
    pub(crate) fn start(&self) {
        start(&self.level, self.log_format);
    }
}

/// Logs what went wrong only, unless `MACULA_LOG` says otherwise.
pub(crate) fn start_quiet() {
    let level = std::env::var("MACULA_LOG").unwrap_or_else(|_| "error".to_owned());
    start(&level, Format::Text);
}

fn start(level: &str, format: Format) {
    let filter = level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let log = tracing_subscriber::registry().with(filter);
    // A second start would be a fault of this program and changes nothing.
    drop(match format {
        Format::Text => log.with(lines).try_init(),
        Format::Json => log.with(lines.json()).try_init(),
    });
}
