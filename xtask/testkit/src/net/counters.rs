//! What happened in a simulated network, counted.

/// Counts since the network was made, so that a test can show that its fault happened and that work went on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that a node sent over a link.
    pub datagrams_sent: u64,
    /// Datagrams that arrived, doubles included.
    pub datagrams_delivered: u64,
    /// Datagrams lost by chance.
    pub datagrams_lost: u64,
    /// Those of them that were lost in a burst.
    pub lost_in_bursts: u64,
    /// Datagrams made twice.
    pub datagrams_doubled: u64,
    /// Datagrams that arrived after one that was sent later in the same direction.
    pub datagrams_overtaken: u64,
    /// Bytes of the frames of all datagrams sent.
    pub datagram_bytes: u64,
    /// Messages that a node sent on a stream.
    pub messages_sent: u64,
    /// Messages that arrived on a stream.
    pub messages_delivered: u64,
    /// Messages that were lost because their link broke or their receiver was gone.
    pub messages_broken: u64,
    /// Bytes of the frames of all messages sent on streams.
    pub message_bytes: u64,
    /// How often a message on a stream was lost and sent again.
    pub retransmissions: u64,
    /// Datagrams that met a block, and stream messages that had to wait for the end of one.
    pub blocked: u64,
    /// Messages and datagrams for which there was no link.
    pub without_link: u64,
    /// Messages that were sent without a link.
    pub posted: u64,
    /// Those of them that arrived.
    pub posted_delivered: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Links that ended, for whatever reason.
    pub links_down: u64,
    /// Dials that were begun.
    pub dials: u64,
    /// Dials that led to no link.
    pub dials_failed: u64,
    /// Nodes that were paused, each time counted.
    pub pauses: u64,
}

pub(super) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
