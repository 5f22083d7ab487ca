//! Links over a Unix socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use macula_transport::unix::{UnixIncoming, connect, listen};
use macula_transport::{
    BindError, Config, DatagramError, FrameReceiver, FrameSender, Link, LinkError, LinkEvent,
    LinkReceiver, OutFrame, Path as LinkPath, PeerIdentity, Side,
};
use macula_wire::frame::{FRAME_VERSION, FrameDecoder};
use macula_wire::message::{Body, Handshake, HandshakeAck, Message, Ping};
use macula_wire::message::{Priority, Role, Roles, Stream, StreamKind};
use macula_wire::{ErrorCode, Frame, NodeId, RealmName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::{BOTH, drain, hello, numbered, within};

fn node() -> PeerIdentity {
    let realm = RealmName::new("be.acme.iot").unwrap();
    PeerIdentity::new(NodeId::from_bytes([7; 32]), realm, BOTH)
}

async fn listening(path: &Path) -> Result<UnixIncoming, BindError> {
    let listen = listen(path, node(), Config::default(), hello(Role::Member));
    within(listen).await
}

async fn attach(path: &Path, node: PeerIdentity) -> Result<(Link, LinkReceiver), LinkError> {
    within(connect(path, node, Config::default(), hello(Role::Member))).await
}

/// A node, and a client attached to it.
struct Pair {
    dir: TempDir,
    path: PathBuf,
    incoming: UnixIncoming,
    client: Link,
    client_events: LinkReceiver,
    node: Link,
    node_events: LinkReceiver,
}

impl Pair {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.sock");
        let mut incoming = listening(&path).await.unwrap();
        let (client, client_events) = attach(&path, node()).await.unwrap();
        let (node, node_events) = within(incoming.accept()).await.unwrap();
        Self {
            dir,
            path,
            incoming,
            client,
            client_events,
            node,
            node_events,
        }
    }
}

async fn events(receiver: &mut LinkReceiver) -> FrameReceiver {
    match within(receiver.next()).await {
        LinkEvent::Events(Priority::Normal, frames) => frames,
        other => panic!("{other:?}"),
    }
}

async fn call(receiver: &mut LinkReceiver) -> (FrameSender, FrameReceiver) {
    match within(receiver.next()).await {
        LinkEvent::Stream(StreamKind::Call, sender, frames) => (sender, frames),
        other => panic!("{other:?}"),
    }
}

fn index_of(frame: &Frame) -> u64 {
    u64::from_be_bytes(frame.body[..8].try_into().unwrap())
}

#[tokio::test]
async fn a_socket_is_for_its_owner_and_nothing_else_stays_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    let incoming = listening(&path).await.unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(incoming);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_that_somebody_listens_on_is_left_alone_and_one_of_the_dead_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    let mut live = listening(&path).await.unwrap();
    let second = listening(&path).await;
    assert!(matches!(second, Err(BindError::SocketInUse { path: named }) if named == path));
    assert!(attach(&path, node()).await.is_ok());
    assert!(within(live.accept()).await.is_some());

    let stale = dir.path().join("stale.sock");
    drop(StdListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let mut incoming = listening(&stale).await.unwrap();
    let mode = fs::metadata(&stale).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(attach(&stale, node()).await.is_ok());
    assert!(within(incoming.accept()).await.is_some());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    fs::write(&path, "precious").unwrap();
    let refused = listening(&path).await;
    assert!(matches!(refused, Err(BindError::Socket { path: named, .. }) if named == path));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let missing = listening(&dir.path().join("missing/node.sock")).await;
    assert!(matches!(missing, Err(BindError::Socket { .. })));
}

#[tokio::test]
async fn a_socket_that_another_has_taken_over_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.sock");
    let first = listening(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _second = listening(&path).await.unwrap();
    drop(first);
    assert!(attach(&path, node()).await.is_ok());
}

