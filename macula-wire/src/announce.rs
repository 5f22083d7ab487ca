//! Leased announcements: what a member says of itself to all others, and what it has heard from them.
//!
//! INTEREST and OFFER follow the same rules, which stand here once. A member's statement is a map from names to values.
//! Each other member is told the whole of it once, when it comes up, and the changes after that. Every change has a
//! version, so that a listener notices when one is missing. A statement ends with its lease unless it is renewed.
//!
//! An [`Announcer`] is the speaking side, [`Heard`] the listening one. Both are told the time and hold no I/O; messages
//! travel on streams that keep their order.

mod announcer;
mod heard;
#[cfg(test)]
mod tests;

pub use announcer::Announcer;
pub use heard::{Changes, Heard, HeardLimits, Offence};

use alloc::vec::Vec;

use crate::message::{Interest, Offer, OfferedProcedure};
use crate::{Pattern, Procedure};

/// One message of a member about itself: [`Interest`] and [`Offer`] in one form.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields are those of the messages, fixed within a version of the protocol"
)]
pub struct Announcement<K, V> {
    /// Counts the changes. The parts of one full statement share a version.
    pub version: u64,
    /// Whether everything said before is to be forgotten.
    pub full: bool,
    /// How long this holds without renewal, in milliseconds.
    pub lease_ms: u32,
    /// What holds from this version on, strictly ascending; at most 1,024.
    pub add: Vec<(K, V)>,
    /// What no longer holds, strictly ascending; at most 1,024.
    pub remove: Vec<K>,
}

impl From<Interest> for Announcement<Pattern, ()> {
    fn from(interest: Interest) -> Self {
        Self {
            version: interest.version,
            full: interest.full,
            lease_ms: interest.lease_ms,
            add: interest
                .add
                .into_iter()
                .map(|pattern| (pattern, ()))
                .collect(),
            remove: interest.remove,
        }
    }
}

impl From<Announcement<Pattern, ()>> for Interest {
    fn from(announcement: Announcement<Pattern, ()>) -> Self {
        Self {
            version: announcement.version,
            full: announcement.full,
            lease_ms: announcement.lease_ms,
            add: announcement
                .add
                .into_iter()
                .map(|(pattern, ())| pattern)
                .collect(),
            remove: announcement.remove,
        }
    }
}

impl From<Offer> for Announcement<Procedure, u32> {
    fn from(offer: Offer) -> Self {
        Self {
            version: offer.version,
            full: offer.full,
            lease_ms: offer.lease_ms,
            add: offer
                .add
                .into_iter()
                .map(|offered| (offered.procedure, offered.weight))
                .collect(),
            remove: offer.remove,
        }
    }
}

impl From<Announcement<Procedure, u32>> for Offer {
    fn from(announcement: Announcement<Procedure, u32>) -> Self {
        Self {
            version: announcement.version,
            full: announcement.full,
            lease_ms: announcement.lease_ms,
            add: announcement
                .add
                .into_iter()
                .map(|(procedure, weight)| OfferedProcedure { procedure, weight })
                .collect(),
            remove: announcement.remove,
        }
    }
}
