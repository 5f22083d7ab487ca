//! The closest of many, found without looking at all of them.

use std::sync::Arc;

use macula_wire::Key;
use macula_wire::message::Contact;

use crate::distance::{Distance, Place};

/// A contact and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// Nobody else stands there, so this tells contacts apart.
    pub(crate) place: Place,
    pub(crate) contact: Arc<Contact>,
}

impl Placed {
    pub(crate) fn new(contact: Arc<Contact>) -> Self {
        Self {
            place: Place::of_node(&contact.node),
            contact,
        }
    }
}

/// A contact that another told of, and where it stands.
pub(crate) type Told<'a> = (Place, &'a Arc<Contact>);

/// The contacts nearest to a key so far, nearest first.
#[derive(Debug)]
pub(crate) struct Nearest<'a> {
    target: Place,
    count: usize,
    /// These are not wanted.
    but: [Place; 2],
    found: Vec<(Distance, &'a Arc<Contact>)>,
}

impl<'a> Nearest<'a> {
    pub(crate) fn new(target: &Key, count: usize, but: [Place; 2]) -> Self {
        Self {
            target: Place::of(target),
            count,
            but,
            found: Vec::with_capacity(count.saturating_add(1)),
        }
    }

    pub(crate) const fn target(&self) -> Place {
        self.target
    }

    /// Whether nobody was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether as many were found as were asked for.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= self.count
    }

    /// Takes in a contact if it is among the nearest. One that was offered before stays as it was.
    pub(crate) fn offer(&mut self, place: Place, contact: &'a Arc<Contact>) {
        let distance = self.target.to(place);
        if self.is_full() && self.found.last().is_some_and(|(last, _)| *last <= distance) {
            return;
        }
        if self.but.contains(&place) {
            return;
        }
        if let Err(rank) = self
            .found
            .binary_search_by_key(&distance, |(other, _)| *other)
        {
            self.found.insert(rank, (distance, contact));
            self.found.truncate(self.count);
        }
    }

    /// How far the farthest is; beyond all if there are fewer than were asked for.
    pub(crate) fn reach(&self) -> Distance {
        let last = self.found.last().filter(|_| self.is_full());
        last.map_or(Distance::MAX, |(distance, _)| *distance)
    }

    /// The nearest and how far they are.
    pub(crate) fn into_found(self) -> Vec<(Distance, Arc<Contact>)> {
        let found = self.found.into_iter();
        found
            .map(|(distance, contact)| (distance, Arc::clone(contact)))
            .collect()
    }

    pub(crate) fn into_contacts(self) -> Vec<Arc<Contact>> {
        let found = self.found.into_iter();
        found.map(|(_, contact)| Arc::clone(contact)).collect()
    }
}

/// Offers those of `sorted`, which ascends by place, that may be among the nearest.
///
/// All that share a bit more with the target are nearer than all that do not, so the half of the key space in which the
/// target lies is searched first, then the other one, and so on within the halves, until nobody left can be near enough.
pub(crate) fn offer_sorted<'a>(
    sorted: &'a [Placed],
    nearest: &mut Nearest<'a>,
    fits: &impl Fn(&Placed) -> bool,
) {
    const FEW: usize = 8;
    // The last one is searched first. With each part: the first bit that is not decided, and how near it is at best.
    let mut rest: Vec<(&'a [Placed], usize, Distance)> = vec![(sorted, 0, Distance::default())];
    while let Some((part, depth, at_best)) = rest.pop() {
        if nearest.is_full() && nearest.reach() <= at_best {
            return;
        }
        if part.len() <= FEW || depth >= 256 {
            for placed in part.iter().filter(|placed| fits(placed)) {
                nearest.offer(placed.place, &placed.contact);
            }
            continue;
        }
        let middle = part.partition_point(|placed| !placed.place.bit(depth));
        let (zeros, ones) = part.split_at(middle);
        let (near, far) = match nearest.target.bit(depth) {
            true => (ones, zeros),
            false => (zeros, ones),
        };
        let next = depth.saturating_add(1);
        rest.push((far, next, at_best.with_bit(depth)));
        rest.push((near, next, at_best));
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::NodeId;

    use super::*;
    use crate::position;

    const NOBODY: [Place; 2] = [Place::ZERO; 2];

    fn placed(number: usize) -> Placed {
        let (node, addresses) = (node_id(number), Vec::new());
        Placed::new(Arc::new(Contact { node, addresses }))
    }

    #[test]
    fn the_search_finds_what_a_full_scan_finds() {
        let mut all: Vec<Placed> = (0..700).map(placed).collect();
        all.sort_by_key(|placed| placed.place);
        for number in 700..900 {
            let target = position(&node_id(number));
            let odd = |placed: &Placed| placed.place.bit(255);
            for count in [1, 5, 20, 400] {
                let mut nearest = Nearest::new(&target, count, NOBODY);
                offer_sorted(&all, &mut nearest, &odd);
                let mut scan: Vec<&Placed> = all.iter().filter(|placed| odd(placed)).collect();
                scan.sort_by_key(|placed| Place::of(&target).to(placed.place));
                scan.truncate(count);
                let expected: Vec<NodeId> = scan.iter().map(|placed| placed.contact.node).collect();
                assert_eq!(nodes(nearest), expected);
            }
        }
    }

    fn nodes(nearest: Nearest<'_>) -> Vec<NodeId> {
        let found = nearest.into_contacts();
        found.iter().map(|contact| contact.node).collect()
    }

    #[test]
    fn nobody_is_found_twice_and_some_are_not_wanted() {
        let (one, other) = (placed(1), placed(2));
        let mut nearest = Nearest::new(&Key::default(), 3, [other.place, other.place]);
        [&one, &one, &other]
            .into_iter()
            .for_each(|placed| nearest.offer(placed.place, &placed.contact));
        assert_eq!(nodes(nearest), [one.contact.node]);
    }
}
