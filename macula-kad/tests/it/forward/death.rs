//! A node dies without a word.

use macula_wire::{ErrorCode, Random};

use super::world::{End, World, at, is_connected, regular};

const NODES: usize = 32;

/// A realm in which everybody has heard everybody, and a node of it that the others can do without.
fn realm(seed: u64) -> (World, usize) {
    let mut random = Random::new(seed);
    loop {
        let edges = regular(&mut random, NODES, 6);
        let dead = random.index(NODES);
        if is_connected(&edges, Some(dead)) {
            let mut world = World::new(&mut random, edges);
            for (origin, target) in pairs(None) {
                let via = world.via(target);
                assert!(world.send(origin, target, &via).passes().is_some());
            }
            return (world, dead);
        }
    }
}

fn pairs(dead: Option<usize>) -> impl Iterator<Item = (usize, usize)> {
    let lives = move |node: &usize| Some(*node) != dead;
    (0..NODES).filter(lives).flat_map(move |origin| {
        let targets = (0..NODES).filter(move |target| *target != origin);
        targets.filter(lives).map(move |target| (origin, target))
    })
}

#[test]
fn once_it_is_suspected_the_next_packet_of_every_pair_arrives() {
    let (mut lost, mut arrived) = (0, 0);
    for seed in 0..50 {
        let (mut world, dead) = realm(seed);
        world.dead = Some(dead);
        world.now = at(2_000);
        for (origin, target) in pairs(Some(dead)) {
            let via = world.via(target);
            match world.send(origin, target, &via) {
                End::Lost => lost += 1,
                End::Arrived(nodes) => {
                    assert!(!nodes.contains(&dead));
                    arrived += 1;
                }
                end => panic!("{end:?}"),
            }
        }
        for gone in [None, Some(dead)] {
            let suspected = gone.is_none().then_some(dead);
            world.tell(suspected.as_slice(), gone);
            for (origin, target) in pairs(Some(dead)) {
                let via = world.via(target);
                let end = world.send(origin, target, &via);
                assert!(end.passes().is_some(), "seed {seed}, {gone:?}: {end:?}");
            }
        }
    }
    assert!(
        lost > 500 && arrived > 10 * lost,
        "{lost} lost, {arrived} arrived"
    );
}

#[test]
fn what_is_for_it_is_lost_until_it_is_gone_and_refused_after_that() {
    for seed in 0..20 {
        let (mut world, dead) = realm(seed);
        world.dead = Some(dead);
        let via = world.via(dead);
        world.tell(&[dead], None);
        for origin in (0..NODES).filter(|node| *node != dead) {
            assert_eq!(world.send(origin, dead, &via), End::Lost);
        }
        world.tell(&[], Some(dead));
        for origin in (0..NODES).filter(|node| *node != dead) {
            let end = world.send(origin, dead, &via);
            let codes = [ErrorCode::HOP_LIMIT, ErrorCode::UNREACHABLE];
            let refused = codes.map(End::Refused).contains(&end);
            assert!(refused || end == End::Silent, "{end:?}");
        }
    }
}

#[test]
fn a_node_that_is_suspected_and_lives_is_reached() {
    for seed in 0..20 {
        let (mut world, suspected) = realm(seed);
        world.forget();
        world.tell(&[suspected], None);
        let via = world.via(suspected);
        for other in (0..NODES).filter(|node| *node != suspected) {
            let there = world.send(other, suspected, &via);
            let back = world.send(suspected, other, &[]);
            assert!(
                there.passes().is_some() && back.passes().is_some(),
                "{there:?}, {back:?}"
            );
        }
    }
}
