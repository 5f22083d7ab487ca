//! Calls with parts, either way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use macula::wire::ErrorCode;
use macula::wire::message::CancelMode;
use macula::{CallFailure, Invocation, RegisterOptions, Reply};
use tokio::sync::{Notify, Semaphore};

use super::seconds;
use crate::mesh::{Guard, Realm, offered, until, within};

/// Sends each part back as it comes, and answers with how many there were.
async fn mirror(invocation: Invocation) -> Result<Reply, CallFailure> {
    let mut count = 0;
    while let Some(part) = invocation.next_part().await {
        invocation.progress(part).await?;
        count += 1;
    }
    Ok(Reply::text(format!(
        "{count} after {}",
        invocation.payload.len()
    )))
}

/// Over one link, and from a client by its member to a client of another member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_go_both_ways_in_order() {
    let realm = Realm::new();
    let [near, far] = realm.mesh().await;
    let server = realm.client(&far).await;
    let options = RegisterOptions::default();
    let _served = within(server.register("s.mirror", options, mirror))
        .await
        .unwrap();
    offered(&far, &near).await;
    let client = realm.client(&near).await;
    for by_client in [false, true] {
        let opened = if by_client {
            within(client.open_call("s.mirror", "first", seconds(15))).await
        } else {
            within(near.open_call("s.mirror", "first", seconds(15))).await
        };
        let mut calling = opened.unwrap();
        for number in 0..50_u32 {
            let sent = Reply::bytes(number.to_le_bytes().repeat(500));
            within(calling.send(sent.clone())).await.unwrap();
            assert_eq!(within(calling.next()).await, Some(sent));
        }
        calling.finish();
        assert_eq!(within(calling.next()).await, None);
        let end = within(calling.result()).await.unwrap();
        assert_eq!(end.payload[..], *b"50 after 5");
    }
}

/// A part that no message can hold is refused where it is sent, either way, and the call goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_too_large_is_not_sent() {
    let realm = Realm::new();
    let [near, far] = realm.mesh().await;
    let too_long = || Reply::bytes(vec![0; (1 << 20) + 1]);
    let options = RegisterOptions::default();
    let served = far.register(
        "s.long",
        options,
        move |invocation: Invocation| async move {
            let part = invocation.next_part().await;
            let refused = invocation.progress(too_long()).await;
            let refused = refused.is_err_and(|failure| {
                macula::wire::message::Failure::from(failure).code == ErrorCode::PAYLOAD_TOO_LARGE
            });
            invocation.progress(Reply::text("short")).await?;
            let length = part.map_or(0, |part| part.payload.len());
            Ok(Reply::text(format!("{refused} {length}")))
        },
    );
    let _served = within(served).await.unwrap();
    offered(&far, &near).await;
    let mut calling = within(near.open_call("s.long", "", seconds(15)))
        .await
        .unwrap();
    let error = within(calling.send(too_long())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PAYLOAD_TOO_LARGE);
    let longest = Reply::bytes(vec![0; 1 << 20]);
    within(calling.send(longest)).await.unwrap();
    assert_eq!(within(calling.next()).await, Some(Reply::text("short")));
    let end = within(calling.result()).await.unwrap();
    assert_eq!(end.payload[..], *b"true 1048576");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_the_same_node_gets_parts_as_well() {
    let realm = Realm::new();
    let node = realm.node().await;
    let options = RegisterOptions::default();
    let _served = node.register("s.mirror", options, mirror).await.unwrap();
    let mut calling = node.open_call("s.mirror", "", seconds(15)).await.unwrap();
    for number in 0..10_u8 {
        within(calling.send(Reply::bytes(vec![number])))
            .await
            .unwrap();
        assert_eq!(
            within(calling.next()).await,
            Some(Reply::bytes(vec![number]))
        );
    }
    let end = within(calling.result()).await.unwrap();
    assert_eq!(end.payload[..], *b"10 after 0");
}

/// A function that takes nothing holds its caller up, and a caller that takes nothing its function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_parts_holds_the_other_side_up() {
    const PART: usize = 256 << 10;
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let gate = Arc::new(Semaphore::new(0));
    let sent = Arc::new(AtomicU64::new(0));
    let (pass, count) = (Arc::clone(&gate), Arc::clone(&sent));
    let function = move |invocation: Invocation| {
        let (pass, count) = (Arc::clone(&pass), Arc::clone(&count));
        async move {
            pass.acquire().await.unwrap().forget();
            while invocation.next_part().await.is_some() {}
            for _ in 0..200 {
                invocation.progress(Reply::bytes(vec![1; PART])).await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Reply::default())
        }
    };
    let options = RegisterOptions::default();
    let _served = provider.register("s.x", options, function).await.unwrap();
    offered(&provider, &caller).await;
    let mut calling = within(caller.open_call("s.x", "", seconds(20)))
        .await
        .unwrap();
    let mut taken = 0;
    let held_up = loop {
        let part = calling.send(Reply::bytes(vec![2; PART]));
        // Nothing moves for so long only where nobody takes anything.
        match tokio::time::timeout(Duration::from_millis(500), part).await {
            Ok(done) => done.unwrap(),
            Err(_) => break taken,
        }
        taken += 1;
        assert!(
            taken < 200,
            "50 MiB are on their way, and nobody has taken any"
        );
    };
    assert!(held_up > 0);
    gate.add_permits(1);
    calling.finish();
    until(async || sent.load(Ordering::Relaxed) > 0).await;
    let mut last = 0;
    loop {
        // tidy: allow sleep: that nothing moves shows only after a while
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = sent.load(Ordering::Relaxed);
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < 200, "all parts have left, and nobody has taken any");
    let mut parts = 0;
    while within(calling.next()).await.is_some() {
        parts += 1;
    }
    assert_eq!(parts, 200);
    within(calling.result()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_answer_nothing_more_is_taken() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let early = |_| async { Ok(Reply::text("enough")) };
    let options = RegisterOptions::default();
    let _served = provider.register("s.x", options, early).await.unwrap();
    offered(&provider, &caller).await;
    let mut calling = within(caller.open_call("s.x", "", seconds(15)))
        .await
        .unwrap();
    assert_eq!(within(calling.next()).await, None);
    let error = loop {
        match within(calling.send(Reply::bytes("late"))).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::CALL_GONE);
    let end = within(calling.result()).await.unwrap();
    assert_eq!(end.payload[..], *b"enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_parts_is_taken_back_like_any_other() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let (started, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, end) = (Arc::clone(&started), Arc::clone(&ended));
    let function = move |invocation: Invocation| {
        begin.notify_one();
        let guard = Guard(Arc::clone(&end));
        async move {
            let _guard = guard;
            mirror(invocation).await
        }
    };
    let options = RegisterOptions::default();
    let _served = provider.register("s.x", options, function).await.unwrap();
    offered(&provider, &caller).await;
    for how in 0..3 {
        let calling = within(caller.open_call("s.x", "", seconds(60)))
            .await
            .unwrap();
        within(started.notified()).await;
        match how {
            0 => drop(calling),
            1 => {
                calling.cancel(CancelMode::Kill);
                // What was not finished would go on for ever otherwise.
                let error = within(calling.result()).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::CANCELED);
            }
            _ => {
                calling.cancel(CancelMode::KillNoWait);
                let error = within(calling.result()).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::CANCELED);
            }
        }
        within(ended.notified()).await;
    }
}
