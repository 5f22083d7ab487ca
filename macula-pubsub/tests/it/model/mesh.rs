//! What carries announcements and events between the nodes, and notes deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use macula_pubsub::{
    Acceptance, Audience, Destination, Forwarder, ForwarderConfig, Input, Output, PubSub, Source,
    Table,
};
use macula_testkit::{Class, Context, Host, LinkChange};
use macula_wire::message::Event;
use macula_wire::{Body, ContentType, Epoch, Instant, Machine, NodeId, Sequence, Topic};

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
#[derive(Debug, Default)]
pub(super) struct Mesh {
    pub(super) members: BTreeMap<NodeId, BTreeSet<NodeId>>,
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
            headers: Vec::new(),
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
            Output::Announce { to, interest } => {
                let all = self.members.entry(context.id()).or_default();
                let to: Vec<NodeId> = match to {
                    Audience::AllMembers => all.iter().copied().collect(),
                    Audience::Member(member) => vec![member],
                };
                for member in to {
                    self.announcements += 1;
                    context.send(member, Class::Reliable, interest.clone());
                }
            }
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
            Body::Interest(message) => {
                machine.handle_input(context.now(), Input::Interest { from, message });
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
        let input = match change {
            LinkChange::Up => {
                members.insert(node);
                Input::MemberUp { node }
            }
            LinkChange::Down => {
                members.remove(&node);
                Input::MemberDown { node }
            }
        };
        machine.handle_input(context.now(), input);
    }
}
