//! Which number stands for which node.

use std::collections::BTreeMap;

use macula_wire::NodeId;

use super::address::NUMBERS;

/// A node in one of the realms of the endpoint, by the index of the realm.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Peer {
    pub(super) realm: usize,
    pub(super) node: NodeId,
}

/// Nodes and their numbers, bounded. A node without a connection makes room for another, the longest unused one first;
/// no number comes back before all others were given away.
#[derive(Debug)]
pub(super) struct Table {
    max: usize,
    next: u64,
    turn: u64,
    numbers: BTreeMap<Peer, u64>,
    entries: BTreeMap<u64, Entry>,
    /// The numbers that nothing holds, by the turn of their last use.
    idle: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    /// How many connections the node has.
    held: usize,
    /// The turn of the last use, where nothing holds the number.
    used: u64,
}

impl Table {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            next: 0,
            turn: 0,
            numbers: BTreeMap::new(),
            entries: BTreeMap::new(),
            idle: BTreeMap::new(),
        }
    }

    /// The number of `peer`, a new one if it has none; `None` if every number there is room for is held.
    pub(super) fn number(&mut self, peer: Peer) -> Option<u64> {
        if let Some(&number) = self.numbers.get(&peer) {
            self.touch(number);
            return Some(number);
        }
        if self.entries.len() >= self.max {
            let (_, oldest) = self.idle.pop_first()?;
            if let Some(entry) = self.entries.remove(&oldest) {
                self.numbers.remove(&entry.peer);
            }
        }
        let number = self.unused();
        let used = self.turn();
        self.numbers.insert(peer, number);
        self.idle.insert(used, number);
        let entry = Entry {
            peer,
            held: 0,
            used,
        };
        self.entries.insert(number, entry);
        Some(number)
    }

    /// Whom `number` stands for.
    pub(super) fn peer(&mut self, number: u64) -> Option<Peer> {
        self.touch(number);
        self.entries.get(&number).map(|entry| entry.peer)
    }

    /// Keeps `number` until it is released as often; `None` if it stands for nobody.
    pub(super) fn hold(&mut self, number: u64) -> Option<()> {
        let entry = self.entries.get_mut(&number)?;
        entry.held = entry.held.saturating_add(1);
        self.idle.remove(&entry.used);
        Some(())
    }

    pub(super) fn release(&mut self, number: u64) {
        let used = self.turn();
        let Some(entry) = self.entries.get_mut(&number).filter(|e| e.held > 0) else {
            return;
        };
        entry.held = entry.held.saturating_sub(1);
        if entry.held == 0 {
            entry.used = used;
            self.idle.insert(used, number);
        }
    }

    fn touch(&mut self, number: u64) {
        let used = self.turn();
        let Some(entry) = self.entries.get_mut(&number).filter(|e| e.held == 0) else {
            return;
        };
        self.idle.remove(&entry.used);
        entry.used = used;
        self.idle.insert(used, number);
    }

    const fn turn(&mut self) -> u64 {
        let turn = self.turn;
        self.turn = turn.saturating_add(1);
        turn
    }

    /// The next number that stands for nobody. There are many more of them than entries.
    fn unused(&mut self) -> u64 {
        loop {
            let number = self.next;
            self.next = number.saturating_add(1) % NUMBERS;
            if !self.entries.contains_key(&number) {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(realm: usize, node: u8) -> Peer {
        let node = NodeId::from_bytes([node; 32]);
        Peer { realm, node }
    }

    #[test]
    fn a_node_keeps_its_number_in_its_realm() {
        let mut table = Table::new(8);
        let number = table.number(peer(0, 1)).unwrap();
        assert_eq!(table.number(peer(0, 1)), Some(number));
        assert_ne!(table.number(peer(1, 1)), Some(number));
        assert_eq!(table.peer(number), Some(peer(0, 1)));
        assert_eq!(table.peer(99), None);
        assert_eq!(table.hold(99), None);
        table.release(99);
    }

    #[test]
    fn the_longest_unused_node_makes_room() {
        let mut table = Table::new(2);
        let one = table.number(peer(0, 1)).unwrap();
        let two = table.number(peer(0, 2)).unwrap();
        assert_eq!(table.peer(one), Some(peer(0, 1)));
        let three = table.number(peer(0, 3)).unwrap();
        assert_eq!(table.peer(two), None);
        assert_eq!(table.peer(one), Some(peer(0, 1)));
        assert!(![one, two].contains(&three));
        // Whoever comes back has a new number.
        assert!(table.number(peer(0, 2)).is_some_and(|again| again > three));
    }

    #[test]
    fn a_node_with_a_connection_stays() {
        let mut table = Table::new(2);
        let one = table.number(peer(0, 1)).unwrap();
        assert_eq!(table.hold(one), Some(()));
        let two = table.number(peer(0, 2)).unwrap();
        assert!(table.number(peer(0, 3)).is_some());
        assert_eq!(table.peer(two), None);
        assert_eq!(table.peer(one), Some(peer(0, 1)));
        let three = table.number(peer(0, 3)).unwrap();
        assert!(table.hold(three).is_some());
        assert_eq!(table.number(peer(0, 4)), None);
        table.release(one);
        assert!(table.number(peer(0, 4)).is_some());
        assert_eq!(table.peer(one), None);
    }

    #[test]
    fn numbers_begin_anew_beside_those_in_use() {
        let mut table = Table::new(4);
        let first = table.number(peer(0, 1)).unwrap();
        table.next = NUMBERS - 1;
        assert_eq!(table.number(peer(0, 2)), Some(NUMBERS - 1));
        assert_eq!(table.number(peer(0, 3)), Some(first + 1));
    }

    proptest! {
        #[test]
        fn the_parts_agree_whatever_is_done(
            steps in proptest::collection::vec((0_u8..4, 0_u8..12), 0..200),
        ) {
            let mut table = Table::new(5);
            let mut held = Vec::new();
            for (step, node) in steps {
                match step {
                    0 => drop(table.number(peer(0, node))),
                    1 => drop(table.peer(u64::from(node))),
                    2 if table.hold(u64::from(node)).is_some() => held.push(u64::from(node)),
                    _ => {
                        if let Some(number) = held.pop() {
                            table.release(number);
                        }
                    }
                }
                prop_assert!(table.entries.len() <= 5);
                prop_assert_eq!(table.numbers.len(), table.entries.len());
                for (number, entry) in &table.entries {
                    prop_assert_eq!(table.numbers.get(&entry.peer), Some(number));
                    let idle = table.idle.get(&entry.used) == Some(number);
                    prop_assert_eq!(idle, entry.held == 0);
                }
                let idle = table.entries.values().filter(|entry| entry.held == 0).count();
                prop_assert_eq!(table.idle.len(), idle);
                for number in &held {
                    prop_assert!(table.entries.contains_key(number));
                }
            }
        }
    }
}
