//! By which peer an origin was heard.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::{Instant, NodeId};

/// How long an origin counts as reached by the peer that it was heard by.
const HEARD_FOR: Duration = Duration::from_secs(10);
/// How many origins are remembered.
const MAX_ROUTES: usize = 1_024;

/// Routes learned from what came by.
///
/// The last packet of an origin decides, so that a route follows the origin's own way at once, and a lie is over with
/// the next true packet. If there is no room, the oldest route by the peer that has most of them goes: a peer that
/// makes up origins pushes out its own.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_origin: BTreeMap<NodeId, Route>,
    /// Origins by peer and by when they were heard.
    by_peer: BTreeMap<NodeId, BTreeMap<u64, NodeId>>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Route {
    peer: NodeId,
    at: Instant,
    number: u64,
}

impl Routes {
    /// Takes in that something of `origin` came by `peer`.
    pub(super) fn hear(&mut self, now: Instant, origin: NodeId, peer: NodeId) {
        self.forget(&origin);
        if self.by_origin.len() >= MAX_ROUTES {
            self.forget_oldest();
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let route = Route {
            peer,
            at: now,
            number,
        };
        self.by_origin.insert(origin, route);
        self.by_peer.entry(peer).or_default().insert(number, origin);
    }

    /// By which peer `origin` was heard lately.
    pub(super) fn get(&self, now: Instant, origin: &NodeId) -> Option<NodeId> {
        let route = self.by_origin.get(origin)?;
        (now.saturating_since(route.at) <= HEARD_FOR).then_some(route.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.by_origin.len()
    }

    fn forget(&mut self, origin: &NodeId) {
        let Some(route) = self.by_origin.remove(origin) else {
            return;
        };
        if let Some(origins) = self.by_peer.get_mut(&route.peer) {
            origins.remove(&route.number);
            if origins.is_empty() {
                self.by_peer.remove(&route.peer);
            }
        }
    }

    fn forget_oldest(&mut self) {
        let fullest = self.by_peer.values().max_by_key(|origins| origins.len());
        let oldest = fullest.and_then(|origins| origins.values().next().copied());
        if let Some(origin) = oldest {
            self.forget(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn a_peer_that_makes_up_origins_pushes_out_its_own() {
        let mut routes = Routes::default();
        let (honest, liar) = (node_id(1), node_id(2));
        routes.hear(Instant::ZERO, node_id(3), honest);
        for index in 0..100_000 {
            routes.hear(Instant::ZERO, node_id(10 + index), liar);
            assert!(routes.len() <= MAX_ROUTES);
        }
        let get = |index| routes.get(Instant::ZERO, &node_id(index));
        assert_eq!(get(3), Some(honest));
        assert_eq!((get(10), get(100_009)), (None, Some(liar)));
        let kept: usize = routes.by_peer.values().map(BTreeMap::len).sum();
        assert_eq!((kept, routes.by_peer.len()), (MAX_ROUTES, 2));
    }

    #[test]
    fn the_last_packet_decides_for_ten_seconds() {
        let mut routes = Routes::default();
        let at = Instant::from_millis;
        routes.hear(at(0), node_id(3), node_id(1));
        routes.hear(at(1), node_id(3), node_id(2));
        assert_eq!(routes.by_peer.len(), 1);
        assert_eq!(routes.get(at(10_001), &node_id(3)), Some(node_id(2)));
        assert_eq!(routes.get(at(10_002), &node_id(3)), None);
    }
}
