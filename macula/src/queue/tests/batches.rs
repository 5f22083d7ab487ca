//! Events that are taken in batches, beside the same ones taken one by one.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of a test are small"
)]

use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, advance};

use super::*;
use crate::event::DeliveryBatch;
use crate::subscription::Subscription;

fn subscription(options: SubscribeOptions) -> Subscription {
    let queue = Arc::new(queue_of(options));
    Subscription::new(Pattern::new("a.b").unwrap(), queue, Box::new(|| {}))
}

/// All that an application can see of a delivery.
fn told(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Event(event) | Delivery::Retained(event) => format!(
            "{delivery:?} {:?} {:?}",
            event.ttl_left(),
            (event.key(), event.headers(), event.is_retained())
        ),
        other => format!("{other:?}"),
    }
}

/// The next `count` deliveries, or as many as are there, each taken by itself.
fn one_by_one(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match subscription.next().now_or_never().flatten() {
            Some(delivery) => found.push(told(&delivery)),
            None => break,
        }
    }
    found
}

/// The same, by batches of which any number of events is taken, and by turns one by one.
fn mixed(subscription: &mut Subscription, count: usize, random: &mut Random) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        if random.index(4) == 0 {
            match subscription.next().now_or_never().flatten() {
                Some(delivery) => found.push(told(&delivery)),
                None => break,
            }
            continue;
        }
        match subscription.next_batch().now_or_never().flatten() {
            Some(DeliveryBatch::Events(events)) => {
                let most = (count - found.len()).min(1 + random.index(5));
                let (_, upper) = events.size_hint();
                let origin = (events.publisher(), events.topic().clone());
                let taken: Vec<_> = events.take(most).collect();
                assert!(!taken.is_empty() && taken.len() <= upper.unwrap());
                for event in taken {
                    let by_itself = event.to_event();
                    assert_eq!((event.publisher(), event.topic().clone()), origin);
                    assert_eq!(event.payload(), by_itself.payload());
                    assert_eq!(&event.to_bytes(), by_itself.payload());
                    assert_eq!(event.key(), by_itself.key());
                    assert_eq!(event.ttl_left(), by_itself.ttl_left());
                    found.push(told(&Delivery::Event(by_itself)));
                }
            }
            Some(DeliveryBatch::Other(Delivery::Event(event))) => panic!("{event:?}"),
            Some(DeliveryBatch::Other(delivery)) => found.push(told(&delivery)),
            None => break,
        }
    }
    found
}

#[derive(Debug)]
enum Step {
    Push(usize, u64, Option<Duration>),
    PushOne(usize, &'static str),
    Missing(usize, u64),
    Pass(Duration),
    Take(usize),
}

fn step(random: &mut Random) -> Step {
    let of = random.index(3);
    match random.index(8) {
        0 | 1 => {
            let ttl = Duration::from_millis(1 + random.below(20));
            let ttl = (random.index(3) == 0).then_some(ttl);
            Step::Push(of, 1 + random.below(8), ttl)
        }
        2 => Step::PushOne(of, ["x", "y"][random.index(2)]),
        3 => Step::Missing(of, 1 + random.below(3)),
        4 => Step::Pass(Duration::from_millis(random.below(8))),
        _ => Step::Take(1 + random.index(12)),
    }
}

fn options(random: &mut Random) -> SubscribeOptions {
    let overflow = [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::LatestPerKey,
        Overflow::Block,
        Overflow::Disconnect,
    ][random.index(5)];
    let order = match overflow {
        Overflow::Block => Order::PerKey,
        _ => [Order::PerKey, Order::Latest][random.index(2)],
    };
    SubscribeOptions::default()
        .overflow(overflow)
        .order(order)
        .max_events(1 + random.index(20))
        .max_bytes([24, 96, 8 << 20][random.index(3)])
}

#[tokio::test(start_paused = true)]
async fn a_batch_hands_out_what_comes_one_by_one() {
    let mut expired = 0;
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let options = options(&mut random);
        let mut both = [subscription(options), subscription(options)];
        let origins = [origin_of(1, "a"), origin_of(2, "a"), origin_of(1, "b")];
        let mut next = [0_u64; 3];
        if random.index(2) == 0 {
            for one in &both {
                one.queue.hold();
                let earlier = keyed(&origins[0], 0, "x");
                one.queue.begin(vec![Earlier::Kept(earlier)]);
            }
            next[0] = 1;
        }
        for _ in 0..300 {
            let step = step(&mut random);
            for one in &both {
                apply(&one.queue, &step, &origins, next);
            }
            match step {
                Step::Push(of, count, _) | Step::Missing(of, count) => next[of] += count,
                Step::PushOne(of, _) => next[of] += 1,
                Step::Pass(time) => advance(time).await,
                Step::Take(count) => {
                    let [plain, batched] = &mut both;
                    let expected = one_by_one(plain, count);
                    let found = mixed(batched, count, &mut random);
                    assert_eq!(found, expected, "{seed}");
                }
            }
            let [plain, batched] = &both;
            assert_eq!(batched.counts(), plain.counts(), "{seed} {step:?}");
        }
        let [plain, batched] = &mut both;
        for one in [&*plain, &*batched] {
            one.queue.close(ClosedReason::Stopped);
        }
        let expected = one_by_one(plain, usize::MAX);
        let found = mixed(batched, usize::MAX, &mut random);
        assert_eq!(found, expected, "{seed}");
        assert_eq!(batched.counts(), plain.counts(), "{seed}");
        expired += plain.counts().expired;
    }
    assert!(expired > 0, "nothing expired");
}

