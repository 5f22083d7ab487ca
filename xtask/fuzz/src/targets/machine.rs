//! Machines under hostile input: the laws that hold for all of them, and what each promises besides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Destination, Input, LocalId, Output, PubSub, Subscriber, Table};
use macula_realm::{DefaultRules, Principal};
use macula_wire::message::Roles;
use macula_wire::{Body, Instant, Kind, Machine, NodeId, Pattern, Random, Topic};

/// The most output of one event.
const BURST: usize = 256;
const PATTERNS: [&str; 6] = ["a", "a.b", "a.*", "a.**", "*.b", "**"];
const TOPICS: [&str; 4] = ["a", "a.b", "a.b.c", "d.b"];

/// Whatever members announce and applications subscribe to, the table that is in force once all has
/// settled is what a naive reading of both gives.
///
/// Input: steps. The first byte chooses the step, the second a member or a subscription; a message
/// is a length (1 byte) and the body of an INTEREST.
pub fn pubsub(data: &[u8]) {
    let own = NodeId::from_bytes([9; 32]);
    let who = Principal::new(own, Roles::CLIENT);
    let mut now = Instant::ZERO;
    let mut machine = PubSub::new(Default::default(), own, Random::new(1), now);
    let mut local = BTreeMap::new();
    let mut table = None;
    let mut rest = data;
    while let [step, which, after @ ..] = rest {
        rest = after;
        let node = NodeId::from_bytes([which & 3; 32]);
        let id = LocalId::new(u64::from(which & 7));
        let subscriber = Subscriber::Local(id);
        match step % 6 {
            0 => machine.handle_input(now, Input::MemberUp { node }),
            1 => machine.handle_input(now, Input::MemberDown { node }),
            2 => {
                let pattern = PATTERNS[usize::from(which >> 3) % PATTERNS.len()];
                let pattern = Pattern::new(pattern).expect("a pattern");
                let done = machine.subscribe(now, &DefaultRules, &who, subscriber, pattern.clone());
                assert_eq!(done.is_ok(), !local.contains_key(&id), "{done:?}");
                local.entry(id).or_insert(pattern);
            }
            3 => {
                let done = machine.unsubscribe(now, subscriber);
                assert_eq!(done.is_ok(), local.remove(&id).is_some(), "{done:?}");
            }
            4 => {
                let Some((length, after)) = rest.split_first() else {
                    break;
                };
                let (body, after) = after.split_at(usize::from(*length).min(after.len()));
                rest = after;
                if let Some(Body::Interest(message)) = super::frame::body(Kind::Interest, body) {
                    machine.handle_input(
                        now,
                        Input::Interest {
                            from: node,
                            message,
                        },
                    );
                }
            }
            _ => {
                now = now + Duration::from_secs(u64::from(*which) + 1);
                machine.handle_timeout(now);
                drain(&mut machine, now, &mut table);
                settled(&machine, &local, table.as_deref());
            }
        }
        drain(&mut machine, now, &mut table);
    }
}

/// Takes all output of `machine`, which is bounded and leaves nothing due.
fn drain(machine: &mut PubSub, now: Instant, table: &mut Option<Arc<Table>>) {
    let mut taken = 0;
    while let Some(output) = machine.poll_output() {
        taken += 1;
        assert!(taken <= BURST, "more than {BURST} outputs of one event");
        if let Output::Table(new) = output {
            *table = Some(new);
        }
    }
    assert!(
        machine.poll_timeout().is_none_or(|at| at > now),
        "something is still due"
    );
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
