//! Batches that their senders keep until they are settled here.

use std::sync::Arc;

use macula_pubsub::{Acceptance, Destination, GroupMatch, Taken};
use macula_wire::message::{Debts, Deliver, Role};
use macula_wire::{Batch, DecodeError, Frame, NodeId, Topic};

use super::{Announced, Ingress, Proof, one_hop_less};
use crate::event::GapCause;
use crate::plane::counters::add;
use crate::plane::gaps::Missing;
use crate::plane::reliable::{Arrival, Fresh, Parcel};
use crate::plane::route::Receivers;

impl Ingress {
    /// The next batch is kept by its sender. Members keep events; clients have theirs kept by their member.
    pub(super) fn on_deliver(&mut self, deliver: Deliver) -> Result<(), DecodeError> {
        if self.attached.link.role() == Role::Client && self.plane.uplink.is_none() {
            return Err(super::unexpected(macula_wire::message::Kind::Deliver));
        }
        self.deliver = Some(deliver);
        Ok(())
    }

    /// Others are owed what comes next as well.
    pub(super) fn on_debts(&mut self, debts: Debts) -> Result<(), DecodeError> {
        if self.attached.link.role() == Role::Client || self.plane.uplink.is_some() {
            return Err(super::unexpected(macula_wire::message::Kind::Debts));
        }
        self.debts = Some(debts);
        Ok(())
    }

    /// What this node keeps a batch for, where its publisher itself sent it and this node was told to keep the topic.
    fn bequest(
        &self,
        topic: &Topic,
        publisher: NodeId,
        debts: Option<Debts>,
    ) -> Option<(Debts, u32)> {
        let debts = debts.filter(|_| publisher == self.attached.link.peer().node)?;
        if !self.plane.archive.keeps(topic) {
            return None;
        }
        let rank = self.plane.rank_after(&publisher, &debts.stores)?;
        Some((debts, rank))
    }

    /// A batch under ids of its sender's. It never waits: what finds no room comes again.
    pub(super) fn on_kept(
        &self,
        deliver: Deliver,
        debts: Option<Debts>,
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
        let is_from_store = self.is_from_store();
        let is_proven = announced.proof == Proof::Link
            || is_from_store
            || plane.prover.proves(batch.publisher, topic, &batch);
        if !is_proven {
            add(&plane.counters.dropped_unproven, count);
        }
        let may = self.may_publish(topic);
        if is_proven && !may {
            add(&plane.counters.denied, count);
        }
        let receivers = announced.route.resolve(plane, topic, self.source);
        let forwarded = one_hop_less(&frame);
        let is_believed = is_proven && may;
        let (owed, group) = if is_believed {
            destined(&deliver, &receivers, forwarded.is_some())
        } else {
            (Vec::new(), None)
        };
        let bequest = if is_believed {
            self.bequest(topic, batch.publisher, debts)
        } else {
            None
        };
        let (base, class) = (batch.base, self.priority);
        let frame = forwarded.unwrap_or_else(|| macula_transport::OutFrame::pieces(Vec::new()));
        let parcel = Parcel::new(
            Arc::clone(&announced.origin),
            Arc::clone(&announced.feed),
            batch,
            frame,
        );
        let follows = !owed.is_empty();
        let kept = parcel.clone();
        let arrival = Arrival {
            peer: self.attached.link.peer().node,
            deliver,
            parcel,
            owed,
            group,
            bequest,
        };
        let taken = plane.arrive(arrival, || {
            if !follows {
                return Fresh::Behind(0);
            }
            let (fresh, missing) = self.follow(&announced, base, count);
            kept.goes_behind(missing);
            fresh
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

    /// Takes the place of a publisher in its topic along. What of the batch is new, and what is missing before it.
    fn follow(
        &self,
        announced: &Announced,
        base: macula_wire::Sequence,
        count: u64,
    ) -> (Fresh, Vec<Missing>) {
        let plane = &self.plane;
        let origin = &announced.origin;
        let now = plane.clock.now();
        let (publisher, epoch, topic) = (origin.publisher, origin.epoch, &origin.topic);
        let accepted = plane
            .forwarder
            .accept_kept(now, publisher, epoch, topic, base, count);
        let missing = |from, to, cause| Missing {
            publisher,
            epoch,
            topic: topic.clone(),
            from,
            to,
            cause,
        };
        let mut found = Vec::new();
        let fresh = match accepted {
            Acceptance::Accepted {
                skip,
                gap,
                restarted,
            } => {
                if restarted {
                    found.push(missing(base, None, GapCause::PublisherLost));
                }
                if let Some(gap) = gap {
                    add(&plane.counters.missing, gap.to.since(gap.from));
                    found.push(missing(gap.from, Some(gap.to), GapCause::Dropped));
                }
                Fresh::Behind(skip)
            }
            // Somebody else has brought it: the publisher, or whoever took over from it.
            Acceptance::Duplicate => Fresh::Nothing,
            // The publisher itself knows in which order it sends what it owed before.
            Acceptance::Stale if self.attached.link.peer().node == publisher => Fresh::Behind(0),
            Acceptance::Stale => Fresh::TooLate,
        };
        (fresh, found)
    }
}

/// Who on this node is to get what comes behind a DELIVER, or the group here of which one is.
fn destined(
    deliver: &Deliver,
    receivers: &Receivers,
    may_go_on: bool,
) -> (Vec<Destination>, Option<GroupMatch>) {
    let is_here = |to: &Destination| match to {
        Destination::Local(_) => true,
        Destination::Session(_) => may_go_on,
        Destination::Member(_) => false,
    };
    let Some(name) = &deliver.group else {
        let here = receivers.destinations.iter().copied().filter(is_here);
        return (here.collect(), None);
    };
    let named = receivers.groups.iter().find(|group| *group.name == **name);
    let named = named.filter(|_| deliver.count == 1).cloned();
    let group = named.and_then(|mut group| {
        group.members.retain(is_here);
        (!group.members.is_empty()).then_some(group)
    });
    (Vec::new(), group)
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
