//! The queue under each policy.

mod batches;
mod early;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Entries, Envelope, Epoch, NodeId, Pattern, Random, Topic};

use super::*;
use crate::event::{Delivery, GapCause, Origin};

fn queue_of(options: SubscribeOptions) -> Queue {
    options.check(&Pattern::new("a.b").unwrap()).unwrap();
    Queue::new(options, Arc::default())
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        publisher: NodeId::from_bytes([1; 32]),
        epoch: Epoch::new(1),
        topic: Topic::new("a.b").unwrap(),
        priority: Priority::Normal,
    })
}

fn run(origin: &Arc<Origin>, base: u64, count: u64) -> EventRun {
    let payloads: Vec<Vec<u8>> = (0..count)
        .map(|n| base.saturating_add(n).to_le_bytes().to_vec())
        .collect();
    let entries = Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap();
    EventRun::new(
        Arc::clone(origin),
        ContentType::Bytes,
        Sequence::new(base),
        &entries,
        0,
        None,
    )
}

async fn is_ready(queue: &Queue) -> bool {
    tokio::select! {
        biased;
        () = queue.ready() => true,
        () = std::future::ready(()) => false,
    }
}

async fn drain(queue: &Queue) -> Vec<String> {
    queue.close(ClosedReason::Stopped);
    let mut current = None;
    let mut found = Vec::new();
    while let Some(delivery) = queue.next(&mut current).await {
        found.push(match delivery {
            Delivery::Event(event) => event.sequence().to_string(),
            Delivery::Gap(gap) => format!("gap {}..{}", gap.from(), gap.to().unwrap()),
            Delivery::Lagged(count) => format!("lagged {count}"),
            Delivery::Retained(event) => format!("retained {}", event.sequence()),
            Delivery::Closed(ClosedReason::Stopped) => continue,
            Delivery::Closed(reason) => format!("closed {}", reason.name()),
        });
    }
    found
}

#[tokio::test]
async fn the_oldest_make_room_and_are_told() {
    let queue = queue_of(SubscribeOptions::default().max_events(3));
    let origin = origin();
    assert_eq!(queue.push(run(&origin, 0, 2)).dropped, 0);
    assert_eq!(queue.push(run(&origin, 2, 3)).dropped, 2);
    assert_eq!(drain(&queue).await, ["gap 0..2", "2", "3", "4"]);
}

fn dropped(from: u64, to: u64) -> Gap {
    Gap::range(
        origin(),
        Sequence::new(from),
        Some(Sequence::new(to)),
        GapCause::Dropped,
    )
}

#[tokio::test]
async fn a_gap_of_the_link_keeps_its_place_among_those_of_the_queue() {
    let queue = queue_of(SubscribeOptions::default().max_events(3));
    let origin = origin();
    assert_eq!(queue.push(run(&origin, 0, 3)).dropped, 0);
    queue.push_gap(dropped(3, 7));
    assert_eq!(queue.push(run(&origin, 7, 5)).dropped, 5);
    let told = drain(&queue).await;
    assert_eq!(told, ["gap 0..3", "gap 3..7", "gap 7..9", "9", "10", "11"]);
}

#[tokio::test]
async fn a_gap_of_the_link_comes_behind_what_was_refused_before() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let options = SubscribeOptions::default().max_events(2).overflow(overflow);
        let queue = queue_of(options);
        let origin = origin();
        queue.push(run(&origin, 0, 4));
        queue.push_gap(dropped(4, 6));
        let told = drain(&queue).await;
        match overflow {
            Overflow::DropOldest => assert_eq!(told, ["gap 0..2", "2", "3", "gap 4..6"]),
            _ => assert_eq!(told, ["0", "1", "gap 2..4", "gap 4..6"]),
        }
    }
}

#[tokio::test]
async fn the_newest_are_refused_and_told_in_their_place() {
    let options = SubscribeOptions::default()
        .max_events(3)
        .overflow(Overflow::DropNewest);
    let queue = queue_of(options);
    let origin = origin();
    assert_eq!(queue.push(run(&origin, 0, 5)).dropped, 2);
    let mut current = None;
    for _ in 0..3 {
        assert!(matches!(
            queue.next(&mut current).await,
            Some(Delivery::Event(_))
        ));
    }
    assert_eq!(queue.push(run(&origin, 5, 1)).dropped, 0);
    assert_eq!(drain(&queue).await, ["gap 3..5", "5"]);
}

