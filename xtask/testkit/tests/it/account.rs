//! What a node sends is counted, in messages and in bytes as they are on the wire.

use std::time::Duration;

use bytes::Bytes;
use macula_testkit::{Chance, Class, Conditions, Config, Net, NodeIndex};
use macula_wire::message::{CallResult, Heartbeat, Ping};
use macula_wire::{Body, CallId, ContentType};

use crate::flood::{Flood, Floods};

const A: NodeIndex = NodeIndex::new(0);
const B: NodeIndex = NodeIndex::new(1);
/// A PING with a one-byte nonce: 8 bytes of header, the nonce, and no extensions.
const PING_LEN: u64 = 10;
const OVERHEAD: u64 = 58;

/// Two nodes that are quiet, because they have no peer that they know of.
fn quiet(config: Config) -> Net<Floods> {
    let mut net = Net::new(config, 1, Floods);
    net.reserve(2);
    for _ in 0..2 {
        net.add(|_, random, now| Flood::new(random, now));
    }
    net
}

fn ping() -> Body {
    Ping { nonce: 1 }.into()
}

#[test]
fn a_link_without_a_dial_is_there_at_once_and_costs_nothing() {
    let mut net = quiet(Config::default());
    assert!(!net.is_linked(A, B));
    assert!(net.link(A, B));
    assert!(net.is_linked(A, B));
    assert_eq!(net.machine(A).unwrap().peers.len(), 1);
    assert_eq!(net.machine(B).unwrap().peers.len(), 1);
    let counters = net.counters();
    assert_eq!((counters.links_up, counters.dials), (1, 0));
    assert_eq!(net.total_sent(), (0, 0));
    assert!(!net.link(A, B), "there is one already");
    assert!(!net.link(A, A), "nobody is linked to itself");
    net.run_for(Duration::from_secs(1)).unwrap();
    assert!(net.counters().datagrams_delivered > 0);
    net.kill(B);
    net.break_link(A, B);
    assert!(!net.link(A, B), "one does not run");
}

#[test]
fn a_silent_link_is_there_and_nobody_is_told() {
    let mut net = quiet(Config::default());
    assert!(net.link_silently(A, B));
    assert!(net.is_linked(A, B));
    assert_eq!(net.peers(A).collect::<Vec<_>>(), [B]);
    assert!(net.machine(A).unwrap().peers.is_empty());
    net.inject(A, B, Class::Datagram, ping());
    net.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(net.machine(B).unwrap().heard.len(), 1);
}

#[test]
fn a_link_takes_the_place_of_a_dial_that_is_on_its_way() {
    let mut net = quiet(Config::default());
    net.dial(A, B);
    assert!(!net.is_linked(A, B));
    assert!(net.link(A, B));
    net.run_for(Duration::from_secs(1)).unwrap();
    let counters = net.counters();
    assert_eq!((counters.links_up, counters.dials_failed), (1, 0));
}

#[test]
fn a_datagram_costs_its_frame_and_the_packet_round_it() {
    let mut net = quiet(Config::default());
    net.link_silently(A, B);
    net.inject(A, B, Class::Datagram, ping());
    assert_eq!(net.sent(A), (1, PING_LEN + OVERHEAD));
    assert_eq!(net.sent(B), (0, 0));
    net.inject(B, A, Class::Reliable, ping());
    assert_eq!(net.sent(B), (1, PING_LEN + OVERHEAD));
    assert_eq!(net.total_sent(), (2, 2 * (PING_LEN + OVERHEAD)));
    assert_eq!(net.in_flight(), 2);
    net.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(net.in_flight(), 0);
}

#[test]
fn a_long_message_costs_a_packet_for_each_1_200_bytes() {
    let mut net = quiet(Config::default());
    net.link_silently(A, B);
    let result = CallResult {
        call: CallId::from_bytes([7; 16]),
        content: ContentType::Bytes,
        payload: Bytes::from(vec![7; 3_000]),
    };
    net.inject(A, B, Class::Reliable, result);
    let frames = net.counters().message_bytes;
    assert!(frames > 3_000);
    assert_eq!(net.sent(A), (1, frames + 3 * OVERHEAD));
}

#[test]
fn what_a_stream_loses_is_sent_and_counted_again() {
    let run = |loss| {
        let mut config = Config::default();
        config.conditions = Conditions::lossy(loss);
        let mut net = quiet(config);
        net.link_silently(A, B);
        for _ in 0..100 {
            net.inject(A, B, Class::Reliable, ping());
        }
        (net.counters().retransmissions, net.sent(A).1)
    };
    let clean = 100 * (PING_LEN + OVERHEAD);
    assert_eq!(run(Chance::NEVER), (0, clean));
    let (again, bytes) = run(Chance::percent(20));
    assert!(again > 5);
    assert_eq!(bytes, clean + again * (PING_LEN + OVERHEAD));
}

#[test]
fn without_a_link_nothing_is_sent_and_nothing_charged() {
    let mut net = quiet(Config::default());
    net.inject(A, B, Class::Datagram, Heartbeat {});
    assert_eq!(net.sent(A), (0, 0));
    assert_eq!(net.counters().without_link, 1);
}

#[test]
fn a_dial_is_counted_and_charged_to_both_ends() {
    let mut config = Config::default();
    config.dial_bytes = 9_001;
    let mut net = quiet(config);
    net.dial(A, B);
    net.dial(A, B);
    assert_eq!(net.counters().dials, 1, "the second finds the first");
    assert_eq!((net.sent(A), net.sent(B)), ((0, 4_500), (0, 4_501)));
    let mut net = quiet(config);
    net.kill(B);
    net.dial(A, B);
    net.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!((net.sent(A), net.sent(B)), ((0, 4_500), (0, 0)));
    let counters = net.counters();
    assert_eq!((counters.dials, counters.dials_failed), (1, 1));
}
