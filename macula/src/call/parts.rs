//! Parts of a call on their way between a function and the stream of its call.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::Reply;

/// How many bytes of parts wait. One part always has room.
const ROOM: u32 = 64 << 10;
/// How many parts wait.
const MAX_PARTS: u32 = 64;
/// What a part counts for at least, so that as many have room.
const LEAST: u32 = ROOM / MAX_PARTS;

/// How much of the room a part takes.
fn weight(part: &Reply) -> u32 {
    u32::try_from(part.payload.len()).map_or(ROOM, |length| length.clamp(LEAST, ROOM))
}

/// A queue of parts, and its other end.
pub(crate) fn queue() -> (Giver, Taker) {
    let (give, take) = mpsc::channel(usize::try_from(MAX_PARTS).unwrap_or(usize::MAX));
    let room = Arc::new(Semaphore::new(usize::try_from(ROOM).unwrap_or(usize::MAX)));
    let giver = Giver {
        give,
        room: Arc::clone(&room),
    };
    (giver, Taker { take, room })
}

/// Puts parts into a queue. Dropping it ends them.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    give: mpsc::Sender<Reply>,
    room: Arc<Semaphore>,
}

impl Giver {
    /// Puts a part into the queue, waiting for room. `false` if nobody takes it. Cancel safe: dropped before it returns, the
    /// part was not put there.
    pub(crate) async fn send(&self, part: Reply) -> bool {
        match self.room.acquire_many(weight(&part)).await {
            Ok(room) => {
                room.forget();
                // What has room has a place.
                self.give.try_send(part).is_ok()
            }
            Err(_) => false,
        }
    }
}

/// Takes parts out of a queue.
#[derive(Debug)]
pub(crate) struct Taker {
    take: mpsc::Receiver<Reply>,
    room: Arc<Semaphore>,
}

impl Taker {
    /// The next part; `None` when there are no more. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Reply> {
        let part = self.take.recv().await?;
        self.made_room(weight(&part));
        Some(part)
    }

    /// The parts that are there, once there is one, up to as much as may wait; none when there are no more. Cancel safe.
    pub(crate) async fn recv_all(&mut self) -> Vec<Reply> {
        let Some(first) = self.take.recv().await else {
            return Vec::new();
        };
        let mut taken = weight(&first);
        let mut parts = vec![first];
        while taken < ROOM
            && let Ok(part) = self.take.try_recv()
        {
            taken = taken.saturating_add(weight(&part));
            parts.push(part);
        }
        self.made_room(taken);
        parts
    }

    fn made_room(&self, taken: u32) {
        self.room
            .add_permits(usize::try_from(taken).unwrap_or(usize::MAX));
    }

    /// Takes no more parts than are there.
    pub(crate) fn close(&mut self) {
        self.room.close();
        self.take.close();
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    fn part(length: usize) -> Reply {
        Reply::bytes(vec![7; length])
    }

    /// How many parts have room.
    fn filled(giver: &Giver, length: usize) -> usize {
        let mut count = 0_usize;
        while unconstrained(giver.send(part(length))).now_or_never() == Some(true) {
            count = count.saturating_add(1);
        }
        count
    }

    #[tokio::test]
    async fn parts_wait_by_number_and_by_bytes_and_one_always_does() {
        for (length, room) in [(0, 64), (1_024, 64), (30_000, 2), (65_536, 1), (1 << 20, 1)] {
            let (giver, mut taker) = queue();
            assert_eq!(filled(&giver, length), room, "{length}");
            assert_eq!(taker.recv().await.unwrap().payload.len(), length);
            assert_eq!(filled(&giver, length), 1, "{length}");
            assert_eq!(taker.recv_all().await.len(), room);
            assert_eq!(filled(&giver, length), room, "{length}");
        }
    }

    #[tokio::test]
    async fn what_is_there_can_be_taken_after_the_end() {
        let (giver, mut taker) = queue();
        assert!(giver.send(part(1)).await && giver.send(part(2)).await);
        taker.close();
        assert!(!giver.send(part(3)).await, "nobody takes it");
        assert_eq!(taker.recv().await.unwrap().payload.len(), 1);
        assert_eq!(taker.recv_all().await.len(), 1);
        assert!(taker.recv().await.is_none() && taker.recv_all().await.is_empty());
        let (giver, mut taker) = queue();
        assert!(giver.send(part(1)).await);
        drop(giver);
        assert_eq!(taker.recv_all().await.len(), 1);
        assert!(taker.recv().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_that_nobody_takes_any_more() {
        let (giver, taker) = queue();
        assert_eq!(filled(&giver, 1 << 20), 1);
        let waiting = giver.send(part(1));
        tokio::pin!(waiting);
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(taker);
        assert!(!waiting.await);
    }
}
