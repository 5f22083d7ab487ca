//! Events as they are kept: encoded once, for everybody who is owed them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use macula_pubsub::{GroupMatch, GroupOffer, ShareKey, Transmit};
use macula_transport::OutFrame;
use macula_wire::message::{Body, Deliver, Message};
use macula_wire::{Batch, ChannelRun, DeliveryId, Entries, Envelope};

use crate::event::Origin;
use crate::log::EventLog;
use crate::plane::egress::Feed;
use crate::plane::gaps::Missing;

/// A batch that is kept. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Parcel(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    origin: Arc<Origin>,
    feed: Arc<Feed>,
    batch: Batch,
    frame: OutFrame,
    /// When its time to live ends.
    expires: Option<tokio::time::Instant>,
    /// Places of events that are not for applications of this node, once that was found out.
    unwanted: OnceLock<BTreeSet<u32>>,
    /// What is missing before it, which subscriptions of this node are told in its place.
    behind: OnceLock<Vec<Missing>>,
    /// Who is owed it, as stores are told before it.
    debts: OnceLock<OutFrame>,
    /// Where it is to be forgotten once nobody needs it any more.
    logged: OnceLock<(Arc<EventLog>, u64)>,
}

impl Drop for Contents {
    fn drop(&mut self) {
        if let Some((log, id)) = self.logged.take() {
            log.forget(id);
        }
    }
}

impl Parcel {
    /// `batch`, whose encoding is `frame`.
    pub(crate) fn new(origin: Arc<Origin>, feed: Arc<Feed>, batch: Batch, frame: OutFrame) -> Self {
        let now = tokio::time::Instant::now();
        let ttl = batch.ttl_ms.map(u64::from).map(Duration::from_millis);
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        Self::until(origin, feed, batch, frame, expires)
    }

    /// The same, with a time to live that has begun before.
    fn until(
        origin: Arc<Origin>,
        feed: Arc<Feed>,
        batch: Batch,
        frame: OutFrame,
        expires: Option<tokio::time::Instant>,
    ) -> Self {
        Self(Arc::new(Contents {
            origin,
            feed,
            batch,
            frame,
            expires,
            unwanted: OnceLock::new(),
            behind: OnceLock::new(),
            debts: OnceLock::new(),
            logged: OnceLock::new(),
        }))
    }

    /// The same as a parcel of its own, which is logged and forgotten by itself.
    pub(super) fn apart(&self) -> Self {
        self.with(self.0.batch.clone(), self.0.frame.clone())
    }

    /// A part of it, which is worth delivering as long as all of it.
    fn with(&self, batch: Batch, frame: OutFrame) -> Self {
        let (origin, feed) = (Arc::clone(&self.0.origin), Arc::clone(&self.0.feed));
        Self::until(origin, feed, batch, frame, self.0.expires)
    }

    /// The event at `offset` by itself; `None` if there is none.
    pub(super) fn single(&self, offset: u32) -> Option<Self> {
        if self.0.batch.entries.count() == 1 && offset == 0 {
            return Some(self.clone());
        }
        let mut batch = self.0.batch.clone();
        let at = usize::try_from(offset).ok()?;
        let payload = self.0.batch.entries.iter().nth(at)?;
        batch.entries = Entries::from_payloads([payload.as_ref()]).ok()?;
        batch.base = batch.base.plus(u64::from(offset));
        batch.signature = None;
        let frame = encoded(batch.clone())?;
        Some(self.with(batch, frame))
    }

    /// A hash of the ordering key of the first event, or of the topic where it has none.
    pub(super) fn key(&self) -> u64 {
        let first = self.0.batch.entries.iter().next();
        let envelope = first.filter(|_| self.0.batch.enveloped);
        let envelope = envelope.and_then(|entry| Envelope::split(&entry).ok());
        match envelope.and_then(|(envelope, _)| envelope.key) {
            Some(key) => hash(&key),
            None => hash(self.0.origin.topic.as_str().as_bytes()),
        }
    }

