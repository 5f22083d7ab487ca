//! Kept events on their way to those who are owed them.

use std::sync::{Arc, PoisonError};

use macula_pubsub::{Destination, LocalId};
use macula_wire::Instant;
use macula_wire::message::Priority;

use super::{Credit, Machines, parcel};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::links::Attached;
use crate::queue::EventRun;

impl Plane {
    /// Hands a subscription of this node what it has room for.
    pub(super) fn fill_queue(&self, machines: &mut Machines, id: LocalId, class: Priority) {
        let queue = {
            let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
            queues.get(&id).cloned()
        };
        let Some(queue) = queue else { return };
        while queue.has_kept_room() {
            let Some(transmit) = machines.replay.next(Destination::Local(id), class) else {
                return;
            };
            let count = transmit.count;
            let credit = Credit::new(
                Arc::clone(&self.reliable.inbox),
                id,
                (transmit.first, count),
                queue.ack_mode(),
                transmit.attempt,
            );
            let batch = transmit.payload.batch();
            let run = EventRun::new(
                Arc::clone(transmit.payload.origin()),
                batch.content.clone(),
                batch.base,
                &batch.entries,
                u64::from(transmit.offset),
            );
            queue.push_kept(run.kept(u64::from(count), credit));
            add(&self.counters.events_delivered, u64::from(count));
        }
    }

    /// Sends a member or a client what it is owed, as there is room on its link, until there is nothing or no link.
    pub(super) async fn pump(self: Arc<Self>, to: Destination, class: Priority) {
        loop {
            let attached = match to {
                Destination::Member(node) => self.links.member(&node),
                Destination::Session(session) => self.links.session(session),
                Destination::Local(_) => None,
            };
            let Some(attached) = attached else { return };
            attached.released().await;
            let is_done = self
                .reliably(|machines, now| self.fill_outbox(machines, now, to, class, &attached));
            if is_done {
                return;
            }
            let outbox = attached.egress(class).outbox(&attached.link);
            if outbox.room().await.is_err() {
                // With the next link all of it begins anew.
                return;
            }
        }
    }

    /// Whether nothing is left to be sent. Otherwise there is no room.
    fn fill_outbox(
        &self,
        machines: &mut Machines,
        now: Instant,
        to: Destination,
        class: Priority,
        attached: &Attached,
    ) -> bool {
        let egress = attached.egress(class);
        while egress.outbox(&attached.link).has_room() {
            let Some(transmit) = machines.replay.next(to, class) else {
                return true;
            };
            let run = machines.replay.run();
            let payload = &transmit.payload;
            let single = (transmit.count == 1).then(|| payload.single(transmit.offset, now));
            let payload = single.flatten().unwrap_or_else(|| payload.clone());
            let Some(deliver) = parcel::deliver(run, &transmit) else {
                debug_assert!(false, "the buffer puts out what DELIVER cannot tell");
                continue;
            };
            let base = payload.batch().base;
            let count = u64::from(transmit.count);
            let frames = [deliver, payload.frame(now)];
            // A link that ends takes nothing; with the next one it is sent again.
            if egress.send_kept(&attached.link, payload.feed(), base, count, frames) {
                add(&self.counters.kept_sent, count);
            }
        }
        false
    }
}
