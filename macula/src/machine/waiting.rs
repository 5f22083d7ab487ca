//! Messages of routing for nodes to which no link is up yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use macula_wire::{Body, Instant, NodeId};

/// How many messages wait for one node.
const MAX_PEER: usize = 64;
/// How many messages wait in all.
const MAX_ALL: usize = 4_096;
/// How long a link may take; requests are given up sooner.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Queue {
    until: Instant,
    bodies: VecDeque<Body>,
}

/// What waits for links, in the order in which it is to be sent.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: BTreeMap<NodeId, Queue>,
    /// The same by the time at which they are given up.
    ends: BTreeSet<(Instant, NodeId)>,
    count: usize,
    /// How many messages were dropped: for want of room, or because no link came up.
    pub(super) dropped: u64,
}

impl Waiting {
    /// Lets a message wait. Whether it is the first one for this node, so that a link is to be asked for.
    pub(super) fn push(&mut self, now: Instant, node: NodeId, body: Body) -> bool {
        let is_first = !self.queues.contains_key(&node);
        if self.count >= MAX_ALL {
            self.drop_some(1);
            return false;
        }
        let queue = self.queues.entry(node).or_insert_with(|| Queue {
            until: now + PATIENCE,
            bodies: VecDeque::new(),
        });
        if queue.bodies.len() >= MAX_PEER {
            self.drop_some(1);
            return false;
        }
        queue.bodies.push_back(body);
        self.ends.insert((queue.until, node));
        self.count = self.count.saturating_add(1);
        is_first
    }

    /// What waited for a node, to which a link is up now.
    pub(super) fn take(&mut self, node: &NodeId) -> VecDeque<Body> {
        let Some(queue) = self.queues.remove(node) else {
            return VecDeque::new();
        };
        self.ends.remove(&(queue.until, *node));
        self.count = self.count.saturating_sub(queue.bodies.len());
        queue.bodies
    }

    /// Drops what waited for a node. Whether there was anything.
    pub(super) fn fail(&mut self, node: &NodeId) -> bool {
        let count = self.take(node).len();
        self.drop_some(count);
        count > 0
    }

    /// The nodes for which something has waited too long.
    pub(super) fn overdue(&self, now: Instant) -> Vec<NodeId> {
        let late = self.ends.iter().take_while(|(until, _)| *until <= now);
        late.map(|(_, node)| *node).collect()
    }

    /// When the first of them has.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    fn drop_some(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped = self.dropped.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Heartbeat;

    use super::*;

    fn node(number: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn what_waits_is_bounded_for_each_node_and_in_all() {
        let mut waiting = Waiting::default();
        let push = |waiting: &mut Waiting, number| {
            waiting.push(Instant::ZERO, node(number), Heartbeat {}.into())
        };
        assert!(push(&mut waiting, 0) && !push(&mut waiting, 0));
        for _ in 2..MAX_PEER + 5 {
            push(&mut waiting, 0);
        }
        assert_eq!((waiting.count, waiting.dropped), (MAX_PEER, 5));
        for number in 1..=MAX_ALL {
            push(&mut waiting, number);
        }
        assert_eq!(waiting.count, MAX_ALL);
        assert_eq!(waiting.dropped, 5 + u64::try_from(MAX_PEER).unwrap());
        assert_eq!(waiting.take(&node(0)).len(), MAX_PEER);
        assert!(waiting.take(&node(0)).is_empty());
        assert!(push(&mut waiting, 0));
    }

    #[test]
    fn what_waits_too_long_is_dropped() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.due(), None);
        for number in [1, 2] {
            let now = Instant::from_millis(u64::try_from(number).unwrap());
            waiting.push(now, node(number), Heartbeat {}.into());
        }
        let due = waiting.due().unwrap();
        assert_eq!(waiting.overdue(due), [node(1)]);
        assert!(waiting.fail(&node(1)) && !waiting.fail(&node(1)));
        assert_eq!((waiting.dropped, waiting.count), (1, 1));
    }
}
