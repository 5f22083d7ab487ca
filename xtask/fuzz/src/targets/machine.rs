//! Machines under hostile input: the laws that hold for all of them, and what each promises besides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{
    Config, Destination, Input, LocalId, Output, PubSub, Subscriber, Table, WatchKey,
};
use macula_realm::{DefaultRules, Principal};
use macula_wire::message::Roles;
use macula_wire::{Instant, Machine, NodeId, Pattern, Topic};

/// The most output of one event.
const BURST: usize = 256;
const PATTERNS: [&str; 6] = ["a", "a.b", "a.*", "a.**", "*.b", "**"];
const TOPICS: [&str; 4] = ["a", "a.b", "a.b.c", "d.b"];

/// Whatever members want and applications subscribe to and publish, the table that is in force once all has
/// settled is what a naive reading of both gives.
///
/// Input: steps of two bytes. The first chooses the step, the second a member or a subscription, and a pattern or a topic.
pub fn pubsub(data: &[u8]) {
    let own = NodeId::from_bytes([9; 32]);
    let who = Principal::new(own, Roles::CLIENT);
    let mut now = Instant::ZERO;
    let mut config = Config::default();
    config.max_interests = 9;
    config.max_patterns = 5;
    let mut machine = PubSub::new(config, own, now);
    let mut local = BTreeMap::new();
    let mut told = Told::default();
    let mut table = None;
    let mut rest = data;
    while let [step, which, after @ ..] = rest {
        rest = after;
        let node = NodeId::from_bytes([which & 3; 32]);
        let id = LocalId::new(u64::from(which & 7));
        let subscriber = Subscriber::Local(id);
        let text = PATTERNS[usize::from(which >> 3) % PATTERNS.len()];
        let pattern = Pattern::new(text).expect("a pattern");
        let topic = TOPICS[usize::from(which >> 3) % TOPICS.len()];
        let topic = Topic::new(topic).expect("a topic");
        match step % 8 {
            0 => {
                let declared = machine.declare(now, &DefaultRules, &who, &topic);
                assert_eq!(declared, Ok(()));
            }
            1 => machine.handle_input(now, Input::MemberDown { node }),
            2 => {
                let done = machine.subscribe(now, &DefaultRules, &who, subscriber, pattern.clone());
                assert_eq!(done.is_ok(), !local.contains_key(&id), "{done:?}");
                local.entry(id).or_insert(pattern);
            }
            3 => {
                let done = machine.unsubscribe(now, subscriber);
                assert_eq!(done.is_ok(), local.remove(&id).is_some(), "{done:?}");
            }
            4 => machine.handle_input(now, Input::Wanted { node, pattern }),
            5 => machine.handle_input(now, Input::Unwanted { node, pattern }),
            6 => {
                let is_declared = machine.publications().any(|known| *known == topic);
                assert_eq!(machine.retract(now, &topic).is_ok(), is_declared);
            }
            _ => {
                now = now + Duration::from_secs(u64::from(*which) + 1);
                machine.handle_timeout(now);
                drain(&mut machine, now, &mut table, &mut told);
                settled(&machine, &local, table.as_deref());
            }
        }
        drain(&mut machine, now, &mut table, &mut told);
    }
}

/// Takes all output of `machine`, which is bounded and leaves nothing due.
fn drain(machine: &mut PubSub, now: Instant, table: &mut Option<Arc<Table>>, told: &mut Told) {
    let mut taken = 0;
    while let Some(output) = machine.poll_output() {
        taken += 1;
        assert!(taken <= BURST, "more than {BURST} outputs of one event");
        match output {
            Output::Table(new) => *table = Some(new),
            Output::Announce { pattern } => assert!(told.announced.insert(pattern)),
            Output::Withdraw { pattern } => assert!(told.announced.remove(&pattern)),
            Output::Watch { key } => assert!(told.watched.insert(key)),
            Output::Unwatch { key } => assert!(told.watched.remove(&key)),
            other => panic!("{other:?} is new here"),
        }
    }
    assert!(machine.interests() <= 9);
    for member in machine.interested() {
        let mut wanted = machine.interest_of(member);
        assert!(wanted.all(|pattern| told.watched.contains(&WatchKey::of_pattern(pattern))));
        assert!(machine.interest_of(member).count() <= 5);
    }
    assert!(
        machine.poll_timeout().is_none_or(|at| at > now),
        "something is still due"
    );
}

/// What was announced and is watched at present.
#[derive(Default)]
struct Told {
    announced: BTreeSet<Pattern>,
    watched: BTreeSet<WatchKey>,
}

/// Compares the table in force with the subscriptions and with what the members want.
fn settled(machine: &PubSub, local: &BTreeMap<LocalId, Pattern>, table: Option<&Table>) {
    for topic in TOPICS {
        let topic = Topic::new(topic).expect("a topic");
        let own = local
            .iter()
            .filter(|(_id, pattern)| pattern.matches(&topic));
        let mut expected: Vec<Destination> =
            own.map(|(id, _pattern)| Destination::Local(*id)).collect();
        for member in machine.interested() {
            if machine
                .interest_of(member)
                .any(|pattern| pattern.matches(&topic))
            {
                expected.push(Destination::Member(*member));
            }
        }
        expected.sort();
        let found = table.map(|table| table.matches(&topic)).unwrap_or_default();
        assert_eq!(found, expected, "{topic}");
    }
}
