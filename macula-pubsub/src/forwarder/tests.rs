//! Directed tests of every answer of the forwarder.

use super::*;
use crate::LocalId;

const NOW: Instant = Instant::from_millis(5);

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

/// One publisher and topic, by numbers.
struct Followed(Forwarder);

impl Followed {
    fn new() -> Self {
        Self(Forwarder::new(&ForwarderConfig::default()))
    }

    fn batch(&self, epoch: u64, base: u64, count: u64) -> Acceptance {
        let (epoch, base) = (Epoch::new(epoch), Sequence::new(base));
        self.0.accept(NOW, node(1), epoch, &topic("a"), base, count)
    }

    fn alias(&self, epoch: u64, next: u64) -> Option<Missing> {
        let (epoch, next) = (Epoch::new(epoch), Sequence::new(next));
        self.0.announced(NOW, node(1), epoch, &topic("a"), next)
    }
}

fn accepted(skip: u64) -> Acceptance {
    Acceptance::Accepted {
        skip,
        gap: None,
        restarted: false,
    }
}

fn missing(from: u64, to: u64) -> Missing {
    Missing {
        from: Sequence::new(from),
        to: Sequence::new(to),
    }
}

#[test]
fn the_first_batch_may_begin_anywhere_and_the_next_follow_on() {
    let followed = Followed::new();
    assert_eq!(followed.batch(1, 40, 10), accepted(0));
    assert_eq!(followed.batch(1, 50, 1), accepted(0));
}

#[test]
fn an_alias_says_where_a_topic_begins() {
    let followed = Followed::new();
    assert_eq!(followed.alias(1, 7), None);
    let gap = Some(missing(7, 9));
    assert_eq!(
        followed.batch(1, 9, 1),
        Acceptance::Accepted {
            skip: 0,
            gap,
            restarted: false
        }
    );
}

#[test]
fn what_was_left_out_is_reported_once() {
    let followed = Followed::new();
    followed.batch(1, 0, 3);
    let gap = Some(missing(3, 5));
    let expected = Acceptance::Accepted {
        skip: 0,
        gap,
        restarted: false,
    };
    assert_eq!(followed.batch(1, 5, 2), expected);
    assert_eq!(followed.batch(1, 3, 2), Acceptance::Duplicate);
    assert_eq!(followed.batch(1, 7, 1), accepted(0));
    assert_eq!(followed.alias(1, 8), None);
    assert_eq!(followed.alias(1, 12), Some(missing(8, 12)));
    assert_eq!(missing(8, 12).count(), 4);
    assert_eq!(followed.alias(1, 12), None);
    assert_eq!(followed.batch(1, 12, 1), accepted(0));
}

#[test]
fn what_was_seen_is_skipped() {
    let followed = Followed::new();
    followed.batch(1, 0, 3);
    assert_eq!(followed.batch(1, 0, 3), Acceptance::Duplicate);
    assert_eq!(followed.batch(1, 1, 1), Acceptance::Duplicate);
    assert_eq!(followed.batch(1, 1, 4), accepted(2));
    assert_eq!(followed.batch(1, 5, 0), Acceptance::Duplicate);
}

#[test]
fn a_later_epoch_ends_the_earlier_one() {
    let restarted = Acceptance::Accepted {
        skip: 0,
        gap: None,
        restarted: true,
    };
    let followed = Followed::new();
    followed.batch(1, 0, 9);
    assert_eq!(followed.batch(2, 0, 1), restarted);
    assert_eq!(followed.batch(2, 1, 1), accepted(0));
    assert_eq!(followed.batch(1, 9, 1), Acceptance::Stale);
    assert_eq!(followed.alias(1, 20), None);

    // An alias comes before the batch, and does not take the news away.
    assert_eq!(followed.alias(3, 4), None);
    let expected = Acceptance::Accepted {
        skip: 0,
        gap: Some(missing(4, 6)),
        restarted: true,
    };
    assert_eq!(followed.batch(3, 6, 1), expected);
    assert_eq!(followed.batch(3, 7, 1), accepted(0));
}

#[test]
fn a_restart_is_told_in_each_topic_that_was_followed() {
    let forwarder = Forwarder::new(&ForwarderConfig::default());
    let batch = |epoch, name: &str| {
        let epoch = Epoch::new(epoch);
        forwarder.accept(NOW, node(1), epoch, &topic(name), Sequence::new(0), 1)
    };
    let told = |acceptance| {
        matches!(
            acceptance,
            Acceptance::Accepted {
                restarted: true,
                ..
            }
        )
    };
    batch(1, "a");
    batch(1, "b");
    assert!(told(batch(2, "a")));
    assert!(told(batch(2, "b")));
    assert!(!told(batch(2, "c")));
}

