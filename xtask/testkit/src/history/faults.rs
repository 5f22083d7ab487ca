//! When something was wrong, by who caused it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Did, Name, Record};

/// Kills, and the times of faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Times at which somebody was killed, with the places of the records.
    killed: BTreeMap<Name, Vec<(u64, usize)>>,
    /// From when until when something was broken, with what it was; by start.
    broken: Vec<(Name, u64, u64)>,
    /// Whoever is a node; the death of an application is nobody else's trouble.
    nodes: BTreeSet<Name>,
    /// When nodes were away, from their end until everybody knew them again.
    away: BTreeMap<Name, Vec<(u64, u64)>>,
    /// Nodes that keep what they accepted.
    durable: BTreeSet<Name>,
    /// Nodes that keep what others accepted.
    keepers: BTreeSet<Name>,
}

impl Faults {
    pub(super) fn take(&mut self, place: usize, record: &Record) {
        let at = record.at;
        match record.did {
            Did::Killed { who } => {
                self.killed.entry(who).or_default().push((at, place));
                self.leaves(who, at);
            }
            Did::Down { node } => self.leaves(node, at),
            Did::Broken { what } => self.broken.push((what, at, u64::MAX)),
            Did::Mended { what } => {
                let open = |fault: &&mut (Name, u64, u64)| fault.0 == what && fault.2 == u64::MAX;
                if let Some(fault) = self.broken.iter_mut().find(open) {
                    fault.2 = at;
                }
            }
            Did::Attached { node } => drop(self.nodes.insert(node)),
            Did::Up { node, durable } => {
                self.nodes.insert(node);
                if let Some(last) = self.away.get_mut(&node).and_then(|away| away.last_mut()) {
                    last.1 = last.1.min(at);
                }
                if durable {
                    self.durable.insert(node);
                }
            }
            Did::Keeps { node } => drop(self.keepers.insert(node)),
            _ => {}
        }
    }

    fn leaves(&mut self, node: Name, at: u64) {
        let away = self.away.entry(node).or_default();
        if away.last().is_none_or(|(_from, to)| *to != u64::MAX) {
            away.push((at, u64::MAX));
        }
    }

    /// Whether a node was away at a time, or came back less than `window` before it.
    pub(super) fn is_away(&self, node: Option<Name>, at: u64, window: Duration) -> bool {
        let away = node.and_then(|node| self.away.get(&node));
        let begins =
            |(from, to): &(u64, u64)| *from <= at && at <= to.saturating_add(micros(window));
        away.is_some_and(|away| away.iter().any(begins))
    }

    /// The first kill of somebody from a time on.
    pub(super) fn killed(&self, who: Name, from: u64) -> Option<(u64, usize)> {
        let kills = self.killed.get(&who)?;
        kills.iter().find(|(at, _place)| *at >= from).copied()
    }

    /// Whether a node was said to keep what it accepted.
    pub(super) fn is_durable(&self, node: Option<Name>) -> bool {
        node.is_some_and(|node| self.durable.contains(&node))
    }

    /// Whether a node was said to keep what others accepted.
    pub(super) fn is_keeper(&self, node: Option<Name>) -> bool {
        node.is_some_and(|node| self.keepers.contains(&node))
    }

    /// Whether anything was wrong between two times, or within `grace` before them.
    pub(super) fn meets(&self, from: u64, to: u64, grace: Duration) -> bool {
        let from = from.saturating_sub(micros(grace));
        let broken = self
            .broken
            .iter()
            .any(|(_what, begin, end)| *begin <= to && *end >= from);
        broken || self.deaths().any(|at| (from..=to).contains(&at))
    }

    /// When nodes were killed.
    fn deaths(&self) -> impl Iterator<Item = u64> {
        let kills = self
            .killed
            .iter()
            .filter(|(who, _kills)| self.nodes.contains(*who));
        kills.flat_map(|(_who, kills)| kills.iter().map(|(at, _place)| *at))
    }

    /// How long somebody stood still between two times.
    pub(super) fn stood_still(&self, who: Name, from: u64, to: u64) -> u64 {
        let still = self.broken.iter().filter(|(what, ..)| *what == who);
        still.fold(0, |sum, (_who, begin, end)| {
            let length = (*end).min(to).saturating_sub((*begin).max(from));
            sum.saturating_add(length)
        })
    }

    /// By when something owed from `at` on has to have happened: `within` after `at`, or after the end of each fault that
    /// began before that.
    pub(super) fn due(&self, at: u64, within: Duration) -> u64 {
        let within = micros(within);
        let mut start = at;
        let kills = self.deaths().map(|at| (at, at));
        let mut faults: Vec<(u64, u64)> = kills
            .chain(self.broken.iter().map(|(_what, begin, end)| (*begin, *end)))
            .filter(|(_begin, end)| *end > at)
            .collect();
        faults.sort_unstable();
        for (begin, end) in faults {
            if begin <= start.saturating_add(within) {
                start = start.max(end);
            }
        }
        start.saturating_add(within)
    }
}

/// A time as records have it.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
