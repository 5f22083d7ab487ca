//! Who is reached in random regular graphs, and by how many passes.

use macula_wire::Random;

use super::world::{World, regular};

#[test]
fn in_a_realm_of_32_every_pair_is_reached_in_four_passes() {
    let mut passes = Vec::new();
    for seed in 0..64 {
        let mut random = Random::new(seed);
        let edges = regular(&mut random, 32, 6);
        let mut world = World::new(&mut random, edges);
        for with_memory in [false, true] {
            for (origin, target) in pairs(32) {
                if !with_memory {
                    world.forget();
                }
                let via = world.via(target);
                let end = world.send(origin, target, &via);
                let count = end.passes().unwrap();
                assert!(count <= 4, "seed {seed}: {end:?}");
                passes.push(count);
            }
        }
    }
    assert_eq!(passes.len(), 64 * 2 * 32 * 31);
    assert!(mean(&passes) < 2.1, "{}", mean(&passes));
}

#[test]
fn in_a_realm_of_32_every_pair_is_reached_without_via() {
    let mut passes = Vec::new();
    for seed in 0..64 {
        let mut random = Random::new(seed);
        let edges = regular(&mut random, 32, 6);
        let mut world = World::new(&mut random, edges);
        for (origin, target) in pairs(32) {
            world.forget();
            passes.push(world.send(origin, target, &[]).passes().unwrap());
        }
    }
    assert!(mean(&passes) < 2.2, "{}", mean(&passes));
}

/// How much of what is sent arrives, and by how many passes.
struct Reach {
    nodes: usize,
    degree: usize,
    /// How many pairs are tried.
    pairs: usize,
}

impl Reach {
    /// Sends up to `tries` packets from each origin, which knows neighbours of the target if it `knows_via`, until one
    /// arrives. The target's answer takes no more passes than what it answers.
    fn measure(&self, knows_via: &[bool], tries: usize) -> Vec<(f64, f64)> {
        let mut random = Random::new(7);
        let edges = regular(&mut random, self.nodes, self.degree);
        let mut world = World::new(&mut random, edges);
        let mut measured = Vec::new();
        for with_via in knows_via {
            let mut passes = Vec::new();
            for _ in 0..self.pairs {
                let origin = random.index(self.nodes);
                let other = 1 + random.index(self.nodes - 1);
                let target = (origin + other) % self.nodes;
                let via = with_via.then(|| world.via(target)).unwrap_or_default();
                world.forget();
                let mut sent = (0..tries).map(|_| world.send(origin, target, &via));
                if let Some(count) = sent.find_map(|end| end.passes()) {
                    passes.push(count);
                    let back = world.send(target, origin, &[]).passes().unwrap();
                    assert!(back <= count, "{back} passes after {count}");
                }
            }
            let share = number(passes.len()) / number(self.pairs);
            measured.push((share, mean(&passes)));
        }
        measured
    }
}

/// Asserts a least share and a greatest mean, each with and without via.
fn check(measured: &[(f64, f64)], expected: &[(f64, f64)]) {
    let holds =
        |((share, mean), (least, most)): (&(f64, f64), &(f64, f64))| share >= least && mean <= most;
    let all = measured.iter().zip(expected).all(holds);
    assert!(all && measured.len() == expected.len(), "{measured:?}");
}

const REALM_OF_300: Reach = Reach {
    nodes: 300,
    degree: 6,
    pairs: 5_000,
};

const REALM_OF_1_000: Reach = Reach {
    nodes: 1_000,
    degree: 8,
    pairs: 2_000,
};

const REALM_OF_10_000: Reach = Reach {
    nodes: 10_000,
    degree: 8,
    pairs: 1_000,
};

#[test]
fn the_first_packet_in_a_realm_of_300() {
    let measured = REALM_OF_300.measure(&[true, false], 1);
    check(&measured, &[(0.98, 5.0), (0.70, 8.0)]);
}

#[test]
fn a_dead_end_is_left_in_a_realm_of_300() {
    let measured = REALM_OF_300.measure(&[true, false], 5);
    check(&measured, &[(0.99, 5.0), (0.95, 8.5)]);
}

#[test]
fn the_first_packet_in_a_realm_of_1_000() {
    let measured = REALM_OF_1_000.measure(&[true, false], 1);
    check(&measured, &[(0.97, 6.0), (0.48, 9.0)]);
}

#[test]
fn a_dead_end_is_left_in_a_realm_of_1_000() {
    let measured = REALM_OF_1_000.measure(&[true, false], 5);
    check(&measured, &[(0.99, 6.0), (0.88, 9.5)]);
}

/// Three passes from the target, where somebody knows a node of `via`, stand 456 of 10,000; a packet finds one of them by
/// chance.
#[test]
fn the_first_packet_in_a_realm_of_10_000() {
    let measured = REALM_OF_10_000.measure(&[true, false], 1);
    check(&measured, &[(0.34, 10.0), (0.05, 10.0)]);
}

#[test]
fn a_dead_end_is_left_in_a_realm_of_10_000() {
    let measured = REALM_OF_10_000.measure(&[true], 5);
    check(&measured, &[(0.84, 10.5)]);
}

/// Which share of first packets arrives in a realm of 10,000 from an origin that sees to a way first, each node that it
/// dials answering in `percent` of all cases; by how many passes the most, and how many links it took.
fn first_by_a_way(percent: u64) -> (f64, usize, usize) {
    let Reach {
        nodes,
        degree,
        pairs,
    } = REALM_OF_10_000;
    let mut random = Random::new(7);
    let edges = regular(&mut random, nodes, degree);
    let mut world = World::new(&mut random, edges.clone());
    let (mut arrived, mut most, mut links, mut sent) = (0, 0, 0, 0);
    while sent < pairs {
        let origin = random.index(nodes);
        let target = random.index(nodes);
        // Neighbours need nobody else.
        if origin == target || edges[origin].contains(&target) {
            continue;
        }
        sent += 1;
        world.forget();
        let made = world.make_way(origin, target, || random.below(100) < percent);
        let via = world.via(target);
        if let Some(passes) = world.send(origin, target, &via).passes() {
            arrived += 1;
            if let Some(by) = made {
                assert_eq!(passes, 2);
                let back = world.send(target, origin, &[]);
                assert_eq!(back.passes(), Some(2), "{back:?} by {by}");
            }
            most = most.max(passes);
        }
        if let Some(by) = made {
            links += 1;
            world.end_link(origin, by);
        }
    }
    (number(arrived) / number(pairs), most, links)
}

#[test]
fn the_first_packet_in_a_realm_of_10_000_arrives_by_a_neighbour_of_the_target() {
    let (share, most, links) = first_by_a_way(100);
    assert!(
        share == 1.0 && most == 2 && links < 1_001,
        "{share} {most} {links}"
    );
    // Where half of the nodes cannot be dialled, a sixteenth of the packets goes by distance.
    let (share, _, links) = first_by_a_way(50);
    assert!(share > 0.93 && links > 900, "{share} {links}");
    let (share, _, links) = first_by_a_way(0);
    assert!(share > 0.34 && links == 0, "{share} {links}");
}

fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |origin| {
        let targets = (0..nodes).filter(move |target| *target != origin);
        targets.map(move |target| (origin, target))
    })
}

fn mean(passes: &[usize]) -> f64 {
    number(passes.iter().sum()) / number(passes.len())
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
