//! Events ahead of their turn, against a list of all that was told.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong has to stop"
)]

use std::collections::BTreeMap;

use macula_wire::Instant as Time;

use super::*;

const NOW: Time = Time::from_millis(0);

fn unordered() -> Queue {
    queue_of(SubscribeOptions::default().order(Order::None))
}

#[tokio::test]
async fn what_comes_early_comes_once_and_holes_are_told_when_their_turn_is_over() {
    let queue = unordered();
    let origin = origin();
    queue.push(run(&origin, 0, 1));
    assert_eq!(queue.push_early(NOW, run(&origin, 3, 2)).owed, 2);
    assert_eq!(queue.push_early(NOW, run(&origin, 4, 3)).owed, 2, "5 and 6");
    assert_eq!(queue.push_early_event(NOW, keyed(&origin, 8, "k")).owed, 1);
    // In their turn: 1 is missing, 2 has come, 7 is missing, and so on.
    queue.push_gap(dropped(1, 2));
    assert_eq!(queue.push(run(&origin, 2, 4)).owed, 1);
    assert_eq!(queue.push_event(keyed(&origin, 6, "k")).owed, 0);
    queue.push_gap(dropped(7, 10));
    assert_eq!(queue.push(run(&origin, 10, 1)).owed, 1);
    let told = drain(&queue).await;
    let expected = [
        "0",
        "3",
        "4",
        "5",
        "6",
        "8",
        "gap 1..2",
        "2",
        "gap 7..8",
        "gap 9..10",
        "10",
    ];
    assert_eq!(told, expected);
    assert_eq!(queue.counts().delivered, 8);
}

#[tokio::test]
async fn in_order_nothing_comes_early() {
    let queue = queue_of(SubscribeOptions::default());
    assert!(!queue.takes_early());
    assert_eq!(
        queue.push_early(NOW, run(&origin(), 3, 2)),
        Pushed::default()
    );
    queue.push(run(&origin(), 3, 2));
    assert_eq!(drain(&queue).await, ["3", "4"]);
}

#[tokio::test]
async fn of_the_latest_none_comes_behind_a_newer_one() {
    let queue = queue_of(SubscribeOptions::default().order(Order::Latest));
    let origin = origin();
    assert_eq!(queue.push_early(NOW, run(&origin, 5, 2)).owed, 2);
    let mut current = None;
    let lagged = queue.next(&mut current).await;
    assert!(matches!(lagged, Some(Delivery::Lagged(1))), "{lagged:?}");
    let newest = queue.next(&mut current).await;
    assert!(matches!(newest, Some(Delivery::Event(event)) if event.sequence().get() == 6));
    let older = queue.push_early(NOW, run(&origin, 3, 1));
    assert_eq!((older.owed, older.dropped), (1, 1));
    let older = queue.push(run(&origin, 1, 5));
    assert_eq!((older.owed, older.dropped), (3, 3), "but 3 and 5");
    queue.push_gap(dropped(6, 9));
    assert_eq!(queue.push(run(&origin, 9, 1)).owed, 1);
    assert_eq!(drain(&queue).await, ["lagged 4", "gap 7..9", "9"]);
    let counts = queue.counts();
    assert_eq!((counts.delivered, counts.superseded), (2, 5));
}

#[tokio::test]
async fn what_a_subscription_begins_with_comes_before_what_is_early() {
    let queue = unordered();
    let origin = origin();
    queue.hold();
    assert_eq!(queue.push_early(NOW, run(&origin, 4, 1)), Pushed::default());
    queue.begin(vec![kept(&origin, 0), kept(&origin, 1)]);
    // The seam comes first, too.
    assert_eq!(queue.push_early(NOW, run(&origin, 4, 1)), Pushed::default());
    queue.push(run(&origin, 2, 1));
    assert_eq!(queue.push_early(NOW, run(&origin, 4, 1)).owed, 1);
    queue.push(run(&origin, 3, 3));
    assert_eq!(drain(&queue).await, ["0", "1", "2", "4", "3", "5"]);
}