#[tokio::test]
async fn a_blocking_queue_drops_nothing_and_says_when_it_is_full() {
    let options = SubscribeOptions::default()
        .max_events(2)
        .overflow(Overflow::Block);
    let queue = queue_of(options);
    assert!(is_ready(&queue).await);
    assert_eq!(queue.push(run(&origin(), 0, 4)).dropped, 0);
    assert!(!is_ready(&queue).await);
    let mut current = None;
    assert!(queue.next(&mut current).await.is_some());
    assert!(is_ready(&queue).await);
}

#[tokio::test]
async fn bytes_are_bounded_as_well() {
    let queue = queue_of(SubscribeOptions::default().max_bytes(20));
    let origin = origin();
    assert_eq!(queue.push(run(&origin, 0, 2)).dropped, 0);
    assert_eq!(queue.push(run(&origin, 2, 1)).dropped, 1);
    assert_eq!(drain(&queue).await, ["gap 0..1", "1", "2"]);
}

fn origin_of(publisher: u8, topic: &str) -> Arc<Origin> {
    Arc::new(Origin {
        publisher: NodeId::from_bytes([publisher; 32]),
        epoch: Epoch::new(1),
        topic: Topic::new(topic).unwrap(),
        priority: Priority::Normal,
    })
}

fn keyed(origin: &Arc<Origin>, sequence: u64, key: &str) -> Event {
    Event {
        origin: Arc::clone(origin),
        sequence: Sequence::new(sequence),
        content: ContentType::Text,
        payload: Bytes::from_static(b"12345678"),
        envelope: Some(Arc::new(Envelope {
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            ..Envelope::EMPTY
        })),
        token: None,
        expires: None,
    }
}

#[tokio::test]
async fn of_each_key_the_newest_waits() {
    let options = SubscribeOptions::default()
        .max_events(3)
        .overflow(Overflow::LatestPerKey);
    let queue = queue_of(options);
    let origin = origin();
    for (sequence, key) in [(0, "a"), (1, "b"), (2, "a"), (3, "c")] {
        queue.push_event(keyed(&origin, sequence, key));
    }
    // Without a key the topic is the key.
    queue.push(run(&origin, 4, 2));
    assert_eq!(drain(&queue).await, ["lagged 3", "2", "3", "5"]);
    let counts = queue.counts();
    assert_eq!(
        (counts.delivered, counts.superseded, counts.overflow),
        (3, 2, 1)
    );
}

#[tokio::test]
async fn in_the_order_latest_the_newest_of_each_publisher_and_topic_waits() {
    let queue = queue_of(SubscribeOptions::default().order(Order::Latest));
    let (one, two) = (origin_of(1, "a.b"), origin_of(2, "a.b"));
    queue.push(run(&one, 0, 3));
    queue.push(run(&two, 7, 1));
    queue.push_event(keyed(&one, 3, "k"));
    assert_eq!(drain(&queue).await, ["lagged 3", "7", "3"]);
}

#[tokio::test]
async fn a_queue_that_disconnects_ends_behind_what_it_took() {
    let options = SubscribeOptions::default()
        .max_events(3)
        .overflow(Overflow::Disconnect);
    let queue = queue_of(options);
    let origin = origin();
    assert_eq!(
        queue.push(run(&origin, 0, 3)),
        Pushed {
            owed: 3,
            dropped: 0
        }
    );
    assert_eq!(
        queue.push(run(&origin, 3, 2)),
        Pushed {
            owed: 2,
            dropped: 2
        }
    );
    assert_eq!(
        queue.push(run(&origin, 5, 2)),
        Pushed::default(),
        "it has ended"
    );
    let told = drain(&queue).await;
    assert_eq!(told, ["0", "1", "2", "gap 3..5", "closed overflow"]);
    assert_eq!(queue.counts().overflow, 2);
    assert!(
        queue.next(&mut None).await.is_none(),
        "the end is told once"
    );
}

