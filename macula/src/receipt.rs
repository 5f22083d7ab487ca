//! What became of an event that was published reliably.

mod many;
mod slip;

pub use many::{PendingReceipts, Receipts};
pub(crate) use slip::{Abandoned, Claim, Slip};

use macula_wire::{Epoch, ErrorCode, NodeId, Sequence, Topic};

use crate::Error;
use crate::event::Origin;

/// What is promised of events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Qos {
    /// Each subscriber gets the event at most once. Loss is allowed, and told. The default.
    #[default]
    AtMostOnce,
    /// The event is kept and sent again until each subscriber that was known has been handed it, until its time to live is
    /// over, or until a subscriber that was lost has not come back within its lease. No subscriber is handed it twice,
    /// unless it acknowledges by itself.
    AtLeastOnce,
    /// As [`AtLeastOnce`](Self::AtLeastOnce), and the event is on the disk of the node before its publisher hears that it was
    /// published: it outlives the end of the node. The node needs a directory for it, see
    /// [`NodeBuilder::event_log`](crate::NodeBuilder::event_log).
    Durable,
}

impl Qos {
    /// Whether events are kept until their receivers have them.
    pub(crate) const fn keeps(self) -> bool {
        matches!(self, Self::AtLeastOnce | Self::Durable)
    }
}

/// Names an event: its publisher, the publisher's run, the topic and the place in it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventId {
    /// Who published it.
    pub publisher: NodeId,
    /// The publisher's run.
    pub epoch: Epoch,
    /// The topic.
    pub topic: Topic,
    /// The place among the publisher's events of this epoch and topic, from 0.
    pub sequence: Sequence,
}

impl EventId {
    pub(crate) fn new(origin: &Origin, sequence: Sequence) -> Self {
        Self {
            publisher: origin.publisher,
            epoch: origin.epoch,
            topic: origin.topic.clone(),
            sequence,
        }
    }
}

/// How many receivers an event had, by what became of it there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcomes {
    pub(crate) matched: u32,
    pub(crate) acked: u32,
    pub(crate) expired: u32,
    pub(crate) dropped: u32,
}

/// What became of an event: `acked`, `expired` and `dropped` add up to `matched`.
///
/// A receiver is a subscription of the publishing node, a client of it, another member with all of its subscribers, or a
/// group.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// Which event; `None` where a client had it published, which its member names.
    pub id: Option<EventId>,
    /// How many receivers were known when it was published; 0 if nobody wanted it.
    pub matched: u32,
    /// How many have been handed it, or acknowledged it where they do so themselves.
    pub acked: u32,
    /// For how many its time to live ended first.
    pub expired: u32,
    /// How many ended, were away for longer than their lease, or rejected it.
    pub dropped: u32,
}

impl Receipt {
    /// Whether every receiver that was known has it.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.acked == self.matched
    }
}

/// A receipt that is being made. Dropping it changes nothing for the event.
#[derive(Debug)]
pub struct PendingReceipt {
    pub(crate) id: Option<EventId>,
    pub(crate) claim: Claim,
}

impl PendingReceipt {
    /// Which event it is for; `None` where a client had it published.
    #[must_use]
    pub const fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Waits until all is known that becomes of the event: at most its time to live, or the lease of its receivers where
    /// they are lost.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the node, or the link to it, ended first. What the receivers have by then is not known.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the receipt up.
    pub async fn receipt(mut self) -> Result<Receipt, Error> {
        let Some(Ok((_, outcomes))) = self.claim.next().await else {
            return Err(abandoned());
        };
        Ok(Receipt {
            id: self.id,
            matched: outcomes.matched,
            acked: outcomes.acked,
            expired: outcomes.expired,
            dropped: outcomes.dropped,
        })
    }
}

fn abandoned() -> Error {
    let detail = "the node ended before it was known what became of the event";
    Error::new(ErrorCode::SHUTTING_DOWN, detail)
}
