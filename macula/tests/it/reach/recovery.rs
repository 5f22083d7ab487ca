//! A member that carries packets dies while calls run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use macula::{CallOptions, Node, RegisterOptions, Reply};

use super::{Dead, apart, eager, peer};
use crate::mesh::{Mortal, Realm, offered, until, within};

/// The longest that calls may stand still.
const LIMIT: Duration = Duration::from_secs(3);

/// The node that is the first on the way from `from` to `to`.
async fn carrier(from: &Node, to: &Node) -> String {
    let trace = within(from.trace(to.node_id())).await.unwrap();
    assert!(trace.reached && trace.hops.len() == 3, "{trace:?}");
    trace.hops[1].node.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_on_by_another_member_when_the_one_that_carries_them_dies() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let mut carriers = Vec::new();
    for _ in 0..2 {
        carriers.push(Mortal::start(realm.builder().forwarding(eager())).await);
    }
    let nodes: Vec<&Node> = carriers.iter().map(|mortal| &mortal.node).collect();
    within(nodes[1].connect(nodes[0].local_addr()))
        .await
        .unwrap();
    let [one, other] = apart(&realm, &dead, &nodes).await;
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    let function = move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Reply::default()) }
    };
    let options = RegisterOptions::default();
    let _served = other.register("r.count", options, function).await.unwrap();
    offered(&other, &one).await;
    let before = [peer(&one, &other).unwrap(), peer(&other, &one).unwrap()];
    let carrying = carrier(&one, &other).await;
    let mut calls = 0;
    let mut call = async || {
        let options = CallOptions::default().deadline(Duration::from_secs(15));
        let reply = within(one.call("r.count", vec![1; 600], options)).await;
        reply.unwrap();
        calls += 1;
    };
    for _ in 0..50 {
        call().await;
    }
    let place = carriers
        .iter()
        .position(|mortal| mortal.node.node_id().to_string() == carrying);
    carriers.remove(place.unwrap()).kill();
    let killed = Instant::now();
    let mut longest = Duration::ZERO;
    while killed.elapsed() < Duration::from_secs(6) {
        let begun = Instant::now();
        call().await;
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < LIMIT, "calls stood still for {longest:?}");
    assert_eq!(runs.load(Ordering::Relaxed), calls, "each ran once");
    let after = [peer(&one, &other).unwrap(), peer(&other, &one).unwrap()];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (before.link, "forwarded"),
            (after.link, after.path.as_str())
        );
    }
    assert_ne!(carrier(&one, &other).await, carrying);
    // Only the dead one is mourned.
    until(async || {
        let counts = one.stats().await.unwrap().members;
        (counts.alive, counts.dead) == (3, 1)
    })
    .await;
    assert_eq!(other.stats().await.unwrap().members.alive, 3);
}
