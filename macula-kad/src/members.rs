//! The members of the realm as membership knows them: candidates for every lookup, without any being asked first.

use std::collections::BTreeSet;
use std::sync::Arc;

use macula_wire::message::Contact;
use macula_wire::{Key, NodeId};

use crate::closest::{Nearest, Placed, offer_sorted};
use crate::distance::Place;

/// Members that many nodes know alike, shared between them: for simulations of large realms in one process.
#[derive(Debug, Default)]
pub struct MemberSnapshot {
    sorted: Vec<Placed>,
}

impl MemberSnapshot {
    /// The snapshot of these members.
    #[must_use]
    pub fn new(contacts: impl IntoIterator<Item = Arc<Contact>>) -> Self {
        let mut sorted: Vec<Placed> = contacts.into_iter().map(Placed::new).collect();
        sorted.sort_by_key(|placed| placed.place);
        sorted.dedup_by_key(|placed| placed.place);
        Self { sorted }
    }
}

impl MemberSnapshot {
    /// Those closest to `key`, closest first.
    #[must_use]
    pub fn closest(&self, key: &Key, count: usize) -> Vec<Arc<Contact>> {
        let mut nearest = Nearest::new(key, count, [Place::ZERO; 2]);
        offer_sorted(&self.sorted, &mut nearest, &|_| true);
        nearest.into_contacts()
    }
}

/// The members of the realm, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct Members {
    base: Arc<MemberSnapshot>,
    /// Those of the snapshot that are gone or have other addresses.
    hidden: BTreeSet<Place>,
    sorted: Vec<Placed>,
    /// Whether there ever was one: whoever is missing is no member then.
    told: bool,
}

fn find(sorted: &[Placed], place: Place) -> Result<usize, usize> {
    sorted.binary_search_by_key(&place, |placed| placed.place)
}

impl Members {
    /// Begins with the members of a snapshot.
    pub(crate) fn begin(&mut self, base: Arc<MemberSnapshot>) {
        *self = Self {
            base,
            told: true,
            ..Self::default()
        };
    }

    /// Takes in a member, or its new addresses. Whether it was not known.
    pub(crate) fn insert(&mut self, contact: Arc<Contact>) -> bool {
        self.told = true;
        let placed = Placed::new(contact);
        let was_known = self.get_at(placed.place).is_some();
        if find(&self.base.sorted, placed.place).is_ok() {
            self.hidden.insert(placed.place);
        }
        match find(&self.sorted, placed.place) {
            Ok(index) => {
                if let Some(known) = self.sorted.get_mut(index) {
                    *known = placed;
                }
            }
            Err(index) => self.sorted.insert(index, placed),
        }
        !was_known
    }

    /// Forgets a member. Whether it was known.
    pub(crate) fn remove(&mut self, node: &NodeId) -> bool {
        let place = Place::of_node(node);
        let was_known = self.get_at(place).is_some();
        if let Ok(index) = find(&self.sorted, place) {
            self.sorted.remove(index);
        }
        if find(&self.base.sorted, place).is_ok() {
            self.hidden.insert(place);
        }
        was_known
    }

    fn get_at(&self, place: Place) -> Option<&Arc<Contact>> {
        let own = find(&self.sorted, place);
        let own = own.ok().and_then(|index| self.sorted.get(index));
        let base = || {
            let index = find(&self.base.sorted, place).ok()?;
            let is_visible = !self.hidden.contains(&place);
            self.base.sorted.get(index).filter(|_| is_visible)
        };
        own.or_else(base).map(|placed| &placed.contact)
    }

    /// A member and its addresses.
    pub(crate) fn get(&self, node: &NodeId) -> Option<&Arc<Contact>> {
        self.get_at(Place::of_node(node))
    }

    /// Whether membership tells who is there at all.
    pub(crate) const fn are_told(&self) -> bool {
        self.told
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let base = self.base.sorted.len().saturating_sub(self.hidden.len());
        base.saturating_add(self.sorted.len())
    }

    /// Offers the members nearest to the target of `nearest`.
    pub(crate) fn offer<'a>(&'a self, nearest: &mut Nearest<'a>) {
        let visible = |placed: &Placed| !self.hidden.contains(&placed.place);
        offer_sorted(&self.base.sorted, nearest, &visible);
        offer_sorted(&self.sorted, nearest, &|_| true);
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    fn contact(number: usize) -> Arc<Contact> {
        let (node, addresses) = (node_id(number), Vec::new());
        Arc::new(Contact { node, addresses })
    }

    fn all(members: &Members, but: [Place; 2]) -> Vec<NodeId> {
        let mut nearest = Nearest::new(&Key::default(), 1_000, but);
        members.offer(&mut nearest);
        let mut all: Vec<NodeId> = nearest
            .into_contacts()
            .iter()
            .map(|contact| contact.node)
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_changes_hides_the_snapshot() {
        let mut members = Members::default();
        members.begin(Arc::new(MemberSnapshot::new((0..10).map(contact))));
        assert!(members.insert(contact(11)));
        assert!(!members.insert(contact(3)));
        assert!(members.remove(&node_id(4)) && !members.remove(&node_id(4)));
        assert!(members.remove(&node_id(11)) && !members.remove(&node_id(99)));
        assert_eq!(members.len(), 9);
        let mut expected: Vec<NodeId> = (0..10).filter(|n| *n != 4).map(node_id).collect();
        expected.sort_unstable();
        assert_eq!(all(&members, [Place::ZERO; 2]), expected);
        assert_eq!(all(&members, [Place::of_node(&node_id(3)); 2]).len(), 8);
        assert!(members.get(&node_id(4)).is_none() && members.get(&node_id(3)).is_some());
        assert!(members.insert(contact(4)));
        assert_eq!(members.len(), 10);
    }
}
