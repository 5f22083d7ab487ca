//! What members of the role `store` are told of what this node owes to others, so that they can take over.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_pubsub::Destination;
use macula_transport::OutFrame;
use macula_wire::limit::{MAX_DEBT_GROUPS, MAX_DEBTORS, MAX_STORES};
use macula_wire::message::{Arrears, Body, DebtGroup, Debts, Message};
use macula_wire::{Instant, NodeId};

use super::durable::{Offered, members};
use super::{Machines, Parcel, Work};

/// The most members of the role `store` that are told anything.
const MAX_KNOWN: usize = 256;
/// How often what is settled is told.
const PERIOD: Duration = Duration::from_millis(200);

/// What stores know of what this node owes.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The members of the role `store` that had a link; those beyond the bound are not told.
    stores: BTreeSet<NodeId>,
    /// When it is told next, if anything has to be.
    pub(super) due: Option<Instant>,
    last: Option<Arrears>,
}

impl Told {
    pub(super) fn is_store(&self, node: &NodeId) -> bool {
        self.stores.contains(node)
    }

    /// There is a link to a store, which may have missed what was told.
    pub(super) fn on_up(&mut self, now: Instant, node: NodeId) {
        if self.stores.len() < MAX_KNOWN || self.stores.contains(&node) {
            self.stores.insert(node);
            self.last = None;
            self.due = Some(now);
        }
    }

    fn hurry(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Machines {
    /// Notes with a batch who is owed it, for the stores among them. `shared` is what groups were offered of it.
    pub(super) fn note_debts(&mut self, now: Instant, parcel: &Parcel, offers: &[Offered]) {
        let Some(to) = offers.iter().find(|one| one.group.is_none()) else {
            return;
        };
        let owed = members(&to.to);
        let stores: Vec<NodeId> = owed
            .iter()
            .filter(|node| self.told.is_store(node))
            .take(MAX_STORES)
            .copied()
            .collect();
        if stores.is_empty() {
            return;
        }
        let debts = Debts {
            members: distinct(owed),
            stores: distinct(stores),
            groups: self.shared(parcel, offers),
        };
        match OutFrame::message(&Message::from(debts)) {
            Ok(frame) => {
                parcel.is_owed(frame);
                self.told.hurry(now + PERIOD);
            }
            Err(error) => debug_assert!(false, "debts over their limits: {error}"),
        }
    }

    /// The groups that were offered each event of a batch, with whom each was given to.
    fn shared(&self, parcel: &Parcel, offers: &[Offered]) -> Vec<DebtGroup> {
        let count = parcel.batch().entries.count();
        let mut groups: Vec<DebtGroup> = Vec::new();
        for offered in offers {
            let Some(group) = &offered.group else {
                continue;
            };
            let of = distinct(members(&group.members));
            let chosen = match offered.chosen {
                Some(Destination::Member(node)) => of.binary_search(&node).ok(),
                _ => None,
            };
            let place = chosen.and_then(|at| u32::try_from(at).ok());
            let place = place.map_or(0, |at| at.saturating_add(1));
            match groups.last_mut().filter(|last| *last.name == *group.name) {
                Some(last) => last.chosen.push(place),
                None => groups.push(DebtGroup {
                    name: group.name.to_string(),
                    balance: group.balance,
                    members: of,
                    first: offered.id,
                    chosen: vec![place],
                }),
            }
        }
        // Where there was no room for all events of a group, places would not fit ids.
        groups.retain(|group| group.chosen.len() == count);
        groups.truncate(MAX_DEBT_GROUPS);
        groups
    }

    /// Tells stores what is owed yet, if that is due and is not what they were told last.
    pub(super) fn tell_arrears(&mut self, now: Instant, work: &mut Vec<Work>) {
        if self.told.due.is_none_or(|due| due > now) {
            return;
        }
        let arrears = self.replay.arrears();
        let is_news = self.told.last.as_ref() != Some(&arrears);
        self.told.due = (is_news || !arrears.open.is_empty()).then(|| now + PERIOD);
        if !is_news {
            return;
        }
        for store in &self.told.stores {
            work.push(Work::Tell(*store, Box::new(Body::Arrears(arrears.clone()))));
        }
        self.told.last = Some(arrears);
    }
}

fn distinct(mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes.truncate(MAX_DEBTORS);
    nodes
}
