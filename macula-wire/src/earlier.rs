//! Events from before a subscription: last values, history, and what tells where there are any.

use alloc::vec::Vec;

use crate::field::{record, whole};
use crate::message::Event;
use crate::{EncodeError, Epoch, NodeId, Sequence, Topic, check};

/// The most earlier events of one list.
pub const MAX_EARLIER: usize = 4_096;

/// The most topics of one index.
pub const MAX_INDEXED: usize = 4_096;

/// The first segment of the names under which nodes tell of the topics that they keep something of.
pub const INDEX_SEGMENT: &str = "$topics";

/// The media type of a value that is an [`EarlierEvent`].
pub const RETAINED_TYPE: &str = "application/vnd.macula.retained";

/// The media type of a value that is a [`TopicIndex`].
pub const INDEX_TYPE: &str = "application/vnd.macula.topics";

record! {
    /// An event from before a subscription.
    pub struct EarlierEvent {
        /// Until when it is worth delivering, in milliseconds since 1970; 0 for ever.
        pub until_ms: u64,
        /// Whether it is the last value of its topic that its publisher retained.
        pub retained: bool,
        /// The event. `hops` and `ttl_ms` say nothing here.
        pub event: Event,
    }
}

record! {
    /// Where what was kept of one publisher's run of a topic ends.
    pub struct EarlierEnd {
        /// The publisher.
        pub publisher: NodeId,
        /// Its run.
        pub epoch: Epoch,
        /// The topic.
        pub topic: Topic,
        /// The sequence after the last event that was kept.
        pub next: Sequence,
    }
}

record! {
    /// What a node keeps that a subscription may begin with.
    pub struct EarlierEvents {
        /// The events; those of one publisher's run of a topic in their order. At most 4,096.
        pub events: Vec<EarlierEvent> [MAX_EARLIER],
        /// Where what was kept ends. At most 4,096.
        pub ends: Vec<EarlierEnd> [MAX_EARLIER],
    }
}

record! {
    /// A topic of which a node keeps something.
    pub struct IndexedTopic {
        /// The topic.
        pub topic: Topic,
        /// Whether the node owns a value that is retained under it.
        pub retained: bool,
        /// Whether the node keeps events of it.
        pub history: bool,
    }
}

record! {
    /// The topics with one first segment of which a node keeps something.
    pub struct TopicIndex {
        /// Strictly ascending by topic, at most 4,096.
        pub topics: Vec<IndexedTopic> [MAX_INDEXED],
    }
    check check_index
}

fn check_index(index: &TopicIndex) -> Result<(), EncodeError> {
    check::ascending(index.topics.iter().map(|one| &one.topic))
}

whole!(EarlierEvent EarlierEvents TopicIndex);

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::ContentType;

    fn event() -> EarlierEvent {
        EarlierEvent {
            until_ms: 70_000,
            retained: true,
            event: Event {
                hops: 0,
                publisher: NodeId::from_bytes([7; 32]),
                epoch: Epoch::new(1),
                topic: Topic::new("a.b").unwrap(),
                sequence: Sequence::new(5),
                ttl_ms: None,
                content: ContentType::Text,
                envelope: None,
                signature: None,
                payload: "21.5".into(),
            },
        }
    }

    #[test]
    fn what_is_told_is_read_again_and_nothing_behind_it() {
        let events = EarlierEvents {
            events: vec![event(), event()],
            ends: vec![EarlierEnd {
                publisher: NodeId::from_bytes([7; 32]),
                epoch: Epoch::new(1),
                topic: Topic::new("a.b").unwrap(),
                next: Sequence::new(6),
            }],
        };
        let mut bytes = Vec::new();
        events.encode(&mut bytes).unwrap();
        assert_eq!(EarlierEvents::decode(bytes.clone().into()), Ok(events));
        bytes.push(0);
        assert!(EarlierEvents::decode(bytes.into()).is_err());
        let mut bytes = Vec::new();
        event().encode(&mut bytes).unwrap();
        assert_eq!(EarlierEvent::decode(bytes.into()), Ok(event()));
    }

    #[test]
    fn an_index_ascends() {
        let topic = |name: &str| IndexedTopic {
            topic: Topic::new(name).unwrap(),
            retained: true,
            history: false,
        };
        let index = |topics| TopicIndex { topics };
        let ascends = index(vec![topic("a"), topic("b")]);
        let mut bytes = Vec::new();
        ascends.encode(&mut bytes).unwrap();
        assert_eq!(TopicIndex::decode(bytes.into()), Ok(ascends));
        for wrong in [vec![topic("b"), topic("a")], vec![topic("a"), topic("a")]] {
            assert!(index(wrong).encode(&mut Vec::new()).is_err());
        }
    }
}
