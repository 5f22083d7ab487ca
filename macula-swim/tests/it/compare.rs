//! How two views that differ become one.

use std::collections::VecDeque;
use std::sync::Arc;

use macula_swim::{Class, Config, Input, Output, OwnRecord, Pen, Snapshot, State, Swim};
use macula_testkit::{StubSigner, node_id};
use macula_wire::message::{
    BucketVersions, DigestPart, MemberVersion, Standing, SwimDigest, SwimGossip, Update,
};
use macula_wire::{Body, Domain, Epoch, Incarnation, Instant, Machine, NodeId, Random};

use crate::bench::{Bench, EPOCH, accuse, record};
use crate::realm::{WALL_MS, realm_name};

/// Node `number`, which knows the members of `known` from the start.
fn node(number: usize, known: &[usize]) -> Swim {
    let known = known.iter().map(|known| record(*known, EPOCH, 0, false));
    let base = Arc::new(Snapshot::new(known.collect()));
    let pen = Pen::new(realm_name(), Arc::new(StubSigner::new(node_id(number))));
    let own = OwnRecord::new(Epoch::new(EPOCH));
    let start = (Instant::from_millis(1_000), WALL_MS);
    Swim::with_snapshot(Config::default(), pen, own, Random::new(5), start, base).unwrap()
}

/// Lets two nodes talk until nothing more is said; answers with the bodies in order.
fn talk(nodes: &mut [Swim; 2], ids: [NodeId; 2], now: Instant) -> Vec<Body> {
    let mut said = Vec::new();
    let mut waiting = VecDeque::new();
    for _ in 0..1_000 {
        for at in 0..2 {
            while let Some(output) = nodes[at].poll_output() {
                if let Output::Send { to, body, .. } = output
                    && to == ids[1 - at]
                {
                    waiting.push_back((1 - at, ids[at], body));
                }
            }
        }
        let Some((at, from, body)) = waiting.pop_front() else {
            return said;
        };
        said.push(body.clone());
        nodes[at].handle_input(now, Input::Message { from, body });
    }
    panic!("they talk for ever: {:?}", said.last());
}

fn pair(first: &[usize], second: &[usize]) -> ([Swim; 2], [NodeId; 2], Instant) {
    let now = Instant::from_millis(1_000);
    let ids = [node_id(0), node_id(1)];
    let mut nodes = [node(0, first), node(1, second)];
    for at in 0..2 {
        let peer = ids[1 - at];
        nodes[at].handle_input(now, Input::LinkUp { peer });
        // Each introduces itself, as it does with its first message.
        let updates = vec![Update::Record(Arc::clone(nodes[1 - at].own_record()))];
        let body = SwimGossip { updates }.into();
        nodes[at].handle_input(now, Input::Message { from: peer, body });
    }
    (nodes, ids, now)
}

fn view(swim: &Swim) -> Body {
    let part = DigestPart::View(swim.digest());
    SwimDigest { part }.into()
}

#[test]
fn two_views_become_one_by_what_differs_alone() {
    let all: Vec<usize> = (0..400).collect();
    let (mut nodes, ids, now) = pair(&all, &all[..380]);
    nodes[0].handle_input(
        now,
        Input::Message {
            from: ids[1],
            body: view(&nodes[1]),
        },
    );
    let said = talk(&mut nodes, ids, now);
    assert_eq!(nodes[0].digest(), nodes[1].digest());
    assert_eq!(nodes[1].counts().alive, 400);
    let versions = |body: &&Body| matches!(body, Body::SwimDigest(digest) if matches!(digest.part, DigestPart::Versions(_)));
    assert!(
        said.iter().filter(versions).count() <= 40,
        "only buckets that differ"
    );
    let told: usize = said
        .iter()
        .map(|body| match body {
            Body::SwimGossip(gossip) => gossip.updates.len(),
            _ => 0,
        })
        .sum();
    assert!(
        (20..=60).contains(&told),
        "{told} updates for twenty members"
    );
}

#[test]
fn each_learns_what_the_other_knows_better() {
    let (mut nodes, ids, now) = pair(&(0..50).collect::<Vec<_>>(), &(30..90).collect::<Vec<_>>());
    for round in 0..4 {
        let body = view(&nodes[1]);
        nodes[0].handle_input(now, Input::Message { from: ids[1], body });
        talk(&mut nodes, ids, now);
        let body = view(&nodes[0]);
        // A peer is answered twice a second at most.
        let now = Instant::from_millis(2_000 + round * 1_000);
        nodes[1].handle_input(now, Input::Message { from: ids[0], body });
        talk(&mut nodes, ids, now);
    }
    assert_eq!(nodes[0].digest(), nodes[1].digest());
    assert_eq!(nodes[0].counts().alive, 90);
}

