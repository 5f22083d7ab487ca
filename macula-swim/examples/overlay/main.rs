//! Joins many nodes to an overlay through one contact, kills some of them, and measures the graph.
//!
//! The arguments are the number of nodes, the simulation seed, and the percentages that are killed one after the other:
//! `cargo run --release -p macula-swim --example overlay -- 10000 1 10,30,50`.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::large_enum_variant,
    reason = "a measurement by hand may panic and prints what it finds"
)]

mod graph;
mod net;

use std::collections::BTreeSet;
use std::time::Duration;

use macula_swim::overlay::Config;
use macula_wire::Random;

use net::{Event, Sim, id, index};

/// What the arguments say.
struct Plan {
    count: u32,
    seed: u64,
    kills: Vec<u32>,
}

fn plan() -> Plan {
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(1_000, |text| text.parse().unwrap());
    let seed = args.next().map_or(1, |text| text.parse().unwrap());
    let kills = args.next().unwrap_or_else(|| "10,30,50".to_owned());
    let kills = kills.split(',').filter_map(|text| text.parse().ok());
    Plan {
        count,
        seed,
        kills: kills.collect(),
    }
}

/// All nodes join at once, through the first.
fn join(sim: &mut Sim, plan: &Plan) {
    let config = Config::default();
    let start = sim.now;
    for node in 0..plan.count {
        sim.add(plan.seed, &config);
        if node > 0 {
            sim.touch(node, |machine, now| {
                machine.join(now, id(0), Vec::new()).unwrap();
            });
        }
    }
    for half in 1..200_u64 {
        sim.run(start + Duration::from_millis(half * 500));
        if sim.report("join", start, half % 4 == 0) {
            break;
        }
    }
}

/// Ends nodes without a word; whoever knew one is told after 2 to 4 s.
fn kill(sim: &mut Sim, plan: &Plan, percent: u32) {
    let begin = sim.now;
    let mut random = Random::new(plan.seed + u64::from(percent));
    let (mut live, _) = sim.graph();
    random.shuffle(&mut live);
    let count = live.len() * percent as usize / 100;
    let dead: BTreeSet<u32> = live.iter().copied().take(count).collect();
    println!("kill {percent} %: {} nodes", dead.len());
    for node in &dead {
        sim.nodes[*node as usize].machine = None;
        sim.nodes[*node as usize].links.clear();
    }
    for node in &live {
        let Some(machine) = &sim.nodes[*node as usize].machine else {
            continue;
        };
        let known = machine.neighbours().chain(machine.passive());
        let known: Vec<u32> = known.map(|peer| index(&peer)).collect();
        for peer in known.into_iter().filter(|peer| dead.contains(peer)) {
            let at = begin + Duration::from_millis(2_000 + random.below(2_000));
            sim.push(at, Event::Gone { node: *node, peer });
        }
        let links = sim.nodes[*node as usize].links.keys();
        let links: Vec<u32> = links.filter(|peer| dead.contains(peer)).copied().collect();
        for peer in links {
            let at = begin + Duration::from_secs(30);
            sim.push(at, Event::Down { node: *node, peer });
        }
    }
    graph::print(&sim.graph().1);
    for second in 1..61_u64 {
        sim.run(begin + Duration::from_secs(second));
        if sim.report("repair", begin, second % 4 == 0) && second > 4 {
            break;
        }
    }
    graph::print(&sim.graph().1);
}

fn main() {
    let plan = plan();
    let mut sim = Sim::new();
    join(&mut sim, &plan);
    graph::print(&sim.graph().1);
    for percent in &plan.kills {
        kill(&mut sim, &plan, *percent);
    }
    println!("{} offences", sim.offences);
}
