//! The end of links and endpoints.

use std::time::Duration;

use macula_transport::{BindError, CloseReason, Config, Endpoint, LinkEvent, OutboxError};
use macula_wire::ErrorCode;
use macula_wire::message::{Priority, Role, StreamKind};
use tokio::runtime::Handle;

use crate::support::{BOTH, Pair, drain, hello, numbered, until, within};

const EVENTS: u64 = 1_000;

#[tokio::test]
async fn a_link_that_closes_delivers_all_that_was_pushed() {
    let mut pair = Pair::new().await;
    for index in 0..EVENTS {
        let frame = numbered(index, 3_000).into();
        pair.near.events(Priority::Normal).try_push(frame).unwrap();
    }
    pair.near.close(ErrorCode::OK, "done");
    pair.near.close(ErrorCode::INTERNAL, "a second time");
    let late = pair.near.events(Priority::High);
    until(|| late.is_closed()).await;
    let pushed = late.try_push(numbered(0, 8).into());
    assert_eq!(pushed, Err(OutboxError::Closed));
    let far = async {
        let LinkEvent::Events(_, mut events) = pair.far_events.next().await else {
            panic!("no events")
        };
        let read = async {
            for index in 0..EVENTS {
                let frame = events.next().await.unwrap().unwrap();
                assert_eq!(frame.body[..8], index.to_be_bytes());
            }
            assert!(events.next().await.unwrap().is_none(), "a clean end");
        };
        tokio::join!(read, drain(&mut pair.far_events));
    };
    within(async { tokio::join!(far, drain(&mut pair.near_events)) }).await;
    let reason = CloseReason::local(ErrorCode::OK, "done");
    assert_eq!(within(pair.near.closed()).await, reason);
    let reason = CloseReason::peer(ErrorCode::OK, "done");
    assert_eq!(within(pair.far.closed()).await, reason);
    assert_eq!(pair.far.close_reason(), Some(reason));
}

#[tokio::test]
async fn events_can_be_finished_while_the_link_goes_on() {
    let mut pair = Pair::new().await;
    for index in 0..EVENTS {
        let frame = numbered(index, 3_000).into();
        pair.near.events(Priority::Normal).try_push(frame).unwrap();
    }
    let read = async {
        let LinkEvent::Events(_, mut events) = pair.far_events.next().await else {
            panic!("no events")
        };
        let mut read = 0;
        while let Some(frame) = events.next().await.unwrap() {
            assert_eq!(frame.body[..8], u64::to_be_bytes(read));
            read += 1;
        }
        read
    };
    let (read, ()) = within(async { tokio::join!(read, pair.near.finish_events()) }).await;
    assert_eq!(read, EVENTS);
    for priority in [Priority::Normal, Priority::High] {
        let pushed = pair.near.events(priority).try_push(numbered(0, 8).into());
        assert_eq!(pushed, Err(OutboxError::Closed));
    }
    let (mut sender, _receiver) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(1, 64)).await.unwrap();
    let event = within(pair.far_events.next()).await;
    assert!(
        matches!(event, LinkEvent::Stream(StreamKind::Call, ..)),
        "{event:?}"
    );
    assert_eq!(pair.near.close_reason(), None);
}

#[tokio::test]
async fn a_call_under_way_is_answered_before_the_link_ends() {
    let mut pair = Pair::new().await;
    let (mut sender, mut receiver) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(1, 64)).await.unwrap();
    sender.finish();
    let event = within(pair.far_events.next()).await;
    let LinkEvent::Stream(StreamKind::Call, mut answer, mut call) = event else {
        panic!("{event:?}")
    };
    assert!(within(call.next()).await.unwrap().is_some());
    assert!(within(call.next()).await.unwrap().is_none());
    // The callee's side closes with the answer still to come.
    pair.far.close(ErrorCode::DRAINING, "");
    let control = pair.far.control().clone();
    let near = async {
        let (answered, ()) = tokio::join!(
            async {
                until(|| control.is_closed()).await;
                answer.send(numbered(2, 64)).await.unwrap();
                answer.finish();
                receiver.next().await.unwrap().unwrap()
            },
            drain(&mut pair.near_events)
        );
        answered
    };
    let (frame, ()) = within(async { tokio::join!(near, drain(&mut pair.far_events)) }).await;
    assert_eq!(frame.body[..8], 2_u64.to_be_bytes());
    assert_eq!(within(pair.near.closed()).await.code, ErrorCode::DRAINING);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_at_the_end_of_the_drain_time() {
    let mut config = Config::default();
    config.drain_timeout = Duration::from_millis(100);
    let mut pair = Pair::with(config.clone(), config).await;
    let outbox = pair.near.events(Priority::Normal);
    while outbox.try_push(numbered(0, 60_000).into()).is_ok() {}
    pair.near.close(ErrorCode::OK, "");
    within(drain(&mut pair.near_events)).await;
    assert_eq!(
        pair.near.closed().await,
        CloseReason::local(ErrorCode::OK, "")
    );
    within(drain(&mut pair.far_events)).await;
}

