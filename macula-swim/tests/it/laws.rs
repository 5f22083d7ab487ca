//! The laws of machines, on random messages, links, commands and pauses.

use std::sync::Arc;

use macula_swim::{Config, Input, Output, Swim};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{
    BucketVersions, DigestPart, MemberVersion, SignedAccusation, Standing, SwimAck, SwimDigest,
    SwimGossip, SwimJoin, SwimNack, SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{Body, Instant, Machine, ProbeId, Random};
use proptest::prelude::*;

use crate::bench::{accuse, record};
use crate::realm::swim;

/// What may happen to the machine of node 0.
#[derive(Clone, Debug)]
enum Step {
    Message(usize, Vec<News>, Kind),
    LinkUp(usize),
    LinkDown(usize),
    NeighbourUp(usize),
    NeighbourDown(usize),
    Rtt(usize, u64),
    Join(usize),
    Tags(u8),
    Leave,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ping,
    Ack(u64),
    PingReq(usize),
    Nack(u64, usize),
    Gossip,
    Join,
    State(bool),
    View(u64),
    Buckets(u64),
    Versions(usize, u64, bool, bool),
    Foreign,
}

#[derive(Clone, Debug)]
enum News {
    Record(usize, u64, u64, bool),
    Suspect(usize, u64, usize),
    Dead(usize, u64, usize),
}

const EPOCH: u64 = crate::realm::WALL_MS + 10_000;

fn update(news: &News) -> Update {
    match news {
        News::Record(node, epoch, incarnation, left) => {
            Update::Record(record(*node, EPOCH + epoch, *incarnation, *left))
        }
        News::Suspect(node, incarnation, by) => Update::Suspect(accused(*node, *incarnation, *by)),
        News::Dead(node, incarnation, by) => Update::Dead(accused(*node, *incarnation, *by)),
    }
}

fn accused(node: usize, incarnation: u64, by: usize) -> Arc<SignedAccusation> {
    accuse(
        macula_wire::Domain::Suspect,
        &record(node, EPOCH, incarnation, false),
        by,
    )
}

fn digest(part: DigestPart) -> Body {
    SwimDigest { part }.into()
}

fn body(from: usize, kind: Kind, news: &[News]) -> Body {
    let updates: Vec<Update> = news.iter().map(update).collect();
    match kind {
        Kind::Ping => SwimPing {
            probe: ProbeId::new(7),
            updates,
        }
        .into(),
        Kind::Ack(probe) => SwimAck {
            probe: ProbeId::new(probe),
            updates,
        }
        .into(),
        Kind::PingReq(target) => SwimPingReq {
            probe: ProbeId::new(8),
            target: node_id(target),
            updates,
        }
        .into(),
        Kind::Nack(probe, target) => SwimNack {
            probe: ProbeId::new(probe),
            target: node_id(target),
        }
        .into(),
        Kind::Gossip => SwimGossip { updates }.into(),
        Kind::Join => SwimJoin {
            record: record(from, EPOCH, 0, false),
        }
        .into(),
        Kind::State(more) => SwimState { more, updates }.into(),
        Kind::View(view) => digest(DigestPart::View(view)),
        Kind::Buckets(seed) => {
            let mut random = Random::new(seed);
            let hashes = std::iter::repeat_with(|| random.next_u64());
            digest(DigestPart::Buckets(hashes.take(256).collect()))
        }
        Kind::Versions(node, incarnation, complete, compare) => {
            let node = node_id(node);
            let [bucket, ..] = *node.as_bytes();
            digest(DigestPart::Versions(BucketVersions {
                bucket,
                complete,
                compare,
                versions: vec![MemberVersion {
                    node,
                    epoch: macula_wire::Epoch::new(EPOCH),
                    incarnation: macula_wire::Incarnation::new(incarnation),
                    standing: Standing::Present,
                }],
            }))
        }
        Kind::Foreign => macula_wire::message::Ping { nonce: 1 }.into(),
    }
}

struct Node;

impl Subject for Node {
    type Machine = Swim;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Swim {
        let mut config = Config::default();
        config.max_members = 6;
        config.max_gossip = 8;
        // Some nodes are in a realm that is too large for a full mesh.
        if seed.is_multiple_of(2) {
            config.link_pool = 2;
        }
        swim(config, node_id(0), Random::new(seed), now)
    }

    fn apply(&self, machine: &mut Swim, now: Instant, step: &Step) {
        match step {
            Step::Message(from, news, kind) => {
                let body = body(*from, *kind, news);
                let from = node_id(*from);
                machine.handle_input(now, Input::Message { from, body });
            }
            Step::LinkUp(peer) => machine.handle_input(
                now,
                Input::LinkUp {
                    peer: node_id(*peer),
                },
            ),
            Step::LinkDown(peer) => machine.handle_input(
                now,
                Input::LinkDown {
                    peer: node_id(*peer),
                },
            ),
            Step::NeighbourUp(peer) => {
                let peer = node_id(*peer);
                machine.handle_input(now, Input::NeighbourUp { peer });
            }
            Step::NeighbourDown(peer) => {
                let peer = node_id(*peer);
                machine.handle_input(now, Input::NeighbourDown { peer });
            }
            Step::Rtt(peer, millis) => {
                let peer = node_id(*peer);
                let rtt = std::time::Duration::from_millis(*millis);
                machine.handle_input(now, Input::Rtt { peer, rtt });
            }
            Step::Join(via) => {
                let joined = machine.join(now, node_id(*via));
                assert!(joined.is_ok() || *via == 0 || machine.has_left());
            }
            Step::Tags(value) => {
                let tag = Tag {
                    key: "k".into(),
                    value: value.to_string(),
                };
                let set = machine.set_tags(now, vec![tag]);
                assert!(set.is_ok() || machine.has_left());
            }
            Step::Leave => machine.leave(now),
        }
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, machine: &Swim) -> String {
        let members: Vec<_> = machine.members().collect();
        format!("{members:?} {:?}", machine.stats())
    }
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let node = 0_usize..9;
    let small = prop_oneof![4 => 0_u64..4, 1 => Just(2_000), 1 => Just(u64::MAX)];
    let epoch = prop_oneof![4 => 0_u64..2, 1 => Just(10_000_000)];
    let news = prop_oneof![
        3 => (node.clone(), epoch, small.clone(), prop::bool::weighted(0.1))
            .prop_map(|(n, e, i, left)| News::Record(n, e, i, left)),
        2 => (node.clone(), small.clone(), node.clone()).prop_map(|(n, i, by)| News::Suspect(n, i, by)),
        1 => (node.clone(), small, node.clone()).prop_map(|(n, i, by)| News::Dead(n, i, by)),
    ];
    let kind = prop_oneof![
        Just(Kind::Ping),
        any::<u64>().prop_map(Kind::Ack),
        node.clone().prop_map(Kind::PingReq),
        (any::<u64>(), node.clone()).prop_map(|(probe, target)| Kind::Nack(probe, target)),
        Just(Kind::Gossip),
        Just(Kind::Join),
        any::<bool>().prop_map(Kind::State),
        any::<u64>().prop_map(Kind::View),
        any::<u64>().prop_map(Kind::Buckets),
        (node.clone(), 0_u64..4, any::<bool>(), any::<bool>())
            .prop_map(|(n, i, complete, compare)| Kind::Versions(n, i, complete, compare)),
        Just(Kind::Foreign),
    ];
    prop_oneof![
        8 => (node.clone(), prop::collection::vec(news, 0..5), kind)
            .prop_map(|(from, news, kind)| Step::Message(from, news, kind)),
        3 => node.clone().prop_map(Step::LinkUp),
        1 => node.clone().prop_map(Step::LinkDown),
        2 => node.clone().prop_map(Step::NeighbourUp),
        1 => node.clone().prop_map(Step::NeighbourDown),
        1 => (node.clone(), 0_u64..2_000).prop_map(|(node, millis)| Step::Rtt(node, millis)),
        1 => node.prop_map(Step::Join),
        1 => any::<u8>().prop_map(Step::Tags),
    ]
    .boxed()
}

/// As [`steps`], with goodbyes among them.
fn steps_and_leave() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![20 => steps(), 1 => Just(Step::Leave)].boxed()
}

