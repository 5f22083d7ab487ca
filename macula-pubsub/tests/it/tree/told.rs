//! What applications would write down of a run of trees, for the checker of histories that scenarios with processes use
//! too.

use std::collections::{BTreeMap, BTreeSet};

use macula_testkit::NodeIndex;
use macula_testkit::history::{Did, History, Limits, Totals};

/// Everybody has been subscribed for so long when the first event is published, in microseconds.
const BEGIN: u64 = 10_000_000;
const END: u64 = 90_000_000;
const TOPIC: &str = "news";
const ORDERED: u32 = 0;
const UNORDERED: u32 = 1;

/// What was published by each node, and what each node that still runs was handed of it, in order.
pub(super) struct Run<'a> {
    pub(super) published: &'a BTreeMap<NodeIndex, u64>,
    pub(super) running: BTreeSet<NodeIndex>,
    /// In order, and as it came to whoever needs none.
    pub(super) handed: Vec<(NodeIndex, NodeIndex, [&'a [u64]; 2])>,
}

/// Fails if a promise of QoS 0 was broken.
pub(super) fn check(run: &Run<'_>) -> Totals {
    let mut history = History::new();
    for (writer, count) in run.published {
        let (name, node) = (name("w", *writer), name("n", *writer));
        history.push_text(0, &name, Did::Attached { node: &node });
        for number in 0..*count {
            let publish = Did::Publish {
                topic: TOPIC,
                number,
                qos: 0,
                wait_ms: None,
                receipt: false,
            };
            history.push_text(BEGIN + number, &name, publish);
            history.push_text(BEGIN + number, &name, Did::Accepted { number });
        }
        if !run.running.contains(writer) {
            history.push_text(END, "world", Did::Killed { who: &node });
        }
    }
    for reader in &run.running {
        let (name, node) = (name("r", *reader), name("n", *reader));
        history.push_text(0, &name, Did::Attached { node: &node });
        // What a node publishes itself does not pass its tree.
        let own: Vec<u64> = (0..run.published.get(reader).copied().unwrap_or(0)).collect();
        for (subscription, unordered) in [(ORDERED, false), (UNORDERED, true)] {
            let subscribe = Did::Subscribe {
                subscription,
                pattern: TOPIC,
                group: None,
                unordered,
            };
            history.push_text(0, &name, subscribe);
            history.push_text(0, &name, Did::Subscribed { subscription });
            handed(&mut history, (*reader, subscription), *reader, &own);
        }
    }
    for (reader, writer, [ordered, unordered]) in &run.handed {
        handed(&mut history, (*reader, ORDERED), *writer, ordered);
        handed(&mut history, (*reader, UNORDERED), *writer, unordered);
    }
    history.push_text(END + 1, "world", Did::Quiet);
    let report = history.check(&Limits::default());
    assert!(report.is_kept(), "{}", report.explain(&history));
    report.totals
}

/// Events of one publisher as they were handed over to a subscription; where the tree gave some up, the node tells a gap.
fn handed(
    history: &mut History,
    (reader, subscription): (NodeIndex, u32),
    writer: NodeIndex,
    numbers: &[u64],
) {
    let (name, publisher, by) = (name("r", reader), name("n", writer), name("w", writer));
    let publisher = publisher.as_str();
    let (topic, epoch) = (TOPIC, 1);
    let mut all: Vec<u64> = numbers.to_vec();
    all.sort_unstable();
    let gaps: BTreeMap<u64, u64> = all
        .windows(2)
        .filter(|pair| pair[0] + 1 < pair[1])
        .map(|pair| (pair[1], pair[0] + 1))
        .collect();
    // Times only ascend: the place among what was handed over.
    for (at, number) in (BEGIN + 1_000_000..).zip(numbers) {
        if let Some(from) = gaps.get(number).copied() {
            let (to, cause) = (Some(*number), "dropped");
            let gap = Did::Gap {
                subscription,
                publisher,
                epoch,
                topic,
                from,
                to,
                cause,
            };
            history.push_text(at, &name, gap);
        }
        let event = Did::Delivered {
            subscription,
            publisher,
            epoch,
            topic,
            sequence: *number,
            by: &by,
            number: *number,
            again: false,
        };
        history.push_text(at, &name, event);
    }
}

fn name(kind: &str, node: NodeIndex) -> String {
    format!("{kind}{}", node.get())
}
