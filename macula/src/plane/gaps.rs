//! Telling subscribers what they are not going to get.

use std::sync::{Arc, PoisonError};

use macula_pubsub::{Destination, Forwarder, SessionId, Source};
use macula_transport::OutFrame;
use macula_wire::message::{self, Message, Priority};
use macula_wire::{Epoch, NodeId, Sequence, Topic};

use super::Plane;
use crate::event::{Gap, GapCause, Origin};

/// A stretch of one publisher's topic that is missing.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    pub(crate) publisher: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) topic: Topic,
    pub(crate) from: Sequence,
    /// Where it ends; `None` if nobody knows.
    pub(crate) to: Option<Sequence>,
    pub(crate) cause: GapCause,
}

impl Plane {
    /// Tells subscribers and clients that a publisher is lost: what they missed of its run is unknown.
    pub(crate) fn publisher_lost(&self, publisher: NodeId) {
        for (topic, epoch, from) in self.forwarder.following(&publisher) {
            self.tell_lost(&Missing {
                publisher,
                epoch,
                topic,
                from,
                to: None,
                cause: GapCause::PublisherLost,
            });
        }
        self.lose_publisher(publisher);
    }

    /// Takes in a member's word, on a client, that a publisher is lost to one of its topics.
    pub(crate) fn publisher_lost_to(&self, gap: message::Gap) {
        self.tell_gap(&Missing {
            publisher: gap.publisher,
            epoch: gap.epoch,
            topic: gap.topic,
            from: gap.from,
            to: None,
            cause: GapCause::PublisherLost,
        });
        self.lose_publisher(gap.publisher);
    }

    fn lose_publisher(&self, publisher: NodeId) {
        self.forwarder.lose(publisher);
        for attached in self.links.all() {
            for egress in attached.each_egress() {
                egress.forget(publisher);
            }
        }
    }

    /// Tells the local subscribers of a topic that events are missing.
    pub(crate) fn tell_gap(&self, missing: &Missing) {
        self.each_receiver(missing, |_| {});
    }

    /// Tells the local subscribers and the clients of a topic that its publisher is lost.
    fn tell_lost(&self, missing: &Missing) {
        self.each_receiver(missing, |session| {
            let Some(attached) = self.links.session(session) else {
                return;
            };
            let told = OutFrame::message(&Message::from(message::Gap {
                publisher: missing.publisher,
                epoch: missing.epoch,
                topic: missing.topic.clone(),
                from: missing.from,
            }));
            let outbox = attached.link.events(Priority::Normal);
            if told
                .map(|frame| outbox.try_push(frame))
                .is_ok_and(|pushed| pushed.is_ok())
            {
                return;
            }
            tracing::debug!("a client hears of a lost publisher by its next events");
        });
    }

    fn each_receiver(&self, missing: &Missing, each_session: impl Fn(SessionId)) {
        let mut found = Vec::new();
        let from = Source::Member(missing.publisher);
        Forwarder::route(&self.table.load(), &missing.topic, from, &mut found);
        let origin = Arc::new(Origin {
            publisher: missing.publisher,
            epoch: missing.epoch,
            topic: missing.topic.clone(),
            priority: Priority::Normal,
        });
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        for destination in found {
            match destination {
                Destination::Local(id) => {
                    if let Some(queue) = queues.get(&id) {
                        let origin = Arc::clone(&origin);
                        queue.push_gap(Gap::range(origin, missing.from, missing.to, missing.cause));
                    }
                }
                Destination::Session(session) => each_session(session),
                Destination::Member(_) => {}
            }
        }
    }
}