#[tokio::test]
async fn of_what_overflows_each_range_is_told() {
    for (overflow, expected) in [
        (Overflow::DropOldest, vec!["gap 3..4", "gap 5..6", "1", "2"]),
        (Overflow::DropNewest, vec!["3", "5", "gap 1..3"]),
    ] {
        let options = SubscribeOptions::default().max_events(2).overflow(overflow);
        let queue = queue_of(options.order(Order::None));
        let origin = origin();
        queue.push_early(NOW, run(&origin, 3, 1));
        queue.push_early(NOW, run(&origin, 5, 1));
        queue.push(run(&origin, 1, 3));
        assert_eq!(drain(&queue).await, expected, "{overflow:?}");
    }
}

/// What became of each event of one origin: how often it was handed over, and how often told missing.
#[derive(Default)]
struct Told {
    events: BTreeMap<u64, (u32, u32)>,
    lagged: u64,
}

impl Told {
    fn note(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Event(event) => {
                self.events.entry(event.sequence().get()).or_default().0 += 1;
            }
            Delivery::Gap(gap) => {
                for number in gap.from().get()..gap.to().unwrap().get() {
                    self.events.entry(number).or_default().1 += 1;
                }
            }
            Delivery::Lagged(count) => self.lagged += count,
            Delivery::Closed(_) | Delivery::Retained(_) => {}
        }
    }
}

/// Whatever comes early or not, and whatever is dropped: each event is handed over once or told missing once, or it is among
/// those that are counted.
#[tokio::test]
async fn each_event_is_handed_over_or_told_missing_once() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let overflow = [
            Overflow::DropOldest,
            Overflow::DropNewest,
            Overflow::LatestPerKey,
        ][random.index(3)];
        let order = [Order::None, Order::Latest][random.index(2)];
        let options = SubscribeOptions::default()
            .overflow(overflow)
            .order(order)
            .max_events(1 + random.index(8));
        let queue = queue_of(options);
        let origin = origin();
        let (mut next, mut owed, mut missing) = (0, 0, 0);
        let mut told = Told::default();
        let mut current = None;
        for _ in 0..300 {
            let count = 1 + random.below(3);
            match random.index(5) {
                0 | 1 => {
                    let from = next + 1 + random.below(6);
                    let pushed = if count == 1 {
                        queue.push_early_event(NOW, keyed(&origin, from, "k"))
                    } else {
                        queue.push_early(NOW, run(&origin, from, count))
                    };
                    owed += pushed.owed;
                }
                2 => {
                    owed += queue.push(run(&origin, next, count)).owed;
                    next += count;
                }
                3 => {
                    queue.push_gap(dropped(next, next + count));
                    missing += count;
                    next += count;
                }
                _ => {
                    tokio::select! {
                        biased;
                        delivery = queue.next(&mut current) => told.note(delivery.unwrap()),
                        () = std::future::ready(()) => {}
                    }
                }
            }
        }
        // The turn of everything that was early comes.
        owed += queue.push(run(&origin, next, 10)).owed;
        next += 10;
        queue.close(ClosedReason::Stopped);
        while let Some(delivery) = queue.next(&mut current).await {
            told.note(delivery);
        }
        let counts = queue.counts();
        assert_eq!(
            counts.delivered + counts.dropped(),
            owed,
            "{seed} {counts:?}"
        );
        let lagged = (0..next).filter(|number| !told.events.contains_key(number));
        assert_eq!(
            u64::try_from(lagged.count()).unwrap(),
            told.lagged,
            "{seed}"
        );
        for (number, (came, lost)) in &told.events {
            assert_eq!(came + lost, 1, "{seed}: {number} {order:?} {overflow:?}");
        }
        assert!(counts.delivered + missing <= next, "{seed}");
    }
}