#[test]
fn equal_views_say_nothing_more() {
    let all: Vec<usize> = (0..100).collect();
    let (mut nodes, ids, now) = pair(&all, &all);
    talk(&mut nodes, ids, now);
    let body = view(&nodes[1]);
    nodes[0].handle_input(now, Input::Message { from: ids[1], body });
    assert!(talk(&mut nodes, ids, now).is_empty());
    assert_eq!(nodes[0].stats().differences, 0);
}

#[test]
fn the_end_of_a_member_is_told_to_who_holds_it_for_present() {
    let mut bench = Bench::new(3);
    bench.news(2, vec![Update::Record(record(2, EPOCH, 1, true))]);
    let version = |number: usize, incarnation| MemberVersion {
        node: node_id(number),
        epoch: Epoch::new(EPOCH),
        incarnation: Incarnation::new(incarnation),
        standing: Standing::Present,
    };
    let ask = |bench: &mut Bench, number: usize, incarnation| {
        bench.log.clear();
        let [bucket, ..] = *node_id(number).as_bytes();
        let part = DigestPart::Versions(BucketVersions {
            bucket,
            complete: true,
            compare: true,
            versions: vec![version(number, incarnation)],
        });
        bench.hear(1, SwimDigest { part });
        bench.sent_to(1).into_iter().cloned().collect::<Vec<_>>()
    };
    let told = ask(&mut bench, 2, 0);
    assert!(
        matches!(&told[..], [Body::SwimGossip(gossip)] if gossip.updates == [Update::Record(record(2, EPOCH, 1, true))])
    );
    // Who knows it as well is told nothing, and who knows it better is asked.
    assert!(ask(&mut bench, 3, 0).is_empty());
    let asked = ask(&mut bench, 3, 5);
    let lacking = |body: &Body| match body {
        Body::SwimDigest(digest) => match &digest.part {
            DigestPart::Versions(versions) => !versions.compare && versions.versions.len() == 1,
            _ => false,
        },
        _ => false,
    };
    assert!(matches!(&asked[..], [one] if lacking(one)), "{asked:?}");
}

#[test]
fn who_is_new_is_not_told_of_the_dead() {
    let mut bench = Bench::new(4);
    let dead = record(2, EPOCH, 0, false);
    for by in [1, 3, 4] {
        bench.news(by, vec![Update::Dead(accuse(Domain::Dead, &dead, by))]);
    }
    bench.pass(std::time::Duration::from_secs(8), |other| other != 2);
    assert_eq!(bench.state(2), Some(State::Dead));
    bench.log.clear();
    let [bucket, ..] = *node_id(2).as_bytes();
    let part = DigestPart::Versions(BucketVersions {
        bucket,
        complete: true,
        compare: true,
        versions: Vec::new(),
    });
    bench.hear(1, SwimDigest { part });
    assert!(bench.sent_to(1).is_empty());
}

#[test]
fn one_peer_is_answered_with_buckets_twice_a_second_at_most() {
    let mut bench = Bench::new(3);
    bench.log.clear();
    let part = DigestPart::View(1);
    for _ in 0..50 {
        bench.hear(1, SwimDigest { part: part.clone() });
    }
    bench.hear(2, SwimDigest { part });
    let answers = |bench: &Bench, number| {
        let sent = bench.sent_to(number);
        sent.iter()
            .filter(|body| matches!(body, Body::SwimDigest(_)))
            .count()
    };
    assert_eq!((answers(&bench, 1), answers(&bench, 2)), (1, 1));
    assert!(bench.swim.stats().differences >= 51);
    let reliable = |output: &Output| {
        matches!(
            output,
            Output::Send {
                class: Class::Reliable,
                body: Body::SwimDigest(_),
                ..
            }
        )
    };
    assert!(bench.log.iter().any(reliable));
}

#[test]
fn a_peer_cannot_put_off_that_views_are_compared_with_others() {
    let mut bench = Bench::new(2);
    for turn in 0..60 {
        let buckets = vec![turn + 1; 256];
        let part = DigestPart::Buckets(buckets);
        bench.hear(1, SwimDigest { part });
        bench.pass(std::time::Duration::from_millis(400), |_| true);
    }
    let views = [1, 2].map(|peer| {
        let sent = bench.sent_to(peer).into_iter();
        let view = |body: &&Body| {
            matches!(
                body,
                Body::SwimDigest(SwimDigest {
                    part: DigestPart::View(_)
                })
            )
        };
        sent.filter(view).count()
    });
    assert!(views[0] + views[1] >= 10, "{views:?}");
    let listed = bench.sent_to(1).into_iter();
    let listed = listed.filter(|body| {
        matches!(
            body,
            Body::SwimDigest(SwimDigest {
                part: DigestPart::Versions(_)
            })
        )
    });
    // Sixty questions within 24 s, each answered with 32 lists at most, and every other one of them.
    let count = listed.count();
    assert!((32..=32 * 48).contains(&count), "{count}");
}
