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

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Output};
use macula_wire::{Body, Instant, Machine, NodeId, Random};

enum Event {
    Message {
        from: u32,
        to: u32,
        link: u32,
        body: Body,
    },
    Up {
        node: u32,
        peer: u32,
        link: u32,
    },
    Down {
        node: u32,
        peer: u32,
    },
    Gone {
        node: u32,
        peer: u32,
    },
    Wake {
        node: u32,
    },
}

struct Node {
    machine: Option<Overlay>,
    links: BTreeMap<u32, u32>,
    wake: Option<Instant>,
}

struct Sim {
    begun: std::time::Instant,
    now: Instant,
    seq: u64,
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    slab: Vec<Option<Event>>,
    free: Vec<u32>,
    nodes: Vec<Node>,
    events: u64,
    links_made: u32,
    offences: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn id(index: u32) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&mix(u64::from(index) + 0x1234_5678).to_be_bytes());
    bytes[8..12].copy_from_slice(&index.to_be_bytes());
    NodeId::from_bytes(bytes)
}

fn index(id: &NodeId) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&id.as_bytes()[8..12]);
    u32::from_be_bytes(bytes)
}

fn delay(a: u32, b: u32) -> Duration {
    let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
    Duration::from_micros(10_000 + mix(pair + 99) % 40_000)
}

impl Sim {
    fn push(&mut self, at: Instant, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() as u32 - 1
        });
        self.slab[slot as usize] = Some(event);
        self.seq += 1;
        self.heap.push(Reverse((at, self.seq, slot)));
    }

    fn add(&mut self, seed: u64, config: &Config) -> u32 {
        let node = self.nodes.len() as u32;
        let random = Random::new(mix(seed ^ mix(u64::from(node))));
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], 4433));
        let machine = Overlay::new(config.clone(), id(node), vec![address], random, self.now);
        self.nodes.push(Node {
            machine: Some(machine),
            links: BTreeMap::new(),
            wake: None,
        });
        self.drain(node);
        node
    }

    fn touch(&mut self, node: u32, call: impl FnOnce(&mut Overlay, Instant)) {
        let now = self.now;
        if let Some(machine) = self.nodes[node as usize].machine.as_mut() {
            call(machine, now);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: u32) {
        loop {
            let Some(machine) = self.nodes[node as usize].machine.as_mut() else {
                return;
            };
            let Some(output) = machine.poll_output() else {
                break;
            };
            match output {
                Output::Send { to, body, .. } => {
                    let to = index(&to);
                    if let Some(link) = self.nodes[node as usize].links.get(&to).copied() {
                        let at = self.now + delay(node, to);
                        self.push(
                            at,
                            Event::Message {
                                from: node,
                                to,
                                link,
                                body,
                            },
                        );
                    }
                }
                Output::Connect { node: to, .. } => {
                    let to = index(&to);
                    if self.nodes[node as usize].links.contains_key(&to) {
                        continue;
                    }
                    let way = delay(node, to);
                    let at = self.now + way * 4;
                    self.links_made += 1;
                    let link = self.links_made;
                    self.push(
                        at,
                        Event::Up {
                            node: to,
                            peer: node,
                            link,
                        },
                    );
                }
                Output::Release { node: peer } => {
                    let peer = index(&peer);
                    if self.nodes[node as usize].links.contains_key(&peer) {
                        self.push(self.now, Event::Down { node, peer });
                        let at = self.now + delay(node, peer);
                        self.push(
                            at,
                            Event::Down {
                                node: peer,
                                peer: node,
                            },
                        );
                    }
                }
                Output::Misbehaved { peer, offence } => {
                    self.offences += 1;
                    if self.offences < 10 {
                        println!("{peer:?} {offence}");
                    }
                }
                _ => (),
            }
        }
        let slot = &mut self.nodes[node as usize];
        let wanted = slot.machine.as_ref().and_then(Machine::poll_timeout);
        if let Some(at) = wanted
            && slot.wake.is_none_or(|wake| wake > at)
        {
            assert!(at > self.now, "a deadline in the past");
            slot.wake = Some(at);
            self.push(at, Event::Wake { node });
        }
    }

    fn run(&mut self, until: Instant) {
        while let Some(Reverse((at, _, slot))) = self.heap.peek().copied() {
            if at > until {
                break;
            }
            self.heap.pop();
            self.now = at;
            self.events += 1;
            self.free.push(slot);
            match self.slab[slot as usize].take().unwrap() {
                Event::Message {
                    from,
                    to,
                    link,
                    body,
                } => {
                    if self.nodes[to as usize].links.get(&from) == Some(&link) {
                        self.touch(to, |m, now| {
                            m.handle_input(
                                now,
                                Input::Message {
                                    from: id(from),
                                    body,
                                },
                            );
                        });
                    }
                }
                Event::Up { node, peer, link } => {
                    let alive = |n: u32| self.nodes[n as usize].machine.is_some();
                    if !alive(node) || !alive(peer) {
                        continue;
                    }
                    let rtt = delay(node, peer) * 2;
                    if self.nodes[node as usize].links.contains_key(&peer) {
                        continue;
                    }
                    for (node, peer) in [(node, peer), (peer, node)] {
                        if self.nodes[node as usize].links.insert(peer, link).is_none() {
                            self.touch(node, |m, now| {
                                let peer = id(peer);
                                m.handle_input(now, Input::LinkUp { peer });
                                m.handle_input(now, Input::Rtt { peer, rtt });
                            });
                        }
                    }
                }
                Event::Down { node, peer } => {
                    if self.nodes[node as usize].links.remove(&peer).is_some() {
                        self.touch(node, |m, now| {
                            m.handle_input(now, Input::LinkDown { peer: id(peer) });
                        });
                    }
                }
                Event::Gone { node, peer } => {
                    self.touch(node, |m, now| {
                        m.handle_input(now, Input::Gone { peer: id(peer) });
                    });
                }
                Event::Wake { node } => {
                    if self.nodes[node as usize].wake == Some(at) {
                        self.nodes[node as usize].wake = None;
                        self.touch(node, |m, now| m.handle_timeout(now));
                        self.drain(node);
                    }
                }
            }
        }
        self.now = self.now.max(until);
    }

    fn graph(&self) -> (Vec<u32>, Vec<Vec<u32>>) {
        let live: Vec<u32> = (0..self.nodes.len() as u32)
            .filter(|n| self.nodes[*n as usize].machine.is_some())
            .collect();
        let mut place = vec![u32::MAX; self.nodes.len()];
        for (at, node) in live.iter().enumerate() {
            place[*node as usize] = at as u32;
        }
        let graph = live.iter().map(|node| {
            let machine = self.nodes[*node as usize].machine.as_ref().unwrap();
            machine
                .neighbours()
                .map(|n| place[index(&n) as usize])
                .filter(|n| *n != u32::MAX)
                .collect()
        });
        let graph = graph.collect();
        (live, graph)
    }

    fn report(&self, title: &str, begin: Instant, print: bool) -> bool {
        let (live, graph) = self.graph();
        let mut degrees = BTreeMap::new();
        let mut one_sided = 0;
        for (at, neighbours) in graph.iter().enumerate() {
            *degrees.entry(neighbours.len()).or_insert(0_u32) += 1;
            one_sided += neighbours
                .iter()
                .filter(|n| !graph[**n as usize].contains(&(at as u32)))
                .count();
        }
        let settled = live
            .iter()
            .filter(|n| {
                self.nodes[**n as usize]
                    .machine
                    .as_ref()
                    .unwrap()
                    .is_settled()
            })
            .count();
        let deficient = live
            .iter()
            .filter(|n| {
                let m = self.nodes[**n as usize].machine.as_ref().unwrap();
                let count = m.neighbours().count();
                assert!(count <= m.degree());
                count != m.degree()
            })
            .count();
        let done = deficient == 0 && settled == live.len();
        if !print && !done {
            return false;
        }
        println!(
            "{title} {:6.2} s: {} live, {settled} settled, {deficient} inexact, one-sided {one_sided}, degrees {degrees:?}; {} events, {} links, {:.1} s wall",
            self.now.saturating_since(begin).as_secs_f64(),
            live.len(),
            self.events,
            self.links_made,
            self.begun.elapsed().as_secs_f64()
        );
        done
    }
}