#[tokio::test]
async fn a_client_is_the_node_itself_with_the_role_of_a_client() {
    let pair = Pair::new().await;
    assert_eq!(pair.node.peer().node, node().node);
    assert_eq!(pair.node.peer().roles, Roles::CLIENT);
    assert_eq!(
        (pair.node.role(), pair.client.role()),
        (Role::Client, Role::Member)
    );
    assert_eq!(
        (pair.node.side(), pair.client.side()),
        (Side::Acceptor, Side::Dialler)
    );
    assert!(pair.node.is_local() && pair.client.is_local());
    assert_eq!(pair.node.path(), LinkPath::Unix);
    assert_eq!(
        pair.client.send_datagram(Bytes::new()),
        Err(DatagramError::Unsupported)
    );
    assert_eq!(pair.incoming.path(), pair.path);
}

#[tokio::test]
async fn a_client_of_another_node_or_realm_is_refused() {
    let mut pair = Pair::new().await;
    let mut other = node();
    other.node = NodeId::from_bytes([8; 32]);
    let refused = attach(&pair.path, other).await;
    assert!(matches!(
        refused,
        Err(LinkError::Refused {
            code: ErrorCode::UNAUTHENTICATED,
            ..
        })
    ));
    let mut other = node();
    other.realm = RealmName::new("be.other").unwrap();
    let refused = attach(&pair.path, other).await;
    assert!(matches!(
        refused,
        Err(LinkError::Refused {
            code: ErrorCode::REALM_MISMATCH,
            ..
        })
    ));
    assert!(attach(&pair.path, node()).await.is_ok());
    assert!(within(pair.incoming.accept()).await.is_some());
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let missing = attach(&dir.path().join("node.sock"), node()).await;
    let error = missing.unwrap_err();
    assert!(matches!(error, LinkError::Io { .. }));
    assert_eq!(error.code(), ErrorCode::UNREACHABLE);
}

#[tokio::test]
async fn events_go_both_ways_whole_and_in_order() {
    let Pair {
        client,
        mut client_events,
        node,
        mut node_events,
        dir: _dir,
        incoming: _incoming,
        ..
    } = Pair::new().await;
    for (from, to) in [(&client, &mut node_events), (&node, &mut client_events)] {
        let outbox = from.events(Priority::Normal).clone();
        let sending = async {
            for index in 0..2_000 {
                // From a few bytes to more than the socket holds.
                let length = if index % 400 == 0 { 900_000 } else { 40 };
                outbox.push(numbered(index, length).into()).await.unwrap();
            }
        };
        let reading = async {
            let mut frames = events(to).await;
            for index in 0..2_000 {
                let frame = frames.next().await.unwrap().unwrap();
                assert_eq!(index_of(&frame), index);
                let length = if index % 400 == 0 { 900_000 } else { 40 };
                assert_eq!(frame.body.len(), length);
            }
            frames
        };
        let ((), frames) = within(Box::pin(async { tokio::join!(sending, reading) })).await;
        drop(frames);
        // A reader that wants no more closes the outbox, and nothing else.
        within(async { while outbox.push(numbered(0, 40).into()).await.is_ok() {} }).await;
        assert_eq!(from.close_reason(), None);
    }
}

