//! A machine that sends numbered words to everybody it is linked to, and notes what it hears.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use macula_testkit::{Class, Config, Context, Host, LinkChange, Net, NodeIndex};
use macula_wire::message::{Heartbeat, Ping};
use macula_wire::{Body, Instant, Machine, NodeId, Random};

/// Sends a number to a random peer every ten milliseconds, by turns in a datagram and on a stream.
#[derive(Debug)]
pub(crate) struct Flood {
    pub(crate) peers: BTreeSet<NodeId>,
    pub(crate) heard: Vec<(NodeId, Class, u64)>,
    pub(crate) links_lost: u64,
    next: u64,
    due: Instant,
    now: Instant,
    random: Random,
    out: VecDeque<(NodeId, Class, u64)>,
}

/// What happens to a [`Flood`].
#[derive(Debug)]
pub(crate) enum Input {
    Heard(NodeId, Class, u64),
    Link(NodeId, LinkChange),
}

impl Flood {
    pub(crate) fn new(random: Random, now: Instant) -> Self {
        Self {
            peers: BTreeSet::new(),
            heard: Vec::new(),
            links_lost: 0,
            next: 0,
            due: now + Duration::from_millis(10),
            now,
            random,
            out: VecDeque::new(),
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while self.due <= self.now {
            self.due = self.due + Duration::from_millis(10);
            self.next += 1;
            let peer = self.random.index(self.peers.len());
            if let Some(peer) = self.peers.iter().nth(peer) {
                let class = if self.next.is_multiple_of(2) {
                    Class::Datagram
                } else {
                    Class::Reliable
                };
                self.out.push_back((*peer, class, self.next));
            }
        }
    }
}

impl Machine for Flood {
    type Input = Input;
    type Output = (NodeId, Class, u64);

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Heard(from, class, number) => self.heard.push((from, class, number)),
            Input::Link(peer, LinkChange::Up) => {
                self.peers.insert(peer);
            }
            Input::Link(peer, LinkChange::Down) => {
                self.links_lost += 1;
                self.peers.remove(&peer);
            }
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
            self.due
        } else {
            self.now
        })
    }
}

/// Plugs [`Flood`] into a network.
#[derive(Debug, Default)]
pub(crate) struct Floods;

impl Host for Floods {
    type Machine = Flood;

    fn on_output(
        &mut self,
        context: &mut Context<'_>,
        _: &mut Flood,
        (to, class, nonce): (NodeId, Class, u64),
    ) {
        context.send(to, class, Ping { nonce });
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Flood,
        from: NodeId,
        class: Class,
        body: Body,
    ) {
        if let Body::Ping(ping) = body {
            machine.handle_input(context.now(), Input::Heard(from, class, ping.nonce));
        } else {
            context.fail(format!("unexpected {body:?}"));
        }
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Flood,
        peer: NodeId,
        change: LinkChange,
    ) {
        machine.handle_input(context.now(), Input::Link(peer, change));
    }
}

/// `count` nodes with a link between any two.
pub(crate) fn mesh(config: Config, seed: u64, count: usize) -> Net<Floods> {
    let mut net = Net::new(config, seed, Floods);
    for _ in 0..count {
        net.add(|_, random, now| Flood::new(random, now));
    }
    for a in 0..count {
        for b in 0..a {
            net.dial(NodeIndex::new(a), NodeIndex::new(b));
        }
    }
    net
}

/// A message that no [`Flood`] sends.
pub(crate) fn stranger() -> Body {
    Heartbeat {}.into()
}
