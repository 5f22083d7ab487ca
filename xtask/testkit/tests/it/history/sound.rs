//! Histories in which everything is right.

use std::collections::BTreeMap;

use macula_testkit::history::{Did, History};
use macula_wire::Random;

use super::world::{Deed, deed, delivered};

/// One of everything: QoS 0 with a gap, QoS 1 over two topics with receipts and a refusal, a group, calls, a kill.
///
/// `w` writes at `n1`. `s1` is at `n1`, `s2` at `n2`, `g1` and `g2` share a group at `n2` and `n3`. `c` calls what `p`
/// serves; `dead` is killed while it runs a call.
pub(super) fn example() -> Vec<Deed> {
    let mut deeds = vec![
        deed(
            0,
            "world",
            Did::Up {
                node: "n1",
                durable: false,
            },
        ),
        deed(0, "w", Did::Attached { node: "n1" }),
        deed(0, "s1", Did::Attached { node: "n1" }),
        deed(0, "s2", Did::Attached { node: "n2" }),
        deed(0, "g1", Did::Attached { node: "n2" }),
        deed(0, "g2", Did::Attached { node: "n3" }),
    ];
    for (actor, pattern, group) in [
        ("s1", "**", None),
        ("s2", "**", None),
        ("g1", "work.*", Some("team")),
        ("g2", "work.*", Some("team")),
    ] {
        deeds.push(deed(
            10,
            actor,
            Did::Subscribe {
                subscription: 1,
                pattern,
                group,
                unordered: false,
            },
        ));
        deeds.push(deed(20, actor, Did::Subscribed { subscription: 1 }));
    }
    events(&mut deeds);
    reliable(&mut deeds);
    calls(&mut deeds);
    deeds.push(deed(60_000, "world", Did::Quiet));
    deeds
}

/// Ten events with QoS 0, numbers 0 to 9; `s2` misses sequences 4 to 6 and is told so.
fn events(deeds: &mut Vec<Deed>) {
    for number in 0..10 {
        let at = 2_000 + number * 10;
        publish(deeds, at, "a.b", number, 0);
        let event = delivered(1, ("n1", "w"), "a.b", number, number);
        deeds.push(deed(at + 2, "s1", event));
        match number {
            4 => deeds.push(deed(at + 30, "s2", gap(4, 7))),
            5 | 6 => {}
            _ => deeds.push(deed(at + 35, "s2", event)),
        }
    }
}

pub(super) fn gap(from: u64, to: u64) -> Did<&'static str> {
    Did::Gap {
        subscription: 1,
        publisher: "n1",
        epoch: 1,
        topic: "a.b",
        from,
        to: Some(to),
        cause: "overflow",
    }
}

fn publish(deeds: &mut Vec<Deed>, at: u64, topic: &'static str, number: u64, qos: u8) {
    let wait_ms = (qos > 0).then_some(1_000);
    let receipt = qos > 0;
    deeds.push(deed(
        at,
        "w",
        Did::Publish {
            topic,
            number,
            qos,
            wait_ms,
            receipt,
        },
    ));
    deeds.push(deed(at + 1, "w", Did::Accepted { number }));
}

/// Events with QoS 1, numbers 10 to 17, on two topics in turn; one of the group gets those of `work.q`. Number 18 is
/// refused.
fn reliable(deeds: &mut Vec<Deed>) {
    for number in 10..18 {
        let at = 3_000 + number * 10;
        let (topic, sequence) = if number % 2 == 0 {
            ("work.q", (number - 10) / 2)
        } else {
            ("c.d", (number - 11) / 2)
        };
        publish(deeds, at, topic, number, 1);
        let event = delivered(1, ("n1", "w"), topic, sequence, number);
        deeds.push(deed(at + 2, "s1", event));
        deeds.push(deed(at + 3, "s2", event));
        let mut matched = 2;
        if topic == "work.q" {
            let member = if number % 4 == 0 { "g1" } else { "g2" };
            deeds.push(deed(at + 4, member, event));
            matched = 3;
        }
        let receipt = Did::Receipt {
            number,
            matched,
            acked: matched,
            expired: 0,
            dropped: 0,
        };
        deeds.push(deed(at + 9, "w", receipt));
    }
    let (topic, wait_ms) = ("c.d", Some(1_000));
    let last = Did::Publish {
        topic,
        number: 18,
        qos: 1,
        wait_ms,
        receipt: true,
    };
    deeds.push(deed(4_000, "w", last));
    deeds.push(deed(
        4_500,
        "w",
        Did::Refused {
            number: 18,
            code: 0x46,
        },
    ));
}

