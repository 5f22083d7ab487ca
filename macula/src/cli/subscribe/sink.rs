//! Where `macula sub` puts the events that come.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use macula::Event;
use serde::Serialize;

use super::Args;
use super::print::print;
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::Output;
use crate::cli::table::{Table, grouped};

/// How many topics are told apart; events on others are counted together.
const MAX_TOPICS: usize = 10_000;
/// What stands in the place of their names.
const OTHERS: &str = "(others)";

/// Prints events, writes them to files, or counts them.
pub(super) enum Sink {
    Print { raw: bool, timestamp: bool },
    Dump { folder: PathBuf, next: u64 },
    Count(BTreeMap<String, Tally>),
}

/// What came on one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    events: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Counted<'a> {
    event: &'static str,
    topic: &'a str,
    events: u64,
    bytes: u64,
}

impl Sink {
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub(super) fn new(args: &Args) -> Result<Self, Failed> {
        if let Some(folder) = &args.dump {
            std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
            let folder = folder.clone();
            return Ok(Self::Dump { folder, next: 0 });
        }
        if args.report_topics {
            return Ok(Self::Count(BTreeMap::new()));
        }
        Ok(Self::Print {
            raw: args.raw,
            timestamp: args.timestamp,
        })
    }

    /// Takes one event, which is a last value if `name` says so.
    pub(super) fn take(
        &mut self,
        name: &'static str,
        event: &Event,
        output: Output,
    ) -> Result<(), Failed> {
        match self {
            Self::Print { raw, timestamp } => {
                let at_ms = timestamp.then(|| macula::transport::Clock::new().unix_ms());
                print(name, event, *raw, at_ms, output)
            }
            Self::Dump { folder, next } => {
                let path = folder.join(format!("{next:08}-{}", event.topic()));
                *next = next.saturating_add(1);
                // A file of another run is not written over.
                let file = std::fs::File::create_new(&path);
                file.and_then(|mut file| file.write_all(event.payload()))
                    .map_err(|error| unwritten(&path, &error))
            }
            Self::Count(topics) => {
                let topic = event.topic().as_str();
                let name = if topics.len() < MAX_TOPICS || topics.contains_key(topic) {
                    topic
                } else {
                    OTHERS
                };
                let tally = topics.entry(name.to_owned()).or_default();
                tally.events = tally.events.saturating_add(1);
                let bytes = u64::try_from(event.payload().len()).unwrap_or(u64::MAX);
                tally.bytes = tally.bytes.saturating_add(bytes);
                Ok(())
            }
        }
    }

    /// Tells at the end what was not told before.
    pub(super) fn end(&self, output: Output) -> Result<(), Failed> {
        match self {
            Self::Print { .. } => Ok(()),
            Self::Dump { folder, next } => {
                output.note(&format!(
                    "wrote {} files to {}",
                    grouped(*next),
                    folder.display()
                ));
                Ok(())
            }
            Self::Count(topics) if output.is_json() => {
                topics.iter().try_for_each(|(topic, tally)| {
                    output.object(&Counted {
                        event: "topic",
                        topic,
                        events: tally.events,
                        bytes: tally.bytes,
                    })
                })
            }
            Self::Count(topics) => {
                let mut table = Table::new(&["topic", "events", "bytes"]);
                for (topic, tally) in topics {
                    let numbers = [grouped(tally.events), grouped(tally.bytes)];
                    table.row([topic.clone()].into_iter().chain(numbers));
                }
                table.lines().iter().try_for_each(|line| output.line(line))
            }
        }
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(
        Exit::Failure,
        format!("{} cannot be written: {error}", path.display()),
    )
}
