//! Events that a subscriber matched and will not get.

use std::sync::Arc;

use macula_wire::{Epoch, NodeId, Sequence, Topic};

use super::Origin;

/// Why events are missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GapCause {
    /// A sender dropped them, because the link to this node was full or absent, or because their time to live ended there.
    Dropped,
    /// This subscriber took them too slowly, and its queue dropped them by its policy.
    Overflow,
    /// Their time to live ended while they waited for this subscriber.
    Expired,
    /// The publisher was lost or began a new run; how many events of the old run are missing is unknown.
    PublisherLost,
}

impl GapCause {
    /// The name in output for machines: `dropped`, `overflow`, `expired` or `publisher-lost`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::PublisherLost => "publisher-lost",
        }
    }
}

/// Events that this subscriber matched and will not get.
#[derive(Clone, Debug)]
pub struct Gap {
    pub(crate) origin: Arc<Origin>,
    pub(crate) from: Sequence,
    pub(crate) to: Option<Sequence>,
    pub(crate) cause: GapCause,
    /// How many of the range were for this subscriber and are missing; of no meaning without an end.
    pub(crate) lost: u64,
}

impl Gap {
    /// All events from `from` on, up to `to` if that is known.
    pub(crate) fn range(
        origin: Arc<Origin>,
        from: Sequence,
        to: Option<Sequence>,
        cause: GapCause,
    ) -> Self {
        Self {
            origin,
            from,
            to,
            cause,
            lost: to.map_or(0, |to| to.since(from)),
        }
    }

    /// Whose events are missing.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.origin.publisher
    }

    /// The run they are missing from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.origin.epoch
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.origin.topic
    }

    /// The sequence of the first missing event.
    #[must_use]
    pub fn from(&self) -> Sequence {
        self.from
    }

    /// The sequence after the last missing event; `None` if it is not known.
    #[must_use]
    pub fn to(&self) -> Option<Sequence> {
        self.to
    }

    /// How many are missing; `None` if it is not known. Fewer than the range holds where some of it were not for this
    /// subscriber.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.to.map(|_| self.lost)
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> GapCause {
        self.cause
    }
}
