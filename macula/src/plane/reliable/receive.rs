//! Kept events that come from other nodes.

use std::sync::{Arc, PoisonError};

use macula_pubsub::{
    Custody, Destination, GroupMatch, Intake, IntakeInput, Offer, Outcome, Share, Taken, Upstream,
};
use macula_wire::message::{Debts, Deliver, Priority};
use macula_wire::{DeliveryId, Instant, Machine, NodeId};

use super::{Machines, Parcel};
use crate::plane::Plane;

/// Who sent a batch that is kept, and to whom it goes on.
pub(crate) struct Arrival {
    pub(crate) peer: NodeId,
    pub(crate) deliver: Deliver,
    pub(crate) parcel: Parcel,
    /// Subscriptions and clients of this node; nobody where the batch is not to be believed.
    pub(crate) owed: Vec<Destination>,
    /// The group here that it is for, in the place of them.
    pub(crate) group: Option<GroupMatch>,
    /// Who else is owed it, where this node keeps it for its publisher, and how many come before it in that.
    pub(crate) bequest: Option<(Debts, u32)>,
}

/// What of a batch is new by the sequence of its publisher, whoever sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fresh {
    /// All but so many events at its beginning.
    Behind(u64),
    /// Nothing: subscribers here have it.
    Nothing,
    /// Nothing: later events of its publisher have come on the topic, behind which it would be out of order.
    TooLate,
}

impl Plane {
    /// Takes in a batch that is kept by its sender, and keeps it in turn for subscribers and clients. Before that,
    /// `is_new` is asked what of it is new, if it is to be handed on.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        mut arrival: Arrival,
        is_new: impl FnOnce() -> Fresh,
    ) -> Taken {
        self.reliably(|machines, now| {
            self.strike_ended(&mut arrival.owed);
            if let Some(group) = &mut arrival.group {
                self.strike_ended(&mut group.members);
            }
            arrival.group = arrival.group.filter(|group| !group.members.is_empty());
            machines.take(now, self.node(), arrival, is_new)
        })
    }
}

impl Plane {
    /// Takes out the subscriptions and clients of this node that have ended. Whoever ends is taken off the lists of the plane
    /// first, and told to the machines then: so, with the machines locked, one that is on the lists is not forgotten.
    pub(super) fn strike_ended(&self, destinations: &mut Vec<Destination>) {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        destinations.retain(|to| match to {
            Destination::Local(id) => queues.contains_key(id),
            Destination::Session(session) => self.links.session(*session).is_some(),
            Destination::Member(_) => true,
        });
    }

    /// Takes a batch off its sender without handing it to anybody.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        peer: NodeId,
        class: Priority,
        deliver: &Deliver,
        count: usize,
    ) -> Taken {
        self.reliably(|machines, now| {
            let taken = machines.intake.take(now, peer, class, deliver, count, true);
            if taken == Taken::New {
                let first = deliver.first;
                let more = u64::from(deliver.count).saturating_sub(1);
                let settled = IntakeInput::Settled {
                    peer,
                    class,
                    run: deliver.run,
                    first,
                    last: DeliveryId::new(first.get().saturating_add(more)),
                    outcome: Outcome::Gone,
                };
                machines.intake.handle_input(now, settled);
            }
            taken
        })
    }
}