#[test]
fn publishers_and_topics_do_not_mix() {
    let forwarder = Forwarder::new(&ForwarderConfig::default());
    let accept = |publisher, name: &str, base| {
        let base = Sequence::new(base);
        forwarder.accept(NOW, node(publisher), Epoch::new(1), &topic(name), base, 1)
    };
    assert_eq!(accept(1, "a", 5), accepted(0));
    assert_eq!(accept(2, "a", 5), accepted(0));
    assert_eq!(accept(1, "b", 5), accepted(0));
    assert_eq!(accept(1, "a", 5), Acceptance::Duplicate);
}

#[test]
fn the_end_of_the_numbers_is_no_way_round() {
    let followed = Followed::new();
    assert_eq!(followed.batch(1, u64::MAX - 1, 9), accepted(0));
    assert_eq!(followed.batch(1, u64::MAX, 9), Acceptance::Duplicate);
    assert_eq!(followed.batch(1, 0, 1), Acceptance::Duplicate);
}

#[test]
fn the_topic_heard_least_recently_makes_room_and_starts_afresh() {
    let config = ForwarderConfig {
        max_topics: 2,
        ..ForwarderConfig::default()
    };
    let forwarder = Forwarder::new(&config);
    let accept = |name: &str, base| {
        let base = Sequence::new(base);
        forwarder.accept(NOW, node(1), Epoch::new(1), &topic(name), base, 1)
    };
    accept("a", 0);
    accept("b", 0);
    accept("a", 1);
    assert_eq!(forwarder.stats().evicted, 0);
    accept("c", 0);
    let stats = forwarder.stats();
    assert_eq!((stats.publishers, stats.topics, stats.evicted), (1, 2, 1));
    assert_eq!(accept("a", 1), Acceptance::Duplicate);
    assert_eq!(accept("b", 0), accepted(0));
}

#[test]
fn the_publisher_heard_least_recently_makes_room() {
    let config = ForwarderConfig {
        max_publishers: 2,
        shards: 1,
        ..ForwarderConfig::default()
    };
    let forwarder = Forwarder::new(&config);
    for (time, publisher) in [1, 2, 1, 3].into_iter().enumerate() {
        let now = Instant::from_millis(u64::try_from(time).unwrap());
        let id = node(publisher);
        let answer = forwarder.accept(now, id, Epoch::new(1), &topic("a"), Sequence::new(0), 1);
        assert_eq!(
            answer,
            if time == 2 {
                Acceptance::Duplicate
            } else {
                accepted(0)
            }
        );
    }
    assert_eq!(
        forwarder.last_heard(&node(1)),
        Some(Instant::from_millis(2))
    );
    assert_eq!(forwarder.last_heard(&node(2)), None);
    assert_eq!(forwarder.stats().evicted, 1);
    forwarder.forget(node(1));
    assert_eq!(forwarder.last_heard(&node(1)), None);
    assert_eq!(forwarder.stats().publishers, 1);
}

#[test]
fn nobody_is_told_of_events_from_before_a_subscription() {
    let followed = Followed::new();
    followed.batch(1, 0, 3);
    let pattern = macula_wire::Pattern::new("a").unwrap();
    let local = Destination::Local(LocalId::new(1));
    followed
        .0
        .retain(&Table::new(1, [(pattern.clone(), local)]));
    assert_eq!(followed.batch(1, 0, 3), Acceptance::Duplicate);
    let elsewhere = Destination::Member(node(2));
    followed.0.retain(&Table::new(2, [(pattern, elsewhere)]));
    assert_eq!(followed.batch(1, 90, 1), accepted(0));
}

#[test]
fn events_of_members_are_not_passed_to_members() {
    let all = [
        Destination::Local(LocalId::new(1)),
        Destination::Session(SessionId::new(1)),
        Destination::Member(node(1)),
        Destination::Member(node(2)),
    ];
    let pattern = macula_wire::Pattern::new("a.**").unwrap();
    let table = Table::new(1, all.map(|to| (pattern.clone(), to)));
    let mut out = Vec::new();
    for (from, expected) in [
        (Source::Own, &all[..]),
        (Source::Session(SessionId::new(1)), &all[..]),
        (Source::Session(SessionId::new(2)), &all[..]),
        (Source::Member(node(1)), &all[..2]),
        (Source::Member(node(3)), &all[..2]),
    ] {
        Forwarder::route(&table, &topic("a.b"), from, &mut out);
        assert_eq!(out, expected, "{from:?}");
    }
    Forwarder::route(&table, &topic("b"), Source::Own, &mut out);
    assert!(out.is_empty());
}
