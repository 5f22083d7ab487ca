//! What becomes of a batch that is proven: known or new, delivered, passed on to clients.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use macula_pubsub::Acceptance;
use macula_transport::OutFrame;
use macula_wire::frame::FrameHeader;
use macula_wire::{Batch, Frame, Sequence};

use crate::event::{GapCause, Origin};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::deliver::Expires;
use crate::plane::egress::{Feed, Sent};
use crate::plane::gaps::Missing;
use crate::plane::route::Receivers;
use crate::plane::unsent::Unsent;

impl Plane {
    /// Hands a batch to those who are owed it, as far as it is new.
    pub(crate) fn hand_out(
        &self,
        origin: &Arc<Origin>,
        feed: &Arc<Feed>,
        batch: &Batch,
        frame: &Frame,
        receivers: &Receivers,
        expires: Option<&Expires>,
    ) {
        if receivers.is_empty() {
            return;
        }
        if let Some(skip) = self.accept(origin, batch) {
            self.deliver(origin, batch, skip, receivers, expires);
            self.pass_on(origin, feed, batch, frame, receivers, expires);
        }
    }

    /// How many leading events of the batch are known already; `None` if nothing of it is to be delivered.
    pub(super) fn accept(&self, origin: &Origin, batch: &Batch) -> Option<u64> {
        let count = u64::try_from(batch.entries.count()).unwrap_or(u64::MAX);
        let topic = &origin.topic;
        let now = self.clock.now();
        match self
            .forwarder
            .accept(now, batch.publisher, batch.epoch, topic, batch.base, count)
        {
            Acceptance::Accepted {
                skip,
                gap,
                restarted,
            } => {
                add(&self.counters.dropped_duplicate, skip);
                if restarted {
                    self.tell_gap(&Missing {
                        publisher: batch.publisher,
                        epoch: batch.epoch,
                        topic: topic.clone(),
                        from: batch.base,
                        to: None,
                        cause: GapCause::PublisherLost,
                    });
                }
                if let Some(missing) = gap {
                    self.tell_missing(origin, missing.from, missing.to);
                }
                Some(skip)
            }
            Acceptance::Duplicate => {
                add(&self.counters.dropped_duplicate, count);
                None
            }
            Acceptance::Stale => {
                add(&self.counters.dropped_stale, count);
                None
            }
        }
    }

    /// Tells subscribers of this node that events did not come.
    pub(super) fn tell_missing(&self, origin: &Origin, from: Sequence, to: Sequence) {
        add(&self.counters.missing, to.since(from));
        self.tell_gap(&Missing {
            publisher: origin.publisher,
            epoch: origin.epoch,
            topic: origin.topic.clone(),
            from,
            to: Some(to),
            cause: GapCause::Dropped,
        });
    }

    /// Passes the batch on by links as it came, with one hop less.
    pub(super) fn pass_on(
        &self,
        origin: &Origin,
        feed: &Arc<Feed>,
        batch: &Batch,
        frame: &Frame,
        receivers: &Receivers,
        expires: Option<&Expires>,
    ) {
        let count = u64::try_from(batch.entries.count()).unwrap_or(u64::MAX);
        if receivers.links.is_empty() && receivers.unlinked.is_empty() {
            return;
        }
        let Some(out) = one_hop_less(frame) else {
            return;
        };
        for attached in &receivers.links {
            let sent = attached.egress(origin.priority).send(
                &attached.link,
                feed,
                batch.base,
                count,
                out.clone(),
                expires,
            );
            match sent {
                Sent::Queued => add(&self.counters.events_forwarded, count),
                Sent::Dropped => add(&self.counters.dropped_outbox, count),
            }
        }
        self.send_when_linked(&receivers.unlinked, || Unsent {
            feed: Arc::clone(feed),
            priority: origin.priority,
            base: batch.base,
            count,
            frame: out.clone(),
            expires: expires.cloned(),
        });
    }
}

/// The frame of a batch whose first byte, the hop limit, is one less. `None` if it is 0.
pub(super) fn one_hop_less(frame: &Frame) -> Option<OutFrame> {
    with_hops(frame, frame.body.first()?.checked_sub(1)?)
}

/// The frame of a batch whose first byte, the hop limit, is another. The payloads are not copied.
pub(crate) fn with_hops(frame: &Frame, hops: u8) -> Option<OutFrame> {
    let header = FrameHeader::new(frame.number, frame.body.len()).ok()?;
    let rest = frame.body.get(1..).map(|_| frame.body.slice(1..))?;
    let mut head = BytesMut::with_capacity(macula_wire::limit::HEADER_LEN.saturating_add(1));
    head.put_slice(&header.to_bytes());
    head.put_u8(hops);
    Some(OutFrame::pieces(vec![head.freeze(), rest]))
}