/// Calls 0 to 3 are answered, 4 is cancelled, 5 is lost with its callee.
fn calls(deeds: &mut Vec<Deed>) {
    let call = |number| Did::Call {
        number,
        deadline_ms: 20_000,
        repeatable: false,
    };
    for (number, id) in ["id0", "id1", "id2", "id3"].into_iter().enumerate() {
        let number = u64::try_from(number).unwrap();
        let at = 5_000 + number * 10;
        deeds.push(deed(at, "c", call(number)));
        deeds.push(deed(
            at + 1,
            "p",
            Did::Begun {
                call: id,
                by: "c",
                number,
            },
        ));
        deeds.push(deed(at + 2, "p", Did::Ended { call: id }));
        deeds.push(deed(
            at + 3,
            "c",
            Did::Answered {
                number,
                by: "c",
                of: number,
            },
        ));
    }
    deeds.extend([
        deed(6_000, "c", call(4)),
        deed(
            6_010,
            "p",
            Did::Begun {
                call: "id4",
                by: "c",
                number: 4,
            },
        ),
        deed(6_020, "c", Did::Cancel { number: 4 }),
        deed(6_030, "p", Did::Stopped { call: "id4" }),
        deed(
            6_031,
            "c",
            Did::Failed {
                number: 4,
                code: 0x34,
            },
        ),
        deed(7_000, "c", call(5)),
        deed(
            7_010,
            "dead",
            Did::Begun {
                call: "id5",
                by: "c",
                number: 5,
            },
        ),
        deed(7_100, "world", Did::Killed { who: "dead" }),
        deed(
            8_000,
            "c",
            Did::Failed {
                number: 5,
                code: 0x33,
            },
        ),
    ]);
}

const WRITERS: [&str; 3] = ["w0", "w1", "w2"];
const NODES: [&str; 3] = ["n0", "n1", "n2"];
const READERS: [&str; 4] = ["s0", "s1", "s2", "s3"];
/// One writer for each.
const TOPICS: [[&str; 2]; 3] = [["a.x", "a.y"], ["b.x", "b.y"], ["c.x", "c.y"]];
const PATTERNS: [&str; 4] = ["**", "a.*", "*.x", "b.**"];