fn reached(graph: &[Vec<u32>], from: usize) -> (usize, usize) {
    let mut depth = vec![u32::MAX; graph.len()];
    depth[from] = 0;
    let mut queue = std::collections::VecDeque::from([from]);
    let (mut count, mut last) = (0, 0);
    while let Some(at) = queue.pop_front() {
        count += 1;
        last = depth[at];
        for next in &graph[at] {
            if depth[*next as usize] == u32::MAX {
                depth[*next as usize] = depth[at] + 1;
                queue.push_back(*next as usize);
            }
        }
    }
    (count, last as usize)
}

fn lambda2(graph: &[Vec<u32>]) -> f64 {
    // Power iteration on A + kI without the constant vector, so that the most negative eigenvalue does not interfere.
    let n = graph.len();
    let k = graph.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let mut random = Random::new(5);
    let mut x: Vec<f64> = (0..n)
        .map(|_| random.below(1_000_000) as f64 / 1e6 - 0.5)
        .collect();
    let mut value = 0.0;
    for _ in 0..600 {
        let mean = x.iter().sum::<f64>() / n as f64;
        x.iter_mut().for_each(|v| *v -= mean);
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.iter_mut().for_each(|v| *v /= norm);
        let y: Vec<f64> = (0..n)
            .map(|at| graph[at].iter().map(|to| x[*to as usize]).sum::<f64>() + k * x[at])
            .collect();
        value = x.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>() - k;
        x = y;
    }
    value
}

impl Sim {
    fn quality(&self) {
        let (_, graph) = self.graph();
        let mut deepest = 0;
        let mut sum = 0;
        let mut least = usize::MAX;
        let mut random = Random::new(9);
        for _ in 0..50 {
            let (count, last) = reached(&graph, random.index(graph.len()));
            deepest = deepest.max(last);
            sum += last;
            least = least.min(count);
        }
        let k = graph.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let bound = 2.0 * (k - 1.0).sqrt();
        let lambda = lambda2(&graph);
        println!(
            "  reached {:.5}, last hop mean {:.2} max {deepest}, lambda2 {lambda:.3} = {:.3} of the bound",
            least as f64 / graph.len() as f64,
            f64::from(sum as u32) / 50.0,
            lambda / bound
        );
    }
}

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
    sim.quality();
    for second in 1..61_u64 {
        sim.run(begin + Duration::from_secs(second));
        if sim.report("repair", begin, second % 4 == 0) && second > 4 {
            break;
        }
    }
    sim.quality();
}

fn main() {
    let plan = plan();
    let mut sim = Sim {
        begun: std::time::Instant::now(),
        now: Instant::from_millis(1_000),
        seq: 0,
        heap: BinaryHeap::new(),
        slab: Vec::new(),
        free: Vec::new(),
        nodes: Vec::new(),
        events: 0,
        links_made: 0,
        offences: 0,
    };
    join(&mut sim, &plan);
    sim.quality();
    for percent in &plan.kills {
        kill(&mut sim, &plan, *percent);
    }
    println!("{} offences", sim.offences);
}
