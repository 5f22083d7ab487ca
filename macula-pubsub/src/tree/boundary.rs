//! What goes into a tree and what comes out.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Graft, IHave, Prune};
use macula_wire::{Body, Epoch, Instant, NodeId, Sequence, Topic};

use crate::Rings;

/// A batch on its way along a tree. What it holds is not looked at; cloning it should be cheap.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever reads links")]
pub struct TreeBatch<P> {
    /// Who published.
    pub publisher: NodeId,
    /// The publisher's run.
    pub epoch: Epoch,
    /// The topic.
    pub topic: Topic,
    /// The sequence of the first event.
    pub base: Sequence,
    /// How many events there are; at least one.
    pub count: u64,
    /// How many links it has passed; 0 where it was published.
    pub distance: u8,
    /// What it takes in a cache, in bytes.
    pub bytes: usize,
    /// The batch itself.
    pub payload: P,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TreeInput<P> {
    /// A batch came by the link to `from`, or was published here.
    Batch {
        /// The neighbour; `None` for this node itself.
        from: Option<NodeId>,
        /// The batch, proven to be its publisher's.
        batch: TreeBatch<P>,
        /// The next sequence that this node expects, if it follows the publisher and topic already.
        expected: Option<Sequence>,
    },
    /// A batch came straight from its publisher, which sent it to everybody itself. It is delivered in its order, and not
    /// passed on.
    Direct {
        /// The batch.
        batch: TreeBatch<P>,
    },
    /// What a neighbour has.
    Have {
        /// The neighbour.
        from: NodeId,
        /// The message.
        have: IHave,
    },
    /// A neighbour asks for events.
    Graft {
        /// The neighbour.
        from: NodeId,
        /// The message.
        graft: Graft,
    },
    /// A neighbour has enough of a publisher.
    Prune {
        /// The neighbour.
        from: NodeId,
        /// The message.
        prune: Prune,
    },
    /// These are interested in the topic.
    Members {
        /// The topic.
        topic: Topic,
        /// All of them, this node included if it is.
        rings: Arc<Rings>,
        /// Since when this node knows the topic. Those who become known more than 5 s later are taken for new, and are
        /// not told of what was published before them, but for a second.
        since: Instant,
    },
    /// Nobody here has to do with the topic any more.
    Forget {
        /// The topic.
        topic: Topic,
    },
    /// There is a link to a node.
    LinkUp {
        /// The node.
        peer: NodeId,
        /// The round trip, if it was measured.
        rtt: Option<Duration>,
    },
    /// The link to a node is gone.
    LinkDown {
        /// The node.
        peer: NodeId,
    },
    /// A node that has no link at present has restarted, and knows nothing of what was before.
    Restarted {
        /// The node.
        peer: NodeId,
    },
    /// A node may be gone, or is: it is passed over until it is [present](Self::Present).
    Absent {
        /// The node.
        peer: NodeId,
    },
    /// A node that was thought absent is there.
    Present {
        /// The node.
        peer: NodeId,
    },
    /// The link to a node takes nothing: others have to bring it the events.
    Lagging {
        /// The node.
        peer: NodeId,
    },
    /// It takes something again.
    CaughtUp {
        /// The node.
        peer: NodeId,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TreeOutput<P> {
    /// Send a batch to a neighbour. Its `distance` is that of the receiver.
    Push {
        /// The neighbour.
        to: NodeId,
        /// The batch.
        batch: TreeBatch<P>,
    },
    /// Send a message to a neighbour: IHAVE, GRAFT or PRUNE.
    Send {
        /// The neighbour.
        to: NodeId,
        /// The message.
        body: Body,
    },
    /// Deliver a batch here. Those of a publisher and topic come in the order of their sequences; what is left out
    /// between them is given up.
    Deliver {
        /// The batch.
        batch: TreeBatch<P>,
    },
    /// A batch came while earlier ones are missing, and waits for these. It may be handed to whoever needs no order; it is
    /// [delivered](Self::Deliver) in its turn as well, unless everything of its publisher's run or its topic is forgotten
    /// before.
    Early {
        /// The batch.
        batch: TreeBatch<P>,
    },
    /// A link to the node is wanted.
    Connect {
        /// The node.
        node: NodeId,
    },
    /// The link to the node is not wanted any more.
    Release {
        /// The node.
        node: NodeId,
    },
    /// Events of a topic came, or news of them, of which it is not known who is interested in it: find out, and say so
    /// by [`TreeInput::Members`]. May be said again before that.
    Unknown {
        /// The topic.
        topic: Topic,
    },
}

/// What became of events in a [`Tree`](crate::Tree), counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TreeStats {
    /// Batches that came and were new.
    pub received: u64,
    /// Batches that came and were known.
    pub duplicates: u64,
    /// Batches sent on, those sent again included.
    pub pushed: u64,
    /// Batches sent again because somebody asked.
    pub resent: u64,
    /// Requests of this node.
    pub grafts: u64,
    /// How often a neighbour was told that it need not send.
    pub prunes: u64,
    /// Messages that told neighbours what is here.
    pub haves: u64,
    /// How often missing events were given up, after their time or for want of room.
    pub given_up: u64,
    /// Batches not passed on because they had passed as many links as they may.
    pub too_far: u64,
    /// Topics that were not taken in for want of room.
    pub refused_topics: u64,
}
