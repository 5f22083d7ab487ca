//! What is new of a batch.
#![expect(
    clippy::expect_used,
    reason = "a scenario whose input is wrong measures something else, so it has to stop"
)]

use std::hint::black_box;

use macula_pubsub::{Acceptance, Forwarder, ForwarderConfig};
use macula_wire::{Epoch, Instant, NodeId, Sequence, Topic};

use crate::input::{WALL_MS, node};
use crate::{Round, Scenario, Size};

/// How many publishers are followed.
const PUBLISHERS: usize = 100;
/// In how many topics each.
const TOPICS: usize = 100;
/// How many events each batch has.
const EVENTS: u64 = 10;

/// The scenarios of this group.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("accept_next", 100, accept),
    Scenario::new("accept_duplicate", 100, duplicate),
];

/// Takes in the next batch of one topic of each publisher.
fn accept(size: Size) -> Round {
    let (forwarder, publishers, topic) = followed(size);
    let mut base = 0_u64;
    Box::new(move || {
        base = base.saturating_add(EVENTS);
        for publisher in &publishers {
            let answer = take(&forwarder, *publisher, &topic, base);
            assert!(matches!(answer, Acceptance::Accepted { skip: 0, .. }));
        }
    })
}

/// Takes in a batch that came before.
fn duplicate(size: Size) -> Round {
    let (forwarder, publishers, topic) = followed(size);
    Box::new(move || {
        for publisher in &publishers {
            let answer = take(&forwarder, *publisher, &topic, 0);
            assert_eq!(answer, Acceptance::Duplicate);
        }
    })
}

/// A forwarder that follows every topic of every publisher, the publishers, and one of the topics.
fn followed(size: Size) -> (Forwarder, Vec<NodeId>, Topic) {
    let forwarder = Forwarder::new(&ForwarderConfig::default());
    let topics: Vec<Topic> = (0..size.of(TOPICS))
        .map(|number| Topic::new(&format!("plant.17.line.{number}")).expect("a topic"))
        .collect();
    let publishers: Vec<NodeId> = (0..size.of(PUBLISHERS)).map(node).collect();
    for publisher in &publishers {
        for topic in &topics {
            let answer = take(&forwarder, *publisher, topic, 0);
            assert!(matches!(answer, Acceptance::Accepted { .. }));
        }
    }
    let topic = topics.into_iter().next().expect("some topics");
    (forwarder, publishers, topic)
}

fn take(forwarder: &Forwarder, publisher: NodeId, topic: &Topic, base: u64) -> Acceptance {
    let (now, base) = (Instant::from_millis(1), Sequence::new(base));
    let epoch = Epoch::new(WALL_MS);
    black_box(forwarder.accept(now, black_box(publisher), epoch, topic, base, EVENTS))
}