fn apply(queue: &Queue, step: &Step, origins: &[Arc<Origin>], next: [u64; 3]) {
    match *step {
        Step::Push(of, count, ttl) => {
            let payloads: Vec<Vec<u8>> = (0..count)
                .map(|n| (next[of] + n).to_le_bytes().to_vec())
                .collect();
            let entries = Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap();
            queue.push(EventRun::new(
                Arc::clone(&origins[of]),
                ContentType::Bytes,
                Sequence::new(next[of]),
                &entries,
                0,
                ttl.map(|ttl| Instant::now() + ttl),
            ));
        }
        Step::PushOne(of, key) => {
            queue.push_event(keyed(&origins[of], next[of], key));
        }
        Step::Missing(of, count) => {
            let (from, to) = (Sequence::new(next[of]), Sequence::new(next[of] + count));
            let origin = Arc::clone(&origins[of]);
            queue.push_gap(Gap::range(origin, from, Some(to), GapCause::Dropped));
        }
        Step::Pass(_) | Step::Take(_) => {}
    }
}

#[tokio::test]
async fn what_was_not_taken_of_a_batch_comes_next() {
    let mut subscription = subscription(SubscribeOptions::default());
    let origin = origin();
    subscription.queue.push(run(&origin, 0, 3));
    subscription.queue.push_event(keyed(&origin, 3, "k"));
    let mut found: Vec<u64> = Vec::new();
    for most in [0, 1, 0, 5, 0, 1] {
        let Some(DeliveryBatch::Events(events)) = subscription.next_batch().await else {
            panic!("no events");
        };
        found.extend(events.take(most).map(|event| event.sequence().get()));
        let delivered = subscription.counts().delivered;
        assert_eq!(delivered, u64::try_from(found.len()).unwrap());
    }
    assert_eq!(found, [0, 1, 2, 3]);
    subscription.queue.push_event(keyed(&origin, 4, "k"));
    drop(subscription.next_batch().await);
    let Some(Delivery::Event(event)) = subscription.next().await else {
        panic!("no event");
    };
    assert_eq!(event.sequence().get(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_expires_within_a_batch_is_a_gap() {
    let mut subscription = subscription(SubscribeOptions::default());
    let (origin, ttl) = (origin(), Duration::from_millis(5));
    apply(
        &subscription.queue,
        &Step::Push(0, 3, Some(ttl)),
        &[origin],
        [0; 3],
    );
    let Some(DeliveryBatch::Events(mut events)) = subscription.next_batch().await else {
        panic!("no events");
    };
    assert_eq!(events.size_hint(), (0, Some(3)));
    assert_eq!(events.next().unwrap().ttl_left(), Some(ttl));
    advance(ttl).await;
    assert!(events.next().is_none() && events.next().is_none());
    let Some(DeliveryBatch::Other(Delivery::Gap(gap))) = subscription.next_batch().await else {
        panic!("no gap");
    };
    assert_eq!((gap.cause(), gap.count()), (GapCause::Expired, Some(2)));
    let counts = subscription.counts();
    assert_eq!((counts.delivered, counts.expired), (1, 2));
}
