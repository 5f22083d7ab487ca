//! Kept events on their way to those who are owed them.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use macula_pubsub::{Destination, LocalId, Outcome, ReplayInput, Transmit};
use macula_wire::message::Priority;
use macula_wire::{DeliveryId, Envelope};

use super::{Credit, Machines, Parcel, parcel};
use crate::event::{Event, Gap};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::egress::Announced;
use crate::plane::links::Attached;
use crate::queue::{EventRun, Queue};

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
            if transmit.offset == 0 && transmit.attempt == 0 {
                tell_behind(&queue, &transmit.payload);
            }
            if transmit.payload.batch().enveloped {
                self.hand_one_by_one(&queue, id, &transmit);
            } else {
                let batch = transmit.payload.batch();
                let run = EventRun::new(
                    Arc::clone(transmit.payload.origin()),
                    batch.content.clone(),
                    batch.base,
                    &batch.entries,
                    u64::from(transmit.offset),
                    transmit.payload.expires(),
                );
                let all = (transmit.first, transmit.count);
                let credit = self.credit(&queue, id, all, &transmit);
                queue.push_kept(run, credit);
                add(&self.counters.events_delivered, u64::from(transmit.count));
            }
        }
    }

    fn credit(
        &self,
        queue: &Queue,
        id: LocalId,
        range: (DeliveryId, u32),
        transmit: &Transmit<Parcel>,
    ) -> Credit {
        let inbox = Arc::clone(&self.reliable.inbox);
        let expires = transmit.payload.expires();
        Credit::new(
            inbox,
            id,
            range,
            expires,
            queue.ack_mode(),
            transmit.attempt,
        )
    }

    /// Hands on events with envelopes, as far as they are for applications of this node.
    fn hand_one_by_one(&self, queue: &Queue, id: LocalId, transmit: &Transmit<Parcel>) {
        let (payload, batch) = (&transmit.payload, transmit.payload.batch());
        let is_shared = transmit.group.is_some();
        let unwanted = payload.unwanted(|| self.unwanted(payload, is_shared));
        let skip = usize::try_from(transmit.offset).unwrap_or(usize::MAX);
        let count = usize::try_from(transmit.count).unwrap_or(usize::MAX);
        for (at, entry) in batch.entries.iter().enumerate().skip(skip).take(count) {
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            let place = at.saturating_sub(u64::from(transmit.offset));
            let event_id = DeliveryId::new(transmit.first.get().saturating_add(place));
            let is_wanted = u32::try_from(at).is_ok_and(|at| !unwanted.contains(&at));
            // That every entry begins with an envelope was found when the batch was read.
            let (true, Ok((envelope, content))) = (is_wanted, Envelope::split(&entry)) else {
                // Nobody here is concerned.
                self.reliable.inbox.say(ReplayInput::Settled {
                    to: Destination::Local(id),
                    first: event_id,
                    last: event_id,
                    outcome: Outcome::Acked,
                });
                continue;
            };
            let event = Event {
                origin: Arc::clone(payload.origin()),
                sequence: batch.base.plus(at),
                content: batch.content.clone(),
                payload: content,
                envelope: Some(Arc::new(envelope)),
                expires: payload.expires(),
                token: None,
            };
            let credit = self.credit(queue, id, (event_id, 1), transmit);
            queue.push_kept_event(event, credit);
            add(&self.counters.events_delivered, 1);
        }
    }

    /// Which events of a batch are not for applications of this node: those for others, and those whose publisher has
    /// published another one under their id, unless one of a group gets them.
    fn unwanted(&self, payload: &Parcel, is_shared: bool) -> BTreeSet<u32> {
        let mut unwanted = BTreeSet::new();
        let origin = payload.origin();
        for (at, entry) in (0_u32..).zip(&payload.batch().entries) {
            let Ok((envelope, _)) = Envelope::split(&entry) else {
                continue;
            };
            if !self.is_for_us(origin, &envelope) {
                add(&self.counters.not_addressed, 1);
                unwanted.insert(at);
            } else if !is_shared && self.is_repeated(origin, &envelope) {
                add(&self.counters.dropped_repeated, 1);
                unwanted.insert(at);
            }
        }
        unwanted
    }

    /// Sends a member or a client what it is owed, as there is room on its link, until there is nothing or no link.
    pub(super) fn send_owed(self: &Arc<Self>, to: Destination, class: Priority) {
        // Mostly there is room for all of it, and to hand that to a task would cost as much as the rest.
        let is_done = self.attached_to(to).is_none_or(|attached| {
            let fill = || self.reliably(|own, _| self.fill_outbox(own, to, class, &attached));
            !attached.is_held() && fill()
        });
        if !is_done {
            let pump = Arc::clone(self).pump(to, class);
            self.tasks.spawn("kept events", pump);
        }
    }

    fn attached_to(&self, to: Destination) -> Option<Arc<Attached>> {
        match to {
            Destination::Member(node) => self.links.member(&node),
            Destination::Session(session) => self.links.session(session),
            Destination::Local(_) => None,
        }
    }

    async fn pump(self: Arc<Self>, to: Destination, class: Priority) {
        while let Some(attached) = self.attached_to(to) {
            attached.released().await;
            let is_done =
                self.reliably(|machines, _| self.fill_outbox(machines, to, class, &attached));
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
            let is_whole = transmit.offset == 0 && !is_again(&transmit);
            let debts = match to {
                Destination::Member(node) if machines.told.is_store(&node) && is_whole => {
                    payload.debts().cloned()
                }
                _ => None,
            };
            let single = (transmit.count == 1).then(|| payload.single(transmit.offset));
            let payload = single.flatten().unwrap_or_else(|| payload.clone());
            let Some(deliver) = parcel::deliver(run, &transmit) else {
                debug_assert!(false, "the buffer puts out what DELIVER cannot tell");
                continue;
            };
            let base = payload.batch().base;
            let count = u64::from(transmit.count);
            let frames = debts.into_iter().chain([deliver, payload.frame()]);
            let feed = payload.feed();
            // What is of an earlier run, or of somebody else, receivers may have forgotten the name of.
            let is_inherited =
                feed.publisher != self.node() && matches!(to, Destination::Member(_));
            let is_former = feed.publisher == self.node() && feed.epoch != self.epoch;
            let announced = if is_former || is_inherited {
                Announced::Anew
            } else {
                Announced::Once
            };
            // A link that ends takes nothing; with the next one it is sent again.
            if egress.send_kept(&attached.link, feed, base, count, frames, announced) {
                add(&self.counters.kept_sent, count);
            }
        }
        false
    }
}

/// Whether it is a part of what was sent before.
fn is_again(transmit: &Transmit<Parcel>) -> bool {
    usize::try_from(transmit.count) != Ok(transmit.payload.batch().entries.count())
}

/// Tells a subscription what is missing before events that it is about to be handed.
fn tell_behind(queue: &Queue, payload: &Parcel) {
    for missing in payload.behind() {
        let origin = Arc::clone(payload.origin());
        queue.push_gap(Gap::range(origin, missing.from, missing.to, missing.cause));
    }
}
