//! Links within a process: delays, losses, partitions and ends, in virtual time.

use std::ops::RangeInclusive;
use std::time::Duration;

use macula_transport::memory::{MemoryPeer, Network};
use macula_transport::{
    Config, DatagramError, FrameReceiver, Link, LinkError, LinkEvent, LinkReceiver, OutFrame, Path,
    PeerIdentity, Side,
};
use macula_wire::message::{Body, Message, Ping, Priority, Role, Roles, StreamKind, Subscribe};
use macula_wire::{ErrorCode, NodeId, Pattern, RealmName, RequestId, SubscriptionId};
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::{BOTH, hello, numbered};

fn peer(number: u8, roles: Roles) -> MemoryPeer {
    let node = NodeId::from_bytes([number; 32]);
    let realm = RealmName::new("be.acme.iot").unwrap();
    MemoryPeer::new(PeerIdentity::new(node, realm, roles), hello(Role::Member))
}

struct Pair {
    network: Network,
    near: Link,
    near_events: LinkReceiver,
    far: Link,
    far_events: LinkReceiver,
}

impl Pair {
    async fn new(network: Network) -> Self {
        let (one, other) = (peer(1, BOTH), peer(2, BOTH));
        let ((near, near_events), (far, far_events)) = network.link(one, other).await.unwrap();
        Self {
            network,
            near,
            near_events,
            far,
            far_events,
        }
    }

