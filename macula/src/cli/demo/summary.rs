//! What became of the demo.

use std::time::Duration;

use serde::Serialize;

use super::super::duration::{as_micros, micros};
use super::super::exit::Failed;
use super::super::output::Output;
use super::super::table::{Table, grouped};
use super::ledger::{Counts, Ledger, median};
use super::mesh::Mesh;
use super::readings::City;
use super::show::role;

/// The end of the demo in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    published: u64,
    /// What all receivers together were to receive.
    owed: u64,
    received: u64,
    /// What was owed and did not come.
    missed: u64,
    calls: u64,
    calls_failed: u64,
    duration_us: u64,
    complete: bool,
    nodes: Vec<NodeLine>,
}

#[derive(Debug, Serialize)]
struct NodeLine {
    number: usize,
    node: String,
    role: &'static str,
    published: u64,
    received: u64,
    missed: u64,
    gaps: u64,
    disordered: u64,
    calls: u64,
    calls_failed: u64,
    answered: u64,
    event_p50_us: Option<u64>,
    call_p50_us: Option<u64>,
}

impl Summary {
    /// Adds up what the nodes counted.
    pub(crate) fn new(mesh: &Mesh, ledger: &Ledger, took: Duration) -> Self {
        let ids = mesh.nodes().iter().map(|node| node.node_id().to_string());
        Self::of(ids.zip(ledger.read()), took)
    }

    fn of(nodes: impl Iterator<Item = (String, Counts)>, took: Duration) -> Self {
        let counted: Vec<(String, Counts)> = nodes.collect();
        let published: u64 = counted.iter().map(|(_, counts)| counts.published).sum();
        let lines = counted
            .into_iter()
            .enumerate()
            .map(|(number, (node, counts))| {
                let owed = if number < City::ALL.len() {
                    0
                } else {
                    published
                };
                NodeLine {
                    number,
                    node,
                    role: role(number),
                    published: counts.published,
                    received: counts.received,
                    missed: owed.saturating_sub(counts.received),
                    gaps: counts.gaps,
                    disordered: counts.disordered,
                    calls: counts.calls,
                    calls_failed: counts.calls_failed,
                    answered: counts.answered,
                    event_p50_us: median(&counts.event_us),
                    call_p50_us: median(&counts.call_us),
                }
            });
        let nodes: Vec<NodeLine> = lines.collect();
        let receivers =
            u64::try_from(nodes.len().saturating_sub(City::ALL.len())).unwrap_or(u64::MAX);
        let sum = |field: fn(&NodeLine) -> u64| nodes.iter().map(field).sum::<u64>();
        let (missed, failed) = (sum(|node| node.missed), sum(|node| node.calls_failed));
        Self {
            event: "summary",
            published,
            owed: published.saturating_mul(receivers),
            received: sum(|node| node.received),
            missed,
            calls: sum(|node| node.calls),
            calls_failed: failed,
            duration_us: as_micros(took),
            complete: missed == 0 && failed == 0 && sum(|node| node.disordered) == 0,
            nodes,
        }
    }

    /// Whether everything arrived where it was owed, in order and once, and every call was answered.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The table, or the last line for programs.
    pub(crate) fn print(&self, output: Output) -> Result<(), Failed> {
        if output.is_json() {
            return output.object(self);
        }
        let heading = [
            "node",
            "id",
            "does",
            "published",
            "received",
            "missed",
            "gaps",
            "calls",
            "answered",
            "event p50",
            "call p50",
        ];
        let mut table = Table::new(&heading);
        let or_none = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
        for node in &self.nodes {
            table.row([
                node.number.to_string(),
                node.node.get(..8).unwrap_or_default().to_owned(),
                node.role.to_owned(),
                grouped(node.published),
                grouped(node.received),
                grouped(node.missed),
                grouped(node.gaps),
                grouped(node.calls),
                grouped(node.answered),
                or_none(node.event_p50_us),
                or_none(node.call_p50_us),
            ]);
        }
        output.line("")?;
        for line in table.lines() {
            output.line(&line)?;
        }
        output.line("")?;
        output.line(&self.sentence())
    }

    fn sentence(&self) -> String {
        let calls = format!(
            "{} of {} calls were answered",
            self.calls,
            self.calls.saturating_add(self.calls_failed)
        );
        let took = micros(self.duration_us);
        if self.complete {
            format!(
                "all {} readings arrived wherever they were owed, in order; {calls}; {took}",
                grouped(self.published)
            )
        } else {
            format!(
                "{} of {} deliveries did not arrive; {calls}; {took}",
                grouped(self.missed),
                grouped(self.owed)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(received: u64) -> Vec<(String, Counts)> {
        let counts = |published, received| Counts {
            published,
            received,
            ..Counts::default()
        };
        vec![
            ("a".to_owned(), counts(5, 0)),
            ("b".to_owned(), counts(4, 0)),
            ("c".to_owned(), counts(0, 9)),
            ("d".to_owned(), counts(0, received)),
        ]
    }

    #[test]
    fn what_is_owed_and_not_received_is_missed() {
        let whole = Summary::of(nodes(9).into_iter(), Duration::from_secs(1));
        assert!(whole.is_complete());
        assert_eq!((whole.owed, whole.received, whole.missed), (18, 18, 0));
        let part = Summary::of(nodes(8).into_iter(), Duration::from_secs(1));
        assert!(!part.is_complete());
        assert_eq!((part.owed, part.received, part.missed), (18, 17, 1));
    }

    #[test]
    fn a_failed_call_or_a_reading_out_of_order_is_not_complete() {
        for spoil in [
            |counts: &mut Counts| counts.calls_failed = 1,
            |counts: &mut Counts| counts.disordered = 1,
        ] {
            let mut nodes = nodes(9);
            spoil(&mut nodes[2].1);
            assert!(!Summary::of(nodes.into_iter(), Duration::ZERO).is_complete());
        }
    }
}
