//! The overlay in a simulated network: that it becomes exact, stays so, and becomes so again.

use std::time::Duration;

use macula_swim::overlay::{Config, Input, degree_for};
use macula_testkit::{Chance, NodeIndex, each_seed, node_id};
use macula_wire::{Machine, Random};

use crate::overlay::{
    add, address, component, crowd, depth, enter, exact, graph, overlay, seconds, settle, settled,
    tell_gone, web,
};

/// A seed in so many is run, because a large overlay costs more than a small one.
fn some_seeds(every: u64, mut test: impl FnMut(u64)) {
    each_seed(|seed| {
        if seed % every == 1 || std::env::var_os("MACULA_SEED").is_some() {
            test(seed);
        }
    });
}

fn of_degree(degree: usize) -> Config {
    let mut config = Config::default();
    config.degree = degree;
    config
}

#[test]
fn a_handful_of_nodes_are_neighbours_of_each_other() {
    for count in 1..=9 {
        some_seeds(10, |seed| {
            let net = settled(seed, &of_degree(8), count);
            let edges: usize = graph(&net).values().map(|to| to.len()).sum();
            assert_eq!(edges, count * (count - 1));
        });
    }
}

#[test]
fn nodes_that_come_one_by_one_find_their_places_at_once() {
    some_seeds(10, |seed| {
        for (count, degree) in [(24, 4), (60, 6), (60, 8)] {
            let config = of_degree(degree);
            let mut net = web(seed);
            for _ in 0..count {
                add(&mut net, &config);
                net.run_for(seconds(2)).unwrap();
            }
            settle(&mut net, seconds(20));
        }
    });
}

#[test]
fn a_flash_crowd_through_one_contact_becomes_a_random_regular_graph() {
    some_seeds(10, |seed| {
        for count in [10, 11, 50, 300] {
            let mut net = crowd(seed, &of_degree(8), count);
            let took = settle(&mut net, seconds(30));
            let depth = depth(&graph(&net));
            assert!(depth <= 5, "{depth} steps among {count} after {took:?}");
            assert_eq!(net.host().blamed, []);
        }
    });
}

#[test]
fn a_contact_with_little_room_lets_everybody_in_after_a_while() {
    some_seeds(10, |seed| {
        let mut config = of_degree(6);
        config.max_waiting = 5;
        config.min_window = 2;
        let mut net = crowd(seed, &config, 80);
        settle(&mut net, seconds(60));
        let contact = net.machine(NodeIndex::new(0)).unwrap();
        assert!(contact.stats().newcomers_deferred > 0);
    });
}

