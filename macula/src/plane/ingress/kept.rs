//! Batches that their senders keep until they are settled here.

use std::sync::Arc;

use macula_pubsub::{Acceptance, Destination, Taken};
use macula_wire::message::{Deliver, Role};
use macula_wire::{Batch, DecodeError, Frame};

use super::{Announced, Ingress, Proof, one_hop_less};
use crate::event::GapCause;
use crate::plane::counters::add;
use crate::plane::gaps::Missing;
use crate::plane::reliable::{Arrival, Parcel};

impl Ingress {
    /// The next batch is kept by its sender. Members keep events; clients have theirs kept by their member.
    pub(super) fn on_deliver(&mut self, deliver: Deliver) -> Result<(), DecodeError> {
        if self.attached.link.role() == Role::Client && self.plane.uplink.is_none() {
            return Err(super::unexpected(macula_wire::message::Kind::Deliver));
        }
        self.deliver = Some(deliver);
        Ok(())
    }

    /// A batch under ids of its sender's. It never waits: what finds no room comes again.
    pub(super) fn on_kept(
        &self,
        deliver: Deliver,
        batch: Batch,
        frame: Frame,
    ) -> Result<(), DecodeError> {
        let plane = &self.plane;
        let count = u64::from(deliver.count);
        let key = (batch.publisher, batch.epoch, batch.alias);
        let Some(announced) = self.announced.get(&key).cloned() else {
            add(&plane.counters.dropped_unproven, count);
            let peer = self.attached.link.peer().node;
            let events = batch.entries.count();
            return judged(plane.refuse(peer, self.priority, &deliver, events), count);
        };
        let topic = &announced.origin.topic;
        let is_proven =
            announced.proof == Proof::Link || plane.prover.proves(batch.publisher, topic, &batch);
        if !is_proven {
            add(&plane.counters.dropped_unproven, count);
        }
        let may = self.may_publish(topic);
        if is_proven && !may {
            add(&plane.counters.denied, count);
        }
        let receivers = announced.route.resolve(plane, topic, self.source);
        let forwarded = one_hop_less(&frame);
        let is_here = |to: &Destination| match to {
            Destination::Local(_) => true,
            Destination::Session(_) => forwarded.is_some(),
            Destination::Member(_) => false,
        };
        let is_believed = is_proven && may;
        let mut owed = Vec::new();
        let mut group = None;
        match &deliver.group {
            Some(name) if is_believed && count == 1 => {
                let named = receivers.groups.iter().find(|group| *group.name == **name);
                group = named.cloned().and_then(|mut group| {
                    group.members.retain(is_here);
                    (!group.members.is_empty()).then_some(group)
                });
            }
            None if is_believed => {
                owed.extend(receivers.destinations.iter().copied().filter(is_here));
            }
            _ => {}
        }
        let (base, class) = (batch.base, self.priority);
        let frame = forwarded.unwrap_or_else(|| macula_transport::OutFrame::pieces(Vec::new()));
        let parcel = Parcel::new(
            Arc::clone(&announced.origin),
            Arc::clone(&announced.feed),
            batch,
            frame,
        );
        let follows = !owed.is_empty();
        let arrival = Arrival {
            peer: self.attached.link.peer().node,
            deliver,
            parcel,
            owed,
            group,
        };
        let taken = plane.arrive(arrival, || {
            if follows {
                self.follow(&announced, base, count);
            }
        });
        match taken {
            Taken::New => add(&plane.counters.events_received, count),
            Taken::Duplicate => add(&plane.counters.dropped_duplicate, count),
            Taken::Stale => add(&plane.counters.dropped_stale, count),
            Taken::Hole | Taken::NoRoom => {
                tracing::trace!(?class, ?taken, "kept events come again");
            }
            Taken::Violation(_) => {}
        }
        judged(taken, count)
    }

    /// Takes the place of a publisher in its topic along, and tells what is missing before it.
    fn follow(&self, announced: &Announced, base: macula_wire::Sequence, count: u64) {
        let plane = &self.plane;
        let origin = &announced.origin;
        let now = plane.clock.now();
        let (publisher, epoch, topic) = (origin.publisher, origin.epoch, &origin.topic);
        let accepted = plane
            .forwarder
            .accept(now, publisher, epoch, topic, base, count);
        // What was seen, and is of an earlier run, is judged by its ids.
        if let Acceptance::Accepted { gap, restarted, .. } = accepted {
            if restarted {
                plane.tell_gap(&Missing {
                    publisher,
                    epoch,
                    topic: topic.clone(),
                    from: base,
                    to: None,
                    cause: GapCause::PublisherLost,
                });
            }
            if let Some(missing) = gap {
                plane.tell_missing(origin, missing.from, missing.to);
            }
        }
    }
}

/// Whether the sender kept to the rules.
fn judged(taken: Taken, count: u64) -> Result<(), DecodeError> {
    if let Taken::Violation(offence) = taken {
        tracing::debug!(%offence, "kept events refused");
        return Err(DecodeError::Invalid {
            field: "ids of DELIVER",
            value: count,
        });
    }
    Ok(())
}