    fn nodes(&self) -> (NodeId, NodeId) {
        (self.far.peer().node, self.near.peer().node)
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn delays(min: u64, max: u64) -> RangeInclusive<Duration> {
    ms(min)..=ms(max)
}

async fn event_stream(events: &mut LinkReceiver) -> FrameReceiver {
    match events.next().await {
        LinkEvent::Events(Priority::Normal, frames) => frames,
        other => panic!("{other:?}"),
    }
}

fn index_of(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn both_sides_know_each_other_after_the_handshake() {
    let pair = Pair::new(Network::new(1)).await;
    assert_eq!(pair.near.peer().node, NodeId::from_bytes([2; 32]));
    assert_eq!(pair.far.peer().node, NodeId::from_bytes([1; 32]));
    assert_eq!(
        (pair.near.side(), pair.far.side()),
        (Side::Dialler, Side::Acceptor)
    );
    assert_eq!(
        (pair.near.path(), pair.near.role()),
        (Path::Memory, Role::Member)
    );
    assert_eq!(pair.near.epoch(), hello(Role::Member).epoch);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_the_identity_lacks_is_refused_and_one_that_it_has_is_not() {
    let network = Network::new(1);
    let refused = network.link(peer(1, Roles::CLIENT), peer(2, BOTH)).await;
    assert!(matches!(
        refused,
        Err(LinkError::Refused {
            code: ErrorCode::DENIED,
            ..
        })
    ));
    assert!(
        network
            .link(peer(1, Roles::MEMBER), peer(2, BOTH))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn no_link_comes_about_across_a_partition_until_it_is_healed() {
    let network = Network::new(1);
    let (one, other) = (peer(1, BOTH), peer(2, BOTH));
    network.partition(one.identity.node, other.identity.node);
    let started = Instant::now();
    let refused = network.link(one.clone(), other.clone()).await;
    assert!(matches!(refused, Err(LinkError::TimedOut { .. })));
    assert_eq!(started.elapsed(), Config::default().hello_timeout);
    network.heal(one.identity.node, other.identity.node);
    assert!(network.link(one, other).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_arrives_after_the_delay_and_in_order() {
    let network = Network::new(7);
    network.set_delay(delays(20, 60));
    let mut pair = Pair::new(network).await;
    let started = Instant::now();
    for index in 0..500 {
        let frame = OutFrame::from(numbered(index, 32));
        pair.near
            .events(Priority::Normal)
            .push(frame)
            .await
            .unwrap();
        if index % 50 == 0 {
            // tidy: allow sleep: the clock is paused, and time has to pass between the frames
            tokio::time::sleep(ms(1)).await;
        }
    }
    let mut frames = event_stream(&mut pair.far_events).await;
    assert!(started.elapsed() >= ms(20), "{:?}", started.elapsed());
    for index in 0..500 {
        let frame = frames.next().await.unwrap().unwrap();
        assert_eq!(index_of(&frame.body), index);
    }
    assert!(started.elapsed() < ms(300), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_partition_holds_streams_up_and_nothing_is_lost_or_reordered_when_it_heals() {
    let network = Network::new(3);
    network.set_delay(delays(1, 5));
    let mut pair = Pair::new(network).await;
    let (near, far) = pair.nodes();
    let outbox = pair.near.events(Priority::Normal).clone();
    outbox.push(numbered(0, 100).into()).await.unwrap();
    let mut frames = event_stream(&mut pair.far_events).await;
    assert_eq!(index_of(&frames.next().await.unwrap().unwrap().body), 0);

    pair.network.partition(near, far);
    let began = Instant::now();
    for index in 1..200 {
        outbox.push(numbered(index, 100).into()).await.unwrap();
    }
    let held_up = timeout(Duration::from_secs(20), frames.next()).await;
    assert!(held_up.is_err(), "something passed a partition");
    pair.network.heal(near, far);
    for index in 1..200 {
        assert_eq!(index_of(&frames.next().await.unwrap().unwrap().body), index);
    }
    assert!(began.elapsed() < Duration::from_secs(21));
    assert_eq!(pair.near.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_partition_longer_than_the_idle_timeout_ends_the_link_on_both_sides() {
    let mut pair = Pair::new(Network::new(3)).await;
    let (near, far) = pair.nodes();
    let idle = Config::default().idle_timeout;

    pair.network.partition(near, far);
    sleep_until(Instant::now() + idle - ms(100)).await;
    pair.network.heal(near, far);
    sleep_until(Instant::now() + idle * 2).await;
    assert_eq!(
        (pair.near.close_reason(), pair.far.close_reason()),
        (None, None)
    );

    let began = Instant::now();
    pair.network.partition(near, far);
    for events in [&mut pair.near_events, &mut pair.far_events] {
        let LinkEvent::Closed(reason) = events.next().await else {
            panic!("not closed");
        };
        assert_eq!(
            (reason.code, reason.by_peer),
            (ErrorCode::UNREACHABLE, false)
        );
    }
    assert_eq!(began.elapsed(), idle);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_works_one_way_is_noticed_first_by_who_hears_nothing() {
    let pair = Pair::new(Network::new(3)).await;
    let (near, far) = pair.nodes();
    let idle = Config::default().idle_timeout;
    let began = Instant::now();
    pair.network.one_way(near, far);
    let at = |link: &Link| {
        let link = link.clone();
        async move {
            link.closed().await;
            began.elapsed()
        }
    };
    let (near_at, far_at) = tokio::join!(at(&pair.near), at(&pair.far));
    assert_eq!((near_at, far_at), (idle, idle * 2));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_missed_the_end_learns_it_when_packets_pass_again() {
    let mut pair = Pair::new(Network::new(3)).await;
    let (near, far) = pair.nodes();
    pair.network.partition(near, far);
    drop(pair.near_events);
    assert!(pair.near.close_reason().is_some());
    sleep_until(Instant::now() + ms(5_000)).await;
    assert_eq!(pair.far.close_reason(), None);
    let healed = Instant::now();
    pair.network.heal(near, far);
    let LinkEvent::Closed(reason) = pair.far_events.next().await else {
        panic!("not closed");
    };
    assert_eq!(
        (reason.code, reason.by_peer),
        (ErrorCode::UNREACHABLE, true)
    );
    assert!(healed.elapsed() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_one_link_at_once_and_no_other() {
    let network = Network::new(3);
    let first = Pair::new(network.clone()).await;
    let second = Pair::new(network).await;
    let began = Instant::now();
    first.network.cut(&first.far);
    let (near, far) = tokio::join!(first.near.closed(), first.far.closed());
    assert_eq!(
        (near.code, far.code),
        (ErrorCode::UNREACHABLE, ErrorCode::UNREACHABLE)
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(matches!(
        first.near.open(StreamKind::Call).await,
        Err(LinkError::Closed(_))
    ));
    assert!(second.near.open(StreamKind::Call).await.is_ok());
}

/// Sends `count` datagrams and gives when which of them arrived.
async fn datagrams(seed: u64, loss: u16, count: u64) -> (Vec<(Duration, u64)>, u64) {
    let network = Network::new(seed);
    let mut pair = Pair::new(network.clone()).await;
    network.set_delay(delays(5, 50));
    network.set_loss(loss);
    let began = Instant::now();
    let mut trace = Vec::new();
    for index in 0..count {
        pair.near.send_datagram(numbered(index, 40)).unwrap();
        let pause = began + ms(index + 1);
        while let Ok(event) = tokio::time::timeout_at(pause, pair.far_events.next()).await {
            let LinkEvent::Datagram(frame) = event else {
                panic!("{event:?}");
            };
            trace.push((began.elapsed(), index_of(&frame.body)));
        }
    }
    while let Ok(LinkEvent::Datagram(frame)) = timeout(ms(100), pair.far_events.next()).await {
        trace.push((began.elapsed(), index_of(&frame.body)));
    }
    (trace, pair.near.stats().packets_lost)
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_lost_at_the_rate_that_was_set_and_each_loss_is_counted() {
    let (all, lost) = datagrams(11, 0, 1_000).await;
    assert_eq!((all.len(), lost), (1_000, 0));
    let (some, lost) = datagrams(11, 200, 1_000).await;
    assert_eq!(u64::try_from(some.len()).unwrap() + lost, 1_000);
    assert!((150..=250).contains(&lost), "{lost} of 1,000 lost");
    let (none, lost) = datagrams(11, 1_000, 100).await;
    assert_eq!((none.len(), lost), (0, 100));
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_trace_and_another_seed_another() {
    let first = datagrams(42, 100, 300).await;
    assert_eq!(first, datagrams(42, 100, 300).await);
    assert_ne!(first, datagrams(43, 100, 300).await);
    let order: Vec<u64> = first.0.iter().map(|(_, index)| *index).collect();
    assert!(!order.is_sorted(), "datagrams overtake each other");
}

#[tokio::test(start_paused = true)]
async fn datagrams_do_not_pass_a_partition_and_have_a_size() {
    let mut pair = Pair::new(Network::new(5)).await;
    let (near, far) = pair.nodes();
    pair.network.partition(near, far);
    pair.near.send_datagram(numbered(1, 40)).unwrap();
    pair.network.heal(near, far);
    pair.near.send_datagram(numbered(2, 40)).unwrap();
    let LinkEvent::Datagram(frame) = pair.far_events.next().await else {
        panic!("no datagram");
    };
    assert_eq!(index_of(&frame.body), 2);
    assert_eq!(pair.near.stats().packets_lost, 1);
    let Err(DatagramError::TooLarge { max }) = pair.near.send_datagram(numbered(3, 2_000)) else {
        panic!("sent");
    };
    assert_eq!(pair.near.send_datagram(numbered(3, max - 8)), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_reader_that_does_not_read() {
    let mut pair = Pair::new(Network::new(5)).await;
    let (mut sender, _answers) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(0, 900_000)).await.unwrap();
    let second = timeout(Duration::from_secs(60), sender.send(numbered(1, 900_000))).await;
    assert!(second.is_err(), "1.8 MB fit a window of 1 MiB");
    let LinkEvent::Stream(StreamKind::Call, _, mut frames) = pair.far_events.next().await else {
        panic!("no stream");
    };
    assert_eq!(index_of(&frames.next().await.unwrap().unwrap().body), 0);

    // The same twice, with a reader.
    let (mut sender, _answers) = pair.near.open(StreamKind::Call).await.unwrap();
    let sending = async {
        for index in 0..4 {
            sender.send(numbered(index, 900_000)).await.unwrap();
        }
        sender.finish();
        assert_eq!(sender.stopped().await, None);
    };
    let reading = async {
        let LinkEvent::Stream(_, _, mut frames) = pair.far_events.next().await else {
            panic!("no stream");
        };
        let mut count = 0;
        while frames.next().await.unwrap().is_some() {
            count += 1;
        }
        count
    };
    let ((), count) = tokio::join!(sending, reading);
    assert_eq!(count, 4);
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_no_more_streams_than_it_may() {
    let network = Network::new(5);
    let mut config = Config::default();
    config.max_call_streams = 2;
    let acceptor = peer(2, BOTH).with_config(config);
    let (near, mut far) = network.link(peer(1, BOTH), acceptor).await.unwrap();
    let mut open = Vec::new();
    for index in 0..2 {
        let (mut sender, frames) = near.0.open(StreamKind::Call).await.unwrap();
        sender.send(numbered(index, 8)).await.unwrap();
        open.push((sender, frames, far.1.next().await));
    }
    let third = timeout(Duration::from_secs(60), near.0.open(StreamKind::Call)).await;
    assert!(third.is_err(), "a third stream of two");
    drop(open.pop());
    assert!(near.0.open(StreamKind::Call).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_no_stream_where_there_are_streams() {
    let mut pair = Pair::new(Network::new(5)).await;
    for kind in [StreamKind::Lookup, StreamKind::Offered] {
        let (mut sender, _answers) = pair.near.open(kind).await.unwrap();
        sender.send(numbered(0, 8)).await.unwrap();
        match (kind, pair.far_events.next().await) {
            (StreamKind::Lookup, LinkEvent::Stream(StreamKind::Lookup, ..))
            | (StreamKind::Offered, LinkEvent::Misbehaved(_)) => {}
            (kind, event) => panic!("{kind:?} became {event:?}"),
        }
    }
    let LinkEvent::Closed(reason) = pair.far_events.next().await else {
        panic!("not closed");
    };
    assert_eq!(reason.code, ErrorCode::PROTOCOL_VIOLATION);
}

#[tokio::test(start_paused = true)]
async fn resets_and_stops_carry_their_codes() {
    let network = Network::new(9);
    network.set_delay(delays(1, 3));
    let mut pair = Pair::new(network).await;
    let (mut sender, mut answers) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(0, 8)).await.unwrap();
    let LinkEvent::Stream(_, mut back, mut frames) = pair.far_events.next().await else {
        panic!("no stream");
    };
    assert_eq!(index_of(&frames.next().await.unwrap().unwrap().body), 0);
    sender.reset(ErrorCode::CANCELED);
    let reset = frames.next().await;
    assert!(matches!(
        reset,
        Err(LinkError::Reset {
            code: ErrorCode::CANCELED
        })
    ));
    answers.stop(ErrorCode::DEADLINE_EXCEEDED);
    let stopped = back.send(numbered(1, 8)).await;
    assert!(matches!(
        stopped,
        Err(LinkError::Stopped {
            code: ErrorCode::DEADLINE_EXCEEDED
        })
    ));
    assert_eq!(back.stopped().await, Some(ErrorCode::DEADLINE_EXCEEDED));
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_after_all_that_was_pushed() {
    let network = Network::new(9);
    network.set_delay(delays(5, 10));
    let mut pair = Pair::new(network).await;
    let subscribe = Subscribe {
        request: RequestId::new(1),
        subscription: SubscriptionId::new(1),
        pattern: Pattern::new("a.**").unwrap(),
        group: None,
        early: false,
    };
    let messages = [Message::from(subscribe), Message::from(Ping { nonce: 4 })];
    for message in &messages {
        let frame = OutFrame::message(message).unwrap();
        pair.near.control().try_push(frame).unwrap();
    }
    for index in 0..100 {
        let frame = OutFrame::from(numbered(index, 5_000));
        pair.near.events(Priority::Normal).try_push(frame).unwrap();
    }
    pair.near.close(ErrorCode::SHUTTING_DOWN, "over");
    let mut subscribed = 0;
    let mut count = 0;
    let reason = loop {
        match pair.far_events.next().await {
            LinkEvent::Control(message) => {
                assert!(matches!(message.body, Body::Subscribe(_)));
                subscribed += 1;
            }
            LinkEvent::Events(_, mut frames) => {
                while let Some(frame) = frames.next().await.unwrap() {
                    assert_eq!(index_of(&frame.body), count);
                    count += 1;
                }
            }
            LinkEvent::Closed(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((subscribed, count), (1, 100));
    assert_eq!(
        (reason.code, reason.by_peer),
        (ErrorCode::SHUTTING_DOWN, true)
    );
    assert_eq!(reason.detail, "over");
}