#[test]
fn a_window_of_nothing_is_refused() {
    let options = SubscribeOptions::default;
    for (accepted, refused) in [
        (options().max_events(1), options().max_events(0)),
        (options().max_bytes(1), options().max_bytes(0)),
        (
            options().order(Order::Latest),
            options().order(Order::Latest).overflow(Overflow::Block),
        ),
    ] {
        assert!(accepted.check(&Pattern::new("a.b").unwrap()).is_ok());
        let error = refused.check(&Pattern::new("a.b").unwrap()).unwrap_err();
        assert_eq!(error.code(), macula_wire::ErrorCode::INVALID_ARGUMENT);
    }
}

#[tokio::test(start_paused = true)]
async fn what_outlives_its_time_is_told_and_counted() {
    let queue = queue_of(SubscribeOptions::default());
    let origin = origin();
    let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(10);
    let payloads = [&b"a"[..], b"b", b"c"];
    let entries = Entries::from_payloads(payloads).unwrap();
    let run_of = |base| {
        let (origin, base) = (Arc::clone(&origin), Sequence::new(base));
        EventRun::new(origin, ContentType::Text, base, &entries, 0, Some(soon))
    };
    queue.push(run_of(0));
    queue.push(run_of(3));
    let mut event = keyed(&origin, 6, "k");
    event.expires = Some(soon);
    queue.push_event(event);
    queue.push_event(keyed(&origin, 7, "k"));
    let mut current = None;
    let first = queue.next(&mut current).await;
    assert!(matches!(first, Some(Delivery::Event(_))), "{first:?}");
    tokio::time::advance(std::time::Duration::from_millis(10)).await;
    queue.close(ClosedReason::Stopped);
    let mut told = Vec::new();
    while let Some(delivery) = queue.next(&mut current).await {
        match delivery {
            Delivery::Gap(gap) => told.push((gap.cause(), gap.count().unwrap())),
            Delivery::Event(event) => assert_eq!(event.sequence().get(), 7),
            _ => {}
        }
    }
    assert_eq!(told, [2, 3, 1].map(|count| (GapCause::Expired, count)));
    let counts = queue.counts();
    assert_eq!((counts.delivered, counts.expired), (2, 6));
    assert_eq!(queue.expired.load(Ordering::Relaxed), 6);
}

fn retained(origin: &Arc<Origin>, sequence: u64) -> Earlier {
    Earlier::Retained(keyed(origin, sequence, "k"))
}

fn kept(origin: &Arc<Origin>, sequence: u64) -> Earlier {
    Earlier::Kept(keyed(origin, sequence, "k"))
}

#[tokio::test]
async fn what_was_before_comes_first_and_nothing_twice_at_the_seam() {
    let origin = origin();
    let queue = queue_of(SubscribeOptions::default());
    queue.hold();
    queue.push(run(&origin, 3, 2));
    let mut current = None;
    tokio::select! {
        biased;
        delivery = queue.next(&mut current) => panic!("{delivery:?} before the beginning"),
        () = std::future::ready(()) => {}
    }
    queue.begin((0..5).map(|at| kept(&origin, at)).collect());
    queue.push(run(&origin, 4, 3));
    assert_eq!(
        drain(&queue).await,
        ["0", "1", "2", "3", "4", "4", "5", "6"]
    );
    // What is under way while nothing has come yet is not handed out again, and a hole is told.
    for (first, told) in [
        (1, ["0", "1", "2", "3"].map(str::to_owned).to_vec()),
        (
            5,
            ["0", "1", "2", "gap 3..5", "5", "6", "7"]
                .map(str::to_owned)
                .to_vec(),
        ),
    ] {
        let queue = queue_of(SubscribeOptions::default());
        queue.hold();
        let mut earlier: Vec<Earlier> = (0..3).map(|at| kept(&origin, at)).collect();
        earlier.push(Earlier::End(Arc::clone(&origin), Sequence::new(3)));
        // Another node kept the same.
        earlier.push(kept(&origin, 2));
        queue.begin(earlier);
        queue.push(run(&origin, first, 3));
        assert_eq!(drain(&queue).await, told);
    }
}

