//! Kept events that come from other nodes.

use std::sync::Arc;

use macula_pubsub::{Custody, Destination, Intake, Offer, Taken, Upstream};
use macula_wire::message::Deliver;
use macula_wire::{Instant, NodeId};

use super::{Machines, Parcel};
use crate::plane::Plane;

/// Who sent a batch that is kept, and to whom it goes on.
pub(crate) struct Arrival {
    pub(crate) peer: NodeId,
    pub(crate) deliver: Deliver,
    pub(crate) parcel: Parcel,
    /// Subscriptions and clients of this node; nobody where the batch is not to be believed.
    pub(crate) owed: Vec<Destination>,
}

impl Plane {
    /// Takes in a batch that is kept by its sender, and keeps it in turn for subscribers and clients. Before that,
    /// `is_new` is called if it is to be handed on.
    pub(crate) fn arrive(self: &Arc<Self>, arrival: Arrival, is_new: impl FnOnce()) -> Taken {
        self.reliably(|machines, now| machines.take(now, arrival, is_new))
    }
}

impl Machines {
    fn take(&mut self, now: Instant, arrival: Arrival, is_new: impl FnOnce()) -> Taken {
        let Arrival {
            peer,
            deliver,
            parcel,
            owed,
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
        let offer = Offer {
            count: deliver.count,
            bytes: parcel.batch().entries.encoded().len(),
            payload: parcel,
            class,
            ttl,
            custody: Custody::Transit,
            owed,
            group: None,
            attempt: deliver.attempt,
            upstream: Some(upstream),
            receipts: Vec::new(),
        };
        if let Err(error) = self.replay.offer(now, offer) {
            debug_assert!(false, "there was room for it: {error}");
        }
        taken
    }
}