impl Machines {
    fn take(
        &mut self,
        now: Instant,
        own: NodeId,
        arrival: Arrival,
        is_new: impl FnOnce() -> Fresh,
    ) -> Taken {
        let Arrival {
            peer,
            deliver,
            parcel,
            owed,
            group,
            bequest,
        } = arrival;
        let class = parcel.origin().priority;
        let count = parcel.batch().entries.count();
        let has_room = self.replay.has_room(Custody::Transit);
        let taken = Intake::take(
            &mut self.intake,
            now,
            peer,
            class,
            &deliver,
            count,
            has_room,
        );
        match taken {
            Taken::New => {}
            Taken::NoRoom => {
                self.is_stalled = true;
                return taken;
            }
            Taken::Duplicate | Taken::Hole | Taken::Stale | Taken::Violation(_) => return taken,
        }
        if let Some(bequest) = bequest {
            self.bequeath(now, &parcel, &deliver, own, bequest);
        }
        let upstream = Upstream {
            peer,
            class,
            run: deliver.run,
            first: deliver.first,
        };
        let more = u64::from(deliver.count).saturating_sub(1);
        let last = DeliveryId::new(deliver.first.get().saturating_add(more));
        if let Some(group) = group {
            match self.shares.take(parcel.share_of(&group.name), upstream) {
                Share::New => self.pass_on(
                    now,
                    parcel,
                    deliver.attempt,
                    upstream,
                    Vec::new(),
                    Some(&group),
                ),
                Share::Held => {}
                Share::Settled(outcome) => self.end(now, &upstream, last, outcome),
            }
            return taken;
        }
        match is_new() {
            Fresh::Nothing => self.end(now, &upstream, last, Outcome::Acked),
            Fresh::TooLate => self.end(now, &upstream, last, Outcome::Gone),
            Fresh::Behind(0) => self.pass_on(now, parcel, deliver.attempt, upstream, owed, None),
            Fresh::Behind(skip) => {
                self.take_rest(now, &parcel, deliver.attempt, (upstream, last), owed, skip);
            }
        }
        taken
    }

    /// Takes a batch whose first `skip` events subscribers have.
    fn take_rest(
        &mut self,
        now: Instant,
        parcel: &Parcel,
        attempt: u32,
        (mut upstream, last): (Upstream, DeliveryId),
        owed: Vec<Destination>,
        skip: u64,
    ) {
        let rest = usize::try_from(skip)
            .ok()
            .and_then(|skip| parcel.behind_first(skip));
        let Some(rest) = rest else {
            debug_assert!(false, "less than all of the batch");
            return self.end(now, &upstream, last, Outcome::Gone);
        };
        rest.goes_behind(parcel.behind().to_vec());
        let from = upstream.first.get().saturating_add(skip);
        let known = DeliveryId::new(from.saturating_sub(1));
        self.end(now, &upstream, known, Outcome::Acked);
        upstream.first = DeliveryId::new(from);
        self.pass_on(now, rest, attempt, upstream, owed, None);
    }

    fn pass_on(
        &mut self,
        now: Instant,
        parcel: Parcel,
        attempt: u32,
        upstream: Upstream,
        owed: Vec<Destination>,
        group: Option<&GroupMatch>,
    ) {
        let count = parcel.batch().entries.count();
        let offer = Offer {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            bytes: parcel.batch().entries.encoded().len(),
            class: parcel.origin().priority,
            ttl: parcel.left(),
            custody: Custody::Transit,
            owed,
            group: group.map(|group| parcel.offered_to(group)),
            attempt,
            upstream: Some(upstream),
            receipts: None,
            payload: parcel,
        };
        if let Err(error) = self.replay.offer(now, offer) {
            debug_assert!(false, "there was room for it: {error}");
        }
    }

    /// What came from `upstream.first` up to `last` is settled here.
    fn end(&mut self, now: Instant, upstream: &Upstream, last: DeliveryId, outcome: Outcome) {
        let settled = IntakeInput::Settled {
            peer: upstream.peer,
            class: upstream.class,
            run: upstream.run,
            first: upstream.first,
            last,
            outcome,
        };
        self.intake.handle_input(now, settled);
    }

    /// The same for whoever else sent it. Under which ids this node itself waits for it in the place of its publisher.
    pub(super) fn settled(
        &mut self,
        own: NodeId,
        now: Instant,
        upstream: &Upstream,
        last: DeliveryId,
        outcome: Outcome,
    ) -> Vec<DeliveryId> {
        self.end(now, upstream, last, outcome);
        let mut here = Vec::new();
        for also in self.shares.settled(now, upstream, outcome) {
            if also.peer == own {
                here.push(also.first);
            } else {
                self.end(now, &also, also.first, outcome);
            }
        }
        here
    }
}
