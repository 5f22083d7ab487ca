//! A link moves to the direct path when there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use macula::{CallOptions, Node, RegisterOptions, Reply};
use tokio::sync::Notify;

use super::gate::Gate;
use super::{Dead, eager, echo, hidden, is_linked_by, linked_by, peer};
use crate::mesh::{Realm, event, offered, subscribe, until, within};

/// Publishes until a while after `is_open`. How many events there were.
async fn publish(node: Node, is_open: Arc<AtomicBool>) -> u64 {
    let mut published = 0;
    let mut left = 2_000;
    while left > 0 {
        if is_open.load(Ordering::Relaxed) {
            left -= 1;
        }
        node.publish("move.out", vec![7; 100]).await.unwrap();
        published += 1;
        // tidy: allow sleep: events come at a pace while the link moves
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_moves_to_the_direct_path_that_appears_and_calls_end_where_they_began() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let gate = Gate::new().await;
    let middle = within(realm.builder().forwarding(eager()).start()).await;
    let middle = middle.unwrap();
    let one = hidden(&realm, dead.address()).await;
    let other = hidden(&realm, gate.address).await;
    gate.lead(other.local_addr()).await;
    for node in [&one, &other] {
        within(node.connect(middle.local_addr())).await.unwrap();
    }
    linked_by(&one, &other, "forwarded").await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waits = (Arc::clone(&begun), Arc::clone(&go_on));
    let function = move |_| {
        let (begun, go_on) = waits.clone();
        async move {
            begun.notify_one();
            go_on.notified().await;
            Ok(Reply::text("done"))
        }
    };
    let options = RegisterOptions::default();
    let _served = other.register("m.slow", options, function).await.unwrap();
    offered(&other, &one).await;
    let calling = {
        let one = one.clone();
        let options = CallOptions::default().deadline(Duration::from_secs(60));
        tokio::spawn(async move { one.call("m.slow", "", options).await })
    };
    within(begun.notified()).await;
    let before = peer(&one, &other).unwrap();
    let mut events = subscribe(&one, "move.*").await;
    within(other.wait_for_subscribers("move.out"))
        .await
        .unwrap();
    let publishing = tokio::spawn(publish(other.clone(), Arc::clone(&gate.is_open)));
    let first = event(&mut events).await;
    assert_eq!(first.sequence().get(), 0);
    gate.is_open.store(true, Ordering::Relaxed);
    linked_by(&one, &other, "quic ").await;
    let after = peer(&one, &other).unwrap();
    assert!(
        before.link != after.link && after.hops == Some(1),
        "{after:?}"
    );
    // Events come in order and without a gap, those by either link.
    let published = within(publishing).await.unwrap();
    for number in 1..published {
        let event = event(&mut events).await;
        assert_eq!(event.sequence().get(), number);
    }
    let counts = one.stats().await.unwrap().counts;
    assert_eq!((counts.missing, counts.dropped_duplicate), (0, 0));
    // The call still runs on the link that was there when it began, and that stays as long as it does.
    let connections = async || one.stats().await.unwrap().endpoint.connections;
    until(async || connections().await == 3).await;
    go_on.notify_one();
    let reply = within(calling).await.unwrap().unwrap();
    assert_eq!(reply.payload[..], *b"done");
    until(async || connections().await == 2).await;
    assert!(is_linked_by(&other, &one, "quic "));
    go_on.notify_one();
    let options = CallOptions::default();
    within(one.call("m.slow", "", options)).await.unwrap();
    let trace = within(one.trace(other.node_id())).await.unwrap();
    assert_eq!((trace.link, trace.hops.len()), ("direct", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_direct_path_that_breaks_is_passed_by_and_found_again() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let gate = Gate::new().await;
    gate.is_open.store(true, Ordering::Relaxed);
    let middle = realm.node().await;
    let one = hidden(&realm, dead.address()).await;
    let other = hidden(&realm, gate.address).await;
    gate.lead(other.local_addr()).await;
    for node in [&one, &other] {
        within(node.connect(middle.local_addr())).await.unwrap();
    }
    linked_by(&one, &other, "quic ").await;
    let options = RegisterOptions::default();
    let _served = other.register("m.echo", options, echo).await.unwrap();
    offered(&other, &one).await;
    for is_open in [false, true] {
        gate.is_open.store(is_open, Ordering::Relaxed);
        let path = if is_open { "quic " } else { "forwarded" };
        let changed = Instant::now();
        until(async || {
            // What asks by the broken path waits in vain.
            let options = CallOptions::default().deadline(Duration::from_millis(500));
            let answered = one.call("m.echo", "", options).await.is_ok();
            answered && is_linked_by(&one, &other, path) && is_linked_by(&other, &one, path)
        })
        .await;
        // QUIC gives the link up after 30 s.
        assert!(changed.elapsed() < Duration::from_secs(15));
    }
    // Nobody is taken for dead meanwhile.
    for node in [&one, &other, &middle] {
        let members = node.stats().await.unwrap().members;
        assert_eq!((members.alive, members.dead), (3, 0));
    }
}
