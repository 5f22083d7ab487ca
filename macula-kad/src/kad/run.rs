//! Whose records count: those of members that are there, as far as their present runs made them.

use macula_wire::NodeId;
use macula_wire::message::{RecordKind, RoutingRecord};

use super::Kad;

impl Kad {
    /// A run of a node has begun. It keeps nothing of what the one before kept, and knows nobody who watches.
    pub(super) fn on_run(&mut self, node: NodeId, since: u64) {
        let before = self.runs.insert(node, since);
        if before == Some(since) {
            return;
        }
        self.look_again(&node);
        if before.is_some() {
            self.watchers.forget(&node);
            self.forget_told(&node);
            self.retry_watches(&node);
            self.came(&node);
        }
    }

    /// Whether the owner of a record is there and its present run made it. Values and nodes outlive their owners' runs.
    pub(super) fn counts(&self, record: &RoutingRecord) -> bool {
        let owner = &record.owner;
        let since = self.runs.get(owner).copied().unwrap_or(0);
        match record.content.kind() {
            RecordKind::Value | RecordKind::Node => true,
            RecordKind::Provider | RecordKind::Interest => {
                record.sequence >= since
                    && (!self.members.are_told()
                        || *owner == self.own
                        || self.members.get(owner).is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use macula_testkit::{StubSigner, StubVerifier, node_id};
    use macula_wire::message::{
        Contact, InterestContent, KadStore, RecordContent, SignedRoutingRecord,
    };
    use macula_wire::{Instant, Machine, Pattern, Random, RealmName, RequestId, Signer, signed};

    use super::*;
    use crate::kad::{Input, Output, RecordChange};
    use crate::{Checked, Config, interest_name, key, record_id};

    const WALL_MS: u64 = 1_700_000_000_000;

    fn realm() -> RealmName {
        RealmName::new("be.acme.iot").unwrap()
    }

    fn kad() -> Kad {
        let signer = Arc::new(StubSigner::new(node_id(0)));
        let (random, now) = (Random::new(1), Instant::ZERO);
        Kad::new(Config::default(), realm(), signer, random, now, WALL_MS)
    }

    fn contact(number: usize) -> Arc<Contact> {
        let (node, addresses) = (node_id(number), Vec::new());
        Arc::new(Contact { node, addresses })
    }

    fn interest(text: &str) -> RecordContent {
        let pattern = Pattern::new(text).unwrap();
        RecordContent::Interest(InterestContent::each(pattern))
    }

    fn store(kad: &mut Kad, owner: usize, sequence: u64) {
        let record = RoutingRecord {
            owner: node_id(owner),
            sequence,
            expires_ms: WALL_MS + 3_600_000,
            withdrawn: false,
            content: interest("a.b"),
        };
        let bytes = signed::record_bytes(&realm(), &record).unwrap();
        let signature = StubSigner::new(node_id(owner)).sign(&bytes);
        let store = KadStore {
            request: RequestId::new(1),
            records: vec![SignedRoutingRecord { record, signature }.into()],
        };
        let body = Checked::new(&realm(), store.into(), &StubVerifier::default());
        let from = contact(owner);
        kad.handle_input(Instant::ZERO, Input::Message { from, body });
    }

    /// Whether a record was told to hold, or to hold no more.
    fn told(kad: &mut Kad) -> Vec<bool> {
        let outputs = std::iter::from_fn(|| kad.poll_output());
        let changes = outputs.filter_map(|output| match output {
            Output::Changed { present, .. } => Some(present),
            Output::Send { .. } | Output::Found(_) | Output::Watching { .. } => None,
        });
        changes.collect()
    }

    #[test]
    fn what_an_earlier_run_wanted_does_not_count() {
        let mut kad = kad();
        let pattern = Pattern::new("a.b").unwrap();
        let at = key(&realm(), RecordKind::Interest, interest_name(&pattern));
        kad.watch(Instant::ZERO, at, RecordKind::Interest).unwrap();
        let node = node_id(1);
        let mut input = |input| kad.handle_input(Instant::ZERO, input);
        input(Input::Run { node, since: 100 });
        input(Input::Member(contact(1)));
        store(&mut kad, 1, 99);
        assert!(told(&mut kad).is_empty());
        store(&mut kad, 1, 100);
        assert_eq!(told(&mut kad), [true]);
        let run = |since| Input::Run { node, since };
        kad.handle_input(Instant::ZERO, run(200));
        assert_eq!(told(&mut kad), [false]);
        kad.handle_input(Instant::ZERO, Input::MemberGone(node));
        kad.handle_input(Instant::ZERO, run(200));
        kad.handle_input(Instant::ZERO, Input::Member(contact(1)));
        assert!(told(&mut kad).is_empty());
        // The same again, said by the present run.
        store(&mut kad, 1, 201);
        assert_eq!(told(&mut kad), [true]);
        kad.handle_input(Instant::ZERO, Input::MemberGone(node));
        assert_eq!(told(&mut kad), [false]);
    }

    #[test]
    fn changes_that_are_made_together_share_messages() {
        let mut kad = kad();
        kad.handle_input(Instant::ZERO, Input::Member(contact(1)));
        let publish = |number: u32| RecordChange::Publish(interest(&format!("a.{number}")));
        let sent = |kad: &mut Kad| {
            let outputs = std::iter::from_fn(|| kad.poll_output());
            outputs
                .filter(|output| matches!(output, Output::Send { .. }))
                .count()
        };
        assert_eq!(kad.change(Instant::ZERO, (0..100).map(publish)), 0);
        assert_eq!((sent(&mut kad), kad.own_records().count()), (2, 100));
        let id = record_id(&node_id(0), &interest("a.7"));
        let changes = [
            RecordChange::Withdraw(id),
            RecordChange::Withdraw(id),
            publish(100),
        ];
        assert_eq!(kad.change(Instant::ZERO, changes), 1);
        assert_eq!((sent(&mut kad), kad.own_records().count()), (1, 100));
    }

    #[test]
    fn records_are_numbered_from_the_run_on() {
        let mut kad = kad();
        kad.number_from(WALL_MS + 1_000);
        let id = kad.publish(Instant::ZERO, interest("a")).unwrap();
        let sequence = |kad: &Kad| kad.store.get(&id).unwrap().record.sequence;
        assert_eq!(sequence(&kad), WALL_MS + 1_000);
        kad.number_from(5);
        kad.publish(Instant::ZERO, interest("a")).unwrap();
        assert_eq!(sequence(&kad), WALL_MS + 1_001);
    }
}