    /// What it is offered to a group as.
    pub(super) fn offered_to(&self, group: &GroupMatch) -> GroupOffer {
        GroupOffer {
            name: group.name.to_string(),
            balance: group.balance,
            candidates: group.members.clone(),
            key: self.key(),
            // How often it may be handed over each subscription says itself.
            max_deliver: 0,
            chosen: None,
        }
    }

    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.0.origin
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.0.feed
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.0.batch
    }

    /// The event as one of a group knows it: the first one.
    pub(super) fn share_of(&self, group: &str) -> ShareKey {
        ShareKey {
            publisher: self.0.origin.publisher,
            epoch: self.0.origin.epoch,
            topic: self.0.origin.topic.clone(),
            sequence: self.0.batch.base,
            group: group.to_owned(),
        }
    }

    /// A hash of what the first event is: of its publisher, its run, topic and place.
    pub(super) fn identity(&self) -> u64 {
        let origin = &self.0.origin;
        let mut bytes = origin.publisher.as_bytes().to_vec();
        bytes.extend_from_slice(&origin.epoch.get().to_be_bytes());
        bytes.extend_from_slice(&self.0.batch.base.get().to_be_bytes());
        bytes.extend_from_slice(origin.topic.as_str().as_bytes());
        hash(&bytes)
    }

    /// What is left of the time to live; `None` for ever.
    pub(super) fn left(&self) -> Option<Duration> {
        let now = tokio::time::Instant::now();
        self.0.expires.map(|at| {
            at.saturating_duration_since(now)
                .max(Duration::from_millis(1))
        })
    }

    /// The same from event `skip` on.
    pub(super) fn behind_first(&self, skip: usize) -> Option<Self> {
        let mut batch = self.0.batch.clone();
        let rest: Vec<Bytes> = self.0.batch.entries.iter().skip(skip).collect();
        batch.entries = Entries::from_payloads(rest.iter().map(AsRef::as_ref)).ok()?;
        batch.base = batch.base.plus(u64::try_from(skip).ok()?);
        batch.signature = None;
        let frame = encoded(batch.clone())?;
        Some(self.with(batch, frame))
    }

    /// Who is owed it, as stores are told.
    pub(super) fn is_owed(&self, debts: OutFrame) {
        let fresh = self.0.debts.set(debts).is_ok();
        debug_assert!(fresh, "it is offered once");
    }

    /// What stores are told before it.
    pub(super) fn debts(&self) -> Option<&OutFrame> {
        self.0.debts.get()
    }

    /// These are missing before it.
    pub(crate) fn goes_behind(&self, missing: Vec<Missing>) {
        let fresh = self.0.behind.set(missing).is_ok();
        debug_assert!(fresh, "it arrives once");
    }

    /// What is missing before it.
    pub(super) fn behind(&self) -> &[Missing] {
        self.0.behind.get().map_or(&[], Vec::as_slice)
    }

    /// It stands in `log` under `id`, until nobody needs it any more.
    pub(super) fn stands_in(&self, log: &Arc<EventLog>, id: DeliveryId) {
        let fresh = self.0.logged.set((Arc::clone(log), id.get())).is_ok();
        debug_assert!(fresh, "it is logged once");
    }

    /// When its time to live ends.
    pub(super) fn expires(&self) -> Option<tokio::time::Instant> {
        self.0.expires
    }

    /// The places of events that are not for applications of this node, which `find` finds out once.
    pub(super) fn unwanted(&self, find: impl FnOnce() -> BTreeSet<u32>) -> &BTreeSet<u32> {
        self.0.unwanted.get_or_init(find)
    }

    /// The frame, with what is left of the time to live.
    pub(super) fn frame(&self) -> OutFrame {
        let Some(expires) = self.0.expires else {
            return self.0.frame.clone();
        };
        let left = expires.saturating_duration_since(tokio::time::Instant::now());
        let left = left.as_millis();
        let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        if self.0.batch.ttl_ms == Some(left) || self.0.batch.signature.is_some() {
            return self.0.frame.clone();
        }
        let mut batch = self.0.batch.clone();
        batch.ttl_ms = Some(left);
        encoded(batch).unwrap_or_else(|| self.0.frame.clone())
    }
}

fn encoded(batch: Batch) -> Option<OutFrame> {
    OutFrame::message(&Message::from(Body::Batch(batch))).ok()
}

/// FNV-1a: every node that publishes hashes a key alike.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a receiver is told before the events of `transmit`.
pub(super) fn deliver(run: ChannelRun, transmit: &Transmit<Parcel>) -> Option<OutFrame> {
    let deliver = Deliver {
        run,
        prev: transmit.prev,
        first: transmit.first,
        count: transmit.count,
        floor: transmit.floor,
        group: transmit.group.clone(),
        attempt: transmit.attempt,
    };
    OutFrame::message(&Message::from(Body::Deliver(deliver))).ok()
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Priority;
    use macula_wire::{ContentType, Epoch, NodeId, Sequence, Topic, TopicAlias};

    use super::*;

    fn parcel(ttl_ms: Option<u32>) -> Parcel {
        let (publisher, epoch) = (NodeId::from_bytes([1; 32]), Epoch::new(1));
        let (alias, topic) = (TopicAlias::new(1), Topic::new("a.b").unwrap());
        let batch = Batch {
            hops: 8,
            publisher,
            epoch,
            alias,
            base: Sequence::new(0),
            ttl_ms,
            content: ContentType::Text,
            enveloped: false,
            signature: None,
            entries: Entries::from_payloads([&b"a"[..], b"b", b"c"]).unwrap(),
        };
        let origin = Origin {
            publisher,
            epoch,
            topic: topic.clone(),
            priority: Priority::Normal,
        };
        let feed = Feed {
            publisher,
            epoch,
            alias,
            topic,
            chain: Vec::new(),
        };
        let frame = encoded(batch.clone()).unwrap();
        Parcel::new(Arc::new(origin), Arc::new(feed), batch, frame)
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_to_live_of_a_part_has_begun_with_the_whole() {
        let whole = parcel(Some(10_000));
        let second = Duration::from_secs(1);
        tokio::time::advance(4 * second).await;
        let parts = || {
            let single = whole.single(1).unwrap();
            [
                single.apart(),
                single,
                whole.apart(),
                whole.behind_first(2).unwrap(),
            ]
        };
        for part in parts() {
            assert_eq!(part.left(), Some(6 * second));
            assert_eq!(part.expires(), whole.expires());
        }
        tokio::time::advance(60 * second).await;
        for part in parts() {
            assert_eq!(part.left(), Some(Duration::from_millis(1)));
        }
        assert_eq!(parcel(None).single(2).unwrap().left(), None);
    }
}
