//! 0x1C to 0x1E: trees, along which events go to many.

use alloc::vec::Vec;

use crate::field::record;
use crate::limit::MAX_HELD_LISTED;
use crate::{EncodeError, Epoch, NodeId, Sequence, Topic, check};

record! {
    /// What a node has of the events of one publisher and topic.
    pub struct Holding {
        /// Who published.
        pub publisher: NodeId,
        /// The publisher's run.
        pub epoch: Epoch,
        /// The first event that the node can send again.
        pub first: Sequence,
        /// The first event that the node does not have yet; at least `first`.
        pub next: Sequence,
        /// How many links lie between the publisher and the node, by the way on which it got the latest event.
        pub distance: u8,
    }
    check check_holding
}

fn check_holding(holding: &Holding) -> Result<(), EncodeError> {
    let (first, next) = (holding.first, holding.next);
    check::require(first <= next, "first", first.get())
}

record! {
    /// IHAVE: tells a neighbour that gets events of a topic from others what the sender has of them.
    pub struct IHave {
        /// The topic.
        pub topic: Topic,
        /// 1 to 64, strictly ascending by publisher.
        pub holdings: Vec<Holding> [MAX_HELD_LISTED],
    }
    check check_have
}

fn check_have(have: &IHave) -> Result<(), EncodeError> {
    check::some("holdings", &have.holdings)?;
    check::ascending(have.holdings.iter().map(|holding| &holding.publisher))
}

record! {
    /// GRAFT: asks a neighbour for events, and to send those that follow if `attach` says so.
    pub struct Graft {
        /// The topic.
        pub topic: Topic,
        /// Who published.
        pub publisher: NodeId,
        /// The publisher's run.
        pub epoch: Epoch,
        /// The first event that is asked for.
        pub from: Sequence,
        /// The first behind them; `from` if none is missing.
        pub to: Sequence,
        /// Whether the receiver is to send what follows as well, without being asked.
        pub attach: bool,
    }
    check check_graft
}

fn check_graft(graft: &Graft) -> Result<(), EncodeError> {
    let (from, to) = (graft.from, graft.to);
    check::require(from <= to, "from", from.get())
}

record! {
    /// PRUNE: the sender gets the events of a publisher and topic by another way. IHAVE is enough from here on.
    pub struct Prune {
        /// The topic.
        pub topic: Topic,
        /// Who publishes.
        pub publisher: NodeId,
    }
}