#[test]
fn equal_seeds_give_equal_traces() {
    let run = |seed| {
        let mut net = crowd(seed, &Config::default(), 30);
        net.run_for(seconds(5)).unwrap();
        net.trace_hash()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_crash_is_mended_among_the_former_neighbours() {
    some_seeds(5, |seed| {
        let mut net = settled(seed, &of_degree(6), 40);
        net.run_for(seconds(3)).unwrap();
        let victim = NodeIndex::new(7);
        net.kill(victim);
        tell_gone(&mut net, &[victim]);
        settle(&mut net, seconds(20));
    });
}

#[test]
fn after_a_mass_crash_the_rest_is_exact_again() {
    some_seeds(10, |seed| {
        for percent in [10, 30, 50] {
            let mut net = settled(seed, &of_degree(8), 120);
            net.run_for(seconds(3)).unwrap();
            let mut nodes: Vec<NodeIndex> = net.nodes().collect();
            Random::new(seed).shuffle(&mut nodes);
            let dead: Vec<NodeIndex> = nodes.into_iter().take(120 * percent / 100).collect();
            for node in &dead {
                net.kill(*node);
            }
            net.run_for(seconds(2)).unwrap();
            tell_gone(&mut net, &dead);
            settle(&mut net, seconds(60));
        }
    });
}

#[test]
fn crashes_that_nobody_tells_of_are_mended_when_the_links_break() {
    some_seeds(10, |seed| {
        let mut net = settled(seed, &of_degree(6), 40);
        net.run_for(seconds(3)).unwrap();
        for victim in [3, 11, 12, 30] {
            net.kill(NodeIndex::new(victim));
        }
        settle(&mut net, seconds(90));
    });
}

#[test]
fn who_leaves_has_its_neighbours_joined_with_each_other() {
    some_seeds(5, |seed| {
        let mut net = settled(seed, &of_degree(6), 40);
        net.run_for(seconds(3)).unwrap();
        let leaver = NodeIndex::new(5);
        net.with(leaver, |overlay, now| overlay.leave(now));
        net.wait(seconds(5), "no neighbours are left", |net| {
            net.machine(leaver).unwrap().neighbours().next().is_none()
        })
        .unwrap();
        assert!(net.machine(leaver).unwrap().has_left());
        net.stop(leaver);
        let took = settle(&mut net, seconds(20));
        assert!(took < seconds(20), "{took:?}");
    });
}

#[test]
fn a_broken_link_is_made_again_or_replaced() {
    some_seeds(5, |seed| {
        let mut net = settled(seed, &of_degree(6), 30);
        net.run_for(seconds(3)).unwrap();
        let graph = graph(&net);
        for (one, others) in graph.iter().take(5) {
            net.break_link(*one, *others.iter().next().unwrap());
        }
        settle(&mut net, seconds(20));
    });
}

#[test]
fn links_that_break_in_the_middle_of_exchanges_leave_no_flaw() {
    some_seeds(5, |seed| {
        let mut net = crowd(seed, &of_degree(6), 40);
        let mut random = Random::new(seed);
        for _ in 0..200 {
            net.run_for(Duration::from_millis(20)).unwrap();
            let (one, other) = (random.index(40), random.index(40));
            if one != other {
                net.break_link(NodeIndex::new(one), NodeIndex::new(other));
            }
        }
        settle(&mut net, seconds(90));
    });
}

#[test]
fn loss_delays_and_does_not_break() {
    some_seeds(10, |seed| {
        let mut net = web(seed);
        let mut conditions = crate::overlay::wide().conditions;
        conditions.loss = Chance::percent(15);
        net.set_default_conditions(conditions);
        for _ in 0..60 {
            add(&mut net, &of_degree(6));
        }
        settle(&mut net, seconds(60));
    });
}

/// Two overlays that grew apart know nothing of each other until membership tells.
#[test]
fn two_overlays_become_one_when_membership_tells() {
    some_seeds(10, |seed| {
        let config = of_degree(6);
        let mut net = web(seed);
        for index in 0..60 {
            let node = net.add(|id, random, now| overlay(&config, id, random, now));
            let contact = NodeIndex::new(index % 2);
            if node != contact {
                enter(&mut net, node, contact);
            }
        }
        net.run_for(seconds(20)).unwrap();
        assert_eq!(component(&graph(&net)), 30);
        for (one, other) in [(2, 3), (10, 21)] {
            let node = node_id(other);
            let addresses = vec![address()];
            net.with(NodeIndex::new(one), |overlay, now| {
                overlay.handle_input(now, Input::Bridge { node, addresses });
            });
        }
        settle(&mut net, seconds(60));
    });
}

/// A partition of the network, which nobody but the links tells of.
#[test]
fn a_split_heals_without_membership() {
    some_seeds(10, |seed| {
        let mut net = settled(seed, &of_degree(6), 40);
        net.run_for(seconds(5)).unwrap();
        let half: Vec<NodeIndex> = (0..20).map(NodeIndex::new).collect();
        net.partition(&half);
        net.run_for(seconds(90)).unwrap();
        assert!(component(&graph(&net)) < 40);
        net.heal();
        settle(&mut net, seconds(120));
    });
}

#[test]
fn the_degree_follows_the_number_of_members() {
    some_seeds(10, |seed| {
        let mut net = settled(seed, &of_degree(4), 40);
        let set = |net: &mut crate::overlay::Web, members: usize| {
            let nodes: Vec<NodeIndex> = net.running().collect();
            for node in nodes {
                net.with(node, |overlay, now| overlay.set_members(now, members));
            }
        };
        assert_eq!(degree_for(40), 6);
        set(&mut net, 40);
        settle(&mut net, seconds(60));
        assert_eq!(net.machine(NodeIndex::new(9)).unwrap().degree(), 6);
        // A few less do not make it smaller.
        set(&mut net, 28);
        assert_eq!(net.machine(NodeIndex::new(9)).unwrap().degree(), 6);
    });
}

/// A flip for nearness has to please two of four nodes, and as many flips are for mixing: edges get a few percent shorter,
/// which shows over several graphs.
#[test]
fn flips_keep_the_graph_exact_and_shorten_edges() {
    let mut sums = (0, 0);
    for seed in 1..=6 {
        let mut config = of_degree(8);
        config.flip_period = seconds(2);
        let mut net = settled(seed, &config, 60);
        let sum = |net: &crate::overlay::Web| -> usize {
            let graph = graph(net);
            let edges = graph
                .iter()
                .flat_map(|(one, to)| to.iter().map(move |to| (one, to)));
            edges.map(|(one, to)| one.get().abs_diff(to.get())).sum()
        };
        let before = sum(&net);
        for _ in 0..120 {
            net.run_for(seconds(1)).unwrap();
            // Nodes with numbers side by side are near to each other.
            let edges = graph(&net);
            for (one, others) in &edges {
                for other in others {
                    let peer = node_id(other.get());
                    let distance = one.get().abs_diff(other.get());
                    let rtt = Duration::from_millis(u64::try_from(distance).unwrap());
                    net.with(*one, |overlay, now| {
                        overlay.handle_input(now, Input::Rtt { peer, rtt });
                    });
                }
            }
        }
        settle(&mut net, seconds(10));
        let flips: u64 = net
            .running()
            .map(|node| net.machine(node).unwrap().stats().flips)
            .sum();
        assert!(flips > 500, "{flips}");
        let after = sum(&net);
        let depth = depth(&graph(&net));
        assert!(depth <= 4, "{depth}");
        sums = (sums.0 + before, sums.1 + after);
        assert_eq!(exact(&net), Ok(()));
    }
    assert!(sums.1 < sums.0, "{sums:?}");
}