#[tokio::test]
async fn calls_go_both_ways_with_more_at_once_than_connections_are_offered() {
    let Pair {
        client,
        mut client_events,
        node,
        mut node_events,
        dir: _dir,
        incoming: _incoming,
        ..
    } = Pair::new().await;
    for (from, to) in [(&client, &mut node_events), (&node, &mut client_events)] {
        let calling = async {
            let mut calls = Vec::new();
            for index in 0..40 {
                let (mut sender, answers) = from.open(StreamKind::Call).await.unwrap();
                sender.send(numbered(index, 100)).await.unwrap();
                sender.finish();
                calls.push((index, answers));
            }
            for (index, mut answers) in calls {
                let answer = answers.next().await.unwrap().unwrap();
                assert_eq!(index_of(&answer), index + 1_000);
                assert_eq!(answers.next().await.unwrap(), None);
            }
        };
        let serving = async {
            let mut open = Vec::new();
            for _ in 0..40 {
                let (sender, mut frames) = call(to).await;
                let asked = frames.next().await.unwrap().unwrap();
                assert_eq!(frames.next().await.unwrap(), None);
                open.push((sender, index_of(&asked)));
            }
            for (sender, index) in &mut open {
                sender.send(numbered(*index + 1_000, 100)).await.unwrap();
                sender.finish();
            }
        };
        within(Box::pin(async { tokio::join!(calling, serving) })).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_given_up_is_told_from_one_that_is_finished() {
    let mut pair = Pair::new().await;
    let (mut sender, answers) = pair.client.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(3, 10)).await.unwrap();
    let (mut back, mut frames) = call(&mut pair.node_events).await;
    assert_eq!(index_of(&within(frames.next()).await.unwrap().unwrap()), 3);
    sender.reset(ErrorCode::DEADLINE_EXCEEDED);
    let reset = within(frames.next()).await;
    assert!(matches!(
        reset,
        Err(LinkError::Reset {
            code: ErrorCode::DEADLINE_EXCEEDED
        })
    ));
    // The caller wants no answer: the other side notices, waiting or writing.
    drop(answers);
    within(back.stopped()).await;
    let stopped = within(back.send(numbered(4, 10))).await;
    assert!(matches!(stopped, Err(LinkError::Stopped { .. })));

    let (mut sender, _answers) = pair.client.open(StreamKind::Call).await.unwrap();
    sender.send(numbered(5, 10)).await.unwrap();
    let (_back, mut frames) = call(&mut pair.node_events).await;
    sender.finish();
    assert_eq!(index_of(&within(frames.next()).await.unwrap().unwrap()), 5);
    assert_eq!(within(frames.next()).await.unwrap(), None);
}

#[tokio::test]
async fn a_close_comes_after_all_that_was_pushed() {
    let mut pair = Pair::new().await;
    for index in 0..500 {
        let frame = OutFrame::from(numbered(index, 2_000));
        pair.client
            .events(Priority::Normal)
            .try_push(frame)
            .unwrap();
    }
    pair.client.close(ErrorCode::OK, "done");
    let mut frames = events(&mut pair.node_events).await;
    for index in 0..500 {
        let frame = within(frames.next()).await.unwrap().unwrap();
        assert_eq!(index_of(&frame), index);
    }
    assert_eq!(within(frames.next()).await.unwrap(), None);
    let LinkEvent::Closed(reason) = within(pair.node_events.next()).await else {
        panic!("not closed");
    };
    assert_eq!((reason.code, reason.by_peer), (ErrorCode::OK, true));
    assert_eq!(reason.detail, "done");
    within(drain(&mut pair.client_events)).await;
    drop(pair.dir);
}

#[tokio::test]
async fn a_node_that_stops_listening_keeps_its_links_until_it_closes_them() {
    let mut pair = Pair::new().await;
    drop(pair.incoming);
    assert!(!pair.path.exists());
    assert!(attach(&pair.path, node()).await.is_err());
    let ping = OutFrame::message(&Message::from(Ping { nonce: 1 })).unwrap();
    pair.node.control().push(ping).await.unwrap();
    pair.node.close(ErrorCode::SHUTTING_DOWN, "");
    let LinkEvent::Closed(reason) = within(pair.client_events.next()).await else {
        panic!("not closed");
    };
    assert_eq!(
        (reason.code, reason.by_peer),
        (ErrorCode::SHUTTING_DOWN, true)
    );
    within(drain(&mut pair.node_events)).await;
}

/// A client made by hand.
struct Raw(UnixStream);

impl Raw {
    async fn new(path: &Path) -> Self {
        Self(UnixStream::connect(path).await.unwrap())
    }

    async fn send(&mut self, message: impl Into<Message>) {
        let bytes = message.into().to_bytes().unwrap();
        self.0.write_all(&bytes).await.unwrap();
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Message> {
        let mut decoder = FrameDecoder::new(1 << 20);
        loop {
            if let Some(frame) = decoder.next_frame().unwrap() {
                return Some(Message::decode(&frame).unwrap());
            }
            let mut byte = [0];
            // A connection that is closed while bytes are under way ends with an error.
            match within(self.0.read(&mut byte)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => decoder.push(Bytes::copy_from_slice(&byte)),
            }
        }
    }

    async fn hello(path: &Path) -> (Self, HandshakeAck) {
        let mut raw = Self::new(path).await;
        let node = node();
        raw.send(Handshake {
            versions: vec![FRAME_VERSION],
            role: Role::Client,
            realm: node.realm,
            node: node.node,
            epoch: hello(Role::Client).epoch,
            features: 0,
            required: 0,
            max_frame_len: 1 << 20,
            agent: "by hand".into(),
        })
        .await;
        let Body::HandshakeAck(ack) = raw.next().await.unwrap().body else {
            panic!("not acknowledged");
        };
        (raw, ack)
    }
}

fn stream(token: Option<Bytes>) -> Stream {
    Stream {
        token,
        kind: StreamKind::Call,
    }
}

#[tokio::test]
async fn a_connection_without_the_token_of_a_link_is_refused() {
    let mut pair = Pair::new().await;
    let (_control, ack) = Raw::hello(&pair.path).await;
    let token = ack.token.unwrap();
    assert_eq!(token.len(), 16);
    let (_node, mut node_events) = within(pair.incoming.accept()).await.unwrap();

    let mut wrong = token.to_vec();
    wrong[0] ^= 1;
    for (message, code) in [
        (
            stream(Some(wrong.into())).into(),
            ErrorCode::UNAUTHENTICATED,
        ),
        (stream(None).into(), ErrorCode::UNAUTHENTICATED),
        (
            Message::from(Ping { nonce: 1 }),
            ErrorCode::PROTOCOL_VIOLATION,
        ),
    ] {
        let mut raw = Raw::new(&pair.path).await;
        raw.send(message).await;
        let Some(Body::Close(close)) = raw.next().await.map(|message| message.body) else {
            panic!("not refused");
        };
        assert_eq!(close.code, code);
        assert_eq!(raw.next().await, None);
    }

    let mut right = Raw::new(&pair.path).await;
    right.send(stream(Some(token))).await;
    right.send(Ping { nonce: 9 }).await;
    let (_sender, mut frames) = call(&mut node_events).await;
    let frame = within(frames.next()).await.unwrap().unwrap();
    assert_eq!(
        Message::decode(&frame).unwrap(),
        Message::from(Ping { nonce: 9 })
    );
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_its_link_is_gone() {
    let mut pair = Pair::new().await;
    let (control, ack) = Raw::hello(&pair.path).await;
    let (_node, mut node_events) = within(pair.incoming.accept()).await.unwrap();
    drop(control);
    // A client that dies breaks no rule.
    let LinkEvent::Closed(reason) = within(node_events.next()).await else {
        panic!("not closed");
    };
    assert_eq!(
        (reason.code, reason.by_peer),
        (ErrorCode::UNREACHABLE, true)
    );
    let mut raw = Raw::new(&pair.path).await;
    raw.send(stream(ack.token)).await;
    let Some(Body::Close(close)) = raw.next().await.map(|message| message.body) else {
        panic!("not refused");
    };
    assert_eq!(close.code, ErrorCode::UNAUTHENTICATED);
}

#[tokio::test]
async fn a_stream_whose_process_died_is_lost_and_not_finished() {
    let mut pair = Pair::new().await;
    let (_control, ack) = Raw::hello(&pair.path).await;
    let (_node, mut node_events) = within(pair.incoming.accept()).await.unwrap();
    let mut raw = Raw::new(&pair.path).await;
    raw.send(stream(ack.token)).await;
    raw.send(Ping { nonce: 9 }).await;
    let (_sender, mut frames) = call(&mut node_events).await;
    assert!(within(frames.next()).await.unwrap().is_some());
    drop(raw);
    let lost = within(frames.next()).await;
    assert!(matches!(
        lost,
        Err(LinkError::Reset {
            code: ErrorCode::UNREACHABLE
        })
    ));
}