#[tokio::test]
async fn no_older_value_comes_behind_a_newer_one() {
    let origin = origin();
    for (held, waits, told) in [
        // Not retained again, because it has come as an event.
        (vec![5], 5, vec!["5"]),
        (vec![6], 5, vec!["retained 5", "6"]),
        // Under way while the value was looked up.
        (vec![], 5, vec!["retained 5"]),
    ] {
        let queue = queue_of(SubscribeOptions::default());
        queue.hold();
        for at in held {
            queue.push_event(keyed(&origin, at, "k"));
        }
        queue.begin(vec![retained(&origin, waits)]);
        queue.push_event(keyed(&origin, 4, "k"));
        let found = drain(&queue).await;
        let found: Vec<_> = found.iter().filter(|it| *it != "4").collect();
        assert_eq!(found, told.iter().collect::<Vec<_>>());
    }
}

/// Every policy against the sums that hold whatever happens: owed = delivered + dropped by reason + waiting, the bound
/// is kept, and each publisher's events come in their order and once.
#[tokio::test]
async fn the_counts_are_exact_under_every_policy() {
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let overflow = [
            Overflow::DropOldest,
            Overflow::DropNewest,
            Overflow::LatestPerKey,
            Overflow::Disconnect,
        ][random.index(4)];
        let order = [Order::PerKey, Order::Latest][random.index(2)];
        let max = 1 + random.index(12);
        let options = SubscribeOptions::default()
            .overflow(overflow)
            .order(order)
            .max_events(max)
            .max_bytes([8, 24, 48, 96][random.index(4)]);
        let queue = queue_of(options);
        let origins = [origin_of(1, "a"), origin_of(2, "a"), origin_of(1, "b")];
        let mut next = [0_u64; 3];
        let (mut owed, mut seen, mut lost) = (0_u64, [0_u64; 3], 0_u64);
        let mut current = None;
        for _ in 0..300 {
            let of = random.index(3);
            match random.index(3) {
                0 => {
                    let count = 1 + random.below(4);
                    owed += queue.push(run(&origins[of], next[of], count)).owed;
                    next[of] += count;
                }
                1 => {
                    let key = ["x", "y"][random.index(2)];
                    owed += queue.push_event(keyed(&origins[of], next[of], key)).owed;
                    next[of] += 1;
                }
                _ => {
                    let waits = queue.lock().waiting();
                    assert!(waits.0 <= u64::try_from(max).unwrap(), "{seed} {waits:?}");
                    if waits.0 == 0 && current.is_none() {
                        continue;
                    }
                    tokio::select! {
                        biased;
                        delivery = queue.next(&mut current) => {
                            take(delivery.unwrap(), &origins, &mut seen, &mut lost, seed);
                        }
                        () = std::future::ready(()) => {}
                    }
                }
            }
        }
        queue.close(ClosedReason::Stopped);
        while let Some(delivery) = queue.next(&mut current).await {
            take(delivery, &origins, &mut seen, &mut lost, seed);
        }
        let counts = queue.counts();
        assert_eq!(
            counts.delivered.saturating_add(counts.dropped()),
            owed,
            "{seed} {counts:?}"
        );
        assert_eq!(counts.dropped(), lost, "{seed}: every drop was told");
    }
}

fn take(delivery: Delivery, origins: &[Arc<Origin>], seen: &mut [u64], lost: &mut u64, seed: u64) {
    match delivery {
        Delivery::Event(event) => {
            let of = origins.iter().position(|one| *one == event.origin).unwrap();
            assert!(event.sequence().get() >= seen[of], "{seed}");
            seen[of] = event.sequence().next().get();
        }
        Delivery::Gap(gap) => {
            assert_eq!(gap.cause(), GapCause::Overflow);
            *lost = lost.saturating_add(gap.count().unwrap());
        }
        Delivery::Lagged(count) => *lost = lost.saturating_add(count),
        Delivery::Closed(_) => {}
        Delivery::Retained(event) => panic!("{event:?}"),
    }
}
