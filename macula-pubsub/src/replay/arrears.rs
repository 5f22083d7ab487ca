//! What is owed yet, for those who take over when this node is lost.

use std::collections::BTreeMap;

use macula_wire::limit::{MAX_ARREARS, MAX_OPEN_RANGES};
use macula_wire::message::{Arrear, Arrears, DeliveryRange};
use macula_wire::{DeliveryId, NodeId};

use super::{Custody, Entry, Replay};
use crate::Destination;

/// What each member is owed, in ranges.
#[derive(Debug, Default)]
struct Found {
    open: BTreeMap<NodeId, Vec<(u64, u64)>>,
    ranges: usize,
}

impl<T: Clone> Replay<T> {
    /// Who of a group got the event that has this id now; `None` if it is settled, or for none.
    #[must_use]
    pub fn chosen(&self, id: DeliveryId) -> Option<Destination> {
        let entry = self.entries.get(&id.get())?;
        entry.group.as_ref()?;
        entry.owed.keys().next().copied()
    }

    /// What this node owes of its own events, under the ids that they were offered under. What would make the message too
    /// long, and all behind it, is left out. Costs a look at each event that is kept.
    #[must_use]
    pub fn arrears(&self) -> Arrears {
        let mut upto = self.next;
        let own: Vec<&Entry<T>> = {
            let entries = self.entries.values();
            let mut own: Vec<_> = entries
                .filter(|entry| entry.custody == Custody::Own)
                .collect();
            own.sort_by_key(|entry| entry.offered);
            own
        };
        let mut found = Found::default();
        for entry in own {
            if !found.add(self.picker.own(), entry) {
                upto = entry.offered;
                break;
            }
        }
        let range = |(first, last): (u64, u64)| DeliveryRange {
            first: DeliveryId::new(first),
            last: DeliveryId::new(last),
        };
        let open = found
            .open
            .into_iter()
            .filter(|(_, ranges)| !ranges.is_empty());
        let open = open.map(|(node, ranges)| Arrear {
            node,
            open: ranges.into_iter().map(range).collect(),
        });
        Arrears {
            run: self.run,
            since: DeliveryId::new(self.before.saturating_add(1)),
            upto: DeliveryId::new(upto),
            open: open.collect(),
        }
    }
}

impl Found {
    /// Whether there was room for it.
    fn add<T>(&mut self, own: NodeId, entry: &Entry<T>) -> bool {
        for (to, ids) in &entry.owed {
            let node = match to {
                Destination::Member(node) => *node,
                // What the subscriptions and clients here are owed ends with this node, unless it is shared with others.
                Destination::Local(_) | Destination::Session(_) if entry.group.is_none() => {
                    continue;
                }
                Destination::Local(_) | Destination::Session(_) => own,
            };
            if !self.open.contains_key(&node) && self.open.len() >= MAX_ARREARS {
                return false;
            }
            // The event of a group has another id once it was passed to another one.
            let ids: Vec<(u64, u64)> = if entry.group.is_some() {
                vec![(entry.offered, entry.offered)]
            } else {
                ids.ranges().collect()
            };
            let of = self.open.entry(node).or_default();
            for (first, last) in ids {
                match of.last_mut() {
                    Some((_, before)) if before.checked_add(1) == Some(first) => *before = last,
                    _ if self.ranges >= MAX_OPEN_RANGES => return false,
                    _ => {
                        of.push((first, last));
                        self.ranges = self.ranges.saturating_add(1);
                    }
                }
            }
        }
        true
    }
}
