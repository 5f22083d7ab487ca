//! Trees: the machine keeps the laws, its bounds, and the order of what it delivers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Rings, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput};
use macula_wire::message::{Graft, Holding, IHave, Prune};
use macula_wire::{Epoch, Instant, Machine, NodeId, Sequence, Topic};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

/// The most bytes that are kept, and that wait.
const MAX_BYTES: usize = 2_000;
const MAX_SOURCES: usize = 3;
const MAX_TOPICS: usize = 2;
const TOPICS: [&str; 3] = ["a", "b", "c"];

/// Whatever members send, however often and in whatever order, the machine keeps the six laws and its bounds, and delivers
/// the events of each run of a publisher in their order, each batch once.
///
/// Input: steps of six bytes: a kind, a pause, a node, a publisher with its topic and run, and two arguments.
pub fn machine(data: &[u8]) {
    let steps = data.chunks_exact(6).take(MAX_STEPS).map(|bytes| {
        let [kind, pause, node, source, one, other] = bytes else {
            unreachable!("six bytes")
        };
        Timed {
            after: laws::pause(*pause),
            step: step(*kind, *node, *source, [*one, *other]),
        }
    });
    let steps = steps.collect::<Vec<_>>();
    laws::hold(&Node, &steps);
    in_order(&steps);
}

/// Plays the steps once more, and looks at what is delivered.
fn in_order(steps: &[Timed<TreeInput<u8>>]) {
    let mut tree = Node.create();
    let mut now = START;
    let delivered = RefCell::new(BTreeMap::new());
    let is_untold = Cell::new(false);
    let drain = |tree: &mut Tree<u8>| {
        while let Some(output) = tree.poll_output() {
            let TreeOutput::Deliver { batch } = output else {
                continue;
            };
            if is_full(tree) || is_untold.get() {
                continue;
            }
            let key = (batch.publisher, batch.topic.clone());
            let at = (batch.epoch, batch.base.plus(batch.count));
            let before = delivered.borrow_mut().insert(key, at);
            assert!(before.is_none_or(|before| before < at), "{batch:?}");
        }
    };
    for timed in steps {
        now = now + timed.after;
        is_untold.set(matches!(timed.step, TreeInput::Direct { .. }));
        tree.handle_input(now, timed.step.clone());
        drain(&mut tree);
        // What comes straight from a publisher that no tree knows is handed on as it comes.
        let is_forgotten = matches!(timed.step, TreeInput::Forget { .. });
        if is_forgotten || is_untold.get() || is_full(&tree) {
            delivered.borrow_mut().clear();
        }
    }
    is_untold.set(false);
    tree.handle_timeout(now + Duration::from_secs(60));
    drain(&mut tree);
}

/// Nothing is remembered of a topic beyond the bound, nor of a publisher that made room for another.
fn is_full(tree: &Tree<u8>) -> bool {
    tree.sources() >= MAX_SOURCES || tree.topics() >= MAX_TOPICS
}

fn step(kind: u8, from: u8, source: u8, [one, other]: [u8; 2]) -> TreeInput<u8> {
    let peer = node(from);
    let publisher = node(source);
    let topic = Topic::new(TOPICS[usize::from(source >> 3) % TOPICS.len()]).expect("a topic");
    let epoch = Epoch::new(u64::from(source >> 6));
    let range = || {
        let first = u64::from(one & 31);
        let next = first + u64::from(other & 7);
        (Sequence::new(first), Sequence::new(next))
    };
    match kind % 16 {
        0..6 => TreeInput::Batch {
            from: (from & 0x40 == 0).then_some(peer),
            batch: batch(topic, publisher, epoch, [one, other]),
            expected: (from & 0x80 != 0).then(|| Sequence::new(u64::from(one & 3))),
        },
        6 => TreeInput::Direct {
            batch: batch(topic, publisher, epoch, [one, other]),
        },
        7 | 8 => {
            let (first, next) = range();
            let holdings = vec![Holding {
                publisher,
                epoch,
                first,
                next,
                distance: other >> 3,
            }];
            let have = IHave { topic, holdings };
            TreeInput::Have { from: peer, have }
        }
        9 => {
            let (begin, to) = range();
            let graft = Graft {
                topic,
                publisher,
                epoch,
                from: begin,
                to,
                attach: other & 0x80 != 0,
            };
            TreeInput::Graft { from: peer, graft }
        }
        10 => TreeInput::Prune {
            from: peer,
            prune: Prune { topic, publisher },
        },
        11 => TreeInput::Members {
            topic,
            rings: Arc::new(Rings::new(some(one))),
            since: START,
        },
        12 if other & 1 == 0 => TreeInput::Forget { topic },
        12 => TreeInput::Absent { peer },
        13 if other & 1 == 0 => TreeInput::LinkDown { peer },
        13 if other & 2 == 0 => TreeInput::Present { peer },
        13 => TreeInput::Restarted { peer },
        14 if other & 1 == 0 => TreeInput::Lagging { peer },
        14 => TreeInput::CaughtUp { peer },
        _ => TreeInput::LinkUp {
            peer,
            rtt: (one > 0).then(|| Duration::from_millis(u64::from(one))),
        },
    }
}

fn batch(topic: Topic, publisher: NodeId, epoch: Epoch, [one, other]: [u8; 2]) -> TreeBatch<u8> {
    TreeBatch {
        publisher,
        epoch,
        topic,
        base: Sequence::new(u64::from(one & 31)),
        count: u64::from(other & 3) + 1,
        distance: (other >> 2).max(1),
        bytes: usize::from(one) * 2,
        payload: other,
    }
}

/// Some nodes: those whose bits are set.
fn some(bits: u8) -> impl Iterator<Item = NodeId> {
    (0..8).filter(move |bit| bits >> bit & 1 == 1).map(node)
}

const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([(number & 7) + 1; 32])
}

struct Node;

impl Subject for Node {
    type Machine = Tree<u8>;
    type Step = TreeInput<u8>;

    fn create(&self) -> Tree<u8> {
        let mut config = TreeConfig::default();
        config.cache_bytes = MAX_BYTES;
        config.held_bytes = MAX_BYTES;
        config.max_held = 3;
        config.max_sources = MAX_SOURCES;
        config.max_topics = MAX_TOPICS;
        config.max_edges = 4;
        config.max_resent = 4;
        Tree::new(config, node(0), START)
    }

    fn apply(&self, machine: &mut Tree<u8>, now: Instant, step: &TreeInput<u8>) {
        machine.handle_input(now, step.clone());
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, machine: &Tree<u8>, out: &mut Digest) -> fmt::Result {
        for text in TOPICS {
            let topic = Topic::new(text).expect("a topic");
            write!(out, "{:?}", machine.neighbours(&topic))?;
        }
        write!(out, "{:?}{:?}", machine.stats(), machine.bytes())
    }

    fn inspect(&self, machine: &Tree<u8>) {
        let (kept, held) = machine.bytes();
        assert!(kept <= MAX_BYTES && held <= MAX_BYTES, "{kept} {held}");
        assert!(machine.sources() <= MAX_SOURCES && machine.topics() <= MAX_TOPICS);
    }
}
