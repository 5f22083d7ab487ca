//! Calls between nodes of one process, over real sockets.

mod cancel;
mod ends;
mod many;
mod parts;
mod policies;
mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use macula::wire::{ContentType, ErrorCode};
use macula::{CallFailure, CallOptions, Invocation, Node, RegisterOptions, Reply};

use crate::mesh::{Realm, offered, within};

async fn echo(invocation: Invocation) -> Result<Reply, CallFailure> {
    Ok(Reply::new(invocation.content, invocation.payload))
}

fn seconds(count: u64) -> CallOptions {
    CallOptions::default().deadline(Duration::from_secs(count))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_answers_near_and_far() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let served = provider
        .register("e.echo", RegisterOptions::default(), echo)
        .await
        .unwrap();
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        for length in [0, 1, 1_200, 64 << 10, 1 << 20] {
            let options = CallOptions::default().content(ContentType::Json);
            let reply = node.call("e.echo", vec![7; length], options);
            let reply = within(reply).await.unwrap();
            assert_eq!(reply.content, ContentType::Json);
            assert!(reply.payload[..] == vec![7; length]);
        }
        let error = node.call("e.echo", vec![7; (1 << 20) + 1], seconds(5));
        let error = within(error).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(served.pattern().as_str(), "e.echo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_learns_who_calls_and_how_much_time_is_left() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let describe = |invocation: Invocation| async move {
        assert!(invocation.deadline <= Duration::from_secs(3));
        assert!(invocation.deadline > Duration::ZERO);
        Ok(Reply::text(format!(
            "{} {:?} {}",
            invocation.caller, invocation.via, invocation.procedure
        )))
    };
    let _served = provider
        .register("e.who", RegisterOptions::default(), describe)
        .await
        .unwrap();
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        let reply = within(node.call("e.who", "", seconds(3))).await.unwrap();
        let expected = format!("{} None e.who", node.node_id());
        assert_eq!(reply.payload[..], *expected.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_nobody_fails_at_once() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let begun = Instant::now();
    let error = within(caller.call("n.x", "", seconds(15))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
    assert!(begun.elapsed() < Duration::from_secs(2));
    let served = provider
        .register("n.x", RegisterOptions::default(), echo)
        .await
        .unwrap();
    offered(&provider, &caller).await;
    within(caller.call("n.x", "", seconds(15))).await.unwrap();
    provider.unregister(served).await.unwrap();
    offered(&provider, &caller).await;
    let error = within(caller.call("n.x", "", seconds(15))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_shared_by_all_who_serve_wherever_they_are() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut serving = Vec::new();
    for node in [&one, &one, &two] {
        serving.push(counted(node, "r.x", true).await);
    }
    offered(&one, &two).await;
    offered(&two, &one).await;
    let asked = |at: usize| serving[at].1.load(Ordering::Relaxed);
    for node in [&one, &two] {
        let before: u64 = (0..3).map(asked).sum();
        for _ in 0..60 {
            within(node.call("r.x", "", seconds(5))).await.unwrap();
        }
        let after: u64 = (0..3).map(asked).sum();
        assert_eq!(after, before + 60, "each ran once");
    }
    assert!((0..3).all(|at| asked(at) > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_the_application_arrive_as_they_were_made() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let refuse = |invocation: Invocation| async move {
        match &invocation.payload[..] {
            b"mine" => Err(CallFailure::application("too-cold", "the sensor is frozen")),
            b"code" => Err(CallFailure::code(ErrorCode::INVALID_ARGUMENT, "no number")),
            _ => Ok(Reply::bytes("fine")),
        }
    };
    let _served = provider
        .register("f.x", RegisterOptions::default(), refuse)
        .await
        .unwrap();
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        let error = within(node.call("f.x", "mine", seconds(5)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::APPLICATION);
        assert_eq!(error.detail(), "the sensor is frozen");
        let name = error.failure().unwrap().name.clone();
        assert_eq!(name.as_deref(), Some("too-cold"));
        let error = within(node.call("f.x", "code", seconds(5)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
        within(node.call("f.x", "", seconds(5))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_function_ends_its_call_and_nothing_else() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let fragile = |invocation: Invocation| async move {
        assert!(invocation.payload.is_empty(), "as the test wants it");
        Ok(Reply::default())
    };
    let _served = provider
        .register("f.x", RegisterOptions::default(), fragile)
        .await
        .unwrap();
    offered(&provider, &caller).await;
    let error = within(caller.call("f.x", "break", seconds(5))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::INTERNAL);
    within(caller.call("f.x", "", seconds(5))).await.unwrap();
    let stats = provider.stats().await.unwrap();
    assert_eq!((stats.panics, stats.links_members), (1, 1));
}

/// Serves `name` on `node`, counting calls; refuses all of them if it is not `able`.
async fn counted(node: &Node, name: &str, able: bool) -> (macula::Served, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let function = move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            if able {
                Ok(Reply::default())
            } else {
                Err(CallFailure::code(ErrorCode::UNAVAILABLE, "not at present"))
            }
        }
    };
    let options = RegisterOptions::default();
    let served = node.register(name, options, function).await.unwrap();
    (served, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_provider_answers_where_one_declines() {
    let realm = Realm::new();
    let [caller, unable, able] = realm.mesh().await;
    let (_declines, declined) = counted(&unable, "u.x", false).await;
    let (answers, answered) = counted(&able, "u.x", true).await;
    offered(&unable, &caller).await;
    offered(&able, &caller).await;
    let mut calls = 0;
    // Which of the two is asked first is left to chance.
    while declined.load(Ordering::Relaxed) < 3 {
        within(caller.call("u.x", "", seconds(5))).await.unwrap();
        calls += 1;
        assert!(calls < 1_000, "the one that declines is never asked");
    }
    assert_eq!(answered.load(Ordering::Relaxed), calls);
    able.unregister(answers).await.unwrap();
    offered(&able, &caller).await;
    let error = within(caller.call("u.x", "", seconds(5))).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::UNAVAILABLE);
}
