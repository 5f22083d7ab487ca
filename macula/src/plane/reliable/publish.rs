//! Events of this node that are kept.

use std::sync::Arc;

use macula_pubsub::{Custody, Destination, Offer, OfferError, ReceiptId};
use macula_wire::Instant;
use tokio::sync::oneshot;

use super::{Machines, Parcel};
use crate::plane::Plane;
use crate::receipt::Outcomes;

/// Room in the buffer that was promised for one event, until it is passed on or this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    plane: Arc<Plane>,
    events: usize,
    bytes: usize,
}

impl Reserved {
    /// The batch of the event answers for the promise from here on. How many bytes it was.
    pub(crate) const fn pass_on(&mut self) -> usize {
        self.events = 0;
        self.bytes
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
    /// The room that was promised: events and bytes.
    pub(crate) reserved: (usize, usize),
    /// The receipts of some of its events.
    pub(crate) receipts: Vec<Receipted>,
}

/// A receipt that is being made for one event of a batch.
#[derive(Debug)]
pub(crate) struct Receipted {
    /// The place of the event in its batch.
    pub(crate) at: u32,
    /// Who waits for it.
    pub(crate) waiting: oneshot::Sender<Outcomes>,
}

impl Plane {
    /// Promises room for an event of so many bytes; `None` if there is none.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let is_there = self.reliable.lock().reserve(bytes);
        is_there.then(|| Reserved {
            plane: Arc::clone(self),
            events: 1,
            bytes,
        })
    }

    /// Promises room for an event of so many bytes, waiting for it. Cancel safe.
    pub(crate) async fn reserved(self: &Arc<Self>, bytes: usize) -> Reserved {
        loop {
            let freed = self.reliable.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(reserved) = self.reserve(bytes) {
                return reserved;
            }
            freed.await;
        }
    }

    /// Keeps a batch of this node for those who are owed it, waiting for room.
    pub(crate) async fn keep(self: &Arc<Self>, parcel: &Parcel, mut owed: Owed) {
        loop {
            let freed = self.reliable.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.reliably(|machines, now| machines.keep(now, parcel, &mut owed)) {
                return;
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

    const fn reserve(&mut self, bytes: usize) -> bool {
        let (used_events, used_bytes) = self.used();
        let fits = used_events < self.config.max_events
            && used_bytes.saturating_add(bytes) <= self.config.max_bytes;
        // A single event fits whatever its size, so that none waits for ever.
        if fits || used_events == 0 {
            self.reserved.0 = self.reserved.0.saturating_add(1);
            self.reserved.1 = self.reserved.1.saturating_add(bytes);
            return true;
        }
        false
    }

    /// Whether there was room; otherwise nothing has changed. What comes with the batch is taken with it.
    fn keep(&mut self, now: Instant, parcel: &Parcel, owed: &mut Owed) -> bool {
        let count = parcel.batch().entries.count();
        let bytes = parcel.batch().entries.encoded().len();
        let (used_events, used_bytes) = self.replay.used(Custody::Own);
        let fits = used_events.saturating_add(count) <= self.config.max_events
            && used_bytes.saturating_add(bytes) <= self.config.max_bytes;
        if !fits && used_events > 0 {
            return false;
        }
        let Owed {
            to,
            reserved,
            receipts,
        } = std::mem::take(owed);
        self.release(reserved.0, reserved.1);
        let mut named: Vec<(u32, ReceiptId)> = Vec::new();
        for receipted in receipts {
            let id = self.replay.receipt();
            self.receipts.insert(id, receipted.waiting);
            named.push((receipted.at, id));
        }
        let offer = Offer {
            payload: parcel.clone(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            bytes,
            class: parcel.origin().priority,
            ttl: parcel.ttl(),
            custody: Custody::Own,
            owed: to,
            group: None,
            attempt: 0,
            upstream: None,
            receipts: named.clone(),
        };
        match self.replay.offer(now, offer) {
            Ok(_) => {}
            Err(OfferError::Full { .. }) => debug_assert!(false, "there was room for it"),
            Err(error) => debug_assert!(false, "{error}"),
        }
        for (_, id) in named {
            self.replay.close_receipt(id);
        }
        true
    }
}
