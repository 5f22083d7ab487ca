//! Events to many: finding all who are owed one, and passing it on along a tree.
#![expect(
    clippy::expect_used,
    reason = "a scenario whose input is wrong measures something else, so it has to stop"
)]

use std::hint::black_box;
use std::sync::Arc;

use macula_pubsub::{
    Destination, Rings, Table, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput,
};
use macula_wire::{Epoch, Instant, Machine, NodeId, Pattern, Sequence, Topic};

use crate::input::{WALL_MS, node};
use crate::{Round, Scenario, Size};

/// How many members want the topic that is matched.
const RECEIVERS: usize = 1_000;
/// How many members want the topic that goes along a tree; each has six neighbours.
const MEMBERS: usize = 100;
/// How many batches a round passes on.
const BATCHES: u64 = 100;
/// How many events each batch has, and how many bytes.
const EVENTS: u64 = 10;
const BYTES: usize = 1_000;

/// The scenarios of this group.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("fan_out_match_1000", 1_000, matched),
    Scenario::new("fan_out_tree", 100, passed_on),
];

/// Finds all members that want a topic.
fn matched(size: Size) -> Round {
    let receivers = size.of(RECEIVERS);
    let pattern = Pattern::new("plant.17.**").expect("a pattern");
    let entries = (0..receivers).map(|number| (pattern.clone(), Destination::Member(node(number))));
    let table = Table::new(1, entries);
    let topic = topic();
    let mut owed = Vec::new();
    Box::new(move || {
        table.matches_into(black_box(&topic), &mut owed);
        assert_eq!(black_box(&owed).len(), receivers, "all of them are owed it");
    })
}

/// Takes batches of one publisher from a neighbour, delivers them and passes each on to all other neighbours.
fn passed_on(size: Size) -> Round {
    let members = size.of(MEMBERS);
    let own = node(0);
    let mut tree: Tree<u64> = Tree::new(TreeConfig::default(), own, at(0));
    let rings = Arc::new(Rings::new((0..members).map(node)));
    let known = TreeInput::Members {
        topic: topic(),
        rings,
        since: at(0),
    };
    tree.handle_input(at(0), known);
    let neighbours = tree.neighbours(&topic()).to_vec();
    for peer in &neighbours {
        let up = TreeInput::LinkUp {
            peer: *peer,
            rtt: None,
        };
        tree.handle_input(at(0), up);
    }
    let parent = neighbours.first().copied().expect("a neighbour");
    let others = neighbours.len().saturating_sub(1);
    let (mut now, mut base) = (2_000, 0);
    Box::new(move || {
        let mut pushed = 0_usize;
        for _batch in 0..BATCHES {
            now = u64::saturating_add(now, 1);
            tree.handle_input(at(now), came(parent, base));
            base = u64::saturating_add(base, EVENTS);
            while let Some(output) = tree.poll_output() {
                let is_push = matches!(black_box(output), TreeOutput::Push { .. });
                pushed = pushed.saturating_add(usize::from(is_push));
            }
        }
        let batches = usize::try_from(BATCHES).unwrap_or(usize::MAX);
        assert_eq!(pushed, batches.saturating_mul(others), "each to all others");
    })
}

/// The batch from `base` on, as it comes from a neighbour.
fn came(from: NodeId, base: u64) -> TreeInput<u64> {
    TreeInput::Batch {
        from: Some(from),
        batch: TreeBatch {
            publisher: from,
            epoch: Epoch::new(WALL_MS),
            topic: topic(),
            base: Sequence::new(base),
            count: EVENTS,
            distance: 1,
            bytes: BYTES,
            payload: base,
        },
        expected: None,
    }
}

fn topic() -> Topic {
    Topic::new("plant.17.line.4").expect("a topic")
}

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}
