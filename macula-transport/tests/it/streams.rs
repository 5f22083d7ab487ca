//! Many streams at once.

use std::time::Duration;

use macula_transport::memory::{MemoryPeer, Network};
use macula_transport::{LinkEvent, LinkReceiver, OutFrame, PeerIdentity};
use macula_wire::message::{Heartbeat, Message, Role, StreamKind};
use macula_wire::{NodeId, RealmName};

use crate::support::{BOTH, hello, numbered};

/// How many streams may be taken before a word on the control stream that has come.
const IN_A_ROW: u64 = 16;

fn peer(number: u8) -> MemoryPeer {
    let node = NodeId::from_bytes([number; 32]);
    let realm = RealmName::new("be.acme.iot").unwrap();
    MemoryPeer::new(PeerIdentity::new(node, realm, BOTH), hello(Role::Member))
}

/// The number of the stream that comes next; `None` for a word on the control stream.
async fn next(events: &mut LinkReceiver) -> Option<u64> {
    match events.next().await {
        LinkEvent::Stream(StreamKind::Call, _, mut frames) => {
            let frame = frames.next().await.unwrap().unwrap();
            Some(u64::from_be_bytes(*frame.body.first_chunk().unwrap()))
        }
        LinkEvent::Control(_) => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_come_together_do_not_keep_a_word_on_the_control_stream_waiting() {
    for before in [1, IN_A_ROW - 1, IN_A_ROW, IN_A_ROW + 1, 40] {
        let network = Network::new(3);
        let (near, mut far) = network.link(peer(1), peer(2)).await.unwrap();
        let mut open = Vec::new();
        for index in 0..100 {
            let (mut sender, frames) = near.0.open(StreamKind::Call).await.unwrap();
            sender.send(numbered(index, 8)).await.unwrap();
            open.push((sender, frames));
        }
        let mut taken = 0;
        while taken < before {
            assert_eq!(next(&mut far.1).await, Some(taken));
            taken += 1;
        }
        let word = OutFrame::message(&Message::from(Heartbeat {})).unwrap();
        near.0.control().push(word).await.unwrap();
        near.0.control().idle().await;
        // tidy: allow sleep: it is virtual time, which passes when what was sent has arrived and nothing is left to be done
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut waited = 0;
        while let Some(index) = next(&mut far.1).await {
            assert_eq!(index, taken);
            taken += 1;
            waited += 1;
        }
        assert!(waited < IN_A_ROW, "{waited} streams went before it");
        while taken < 100 {
            assert_eq!(next(&mut far.1).await, Some(taken));
            taken += 1;
        }
    }
}
