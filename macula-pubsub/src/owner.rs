//! A destination as the tree keeps it.

use std::sync::Arc;

use macula_wire::NodeId;

use crate::{Destination, LocalId, SessionId};

/// A [`Destination`] in 16 bytes: a member's id is kept once, however many patterns it wants.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Owner {
    Local(LocalId),
    Session(SessionId),
    Member(Arc<NodeId>),
}

impl Owner {
    /// Before every other.
    pub(crate) const FIRST: Self = Self::Local(LocalId::new(0));

    /// The owner for `destination`; `share` gives the place where the id of a member is kept.
    pub(crate) fn new(destination: Destination, share: impl FnOnce(NodeId) -> Arc<NodeId>) -> Self {
        match destination {
            Destination::Local(id) => Self::Local(id),
            Destination::Session(id) => Self::Session(id),
            Destination::Member(node) => Self::Member(share(node)),
        }
    }

    pub(crate) fn destination(&self) -> Destination {
        match self {
            Self::Local(id) => Destination::Local(*id),
            Self::Session(id) => Destination::Session(*id),
            Self::Member(node) => Destination::Member(**node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_small_and_stand_for_their_destinations() {
        assert_eq!(size_of::<Owner>(), 16);
        let member = NodeId::from_bytes([1; 32]);
        let destinations = [
            Destination::Local(LocalId::new(2)),
            Destination::Session(SessionId::new(1)),
            Destination::Member(member),
        ];
        let owners = destinations.map(|destination| Owner::new(destination, Arc::new));
        assert!(owners.is_sorted());
        assert_eq!(owners.map(|owner| owner.destination()), destinations);
    }
}
