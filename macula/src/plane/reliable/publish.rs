//! Events of this node that are kept.

use std::sync::Arc;

use macula_pubsub::{Custody, Destination, GroupMatch, Offer, OfferError, ReceiptId};
use macula_wire::{DeliveryId, Instant};
use tokio::sync::oneshot;

use super::durable::Offered;
use super::{Machines, Parcel};
use crate::Error;
use crate::plane::Plane;
use crate::receipt::Slip;

/// Room in the buffer that was promised for events, until it is passed on or this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    plane: Arc<Plane>,
    events: usize,
    bytes: usize,
}

impl Reserved {
    /// The batch of the events answers for the promise from here on. How many events and bytes it was.
    pub(crate) const fn pass_on(&mut self) -> (usize, usize) {
        (std::mem::replace(&mut self.events, 0), self.bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.events > 0 {
            self.plane.reliable.lock().release(self.events, self.bytes);
            self.plane.reliable.freed.notify_waiters();
        }
    }
}

/// What comes with a batch that is to be kept.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Who is owed it.
    pub(crate) to: Vec<Destination>,
    /// The groups of which one is owed each event.
    pub(crate) groups: Vec<GroupMatch>,
    /// The room that was promised: events and bytes.
    pub(crate) reserved: (usize, usize),
    /// Where it is put down what becomes of its events, if somebody waits for that of any.
    pub(crate) receipts: Option<Slip>,
    /// Who waits until it is on disk; nobody where it need not be.
    pub(crate) stored: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Plane {
    /// Promises room for so many events, which take so many bytes; `None` if there is none for all of them.
    pub(crate) fn reserve(self: &Arc<Self>, events: usize, bytes: usize) -> Option<Reserved> {
        let is_there = self.reliable.lock().reserve(events, bytes);
        is_there.then(|| Reserved {
            plane: Arc::clone(self),
            events,
            bytes,
        })
    }

    /// Promises room for so many events, which take so many bytes, waiting for it. Cancel safe.
    pub(crate) async fn reserved(self: &Arc<Self>, events: usize, bytes: usize) -> Reserved {
        // Mostly there is room, and nobody has to be told of it.
        if let Some(reserved) = self.reserve(events, bytes) {
            return reserved;
        }
        loop {
            let freed = self.reliable.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(reserved) = self.reserve(events, bytes) {
                return reserved;
            }
            freed.await;
        }
    }

    /// Keeps a batch of this node for those who are owed it, waiting for room.
    pub(crate) async fn keep(self: &Arc<Self>, parcel: &Parcel, mut owed: Owed) {
        let stored = std::mem::take(&mut owed.stored);
        let reserved = self.reserve_ids(parcel, &owed).await;
        let offers = self.offered(parcel, owed).await;
        if stored.is_empty() {
            return;
        }
        let written = match reserved {
            Ok(()) => self.write_down(&offers).await,
            failed => failed,
        };
        for waiting in stored {
            // Whoever published may not wait any more.
            waiting.send(written.clone()).ok();
        }
    }

    /// Offers a batch, waiting for room. Returns what was offered.
    async fn offered(self: &Arc<Self>, parcel: &Parcel, mut owed: Owed) -> Vec<Offered> {
        loop {
            let freed = self.reliable.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let kept = self.reliably(|machines, now| {
                self.strike_ended(&mut owed.to);
                for group in &mut owed.groups {
                    self.strike_ended(&mut group.members);
                }
                owed.groups.retain(|group| !group.members.is_empty());
                machines.keep(now, parcel, &mut owed)
            });
            if let Some(offers) = kept {
                return offers;
            }
            freed.await;
        }
    }

    /// Waits until nothing of this node's is kept any more.
    pub(crate) async fn all_settled(&self) {
        loop {
            let freed = self.reliable.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.reliable.waiting().0 == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Machines {
    const fn release(&mut self, events: usize, bytes: usize) {
        self.reserved.0 = self.reserved.0.saturating_sub(events);
        self.reserved.1 = self.reserved.1.saturating_sub(bytes);
    }

    const fn reserve(&mut self, events: usize, bytes: usize) -> bool {
        let (used_events, used_bytes) = self.used();
        let fits = used_events.saturating_add(events) <= self.config.max_events
            && used_bytes.saturating_add(bytes) <= self.config.max_bytes;
        // What is published together fits whatever its size, so that none waits for ever.
        if fits || used_events == 0 {
            self.reserved.0 = self.reserved.0.saturating_add(events);
            self.reserved.1 = self.reserved.1.saturating_add(bytes);
            return true;
        }
        false
    }

    /// What was offered; `None` if there was no room and nothing has changed. What comes with the batch is taken with it.
    fn keep(&mut self, now: Instant, parcel: &Parcel, owed: &mut Owed) -> Option<Vec<Offered>> {
        let count = parcel.batch().entries.count();
        let bytes = parcel.batch().entries.encoded().len();
        let (used_events, used_bytes) = self.replay.used(Custody::Own);
        let times = owed.groups.len().saturating_add(1);
        let (all_events, all_bytes) = (count.saturating_mul(times), bytes.saturating_mul(times));
        let fits = used_events.saturating_add(all_events) <= self.config.max_events
            && used_bytes.saturating_add(all_bytes) <= self.config.max_bytes;
        if !fits && used_events > 0 {
            return None;
        }
        let Owed {
            to,
            groups,
            reserved,
            receipts,
            stored: _,
        } = std::mem::take(owed);
        let mut offers = Vec::new();
        self.release(reserved.0, reserved.1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let receipts = receipts.map(|slip| {
            let id = self.replay.begin_receipts(count);
            self.receipts.insert(id, (slip, count));
            id
        });
        let offer = Offer {
            payload: parcel.clone(),
            count,
            bytes,
            class: parcel.origin().priority,
            ttl: parcel.left(),
            custody: Custody::Own,
            owed: to.clone(),
            group: None,
            attempt: 0,
            upstream: None,
            receipts: receipts.map(|id| (id, 0)),
        };
        offers.extend(self.offer(now, offer).map(|id| Offered {
            id,
            parcel: parcel.clone(),
            to,
            group: None,
            chosen: None,
        }));
        for group in &groups {
            for at in 0..count {
                offers.extend(self.keep_shared(now, parcel, at, group, receipts));
            }
        }
        if let Some(id) = receipts {
            self.replay.close_receipts(id);
        }
        self.note_debts(now, parcel, &offers);
        Some(offers)
    }

    /// Keeps one event of a batch for one of a group.
    fn keep_shared(
        &mut self,
        now: Instant,
        parcel: &Parcel,
        at: u32,
        group: &GroupMatch,
        receipts: Option<ReceiptId>,
    ) -> Option<Offered> {
        let Some(single) = parcel.single(at) else {
            debug_assert!(false, "an event of the batch");
            return None;
        };
        let single = single.apart();
        let parcel = single.clone();
        let offer = Offer {
            count: 1,
            bytes: single.batch().entries.encoded().len(),
            class: single.origin().priority,
            ttl: single.left(),
            custody: Custody::Own,
            owed: Vec::new(),
            group: Some(single.offered_to(group)),
            attempt: 0,
            upstream: None,
            receipts: receipts.map(|id| (id, at)),
            payload: single,
        };
        let id = self.offer(now, offer)?;
        Some(Offered {
            id,
            parcel,
            to: Vec::new(),
            group: Some(group.clone()),
            chosen: self.replay.chosen(id),
        })
    }

    fn offer(&mut self, now: Instant, offer: Offer<Parcel>) -> Option<DeliveryId> {
        match self.replay.offer(now, offer) {
            Ok(id) => Some(id),
            Err(error) => {
                // Where there are groups a batch is offered several times, and the last of them find the buffer full.
                debug_assert!(matches!(error, OfferError::Full { .. }), "{error}");
                None
            }
        }
    }
}
