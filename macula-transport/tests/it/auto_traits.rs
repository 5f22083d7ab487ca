//! What may move between threads.

use std::future::Future;

use macula_transport::{
    Clock, Endpoint, ForwardedPackets, FrameReceiver, FrameSender, Incoming, Link, LinkEvent,
    LinkReceiver, OutFrame, Outbox, TaskSet,
};
use macula_wire::ErrorCode;
use macula_wire::message::StreamKind;

const fn shared<T: Send + Sync>() {}

fn sent<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn handles_are_shared_between_threads() {
    shared::<Clock>();
    shared::<Endpoint>();
    shared::<ForwardedPackets>();
    shared::<FrameReceiver>();
    shared::<FrameSender>();
    shared::<Incoming>();
    shared::<Link>();
    shared::<LinkEvent>();
    shared::<LinkReceiver>();
    shared::<OutFrame>();
    shared::<Outbox>();
    shared::<TaskSet>();
}

/// Never called: that it compiles is the test.
#[expect(dead_code, reason = "the compiler checks it")]
async fn futures_move_between_threads(
    (endpoint, mut incoming): (Endpoint, Incoming),
    (link, mut events): (Link, LinkReceiver),
    mut packets: ForwardedPackets,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
    frame: OutFrame,
) {
    drop(sent(endpoint.dial(&link.peer().realm, endpoint.local_addr(), None)).await);
    let peer = link.peer();
    drop(sent(endpoint.dial_forwarded(&peer.realm, peer.node)).await);
    drop(sent(packets.next()).await);
    drop(sent(incoming.accept()).await);
    drop(sent(link.open(StreamKind::Call)).await);
    sent(link.control().push(frame)).await.unwrap_or_default();
    drop(sent(link.closed()).await);
    drop(sent(events.next()).await);
    drop(sent(sender.send(bytes::Bytes::new())).await);
    drop(sent(receiver.next()).await);
    sent(endpoint.close(ErrorCode::OK, "")).await;
}