/// What one subscriber has waiting of one topic.
#[derive(Default)]
struct Missing(BTreeMap<(usize, &'static str), (u64, u64)>);

/// Writers at three nodes, some with QoS 1 and some without; subscribers that overflow, come late and leave early; a
/// node that begins a new run.
pub(super) fn random(seed: u64) -> Vec<Deed> {
    let mut random = Random::new(seed);
    let mut deeds = Vec::new();
    let mut subscribed = [u64::MAX; 4];
    let mut over = [u64::MAX; 4];
    for (at, reader) in READERS.into_iter().enumerate() {
        let node = NODES[at % NODES.len()];
        deeds.push(deed(0, reader, Did::Attached { node }));
        subscribed[at] = if random.below(3) == 0 {
            random.below(10_000)
        } else {
            10
        };
        let pattern = PATTERNS[at];
        deeds.push(deed(
            subscribed[at] - 5.min(subscribed[at]),
            reader,
            Did::Subscribe {
                subscription: 0,
                pattern,
                group: None,
                unordered: false,
            },
        ));
        deeds.push(deed(
            subscribed[at],
            reader,
            Did::Subscribed { subscription: 0 },
        ));
        if random.below(4) == 0 {
            over[at] = 12_000 + random.below(5_000);
        }
    }
    for (writer, name) in WRITERS.into_iter().enumerate() {
        write(&mut deeds, &mut random, writer, name, (&subscribed, &over));
    }
    for (at, reader) in READERS.into_iter().enumerate() {
        if over[at] != u64::MAX {
            deeds.push(deed(over[at], reader, Did::Unsubscribe { subscription: 0 }));
        }
    }
    deeds.push(deed(90_000, "world", Did::Quiet));
    deeds
}

fn write(
    deeds: &mut Vec<Deed>,
    random: &mut Random,
    writer: usize,
    name: &'static str,
    (subscribed, over): (&[u64; 4], &[u64; 4]),
) {
    let node = NODES[writer];
    deeds.push(deed(0, name, Did::Attached { node }));
    let qos = u8::try_from(random.below(2)).unwrap();
    let restarts = random.below(40) + 10;
    let (mut epoch, mut next) = (1, BTreeMap::new());
    let mut missing = Missing::default();
    for number in 0..60 {
        let at = 1_000 + number * 200;
        if number == restarts {
            epoch += 1;
            next.clear();
            for (reader, topic) in missing.0.keys().copied().collect::<Vec<_>>() {
                told(deeds, &mut missing, at, (node, epoch - 1), (reader, topic));
            }
        }
        let topic = TOPICS[writer][usize::try_from(random.below(2)).unwrap()];
        let publish = Did::Publish {
            topic,
            number,
            qos,
            wait_ms: None,
            receipt: qos > 0,
        };
        deeds.push(deed(at, name, publish));
        if random.below(10) == 0 {
            deeds.push(deed(at + 1, name, Did::Refused { number, code: 0x46 }));
            continue;
        }
        deeds.push(deed(at + 1, name, Did::Accepted { number }));
        let sequence = next.entry(topic).or_insert(0);
        let mut matched = 0;
        for (reader, actor) in READERS.into_iter().enumerate() {
            let is_there = (subscribed[reader]..over[reader]).contains(&(at + 5));
            if !is_there || !matches(PATTERNS[reader], topic) {
                continue;
            }
            matched += 1;
            if qos == 0 && random.below(5) == 0 {
                missing
                    .0
                    .entry((reader, topic))
                    .or_insert((*sequence, *sequence))
                    .1 = *sequence + 1;
                continue;
            }
            told(deeds, &mut missing, at + 4, (node, epoch), (reader, topic));
            let (publisher, by, sequence) = (node, name, *sequence);
            let event = Did::Delivered {
                subscription: 0,
                publisher,
                epoch,
                topic,
                sequence,
                by,
                number,
                again: false,
            };
            deeds.push(deed(at + 5, actor, event));
        }
        *sequence += 1;
        if qos > 0 {
            // Two subscribers at one node are one destination elsewhere.
            let acked = destinations(PATTERNS, writer, topic, |reader| {
                (subscribed[reader]..over[reader]).contains(&(at + 5))
            });
            assert!(acked <= matched);
            let receipt = Did::Receipt {
                number,
                matched: acked,
                acked,
                expired: 0,
                dropped: 0,
            };
            deeds.push(deed(at + 9, name, receipt));
        }
    }
    for (reader, topic) in missing.0.keys().copied().collect::<Vec<_>>() {
        let at = 20_000.min(over[reader] - 1);
        told(deeds, &mut missing, at, (node, epoch), (reader, topic));
    }
}

fn told(
    deeds: &mut Vec<Deed>,
    missing: &mut Missing,
    at: u64,
    (publisher, epoch): (&'static str, u64),
    (reader, topic): (usize, &'static str),
) {
    if let Some((from, to)) = missing.0.remove(&(reader, topic)) {
        let (to, cause) = (Some(to), "overflow");
        let gap = Did::Gap {
            subscription: 0,
            publisher,
            epoch,
            topic,
            from,
            to,
            cause,
        };
        deeds.push(deed(at, READERS[reader], gap));
    }
}

fn matches(pattern: &str, topic: &str) -> bool {
    match pattern {
        "**" => true,
        "a.*" => topic.starts_with("a."),
        "*.x" => topic.ends_with(".x"),
        _ => topic.starts_with("b."),
    }
}

fn destinations(
    patterns: [&str; 4],
    writer: usize,
    topic: &str,
    is_there: impl Fn(usize) -> bool,
) -> u64 {
    let mut found = std::collections::BTreeSet::new();
    for (reader, pattern) in patterns.into_iter().enumerate() {
        let node = reader % NODES.len();
        if is_there(reader) && matches(pattern, topic) {
            found.insert((node, (node == writer).then_some(reader)));
        }
    }
    u64::try_from(found.len()).unwrap()
}

/// Events with QoS 1 that all of `readers` get, without receipts.
pub(super) fn large(events: u64, readers: u32) -> History {
    let mut history = History::new();
    let (writer, node, topic) = (history.name("w"), history.name("n0"), history.name("a.b"));
    let names: Vec<_> = (0..readers)
        .map(|reader| history.name(&format!("s{reader}")))
        .collect();
    history.push(0, writer, Did::Attached { node });
    let pattern = history.name("a.*");
    for name in &names {
        history.push(
            0,
            *name,
            Did::Subscribe {
                subscription: 0,
                pattern,
                group: None,
                unordered: false,
            },
        );
        history.push(1, *name, Did::Subscribed { subscription: 0 });
    }
    for number in 0..events {
        let at = 2_000_000 + number * 20;
        let publish = Did::Publish {
            topic,
            number,
            qos: 1,
            wait_ms: Some(1_000),
            receipt: false,
        };
        history.push(at, writer, publish);
        history.push(at + 1, writer, Did::Accepted { number });
        for name in &names {
            let (publisher, by) = (node, writer);
            let event = Did::Delivered {
                subscription: 0,
                publisher,
                epoch: 1,
                topic,
                sequence: number,
                by,
                number,
                again: false,
            };
            history.push(at + 5, *name, event);
        }
    }
    let world = history.name("world");
    history.push(90_000_000, world, Did::Quiet);
    history
}
