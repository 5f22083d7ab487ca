//! The trace of a run: its hash, and its lines.

use std::fmt;
use std::io::{self, Write};

use super::event::Event;
use super::fabric::Fabric;
use super::{FailureCause, NodeIndex};

/// Where the lines of a trace go.
pub(super) struct Trace(Box<dyn Write + Send>);

impl Trace {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(out)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").finish_non_exhaustive()
    }
}

impl Fabric {
    /// Takes an event into the hash, and writes its line.
    pub(super) fn note(&mut self, event: &Event) {
        let parcel = event.parcel().and_then(|parcel| self.parcels.get(parcel));
        let hash = parcel.map_or(0, |parcel| parcel.hash);
        let (kind, from, to) = event.trace();
        self.digest.number(self.now.as_nanos());
        self.digest.number(u64::from(kind.number()));
        self.digest.number(word(from) << 32 | word(to));
        self.digest.number(hash);
        if self.trace.is_some()
            && let Err(error) = self.write_line(event)
        {
            let error = error.to_string();
            self.fail(FailureCause::Trace { error });
        }
    }

    fn write_line(&mut self, event: &Event) -> io::Result<()> {
        let Some(Trace(out)) = &mut self.trace else {
            return Ok(());
        };
        let (kind, from, to) = event.trace();
        let nanos = self.now.as_nanos();
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        write!(out, "{seconds}.{rest:09} {}", kind.name())?;
        for node in [from, to] {
            match node {
                Some(node) => write!(out, " {}", node.get())?,
                None => write!(out, " -")?,
            }
        }
        let parcel = event.parcel().and_then(|parcel| self.parcels.get(parcel));
        match parcel.and_then(|parcel| Some((parcel.body()?.kind().name(), parcel.length))) {
            Some((name, length)) => writeln!(out, " {name} {length}"),
            None => writeln!(out, " - -"),
        }
    }

    pub(super) fn flush_trace(&mut self) {
        if let Some(Trace(out)) = &mut self.trace
            && let Err(error) = out.flush()
        {
            let error = error.to_string();
            self.fail(FailureCause::Trace { error });
        }
    }
}

fn word(node: Option<NodeIndex>) -> u64 {
    node.map_or(0xffff_ffff, NodeIndex::word)
}
