//! Calls that do not end with their answer: deadlines, cancellation, bounds, and providers that vanish.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use macula::wire::ErrorCode;
use macula::{CallOptions, Error, Node, RegisterOptions, Reply, Served};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::seconds;
use crate::mesh::{Guard, Mortal, Realm, hasty, link, offered, within};

/// A procedure that never ends by itself.
pub(super) struct Endless {
    served: Served,
    pub(super) runs: Arc<AtomicU64>,
    pub(super) started: Arc<Notify>,
    pub(super) ended: Arc<Notify>,
}

impl Endless {
    pub(super) async fn serve(node: &Node, name: &str) -> Self {
        let (runs, started, ended) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let (count, begin, end) = (Arc::clone(&runs), Arc::clone(&started), Arc::clone(&ended));
        let function = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            begin.notify_one();
            let guard = Guard(Arc::clone(&end));
            async move {
                let _guard = guard;
                pending().await
            }
        };
        let options = RegisterOptions::default();
        let served = node.register(name, options, function).await.unwrap();
        Self {
            served,
            runs,
            started,
            ended,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.served.running()
    }
}

/// Calls in a task of its own.
fn call(node: &Node, name: &'static str, options: CallOptions) -> JoinHandle<Result<Reply, Error>> {
    let node = node.clone();
    tokio::spawn(async move { node.call(name, "", options).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_deadline_and_stops_the_function() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let endless = Endless::serve(&provider, "d.x").await;
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        let begun = Instant::now();
        let deadline = Duration::from_millis(300);
        let options = CallOptions::default().deadline(deadline);
        let error = within(node.call("d.x", "", options)).await.unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.code(), ErrorCode::DEADLINE_EXCEEDED);
        assert!(error.is_timeout());
        // The callee is told whole milliseconds, so it may be the first to end the call.
        assert!(
            took >= deadline.saturating_sub(Duration::from_millis(5)),
            "{took:?}"
        );
        assert!(took < deadline + Duration::from_secs(2), "{took:?}");
        within(endless.ended.notified()).await;
    }
    assert_eq!(endless.runs.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_stops_the_function() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let endless = Endless::serve(&provider, "d.x").await;
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        let calling = call(node, "d.x", seconds(60));
        within(endless.started.notified()).await;
        calling.abort();
        within(endless.ended.notified()).await;
    }
    assert_eq!(provider.stats().await.unwrap().panics, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_a_registration_allows_are_refused() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let (started, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (begin, pass) = (Arc::clone(&started), Arc::clone(&gate));
    let function = move |_| {
        begin.notify_one();
        let pass = Arc::clone(&pass);
        async move {
            pass.acquire().await.unwrap().forget();
            Ok(Reply::bytes("done"))
        }
    };
    let mut options = RegisterOptions::default();
    options.concurrency = 1;
    let _served = provider.register("b.x", options, function).await.unwrap();
    offered(&provider, &caller).await;
    let first = call(&caller, "b.x", seconds(30));
    within(started.notified()).await;
    let error = within(caller.call("b.x", "", seconds(30))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::BUSY);
    gate.add_permits(2);
    within(first).await.unwrap().unwrap();
    within(caller.call("b.x", "", seconds(30))).await.unwrap();
}

fn assert_lost(error: &Error) {
    let lost = [ErrorCode::CALLEE_LOST, ErrorCode::UNREACHABLE];
    assert!(lost.contains(&error.code()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_killed_ends_the_call_that_it_ran() {
    let realm = Realm::new();
    let caller = hasty(realm.builder()).start().await.unwrap();
    let provider = Mortal::start(hasty(realm.builder())).await;
    link(&[caller.clone(), provider.node.clone()]).await;
    let endless = Endless::serve(&provider.node, "k.x").await;
    offered(&provider.node, &caller).await;
    let calling = call(&caller, "k.x", seconds(60));
    within(endless.started.notified()).await;
    let begun = Instant::now();
    provider.kill();
    assert_lost(&within(calling).await.unwrap().unwrap_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(endless.runs.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_provider_was_killed_is_known_within_five_seconds_whatever_the_deadline() {
    let realm = Realm::new();
    let caller = realm.node().await;
    let provider = Mortal::start(realm.builder()).await;
    link(&[caller.clone(), provider.node.clone()]).await;
    let endless = Endless::serve(&provider.node, "k.x").await;
    offered(&provider.node, &caller).await;
    let client = realm.client(&caller).await;
    let relayed = tokio::spawn(async move { client.call("k.x", "", seconds(600)).await });
    within(endless.started.notified()).await;
    let calling = call(&caller, "k.x", seconds(600));
    within(endless.started.notified()).await;
    let begun = Instant::now();
    provider.kill();
    for calling in [calling, relayed] {
        assert_lost(&within(calling).await.unwrap().unwrap_err());
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_shuts_down_ends_the_call_that_it_ran() {
    let realm = Realm::new();
    let [caller, provider] = realm.mesh().await;
    let endless = Endless::serve(&provider, "k.x").await;
    offered(&provider, &caller).await;
    let calling = call(&caller, "k.x", seconds(60));
    within(endless.started.notified()).await;
    within(provider.shutdown()).await;
    assert_lost(&within(calling).await.unwrap().unwrap_err());
    assert_eq!(endless.runs.load(Ordering::Relaxed), 1);
    let error = within(caller.call("k.x", "", seconds(60))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
}

/// With the usual settings membership takes longer than that, and the link lives on for half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_vanishes_without_a_word_is_known_to_be_lost_within_five_seconds() {
    let realm = Realm::new();
    let caller = realm.node().await;
    let provider = Mortal::start(realm.builder()).await;
    link(&[caller.clone(), provider.node.clone()]).await;
    let endless = Endless::serve(&provider.node, "k.x").await;
    offered(&provider.node, &caller).await;
    let calling = call(&caller, "k.x", seconds(600));
    within(endless.started.notified()).await;
    let begun = Instant::now();
    provider.kill();
    assert_lost(&within(calling).await.unwrap().unwrap_err());
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(5_500), "{took:?}");
}