#[test]
fn membership_keeps_the_laws() {
    laws::check(&Node, steps());
}

#[test]
fn membership_keeps_the_laws_when_it_ends() {
    laws::check(&Node, steps_and_leave());
}

#[test]
fn the_steps_reach_every_output() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let mut machine = Node.create(seed, Instant::from_millis(10_000));
        let sequence = prop::collection::vec(steps_and_leave(), 30..60);
        let mut now = Instant::from_millis(10_000);
        for step in laws::sample(&sequence, seed).unwrap() {
            now = now + std::time::Duration::from_millis(400);
            machine.handle_timeout(now);
            Node.apply(&mut machine, now, &step);
            while let Some(output) = machine.poll_output() {
                kinds.insert(match output {
                    Output::Send { body, .. } => body.kind().name().to_owned(),
                    other => format!("{other:?}")
                        .split([' ', '{'])
                        .next()
                        .unwrap()
                        .to_owned(),
                });
            }
        }
    }
    for kind in [
        "SWIM_PING",
        "SWIM_ACK",
        "SWIM_PING_REQ",
        "SWIM_NACK",
        "SWIM_GOSSIP",
        "SWIM_JOIN",
        "SWIM_STATE",
        "SWIM_DIGEST",
        "Connect",
        "Release",
        "Up",
        "Suspect",
        "Changed",
        "Down",
        "Left",
        "Superseded",
        "Misbehaved",
        "Joined",
    ] {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
}
