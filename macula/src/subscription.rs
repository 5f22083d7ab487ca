//! A subscription as its owner holds it.

use std::sync::Arc;

use macula_wire::Pattern;

use crate::event::{ClosedReason, Delivery, DeliveryBatch};
use crate::queue::{EventRun, Queue, SubscriptionCounts};

/// What ends a subscription when its owner drops it.
pub(crate) type Release = Box<dyn FnOnce() + Send + Sync>;

/// Events of one pattern. Dropping it ends the subscription.
pub struct Subscription {
    pub(crate) pattern: Pattern,
    pub(crate) queue: Arc<Queue>,
    pub(crate) current: Option<EventRun>,
    pub(crate) release: Option<Release>,
}

impl Subscription {
    pub(crate) fn new(pattern: Pattern, queue: Arc<Queue>, release: Release) -> Self {
        Self {
            pattern,
            queue,
            current: None,
            release: Some(release),
        }
    }

    /// What is subscribed to.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The next event, or a gap where events are missing. Once the subscription has ended, [`Delivery::Closed`] says why,
    /// and then comes `None`.
    ///
    /// Events of one publisher and topic come in the order in which they were published, each at most once.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is taken from the queue before it is returned.
    pub async fn next(&mut self) -> Option<Delivery> {
        // Most events are the next of a run that was taken already, and the queue need not be asked.
        if let Some(run) = &mut self.current
            && let Some(event) = run.pop_lasting()
        {
            return Some(Delivery::Event(event));
        }
        self.queue.next(&mut self.current).await
    }

    /// The next events that lie together, or another delivery in its place. Otherwise as [`next`](Self::next), and both may
    /// be used by turns: order, gaps and counts are the same.
    ///
    /// This is for applications that take more than a million events a second: those of a batch are read where they lie,
    /// while `next` makes each an [`Event`](crate::Event) of its own. A batch is what left its publisher together and
    /// waits, up to 4,096 events or 64 KiB; events with headers or a key come one by one.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is taken from the queue before it is returned.
    pub async fn next_batch(&mut self) -> Option<DeliveryBatch<'_>> {
        match self.queue.more(&mut self.current).await? {
            Some(Delivery::Event(event)) => self.current = Some(EventRun::single(event)),
            Some(other) => return Some(DeliveryBatch::Other(other)),
            None => {}
        }
        // `current` is there whatever came: an event was put there, and `more` gives nothing only beside a run.
        let events = self.current.as_mut().map(EventRun::events)?;
        Some(DeliveryBatch::Events(events))
    }

    /// How many events the application was owed so far, by what became of them.
    #[must_use]
    pub fn counts(&self) -> SubscriptionCounts {
        let mut counts = self.queue.counts();
        let left = self.current.as_ref().map_or(0, EventRun::left);
        counts.delivered = counts.delivered.saturating_sub(left);
        counts
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.close(ClosedReason::Stopped);
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}
