//! Subscriptions without order, and events that were dropped without their places.

use macula_testkit::history::{Did, Rule};

use super::broken;
use super::world::{Deed, deed, delivered};

/// What a subscriber is told, in this order, of six events that are published with QoS 0.
fn told(unordered: bool, told: &[Did<&'static str>]) -> Vec<Deed> {
    let mut deeds = vec![
        deed(0, "w", Did::Attached { node: "n1" }),
        deed(0, "s", Did::Attached { node: "n2" }),
    ];
    let subscribe = Did::Subscribe {
        subscription: 1,
        pattern: "a.*",
        group: None,
        unordered,
    };
    deeds.push(deed(10, "s", subscribe));
    deeds.push(deed(20, "s", Did::Subscribed { subscription: 1 }));
    for number in 0..6 {
        let publish = Did::Publish {
            topic: "a.b",
            number,
            qos: 0,
            wait_ms: None,
            receipt: false,
        };
        deeds.push(deed(2_000 + number, "w", publish));
        deeds.push(deed(2_000 + number, "w", Did::Accepted { number }));
    }
    for (at, did) in (3_000..).zip(told) {
        deeds.push(deed(at, "s", *did));
    }
    deeds.push(deed(60_000, "world", Did::Quiet));
    deeds
}

fn event(number: u64) -> Did<&'static str> {
    delivered(1, ("n1", "w"), "a.b", number, number)
}

fn gap(from: u64, to: u64) -> Did<&'static str> {
    Did::Gap {
        subscription: 1,
        publisher: "n1",
        epoch: 1,
        topic: "a.b",
        from,
        to: Some(to),
        cause: "dropped",
    }
}

const fn lagged(count: u64) -> Did<&'static str> {
    let subscription = 1;
    Did::Lagged {
        subscription,
        count,
    }
}

#[test]
fn without_order_events_may_come_as_they_like() {
    let late = [event(0), event(3), event(5), event(2), gap(1, 2), event(4)];
    assert_eq!(broken(&told(true, &late)), []);
    let found = broken(&told(false, &late));
    assert!(found.contains(&Rule::Ordered), "{found:?}");
}

#[test]
fn without_order_the_other_promises_hold() {
    let wrong: [(&[Did<&'static str>], Rule); 5] = [
        // Nobody tells of 1.
        (
            &[event(0), event(3), event(5), event(2), event(4)],
            Rule::NotSilent,
        ),
        (
            &[event(0), event(2), gap(1, 4), event(4), event(5)],
            Rule::GapsFit,
        ),
        (
            &[gap(1, 3), event(0), event(3), event(2), event(4), event(5)],
            Rule::GapsFit,
        ),
        (
            &[event(0), gap(1, 3), gap(2, 4), event(4), event(5)],
            Rule::GapsFit,
        ),
        (
            &[event(0), event(1), event(2), event(1), gap(3, 6)],
            Rule::Once,
        ),
    ];
    for (deeds, rule) in wrong {
        let found = broken(&told(true, deeds));
        assert!(found.contains(&rule), "{rule:?}: {found:?} in {deeds:?}");
    }
}

#[test]
fn what_lagged_is_a_drop_as_any_other() {
    // Only the newest of each key waited: 1, 2 and 4 were dropped.
    let newest = [event(0), lagged(2), event(3), lagged(1), event(5)];
    assert_eq!(broken(&told(false, &newest)), []);
    // One more is missing than was told.
    let silent = [event(0), lagged(2), event(3), event(5)];
    assert_eq!(broken(&told(false, &silent)), [Rule::NotSilent]);
    let tail = [event(0), lagged(1), event(2), event(3)];
    assert_eq!(broken(&told(false, &tail)), [Rule::NotSilent]);
    // A gap stands where it belongs, though something was dropped before it.
    let both = [event(0), lagged(1), gap(2, 3), event(3), event(4), event(5)];
    assert_eq!(broken(&told(false, &both)), []);
    let twice = [event(0), lagged(1), event(2), event(1), gap(3, 6)];
    let found = broken(&told(false, &twice));
    assert!(found.contains(&Rule::Ordered), "{found:?}");
}
