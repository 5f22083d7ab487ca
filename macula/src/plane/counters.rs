//! What a node counts on its data plane.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start of the node. Every field only rises.
        #[derive(Clone, Copy, Debug, Default, serde::Serialize)]
        #[non_exhaustive]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            /// All counters as they stand.
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Counts {
            /// The counters by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Events that applications and local clients published.
    events_published,
    /// Events that came by links.
    events_received,
    /// Events handed to queues of local subscribers.
    events_delivered,
    /// Those of them that were handed over before earlier ones had come, to subscriptions that need no order.
    events_early,
    /// Events passed on to other links.
    events_forwarded,
    /// Events that are kept until they are acknowledged and were put on links, each time that they were.
    kept_sent,
    /// Times that this node asked for kept events again.
    resends_asked,
    /// Times that others asked this node for kept events again.
    resends_served,
    /// Events that this node sends in the place of publishers that are lost.
    kept_taken_over,
    /// Events of other publishers that this node kept in case that these are lost, and gave up for want of room.
    kept_given_up,
    /// Events that a subscriber rejected, or did not acknowledge as often as it was handed them.
    dead_letters,
    /// Dead letters for which there was no room.
    dead_letters_lost,
    /// Events not sent because the queue of a link stayed full.
    dropped_outbox,
    /// Messages of routing not sent because the lookup stream of a link was full.
    dropped_lookup,
    /// Events not sent because no link to an interested member was up.
    dropped_no_link,
    /// Events dropped by the policy of a subscription's queue.
    dropped_overflow,
    /// Events whose time to live ended in this node, each for everybody who was owed it.
    dropped_expired,
    /// Events that subscribers were not handed because the publisher had published another one under their id.
    dropped_repeated,
    /// Events that subscribers of this node were not handed because they are not for them.
    not_addressed,
    /// Events refused because they were seen before.
    dropped_duplicate,
    /// Events refused because they belong to an earlier run of their publisher.
    dropped_stale,
    /// Events refused because nobody could prove who published them.
    dropped_unproven,
    /// Events found missing in a publisher's sequence.
    missing,
    /// Calls that applications of this process made; those of clients count as received.
    calls_made,
    /// Calls that came from elsewhere.
    calls_received,
    /// Calls passed on between a client and a provider.
    calls_relayed,
    /// Calls that ended with an error.
    calls_failed,
    /// Answers to calls that were ignored, because whoever gave them was not asked.
    answers_ignored,
    /// Signatures of membership and routing that were checked.
    signatures_checked,
    /// Signatures of membership and routing that need not be checked, because the same ones were before.
    signatures_known,
    /// Accusations dropped before their signatures were checked, because one link brought too many of one accuser.
    accusations_unchecked,
    /// Messages of routing dropped before the signatures of their records were checked, because one link brought too many.
    records_unchecked,
    /// Times that something that happened was not told under `$meta`, because too much happened at a time.
    news_missed,
    /// Requests and calls refused for lack of rights.
    denied,
    /// Messages that broke the protocol.
    misbehaved,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
