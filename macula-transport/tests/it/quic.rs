//! Links over real sockets.

use bytes::Bytes;
use macula_transport::{
    BindError, Config, DatagramError, Endpoint, FrameReceiver, LinkEvent, OutFrame, OutboxError,
    Path, Side,
};
use macula_wire::handshake::feature;
use macula_wire::message::{Body, Drain, Kind, Message, Ping, Priority, Role, StreamKind};
use macula_wire::{DecodeError, Epoch, ErrorCode};

use crate::support::{BOTH, Pair, Realm, endpoint, hello, loopback, numbered, raw, until, within};

/// The event stream that the peer opened.
async fn events(receiver: &mut macula_transport::LinkReceiver) -> FrameReceiver {
    match within(receiver.next()).await {
        LinkEvent::Events(Priority::Normal, events) => events,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dialled_link_is_up_on_both_sides() {
    let pair = Pair::new().await;
    let (near, far) = (&pair.near, &pair.far);
    assert_ne!(near.peer().node, far.peer().node);
    assert_eq!(near.peer().realm, *pair.realm.name());
    assert_eq!((near.role(), far.role()), (Role::Member, Role::Member));
    assert_eq!((near.side(), far.side()), (Side::Dialler, Side::Acceptor));
    assert_eq!(near.epoch(), Epoch::new(7));
    assert_eq!(near.features(), feature::DEFAULT);
    assert_eq!(near.path(), Path::Quic(pair.acceptor.local_addr()));
    assert_eq!(near.observed(), Some(pair.dialler.local_addr()));
    assert_ne!(near.id(), far.id());
    assert!(!near.is_local());
    assert_eq!(near.max_frame_len(), Config::default().max_frame_len);
    assert_eq!(pair.acceptor.stats().links, 1);
    assert!(near.close_reason().is_none());
}

#[tokio::test]
async fn a_client_is_a_client() {
    let realm = Realm::new("be.acme.iot");
    let (acceptor, mut incoming) = endpoint(&realm.node(BOTH), Role::Member, Config::default());
    let (client, _) = endpoint(&realm.node(BOTH), Role::Client, Config::default());
    let dial = client.dial(realm.name(), acceptor.local_addr(), None);
    let (near, far) = within(async { tokio::join!(dial, incoming.accept()) }).await;
    assert_eq!(near.unwrap().0.role(), Role::Member);
    assert_eq!(far.unwrap().0.role(), Role::Client);
}

#[tokio::test]
async fn events_of_every_size_arrive_in_order() {
    let mut pair = Pair::new().await;
    let sizes = [
        8,
        9,
        64,
        1_000,
        1_200,
        1_500,
        4_096,
        65_536,
        300_000,
        1 << 20,
    ];
    let frames: Vec<Bytes> = (0..)
        .zip(sizes.repeat(3))
        .map(|(i, size)| numbered(i, size))
        .collect();
    let outbox = pair.near.events(Priority::Normal).clone();
    let sent = frames.clone();
    let push = async {
        for frame in sent {
            outbox.push(frame.into()).await.unwrap();
        }
    };
    let read = async {
        let mut events = events(&mut pair.far_events).await;
        for expected in &frames {
            let frame = events.next().await.unwrap().unwrap();
            assert!(frame.body == expected.slice(8..), "another frame came");
        }
    };
    within(async { tokio::join!(push, read) }).await;
    assert_eq!(outbox.queued_bytes(), 0);
}

#[tokio::test]
async fn each_priority_has_its_stream() {
    let mut pair = Pair::new().await;
    for priority in Priority::ALL {
        let frame = numbered(priority.tag().into(), 64);
        pair.near.events(*priority).try_push(frame.into()).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let LinkEvent::Events(priority, mut events) = within(pair.far_events.next()).await else {
            panic!("no event stream")
        };
        let frame = within(events.next()).await.unwrap().unwrap();
        assert_eq!(frame.body[7], priority.tag());
        seen.push(priority);
    }
    seen.sort_unstable();
    assert_eq!(seen, Priority::ALL);
}

#[tokio::test]
async fn messages_of_the_control_stream_come_out_and_pings_are_answered() {
    let mut pair = Pair::new().await;
    for body in [Body::from(Ping { nonce: 3 }), Drain { within_ms: 5 }.into()] {
        let frame = OutFrame::message(&body.clone().into()).unwrap();
        pair.near.control().try_push(frame).unwrap();
    }
    let event = within(pair.far_events.next()).await;
    let LinkEvent::Control(message) = event else {
        panic!("{event:?}")
    };
    assert_eq!(message, Message::from(Drain { within_ms: 5 }));
    let control = pair.far.control().clone();
    until(|| control.sent_frames() == 1).await;
}

#[tokio::test]
async fn a_call_goes_there_and_back_on_a_stream_of_its_own() {
    let mut pair = Pair::new().await;
    let calls = async {
        for index in 0..100 {
            let (mut sender, mut receiver) = pair.near.open(StreamKind::Call).await.unwrap();
            sender.send(numbered(index, 64)).await.unwrap();
            sender.finish();
            let frame = receiver.next().await.unwrap().unwrap();
            assert_eq!(frame.body[..8], index.to_be_bytes());
            assert!(receiver.next().await.unwrap().is_none());
        }
    };
    let answers = async {
        loop {
            let LinkEvent::Stream(StreamKind::Call, mut sender, mut receiver) =
                pair.far_events.next().await
            else {
                panic!("no call")
            };
            while let Some(frame) = receiver.next().await.unwrap() {
                let index = u64::from_be_bytes(frame.body[..8].try_into().unwrap());
                sender.send(numbered(index, 64)).await.unwrap();
            }
            sender.finish();
        }
    };
    within(async {
        tokio::select! {
            () = calls => {}
            () = answers => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_is_dropped_resets_its_stream() {
    let mut pair = Pair::new().await;
    let (mut sender, _receiver) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(1, 64)).await.unwrap();
    let event = within(pair.far_events.next()).await;
    let LinkEvent::Stream(_, _sender, mut receiver) = event else {
        panic!("{event:?}")
    };
    assert!(within(receiver.next()).await.unwrap().is_some());
    drop(sender);
    let error = within(receiver.next()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CANCELED);
}

#[tokio::test]
async fn datagrams_go_both_ways_up_to_what_the_path_carries() {
    let mut pair = Pair::new().await;
    let frame = Bytes::from(Message::from(Ping { nonce: 1 }).to_bytes().unwrap());
    pair.near.send_datagram(frame.clone()).unwrap();
    pair.far.send_datagram(frame.clone()).unwrap();
    for events in [&mut pair.near_events, &mut pair.far_events] {
        let event = within(events.next()).await;
        let LinkEvent::Datagram(frame) = event else {
            panic!("{event:?}")
        };
        assert_eq!(frame.number, Kind::Ping.number());
    }
    let huge = pair.near.send_datagram(Bytes::from(vec![0; 70_000]));
    let Err(DatagramError::TooLarge { max }) = huge else {
        panic!("{huge:?}")
    };
    assert!(max > 1_000);
    // What is no frame is dropped and counted, and the link stays up.
    pair.near
        .send_datagram(Bytes::from_static(b"noise"))
        .unwrap();
    pair.near.send_datagram(frame).unwrap();
    let event = within(pair.far_events.next()).await;
    assert!(matches!(event, LinkEvent::Datagram(_)), "{event:?}");
    assert_eq!(pair.far.stats().datagrams_dropped, 1);
}

/// Sends until packets are larger than `beyond`, then in bulk.
async fn climb(bound: u16, beyond: u16) {
    let mut config = Config::default();
    config.mtu_upper_bound = bound;
    let mut pair = Pair::with(config.clone(), config).await;
    let frame = Bytes::from(Message::from(Ping { nonce: 1 }).to_bytes().unwrap());
    within(async {
        while pair.near.stats().mtu <= beyond {
            pair.near.send_datagram(frame.clone()).unwrap();
            let event = pair.far_events.next().await;
            assert!(matches!(event, LinkEvent::Datagram(_)), "{event:?}");
        }
    })
    .await;
    // Large packets arrive in bulk as well, and the size stays.
    let outbox = pair.near.events(Priority::Normal).clone();
    let push = async {
        for index in 0..2_000 {
            outbox.push(numbered(index, 1_024).into()).await.unwrap();
        }
    };
    let read = async {
        let mut events = events(&mut pair.far_events).await;
        for _ in 0..2_000 {
            assert!(events.next().await.unwrap().is_some());
        }
    };
    within(async { tokio::join!(push, read) }).await;
    let stats = pair.near.stats();
    assert!(stats.mtu > beyond, "fell back to {}", stats.mtu);
    assert!(stats.bytes_sent > 2_000_000 && stats.congestion_window > 0);
}

#[tokio::test]
async fn the_mtu_climbs_over_that_of_ethernet_on_loopback() {
    climb(Config::default().mtu_upper_bound, 1_452).await;
}

#[tokio::test]
async fn the_mtu_climbs_to_what_loopback_carries_where_it_may() {
    climb(65_507, 9_000).await;
}

#[tokio::test]
async fn messages_that_nobody_knows_are_answered_and_skipped_up_to_a_bound() {
    let mut pair = Pair::new().await;
    let unknown = raw(0x4f, b"later");
    for _ in 0..16 {
        pair.near.control().try_push(unknown.clone()).unwrap();
    }
    let known = OutFrame::message(&Drain { within_ms: 1 }.into()).unwrap();
    pair.near.control().try_push(known).unwrap();
    let event = within(pair.far_events.next()).await;
    assert!(matches!(event, LinkEvent::Control(_)), "{event:?}");
    for _ in 0..16 {
        let event = within(pair.near_events.next()).await;
        let LinkEvent::Control(Message {
            body: Body::Error(report),
            ..
        }) = event
        else {
            panic!("{event:?}")
        };
        assert_eq!(report.code, ErrorCode::UNSUPPORTED_FEATURE);
    }
    pair.near.control().try_push(unknown).unwrap();
    misbehaved(&mut pair, DecodeError::UnknownKind { number: 0x4f }).await;
}

/// The far side finds `offence` and closes, and both sides learn it.
async fn misbehaved(pair: &mut Pair, offence: DecodeError) {
    let event = within(pair.far_events.next()).await;
    assert!(
        matches!(&event, LinkEvent::Misbehaved(found) if *found == offence),
        "{event:?}"
    );
    for (events, by_peer) in [(&mut pair.far_events, false), (&mut pair.near_events, true)] {
        for _ in 0..2 {
            let event = within(events.next()).await;
            let LinkEvent::Closed(reason) = event else {
                panic!("{event:?}")
            };
            assert_eq!(reason.code, ErrorCode::PROTOCOL_VIOLATION);
            assert_eq!(reason.by_peer, by_peer);
        }
    }
    let frame = numbered(0, 8);
    let control = pair.near.control().clone();
    until(|| control.is_closed()).await;
    let pushed = pair.near.events(Priority::Bulk).try_push(frame.into());
    assert_eq!(pushed, Err(OutboxError::Closed));
    assert!(pair.near.open(StreamKind::Call).await.is_err());
    assert_eq!(
        within(pair.far.closed()).await.code,
        ErrorCode::PROTOCOL_VIOLATION
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_close_the_link() {
    let mut pair = Pair::new().await;
    let frame = raw(Kind::Ping.number(), b"");
    pair.near.control().try_push(frame).unwrap();
    misbehaved(&mut pair, DecodeError::UnexpectedEnd).await;
}

#[tokio::test]
async fn a_message_out_of_place_closes_the_link() {
    let mut pair = Pair::new().await;
    let stream = macula_wire::message::Stream {
        token: None,
        kind: StreamKind::Call,
    };
    let frame = OutFrame::message(&stream.into()).unwrap();
    pair.near.control().try_push(frame).unwrap();
    let offence = DecodeError::Invalid {
        field: "message number",
        value: Kind::Stream.number().into(),
    };
    misbehaved(&mut pair, offence).await;
}

#[tokio::test]
async fn bytes_that_are_no_frame_on_an_event_stream_close_the_link() {
    let mut pair = Pair::new().await;
    let outbox = pair.near.events(Priority::Normal).clone();
    outbox.try_push(numbered(1, 8).into()).unwrap();
    outbox
        .try_push(Bytes::from_static(b"not a frame").into())
        .unwrap();
    let mut events = events(&mut pair.far_events).await;
    assert!(within(events.next()).await.unwrap().is_some());
    let error = within(events.next()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PROTOCOL_VIOLATION);
    misbehaved(&mut pair, DecodeError::Version { version: b'n' }).await;
}

fn small() -> Config {
    let mut config = Config::default();
    config.max_frame_len = 4_096;
    config
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_its_stream_and_not_the_link() {
    let mut pair = Pair::with(Config::default(), small()).await;
    assert_eq!(pair.near.max_frame_len(), 4_096);
    let outbox = pair.near.events(Priority::Normal).clone();
    outbox.try_push(numbered(1, 4_096).into()).unwrap();
    let mut stream = events(&mut pair.far_events).await;
    assert!(
        within(stream.next()).await.unwrap().is_some(),
        "the limit itself passes"
    );
    outbox.try_push(numbered(2, 4_097).into()).unwrap();
    for _ in 0..2 {
        let error = within(stream.next()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PAYLOAD_TOO_LARGE);
    }
    // A call over the limit is stopped as well, and the next one is answered.
    let (mut sender, _receiver) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(3, 4_097)).await.unwrap();
    let event = within(pair.far_events.next()).await;
    let LinkEvent::Stream(StreamKind::Call, _, mut receiver) = event else {
        panic!("{event:?}")
    };
    assert!(within(receiver.next()).await.is_err());
    assert_eq!(
        within(sender.stopped()).await,
        Some(ErrorCode::PAYLOAD_TOO_LARGE)
    );
    let (mut sender, _receiver) = pair.near.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(4, 4_096)).await.unwrap();
    let event = within(pair.far_events.next()).await;
    assert!(matches!(event, LinkEvent::Stream(..)), "{event:?}");
    assert!(pair.near.close_reason().is_none() && pair.far.close_reason().is_none());
}

#[tokio::test]
async fn a_control_message_over_the_limit_closes_the_link() {
    let mut pair = Pair::with(Config::default(), small()).await;
    let frame = raw(Kind::Drain.number(), &[0; 4_097]);
    pair.near.control().try_push(frame).unwrap();
    let offence = DecodeError::TooLarge {
        field: "frame",
        max: 4_096,
    };
    misbehaved(&mut pair, offence).await;
}

#[tokio::test]
async fn a_port_in_use_is_told_apart() {
    let realm = Realm::new("be.acme.iot");
    let node = realm.node(BOTH);
    let (first, _) = endpoint(&node, Role::Member, Config::default());
    let bind = |address| {
        let realms = vec![node.shared()];
        Endpoint::bind(address, Config::default(), hello(Role::Member), realms)
    };
    let error = bind(first.local_addr()).unwrap_err();
    assert!(
        matches!(error, BindError::AddressInUse { address } if address == first.local_addr()),
        "{error:?}"
    );
    assert!(bind(loopback()).is_ok());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let realm = Realm::new("be.acme.iot");
    let bind = |config| {
        let realms = vec![realm.node(BOTH).shared()];
        Endpoint::bind(loopback(), config, hello(Role::Member), realms).map(drop)
    };
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config
    };
    for (change, name) in [
        (
            (|config| config.mtu_upper_bound = 1_199) as fn(&mut Config),
            "mtu_upper_bound",
        ),
        (
            |config| config.max_frame_len = (16 << 20) + 1,
            "max_frame_len",
        ),
        (|config| config.max_frame_len = 4_095, "max_frame_len"),
        (
            |config| config.idle_timeout = config.keep_alive,
            "idle_timeout",
        ),
        (|config| config.max_event_streams = 3, "max_event_streams"),
    ] {
        let error = bind(with(change)).unwrap_err();
        assert!(
            matches!(error, BindError::Config { setting } if setting == name),
            "{error:?}"
        );
    }
    bind(with(|config| {
        config.mtu_upper_bound = 1_200;
        config.max_frame_len = 16 << 20;
        config.reset_key = Some([7; 64]);
        config.max_event_streams = 4;
    }))
    .unwrap();
}

#[test]
fn without_a_runtime_nothing_is_bound() {
    let realm = Realm::new("be.acme.iot");
    let realms = vec![realm.node(BOTH).shared()];
    let bound = Endpoint::bind(loopback(), Config::default(), hello(Role::Member), realms);
    assert!(matches!(bound, Err(BindError::NoRuntime)));
}
