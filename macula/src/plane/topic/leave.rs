//! How a batch leaves: by links, along a tree, or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use macula_wire::SealedBatch;

use super::OwnTopic;
use crate::event::{Gap, GapCause};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::egress::Sent;
use crate::plane::route::Receivers;
use crate::plane::trees;
use crate::plane::unsent::Unsent;

impl OwnTopic {
    /// A batch as it goes along the tree of its topic, if there is one.
    pub(super) fn along_a_tree(
        &self,
        plane: &Plane,
        receivers: &Receivers,
        sealed: &SealedBatch,
    ) -> Option<trees::Input> {
        let trees = plane.trees.get().filter(|_| receivers.by_tree)?;
        trees.publish(plane, &self.origin, &self.feed, sealed)
    }

    /// The time to live of a batch ended before it could leave: its receivers are told that it is missing.
    pub(super) fn give_up(&self, plane: &Plane, receivers: &Receivers, sealed: &SealedBatch) {
        let count = u64::try_from(sealed.events).unwrap_or(u64::MAX);
        let (from, next) = (sealed.base, sealed.base.plus(count));
        if !self.origin.topic.is_reserved() {
            add(&plane.counters.events_published, count);
        }
        add(&plane.expired, count.saturating_mul(receivers.count()));
        for queue in &receivers.queues {
            let origin = Arc::clone(&self.origin);
            queue.push_gap(Gap::range(origin, from, Some(next), GapCause::Expired));
        }
        for attached in &receivers.links {
            attached
                .egress(self.priority())
                .skip(&self.feed, from, next);
        }
    }

    pub(super) fn send(
        &self,
        plane: &Plane,
        receivers: &Receivers,
        sealed: SealedBatch,
        ttl_ms: Option<u32>,
    ) {
        let count = u64::try_from(sealed.events).unwrap_or(u64::MAX);
        if !self.origin.topic.is_reserved() {
            add(&plane.counters.events_published, count);
        }
        let base = sealed.base;
        let history = self.history.load(Ordering::Relaxed);
        let expires = plane.expires(ttl_ms);
        let expires = expires.as_ref();
        let frame = plane.prepare(&self.origin, sealed, receivers, expires, history);
        for attached in &receivers.links {
            let egress = attached.egress(self.priority());
            if egress.send(
                &attached.link,
                &self.feed,
                base,
                count,
                frame.clone(),
                expires,
            ) == Sent::Dropped
            {
                add(&plane.counters.dropped_outbox, count);
            }
        }
        plane.send_when_linked(&receivers.unlinked, || Unsent {
            feed: Arc::clone(&self.feed),
            priority: self.priority(),
            base,
            count,
            frame: frame.clone(),
            expires: expires.cloned(),
        });
    }
}
