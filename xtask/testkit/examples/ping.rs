//! How fast the simulated network is: nodes that do next to nothing, in a regular graph.
//!
//! ```text
//! cargo run --release -p macula-testkit --example ping [NODES [SECONDS [SEED]]]
//! ```
//!
//! Each node has eight peers, sends eight pings a second, each answered by a pong, and has a timer of its own every
//! 100 ms.

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::io::{Write, stdout};
use std::time::Duration;

use macula_testkit::{
    Class, Coding, Conditions, Config, Context, Host, LinkChange, Net, NodeIndex,
};
use macula_wire::message::{Ping, Pong};
use macula_wire::{Body, Instant, Machine, NodeId, Random};

const DEGREE: usize = 8;
const PING_PERIOD: Duration = Duration::from_millis(125);
const TICK_PERIOD: Duration = Duration::from_millis(100);

/// Pings its peers in turn.
struct Pinger {
    now: Instant,
    peers: Vec<NodeIndex>,
    next_ping: Instant,
    next_tick: Instant,
    sent: usize,
    pongs: u64,
    out: VecDeque<(NodeIndex, Body)>,
}

/// What a [`Pinger`] hears.
enum Input {
    Up(NodeIndex),
    Ping(NodeIndex, u64),
    Pong,
}

impl Pinger {
    fn new(mut random: Random, now: Instant) -> Self {
        // Nodes that beat in step would make it too easy for the caches.
        let phase =
            |random: &mut Random| Duration::from_nanos(random.below(100_000_000).saturating_add(1));
        Self {
            now,
            peers: Vec::with_capacity(DEGREE),
            next_ping: now + phase(&mut random),
            next_tick: now + phase(&mut random),
            sent: 0,
            pongs: 0,
            out: VecDeque::new(),
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while self.next_tick <= self.now {
            self.next_tick = self.next_tick + TICK_PERIOD;
        }
        while self.next_ping <= self.now {
            self.next_ping = self.next_ping + PING_PERIOD;
            self.sent = self.sent.wrapping_add(1);
            let turn = self.sent.checked_rem(self.peers.len()).unwrap_or(0);
            if let Some(peer) = self.peers.get(turn) {
                let nonce = self.sent as u64;
                self.out.push_back((*peer, Ping { nonce }.into()));
            }
        }
    }
}

impl Machine for Pinger {
    type Input = Input;
    type Output = (NodeIndex, Body);

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Up(peer) => self.peers.push(peer),
            Input::Ping(from, nonce) => self.out.push_back((from, Pong { nonce }.into())),
            Input::Pong => self.pongs = self.pongs.wrapping_add(1),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Self::Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(if self.out.is_empty() {
            self.next_ping.min(self.next_tick)
        } else {
            self.now
        })
    }
}

/// Plugs [`Pinger`] into a network.
struct Pingers;

impl Host for Pingers {
    type Machine = Pinger;

    fn on_output(
        &mut self,
        context: &mut Context<'_>,
        _: &mut Pinger,
        (to, body): (NodeIndex, Body),
    ) {
        context.send(to, Class::Datagram, body);
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Pinger,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        let Some(peer) = context.peer() else {
            return;
        };
        if let Body::Ping(ping) = body {
            machine.handle_input(context.now(), Input::Ping(peer, ping.nonce));
        } else if let Body::Pong(_) = body {
            machine.handle_input(context.now(), Input::Pong);
        } else {
            context.fail(format!("{from} sent {body:?}"));
        }
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Pinger,
        _: NodeId,
        change: LinkChange,
    ) {
        if let (Some(peer), LinkChange::Up) = (context.peer(), change) {
            machine.handle_input(context.now(), Input::Up(peer));
        }
    }
}

/// The network: a circle through all nodes, and three more in random orders.
fn network(nodes: usize, seed: u64) -> Net<Pingers> {
    let mut config = Config::default();
    config.coding = Coding::Typed;
    config.conditions = Conditions::wan();
    config.max_steps = u64::MAX;
    let mut net = Net::new(config, seed, Pingers);
    net.reserve(nodes);
    for _ in 0..nodes {
        net.add(|_, random, now| Pinger::new(random, now));
    }
    let mut random = Random::new(seed);
    let mut order: Vec<NodeIndex> = net.nodes().collect();
    for _ in 0..DEGREE / 2 {
        for (a, b) in order.iter().zip(order.iter().cycle().skip(1)) {
            net.link(*a, *b);
        }
        random.shuffle(&mut order);
    }
    net
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long the simulation takes"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let nodes = arguments.next().unwrap_or(Ok(10_000))?;
    let seconds = arguments.next().unwrap_or(Ok(20))?;
    let seed = arguments.next().unwrap_or(Ok(1))?;
    let start = std::time::Instant::now();
    let mut net = network(usize::try_from(nodes)?, seed);
    let built = start.elapsed();
    let start = std::time::Instant::now();
    net.run_for(Duration::from_secs(seconds))?;
    let took = start.elapsed();
    let pongs: u64 = net
        .running()
        .filter_map(|node| net.machine(node))
        .map(|one| one.pongs)
        .sum();
    let rate = net.events() as f64 / took.as_secs_f64();
    let (messages, bytes) = net.total_sent();
    writeln!(
        stdout(),
        "{nodes} nodes built in {built:.2?}; {seconds} s took {took:.2?}: {} events, {rate:.0} events/s\n\
         {messages} messages, {bytes} bytes, {pongs} pongs, trace {:016x}",
        net.events(),
        net.trace_hash(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ping_is_answered() {
        let mut net = network(40, 1);
        net.run_for(Duration::from_secs(5)).unwrap();
        let sent = net.counters().datagrams_sent;
        let pongs: u64 = net
            .nodes()
            .filter_map(|node| net.machine(node))
            .map(|one| one.pongs)
            .sum();
        assert!(pongs > 40 * 8 * 4 && pongs <= sent / 2, "{pongs} of {sent}");
    }
}
