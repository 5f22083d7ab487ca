//! Payloads of all sizes.

use macula::wire::ErrorCode;

use crate::mesh::{Realm, event, subscribe, told};

/// What no two sizes and no two places have alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 31 + length) % 251).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_arrive_whole_and_one_over_the_limit_harms_nothing() {
    const MAX: usize = 1 << 20;
    let realm = Realm::new();
    let [publisher, subscriber] = realm.mesh().await;
    let mut subscription = subscribe(&subscriber, "size.x").await;
    told(&subscriber, &publisher).await;
    let path = publisher.peers()[0].path.clone();
    for length in [0, 1, 1_199, 1_200, 64 << 10, MAX - 1, MAX] {
        publisher.publish("size.x", pattern(length)).await.unwrap();
        let event = event(&mut subscription).await;
        assert!(event.payload()[..] == pattern(length), "{length} bytes");
    }
    let error = publisher.publish("size.x", pattern(MAX + 1)).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::PAYLOAD_TOO_LARGE);
    publisher.publish("size.x", "after it").await.unwrap();
    let event = event(&mut subscription).await;
    assert_eq!(event.payload()[..], *b"after it");
    assert_eq!(event.sequence().get(), 7, "the refused event has no number");
    assert_eq!(publisher.peers()[0].path, path, "on the same link");
    let stats = publisher.stats().await.unwrap();
    assert_eq!((stats.links_members, stats.counts.misbehaved), (1, 0));
}