#[tokio::test]
async fn a_receiver_that_is_dropped_ends_the_link() {
    let mut pair = Pair::new().await;
    drop(pair.near_events);
    within(drain(&mut pair.far_events)).await;
    assert!(within(pair.far.closed()).await.by_peer);
    assert!(within(pair.near.open(StreamKind::Call)).await.is_err());
}

#[tokio::test]
async fn an_endpoint_that_closes_ends_its_links_and_leaves_no_task() {
    let mut pair = Pair::new().await;
    pair.near
        .events(Priority::Normal)
        .try_push(numbered(5, 64).into())
        .unwrap();
    let close = pair.acceptor.close(ErrorCode::SHUTTING_DOWN, "maintenance");
    let far = async {
        let mut seen = 0;
        loop {
            match pair.far_events.next().await {
                LinkEvent::Events(_, mut events) => {
                    while let Some(frame) = events.next().await.unwrap() {
                        assert_eq!(frame.body[..8], 5_u64.to_be_bytes());
                        seen += 1;
                    }
                }
                LinkEvent::Closed(_) => return seen,
                other => panic!("{other:?}"),
            }
        }
    };
    let ((), seen, ()) =
        within(async { tokio::join!(close, far, drain(&mut pair.near_events)) }).await;
    assert_eq!(seen, 1);
    let reason = CloseReason::peer(ErrorCode::SHUTTING_DOWN, "maintenance");
    assert_eq!(within(pair.near.closed()).await, reason);
    let stats = pair.acceptor.stats();
    assert_eq!((stats.tasks, stats.links, stats.connections), (0, 0, 0));
    assert_eq!(stats.panics, 0);
    let again = pair
        .acceptor
        .dial(pair.realm.name(), pair.dialler.local_addr(), None);
    assert!(within(again).await.is_err());
    within(pair.acceptor.close(ErrorCode::OK, "a second time")).await;
}

#[tokio::test]
async fn a_closed_endpoint_gives_its_port_back_whoever_has_handles_of_it() {
    let mut pair = Pair::new().await;
    let port = pair.acceptor.local_addr();
    let node = pair.realm.node(BOTH);
    let bind = || {
        let realms = vec![node.shared()];
        Endpoint::bind(port, Config::default(), hello(Role::Member), realms)
    };
    let taken = bind().unwrap_err();
    assert!(matches!(taken, BindError::AddressInUse { .. }), "{taken:?}");
    let close = pair.acceptor.close(ErrorCode::SHUTTING_DOWN, "done");
    let ((), ()) = within(async { tokio::join!(close, drain(&mut pair.near_events)) }).await;
    let (again, mut incoming) = bind().unwrap();
    assert_eq!(
        (again.local_addr(), pair.acceptor.local_addr()),
        (port, port)
    );
    // It works, and the one before is told of nothing.
    let dial = pair.dialler.dial(pair.realm.name(), port, Some(node.node));
    let (link, _receiver) = within(dial).await.unwrap();
    within(incoming.accept()).await.unwrap();
    assert_eq!(
        (link.peer().node, pair.acceptor.stats().links),
        (node.node, 0)
    );
    assert!(pair.far.close_reason().is_some());
}

#[tokio::test]
async fn dropping_everything_leaves_no_task() {
    let mut pair = Pair::new().await;
    pair.near
        .events(Priority::Normal)
        .try_push(numbered(1, 64).into())
        .unwrap();
    let event = within(pair.far_events.next()).await;
    assert!(matches!(event, LinkEvent::Events(..)), "{event:?}");
    assert!(Handle::current().metrics().num_alive_tasks() > 4);
    drop((event, pair));
    until(|| Handle::current().metrics().num_alive_tasks() == 0).await;
}

#[tokio::test]
async fn an_end_at_once_is_told_even_where_the_window_is_full() {
    for _ in 0..10 {
        let mut pair = Pair::new().await;
        let outbox = pair.far.events(Priority::Normal).clone();
        let flood = async { while outbox.push(numbered(0, 60_000).into()).await.is_ok() {} };
        let far_events = pair.far_events;
        let near = async {
            let event = pair.near_events.next().await;
            let LinkEvent::Events(_, mut events) = event else {
                panic!("{event:?}")
            };
            for _ in 0..20 {
                events.next().await.unwrap();
            }
            // In the midst of the flood.
            drop(far_events);
            while events.next().await.is_ok_and(|frame| frame.is_some()) {}
            pair.near.closed().await
        };
        let ((), reason) = within(async { tokio::join!(flood, near) }).await;
        assert_eq!(reason, CloseReason::peer(ErrorCode::OK, ""));
    }
}
