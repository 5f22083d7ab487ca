//! The forwarding table: who is owed which topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use macula_wire::{NodeId, Pattern, Topic};

use crate::Destination;
use crate::matcher::{MatchKey, Matcher};
use crate::owner::Owner;

/// Who is owed which topic, at one moment.
///
/// It never changes; [`PubSub`](crate::PubSub) puts out a new one instead. Successive tables share what did not change,
/// so that a new one costs the path to each changed pattern and not the whole.
#[derive(Clone, Default)]
pub struct Table {
    version: u64,
    matcher: Matcher<Owner>,
}

impl Table {
    /// A table of these entries, for tests, benches and simulators; nodes get theirs from
    /// [`PubSub`](crate::PubSub).
    #[must_use]
    pub fn new(version: u64, entries: impl IntoIterator<Item = (Pattern, Destination)>) -> Self {
        let mut matcher = Matcher::new(MatchKey::default());
        let mut members: BTreeMap<NodeId, Arc<NodeId>> = BTreeMap::new();
        for (pattern, destination) in entries {
            let owner = Owner::new(destination, |node| {
                let shared = members.entry(node).or_insert_with(|| Arc::new(node));
                Arc::clone(shared)
            });
            matcher.insert(&pattern, owner);
        }
        Self { version, matcher }
    }

    pub(crate) const fn of(version: u64, matcher: Matcher<Owner>) -> Self {
        Self { version, matcher }
    }

    /// Counts the tables of one node; 0 is the empty one that it starts with. A route that was looked up holds as long
    /// as the version is the same.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many entries there are: destinations, each counted for each of its patterns.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.matcher.len()
    }

    /// Whether nobody wants anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everybody who is owed `topic`, ascending, each once.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> Vec<Destination> {
        let mut out = Vec::new();
        self.matches_into(topic, &mut out);
        out
    }

    /// As [`matches`](Self::matches), in place of what `out` holds; allocates only if `out` has to grow.
    pub fn matches_into(&self, topic: &Topic, out: &mut Vec<Destination>) {
        out.clear();
        self.matcher
            .for_each_match(topic, |owner| out.push(owner.destination()));
        if out.len() > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("version", &self.version)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::NodeId;

    use super::*;
    use crate::{LocalId, SessionId};

    #[test]
    fn each_destination_stands_once_and_in_order() {
        let local = Destination::Local(LocalId::new(1));
        let session = Destination::Session(SessionId::new(1));
        let member = Destination::Member(NodeId::from_bytes([1; 32]));
        let entries = [
            ("a.**", member),
            ("a.b", local),
            ("a.*", local),
            ("*.b", session),
            ("x", session),
        ];
        let table = Table::new(
            3,
            entries.map(|(text, to)| (Pattern::new(text).unwrap(), to)),
        );
        assert_eq!((table.version(), table.len()), (3, 5));
        let mut out = vec![member; 3];
        table.matches_into(&Topic::new("a.b").unwrap(), &mut out);
        assert_eq!(out, [local, session, member]);
        assert!(table.matches(&Topic::new("b").unwrap()).is_empty());
    }
}
