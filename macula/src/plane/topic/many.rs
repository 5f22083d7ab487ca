//! Events that come to a topic together.

use std::sync::Arc;

use super::{BatchKey, MAX_BATCH_BYTES, NotTaken, OwnTopic, Placed, Promise};
use crate::Error;
use crate::plane::Plane;
use crate::publisher::EventBatch;

impl OwnTopic {
    /// Takes all of `events` into the next batch if there is room, and sees to it that the batch leaves. They are gone from
    /// `events` then, and what is promised is taken with them where they are kept. Their lengths were checked.
    pub(crate) fn try_take_all(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        events: &mut EventBatch,
        promise: &mut Option<Promise>,
    ) -> Result<Placed, NotTaken> {
        if promise.is_some() {
            self.keep_all();
        }
        let (placed, start) = {
            let mut waiting = self.lock();
            let has_room =
                waiting
                    .builder
                    .has_room_for(events.len(), events.encoded_len(), MAX_BATCH_BYTES);
            if !has_room || !waiting.admits(key, || plane.clock.now()) {
                self.full.notify_one();
                return Err(NotTaken::NoRoom);
            }
            let count = events.move_to(&mut waiting.builder);
            let promise = promise.take();
            let claim = promise.and_then(|promise| self.promise(plane, &mut waiting, promise));
            let sequence = waiting.next;
            waiting.next = sequence.plus(count);
            let placed = Placed { sequence, claim };
            (placed, !std::mem::replace(&mut waiting.sending, true))
        };
        if start {
            self.start_sending(plane);
        }
        Ok(placed)
    }

    /// Takes all of `events`, waiting for room. Cancel safe: dropped before it returns, none was taken.
    pub(crate) async fn take_all(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        events: &mut EventBatch,
        mut promise: Option<Promise>,
    ) -> Result<Placed, Error> {
        if promise.is_some() {
            self.after_others(plane).await;
        }
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.try_take_all(plane, key, events, &mut promise) {
                Ok(placed) => return Ok(placed),
                Err(NotTaken::Refused(error)) => return Err(error),
                Err(NotTaken::NoRoom) => room.await,
            }
        }
    }
}
