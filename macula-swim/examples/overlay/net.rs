//! A network of overlays on virtual time: each way takes as long as ever, and links are made and closed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Output};
use macula_wire::{Body, Instant, Machine, NodeId, Random};

pub(crate) enum Event {
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

pub(crate) struct Node {
    pub(crate) machine: Option<Overlay>,
    pub(crate) links: BTreeMap<u32, u32>,
    pub(crate) wake: Option<Instant>,
}

pub(crate) struct Sim {
    pub(crate) begun: std::time::Instant,
    pub(crate) now: Instant,
    pub(crate) seq: u64,
    pub(crate) heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    pub(crate) slab: Vec<Option<Event>>,
    pub(crate) free: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) events: u64,
    pub(crate) links_made: u32,
    pub(crate) offences: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn id(index: u32) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&mix(u64::from(index) + 0x1234_5678).to_be_bytes());
    bytes[8..12].copy_from_slice(&index.to_be_bytes());
    NodeId::from_bytes(bytes)
}

pub(crate) fn index(id: &NodeId) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&id.as_bytes()[8..12]);
    u32::from_be_bytes(bytes)
}

fn delay(a: u32, b: u32) -> Duration {
    let pair = (u64::from(a.min(b)) << 32) | u64::from(a.max(b));
    Duration::from_micros(10_000 + mix(pair + 99) % 40_000)
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self {
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
        }
    }

    pub(crate) fn push(&mut self, at: Instant, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            self.slab.len() as u32 - 1
        });
        self.slab[slot as usize] = Some(event);
        self.seq += 1;
        self.heap.push(Reverse((at, self.seq, slot)));
    }

    pub(crate) fn add(&mut self, seed: u64, config: &Config) -> u32 {
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

    pub(crate) fn touch(&mut self, node: u32, call: impl FnOnce(&mut Overlay, Instant)) {
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

    pub(crate) fn run(&mut self, until: Instant) {
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

    pub(crate) fn graph(&self) -> (Vec<u32>, Vec<Vec<u32>>) {
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

    pub(crate) fn report(&self, title: &str, begin: Instant, print: bool) -> bool {
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
