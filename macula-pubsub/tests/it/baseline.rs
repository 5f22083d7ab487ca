//! What came and went leaves nothing behind.

use macula_pubsub::{Config, Input, PubSub, SessionId};
use macula_testkit::node_id;
use macula_wire::{Machine, NodeId};

use crate::common::{at, declare, drain, local, machine, pattern, session, subscribe, topic};

const TOPICS: u64 = 10_000;
const MEMBERS: u64 = 50;
const CLIENTS: u64 = 7;

/// How what other members want is forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Unwanted,
    MembersDown,
    /// By nobody publishing it any more.
    Retracted,
}

/// All that the machine holds, without the counters that only ever go up and the time.
fn state(pubsub: &PubSub) -> Vec<String> {
    let counts = [
        "version:",
        "now:",
        "declarations:",
        "pace:",
        "earliest:",
        "last:",
        "due:",
    ];
    let all = format!("{pubsub:#?}");
    let lines = all.lines().map(str::trim);
    let lines = lines.filter(|line| !counts.iter().any(|count| line.starts_with(count)));
    let lines = lines.filter(|line| !line.chars().all(|c| c.is_ascii_digit() || c == ','));
    lines.map(ToOwned::to_owned).collect()
}

fn name(number: u64) -> String {
    format!("plant.{number}.temperature")
}

/// A pattern of each kind that a publisher of [`name`] hears of.
fn wanted(number: u64) -> String {
    match number % 4 {
        0 => format!("plant.{number}.*"),
        1 => format!("plant.{number}.**"),
        2 => format!("plant.*.t{number}"),
        _ => name(number),
    }
}

/// Has one topic for good, and what another wants of it.
fn settled() -> PubSub {
    let mut pubsub = machine(Config::default());
    declare(&mut pubsub, at(0), &["stays.here"]);
    subscribe(&mut pubsub, at(0), local(0), "stays.**");
    hear(&mut pubsub, 0, "stays.here", 200);
    settle(&mut pubsub, 1_000);
    pubsub
}

#[test]
fn the_state_is_that_of_before_after_ten_thousand_topics() {
    let mut pubsub = settled();
    let before = state(&pubsub);
    for (round, end) in (1..).zip([End::Unwanted, End::MembersDown, End::Retracted]) {
        let (start, end_at) = (round * 10_000, round * 10_000 + 5_000);
        come(&mut pubsub, start);
        let heard = usize::try_from(TOPICS).unwrap() + 1;
        assert_eq!((pubsub.interests(), pubsub.subscriptions()), (heard, heard));
        settle(&mut pubsub, start + 1_000);
        let more = state(&pubsub).len() > before.len() + heard;
        assert!(more, "the state shows what is there");

        go(&mut pubsub, end_at, end);
        settle(&mut pubsub, end_at + 1_000);
        let after = state(&pubsub);
        let differing = after.iter().zip(&before).find(|(now, was)| now != was);
        assert_eq!(differing, None, "{end:?}");
        assert_eq!(after.len(), before.len(), "{end:?}");
        assert_eq!(pubsub.table().len(), 2);
    }
}

/// Declares, hears and subscribes ten thousand topics.
fn come(pubsub: &mut PubSub, millis: u64) {
    for number in 0..TOPICS {
        declare(pubsub, at(millis), &[&name(number)]);
        hear(pubsub, millis, &wanted(number), 1 + number % MEMBERS);
        let subscriber = match number % 2 {
            0 => local(1 + number),
            _ => session(number % CLIENTS, number),
        };
        subscribe(pubsub, at(millis), subscriber, &wanted(number));
    }
}

/// Takes all of [`come`] back; what was heard goes by `end`.
fn go(pubsub: &mut PubSub, millis: u64, end: End) {
    if end == End::Unwanted {
        for number in 0..TOPICS {
            let (node, pattern) = (member(1 + number % MEMBERS), pattern(&wanted(number)));
            pubsub.handle_input(at(millis), Input::Unwanted { node, pattern });
        }
    }
    if end == End::MembersDown {
        for number in 1..=MEMBERS {
            let node = member(number);
            pubsub.handle_input(at(millis), Input::MemberDown { node });
        }
    }
    for number in 0..TOPICS {
        assert_eq!(pubsub.retract(at(millis), &topic(&name(number))), Ok(()));
        if number % 2 == 0 {
            assert_eq!(pubsub.unsubscribe(at(millis), local(1 + number)), Ok(()));
        }
    }
    for client in 0..CLIENTS {
        pubsub.drop_session(at(millis), SessionId::new(client));
    }
}

fn settle(pubsub: &mut PubSub, millis: u64) {
    pubsub.handle_timeout(at(millis));
    drain(pubsub);
}

fn hear(pubsub: &mut PubSub, millis: u64, text: &str, from: u64) {
    let (node, pattern) = (member(from), pattern(text));
    pubsub.handle_input(at(millis), Input::Wanted { node, pattern });
}

fn member(number: u64) -> NodeId {
    node_id(usize::try_from(number).unwrap())
}
