//! What is known by watches, by its owners and by when it ends.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::message::{RecordKind, SignedRoutingRecord};
use macula_wire::{Key, NodeId, RecordId};

/// A watch, and a record that is known by it.
pub(super) type Place = ((Key, RecordKind), RecordId);

/// Where records stand that are known by watches.
#[derive(Debug, Default)]
pub(crate) struct Known {
    by_owner: BTreeMap<NodeId, BTreeSet<Place>>,
    /// By when they end, in milliseconds since 1970.
    by_end: BTreeSet<(u64, Place)>,
}

impl Known {
    pub(super) fn insert(&mut self, place: Place, record: &SignedRoutingRecord) {
        let record = &record.record;
        self.by_end.insert((record.expires_ms, place));
        self.by_owner.entry(record.owner).or_default().insert(place);
    }

    pub(super) fn remove(&mut self, place: Place, record: &SignedRoutingRecord) {
        let record = &record.record;
        self.by_end.remove(&(record.expires_ms, place));
        if let Some(places) = self.by_owner.get_mut(&record.owner) {
            places.remove(&place);
            if places.is_empty() {
                self.by_owner.remove(&record.owner);
            }
        }
    }

    /// Where records of an owner stand.
    pub(super) fn of(&self, owner: &NodeId) -> Vec<Place> {
        let places = self.by_owner.get(owner).into_iter().flatten();
        places.copied().collect()
    }

    /// Where records stand that have ended at `wall_ms`.
    pub(super) fn ended(&self, wall_ms: u64) -> Vec<Place> {
        let ended = self.by_end.iter().take_while(|(end, _)| *end <= wall_ms);
        ended.map(|(_, place)| *place).collect()
    }

    /// When the next one ends, in milliseconds since 1970.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.by_end.first().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use macula_testkit::{StubSigner, StubVerifier, node_id};
    use macula_wire::message::{
        Contact, InterestContent, KadStore, RecordContent, RoutingRecord, SignedRoutingRecord,
    };
    use macula_wire::{Instant, Machine, Pattern, Random, RealmName, RequestId, Signer, signed};

    use super::*;
    use crate::kad::{Input, Kad};
    use crate::{Checked, Config, interest_name, key};

    const WALL_MS: u64 = 1_700_000_000_000;

    fn realm() -> RealmName {
        RealmName::new("be.acme.iot").unwrap()
    }

    fn later(random: &mut Random, limit: u64) -> u64 {
        WALL_MS.saturating_add(random.below(limit))
    }

    fn store(random: &mut Random) -> (Arc<Contact>, KadStore) {
        let owner = node_id(random.index(6).saturating_add(1));
        let text = format!("{}.{}", ["a", "b"][random.index(2)], random.below(3));
        let pattern = Pattern::new(&text).unwrap();
        let record = RoutingRecord {
            owner,
            sequence: later(random, 9),
            expires_ms: later(random, 60_000).saturating_add(2_000),
            withdrawn: random.below(4) == 0,
            content: RecordContent::Interest(InterestContent::each(pattern)),
        };
        let bytes = signed::record_bytes(&realm(), &record).unwrap();
        let signature = StubSigner::new(owner).sign(&bytes);
        let store = KadStore {
            request: RequestId::new(1),
            records: vec![SignedRoutingRecord { record, signature }.into()],
        };
        let (node, addresses) = (owner, Vec::new());
        (Arc::new(Contact { node, addresses }), store)
    }

    /// By looking at everything that watches know.
    fn scan(kad: &Kad) -> Known {
        let mut known = Known::default();
        for (at, watching) in &kad.watchings {
            for (id, record) in watching.seen.records() {
                known.insert((*at, id), record);
            }
        }
        known
    }

    fn act(kad: &mut Kad, random: &mut Random, now: Instant) {
        let (contact, store) = store(random);
        let node = contact.node;
        let pattern = Pattern::new(["a", "b"][random.index(2)]).unwrap();
        let at = key(&realm(), RecordKind::Interest, interest_name(&pattern));
        match random.below(12) {
            0 => assert!(kad.watch(now, at, RecordKind::Interest).is_ok()),
            1 if random.below(4) == 0 => {
                kad.unwatch(now, at, RecordKind::Interest);
            }
            2 => kad.handle_input(now, Input::Member(contact)),
            3 => kad.handle_input(now, Input::MemberGone(node)),
            4 => {
                let since = later(random, 9);
                kad.handle_input(now, Input::Run { node, since });
            }
            5 => {
                let wall = later(random, 40_000);
                kad.handle_input(now, Input::WallClock(wall));
            }
            _ => {
                let body = Checked::new(&realm(), store.into(), &StubVerifier::default());
                kad.handle_input(
                    now,
                    Input::Message {
                        from: contact,
                        body,
                    },
                );
            }
        }
    }

    #[test]
    fn what_watches_know_is_found_without_a_scan() {
        let signer = Arc::new(StubSigner::new(node_id(0)));
        let mut random = Random::new(3);
        let mut kad = Kad::new(
            Config::default(),
            realm(),
            signer,
            Random::new(1),
            Instant::ZERO,
            WALL_MS,
        );
        let (mut now, mut most) = (Instant::ZERO, 0);
        for _ in 0..5_000 {
            now = now + Duration::from_millis(random.below(20));
            kad.handle_timeout(now);
            act(&mut kad, &mut random, now);
            while kad.poll_output().is_some() {}
            let expected = scan(&kad);
            assert_eq!(kad.known.by_end, expected.by_end);
            assert_eq!(kad.known.by_owner, expected.by_owner);
            let next = kad.known.next_end();
            assert!(next.is_none_or(|end| end > kad.wall_ms()), "none is over");
            most = most.max(kad.known.by_end.len());
        }
        assert!(most > 10, "{most}");
    }
}
