//! Kept events that come from other nodes.

use std::sync::{Arc, PoisonError};

use macula_pubsub::{
    Custody, Destination, GroupMatch, Intake, IntakeInput, Offer, Outcome, Taken, Upstream,
};
use macula_wire::message::{Deliver, Priority};
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
}

impl Plane {
    /// Takes in a batch that is kept by its sender, and keeps it in turn for subscribers and clients. Before that,
    /// `is_new` is called if it is to be handed on.
    pub(crate) fn arrive(self: &Arc<Self>, mut arrival: Arrival, is_new: impl FnOnce()) -> Taken {
        self.reliably(|machines, now| {
            self.strike_ended(&mut arrival.owed);
            if let Some(group) = &mut arrival.group {
                self.strike_ended(&mut group.members);
            }
            arrival.group = arrival.group.filter(|group| !group.members.is_empty());
            machines.take(now, arrival, is_new)
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
    fn take(&mut self, now: Instant, arrival: Arrival, is_new: impl FnOnce()) -> Taken {
        let Arrival {
            peer,
            deliver,
            parcel,
            owed,
            group,
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
        is_new();
        let upstream = Upstream {
            peer,
            class,
            run: deliver.run,
            first: deliver.first,
        };
        let ttl = parcel.ttl();
        let group = group.map(|group| parcel.offered_to(&group));
        let offer = Offer {
            count: deliver.count,
            bytes: parcel.batch().entries.encoded().len(),
            payload: parcel,
            class,
            ttl,
            custody: Custody::Transit,
            owed,
            group,
            attempt: deliver.attempt,
            upstream: Some(upstream),
            receipts: None,
        };
        if let Err(error) = self.replay.offer(now, offer) {
            debug_assert!(false, "there was room for it: {error}");
        }
        taken
    }
}
