//! What carries announcements and events between the nodes, and notes deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use macula_pubsub::{
    Acceptance, Destination, Forwarder, ForwarderConfig, Input, Output, PubSub, Source, Table,
};
use macula_testkit::{Class, Context, Host, LinkChange};
use macula_wire::message::{
    Event, InterestContent, KadStore, RecordContent, RoutingRecord, SignedRoutingRecord,
};
use macula_wire::{
    Body, ContentType, Epoch, Instant, Machine, NodeId, Pattern, RequestId, Sequence, Signature,
    Topic,
};

/// The data plane of one node.
#[derive(Debug)]
struct Plane {
    table: Arc<Table>,
    forwarder: Forwarder,
    next: BTreeMap<Topic, u64>,
    epoch: Epoch,
}

/// An event, as everybody can tell it apart.
pub(super) type Id = (NodeId, Epoch, Topic, u64);

/// Carries announcements and events between the nodes, and notes deliveries.
///
/// In place of the routing of a realm it tells every member what each other one announces: all of it over a new link, and
/// each change after that.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    members: BTreeMap<NodeId, BTreeSet<NodeId>>,
    announced: BTreeMap<NodeId, BTreeSet<Pattern>>,
    planes: BTreeMap<NodeId, Plane>,
    pub(super) deliveries: Vec<(Id, NodeId, Destination)>,
    /// How many events were missing by the sequences.
    pub(super) gaps: u64,
    pub(super) announcements: u64,
}

impl Mesh {
    pub(super) fn start(&mut self, node: NodeId, epoch: u64) {
        let plane = Plane {
            table: Arc::default(),
            forwarder: Forwarder::new(&ForwarderConfig::default()),
            next: BTreeMap::new(),
            epoch: Epoch::new(epoch),
        };
        self.planes.insert(node, plane);
    }

    /// A node begins anew.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.members.remove(node);
        self.announced.remove(node);
    }

    fn tell(&mut self, context: &mut Context<'_>, to: NodeId, pattern: &Pattern, withdrawn: bool) {
        self.announcements += 1;
        let record = RoutingRecord {
            owner: context.id(),
            sequence: 0,
            expires_ms: u64::MAX,
            withdrawn,
            content: RecordContent::Interest(InterestContent::each(pattern.clone())),
        };
        let signature = Signature::from_bytes([0; 64]);
        let store = KadStore {
            request: RequestId::new(0),
            records: vec![SignedRoutingRecord { record, signature }.into()],
        };
        context.send(to, Class::Reliable, store);
    }

    fn tell_all(&mut self, context: &mut Context<'_>, pattern: &Pattern, withdrawn: bool) {
        let members = self.members.entry(context.id()).or_default().clone();
        for member in members {
            self.tell(context, member, pattern, withdrawn);
        }
    }

    /// Publishes at `node`: delivers here, and says to whom it goes over links.
    pub(super) fn publish(&mut self, node: NodeId, topic: &Topic) -> (Event, Vec<NodeId>) {
        let plane = self.planes.get_mut(&node).unwrap();
        let next = plane.next.entry(topic.clone()).or_insert(0);
        let sequence = *next;
        *next += 1;
        let mut owed = Vec::new();
        Forwarder::route(&plane.table, topic, Source::Own, &mut owed);
        let event = Event {
            hops: 8,
            publisher: node,
            epoch: plane.epoch,
            topic: topic.clone(),
            sequence: Sequence::new(sequence),
            ttl_ms: None,
            content: ContentType::Bytes,
            envelope: None,
            signature: None,
            payload: Bytes::new(),
        };
        let mut remote = Vec::new();
        for to in owed {
            match to {
                Destination::Member(member) => remote.push(member),
                Destination::Local(_) | Destination::Session(_) => {
                    self.deliveries.push((id(&event), node, to));
                }
            }
        }
        (event, remote)
    }

    fn on_event(&mut self, now: Instant, node: NodeId, from: NodeId, event: &Event) {
        let plane = self.planes.get_mut(&node).unwrap();
        let mut owed = Vec::new();
        Forwarder::route(&plane.table, &event.topic, Source::Member(from), &mut owed);
        if owed.is_empty() {
            return;
        }
        let answer = plane.forwarder.accept(
            now,
            event.publisher,
            event.epoch,
            &event.topic,
            event.sequence,
            1,
        );
        if let Acceptance::Accepted { gap, .. } = answer {
            self.gaps += gap.map_or(0, |gap| gap.count());
            for to in owed {
                self.deliveries.push((id(event), node, to));
            }
        }
    }
}

pub(super) fn id(event: &Event) -> Id {
    let sequence = event.sequence.get();
    (event.publisher, event.epoch, event.topic.clone(), sequence)
}

impl Host for Mesh {
    type Machine = PubSub;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut PubSub, output: Output) {
        match output {
            Output::Announce { pattern } => {
                let announced = self.announced.entry(context.id()).or_default();
                assert!(announced.insert(pattern.clone()), "announced twice");
                self.tell_all(context, &pattern, false);
            }
            Output::Withdraw { pattern } => {
                let announced = self.announced.entry(context.id()).or_default();
                assert!(announced.remove(&pattern), "was not announced");
                self.tell_all(context, &pattern, true);
            }
            Output::Watch { .. } => {}
            Output::Table(table) => {
                let plane = self.planes.get_mut(&context.id()).unwrap();
                plane.forwarder.retain(&table);
                plane.table = table;
            }
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut PubSub,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        match body {
            Body::KadStore(store) => {
                for signed in store.records {
                    let RecordContent::Interest(interest) = &signed.record.content else {
                        return context.fail("unexpected record");
                    };
                    let (node, pattern) = (from, interest.pattern.clone());
                    let input = if signed.record.withdrawn {
                        Input::Unwanted { node, pattern }
                    } else {
                        Input::Wanted { node, pattern }
                    };
                    machine.handle_input(context.now(), input);
                }
            }
            Body::Event(event) => self.on_event(context.now(), context.id(), from, &event),
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut PubSub,
        node: NodeId,
        change: LinkChange,
    ) {
        let members = self.members.entry(context.id()).or_default();
        match change {
            LinkChange::Up => {
                members.insert(node);
                // What was said over an earlier link may be lost.
                machine.handle_input(context.now(), Input::MemberDown { node });
                let announced = self.announced.entry(context.id()).or_default().clone();
                for pattern in &announced {
                    self.tell(context, node, pattern, false);
                }
            }
            LinkChange::Down => {
                members.remove(&node);
                machine.handle_input(context.now(), Input::MemberDown { node });
            }
        }
    }
}
