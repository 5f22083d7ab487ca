//! Calls that are taken back, cast, sent to a node, hedged, or made while another one is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use macula::wire::ErrorCode;
use macula::wire::message::CancelMode;
use macula::{CallOptions, Canceller, Invocation, RegisterOptions, Reply};
use tokio::sync::{Notify, Semaphore};

use super::ends::Endless;
use super::policies::{answered_by, serve_id};
use super::seconds;
use crate::mesh::{Realm, offered, until, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_back_stops_the_function_unless_it_is_to_go_on() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let endless = Endless::serve(&provider, "c.x").await;
    offered(&provider, &caller).await;
    let client = realm.client(&caller).await;
    for mode in [CancelMode::KillNoWait, CancelMode::Kill] {
        for by_client in [false, true] {
            let canceller = Canceller::new();
            let options = seconds(60).canceller(&canceller);
            let calling = if by_client {
                let client = client.clone();
                tokio::spawn(async move { client.call("c.x", "", options).await })
            } else {
                let caller = caller.clone();
                tokio::spawn(async move { caller.call("c.x", "", options).await })
            };
            within(endless.started.notified()).await;
            canceller.cancel(mode);
            let error = within(calling).await.unwrap().unwrap_err();
            assert_eq!(error.code(), ErrorCode::CANCELED, "{mode:?}");
            within(endless.ended.notified()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_call_runs_to_its_end() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let (started, go_on, done) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let (begin, wait, end) = (Arc::clone(&started), Arc::clone(&go_on), Arc::clone(&done));
    let function = move |_| {
        let (begin, wait, end) = (Arc::clone(&begin), Arc::clone(&wait), Arc::clone(&end));
        async move {
            begin.notify_one();
            wait.notified().await;
            end.notify_one();
            Ok(Reply::default())
        }
    };
    let options = RegisterOptions::default();
    let _served = provider.register("c.x", options, function).await.unwrap();
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        let canceller = Canceller::new();
        let (calling, options) = (node.clone(), seconds(60).canceller(&canceller));
        let calling = tokio::spawn(async move { calling.call("c.x", "", options).await });
        within(started.notified()).await;
        canceller.cancel(CancelMode::Skip);
        let error = within(calling).await.unwrap().unwrap_err();
        assert_eq!(error.code(), ErrorCode::CANCELED);
        go_on.notify_one();
        within(done.notified()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_returns_when_it_is_taken_and_runs_once() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let (count, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let (ran, wait) = (Arc::clone(&count), Arc::clone(&go_on));
    let function = move |_| {
        let (ran, wait) = (Arc::clone(&ran), Arc::clone(&wait));
        async move {
            wait.acquire().await.unwrap().forget();
            ran.fetch_add(1, Ordering::Relaxed);
            Ok(Reply::text("nobody hears of it"))
        }
    };
    let options = RegisterOptions::default();
    let served = provider.register("c.x", options, function).await.unwrap();
    offered(&provider, &caller).await;
    let client = realm.client(&caller).await;
    within(provider.cast("c.x", "", seconds(20))).await.unwrap();
    within(caller.cast("c.x", "", seconds(20))).await.unwrap();
    within(client.cast("c.x", "", seconds(20))).await.unwrap();
    within(caller.send(provider.node_id(), "c.x", ""))
        .await
        .unwrap();
    // What is taken begins a moment later.
    until(async || served.running() == 4).await;
    assert_eq!(count.load(Ordering::Relaxed), 0);
    go_on.add_permits(5);
    until(async || count.load(Ordering::Relaxed) == 4).await;
    until(async || served.running() == 0).await;
    let error = within(caller.cast("c.y", "", seconds(5)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_SUCH_PROCEDURE);
    let error = within(caller.send(provider.node_id(), "c.y", "")).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_answers_where_the_first_is_slow_and_it_is_safe() {
    let realm = Realm::new();
    let [slow, quick, caller] = realm.mesh().await;
    let endless = Endless::serve(&slow, "h.x").await;
    offered(&slow, &caller).await;
    let _quick = serve_id(&quick, "h.x", RegisterOptions::default()).await;
    offered(&quick, &caller).await;
    let client = realm.client(&caller).await;
    // Which of the two is asked first is left to chance; the slow one alone would never answer.
    let mut hedged = 0;
    while endless.runs.load(Ordering::Relaxed) < 4 {
        let options = seconds(10)
            .idempotency_key("again")
            .hedge_after(Duration::from_millis(20));
        if hedged % 2 == 0 {
            let by = answered_by(&caller, "h.x", options).await;
            assert_eq!(by, quick.node_id().to_string());
        } else {
            within(client.call("h.x", "", options)).await.unwrap();
        }
        hedged += 1;
        assert!(hedged < 1_000, "the slow one is never asked");
    }
    // Whoever lost is told to stop.
    until(async || endless.running() == 0).await;
    let unsafe_one = seconds(5).hedge_after(Duration::from_millis(20));
    let error = within(caller.call("h.x", "", unsafe_one))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_made_while_another_is_served_ends_with_that_one() {
    let realm = Realm::new();
    let [back, front] = realm.mesh().await;
    let endless = Endless::serve(&back, "n.back").await;
    offered(&back, &front).await;
    let inner = front.clone();
    let function = move |_| {
        let inner = inner.clone();
        // It would wait for a minute by itself.
        async move { Ok(inner.call("n.back", "", seconds(60)).await?) }
    };
    let options = RegisterOptions::default();
    let _served = front.register("n.front", options, function).await.unwrap();
    offered(&front, &back).await;
    let begun = Instant::now();
    let options = CallOptions::default().deadline(Duration::from_millis(400));
    let error = within(back.call("n.front", "", options)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DEADLINE_EXCEEDED);
    assert!(begun.elapsed() < Duration::from_secs(5));
    within(endless.ended.notified()).await;
    assert_eq!(endless.runs.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_call_each_other_come_to_an_end() {
    let realm = Realm::new();
    let [one, other] = realm.mesh().await;
    let deepest = Arc::new(AtomicU64::new(0));
    let mut served = Vec::new();
    for (node, own, next) in [(&one, "r.a", "r.b"), (&other, "r.b", "r.a")] {
        let (node_in, seen) = (node.clone(), Arc::clone(&deepest));
        let function = move |invocation: Invocation| {
            seen.fetch_max(invocation.depth.into(), Ordering::Relaxed);
            let node = node_in.clone();
            async move { Ok(node.call(next, "", seconds(15)).await?) }
        };
        let options = RegisterOptions::default();
        served.push(node.register(own, options, function).await.unwrap());
    }
    offered(&one, &other).await;
    offered(&other, &one).await;
    let error = within(one.call("r.b", "", seconds(15))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HOP_LIMIT);
    assert_eq!(deepest.load(Ordering::Relaxed), 31);
}
