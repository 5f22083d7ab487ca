//! One machine on its own, fed by hand.

use std::sync::Arc;
use std::time::Duration;

use macula_swim::{Class, Config, Input, Offence, Output, State, Swim};
use macula_testkit::{StubSigner, node_id};
use macula_wire::message::{
    Accusation, MemberRecord, MemberStatus, Roles, SignedAccusation, SignedRecord, SwimAck,
    SwimGossip, SwimPing, SwimPingReq, Update,
};
use macula_wire::{
    Body, Domain, Epoch, Incarnation, Instant, Machine, ProbeId, Random, Signer, signed,
};

use crate::realm::{WALL_MS, realm_name, swim};

/// The epoch of hand-made records, unless a test says otherwise.
pub(crate) const EPOCH: u64 = WALL_MS + 10_000;

/// A record of node `number`, rightly signed.
pub(crate) fn record(number: usize, epoch: u64, incarnation: u64, left: bool) -> Arc<SignedRecord> {
    let node = node_id(number);
    let record = MemberRecord {
        node,
        epoch: Epoch::new(epoch),
        incarnation: Incarnation::new(incarnation),
        status: if left {
            MemberStatus::Left
        } else {
            MemberStatus::Alive
        },
        addresses: vec!["192.0.2.7:4433".parse().unwrap()],
        roles: Roles::MEMBER,
        zone: None,
        agent: String::new(),
        tags: Vec::new(),
    };
    let bytes = signed::member_bytes(&realm_name(), &record).unwrap();
    let signature = StubSigner::new(node).sign(&bytes);
    Arc::new(SignedRecord { record, signature })
}

/// What node `by` says against the node of `record`, rightly signed.
pub(crate) fn accuse(domain: Domain, record: &SignedRecord, by: usize) -> Arc<SignedAccusation> {
    let accuser = node_id(by);
    let accusation = Accusation {
        subject: record.record.node,
        epoch: record.record.epoch,
        incarnation: record.record.incarnation,
        accuser,
    };
    let bytes = signed::accusation_bytes(domain, &realm_name(), &accusation);
    let signature = StubSigner::new(accuser).sign(&bytes);
    Arc::new(SignedAccusation {
        accusation,
        signature,
    })
}

pub(crate) fn suspect(record: &SignedRecord, by: usize) -> Update {
    Update::Suspect(accuse(Domain::Suspect, record, by))
}

pub(crate) fn dead(record: &SignedRecord, by: usize) -> Update {
    Update::Dead(accuse(Domain::Dead, record, by))
}

/// The machine of node 0, and the nodes 1 to `peers` as its members with links.
pub(crate) struct Bench {
    pub(crate) swim: Swim,
    pub(crate) now: Instant,
    pub(crate) log: Vec<Output>,
}

impl Bench {
    pub(crate) fn new(peers: usize) -> Self {
        Self::with(Config::default(), peers)
    }

    pub(crate) fn with(config: Config, peers: usize) -> Self {
        let now = Instant::from_millis(10_000);
        let mut bench = Self {
            swim: swim(config, node_id(0), Random::new(1), now),
            now,
            log: Vec::new(),
        };
        for number in 1..=peers {
            bench.link(number);
            bench.news(
                number,
                vec![Update::Record(record(number, EPOCH, 0, false))],
            );
        }
        bench.log.clear();
        bench
    }

    pub(crate) fn drain(&mut self) {
        self.log
            .extend(std::iter::from_fn(|| self.swim.poll_output()));
    }

    pub(crate) fn link(&mut self, number: usize) {
        let peer = node_id(number);
        self.swim.handle_input(self.now, Input::LinkUp { peer });
        self.drain();
    }

    pub(crate) fn unlink(&mut self, number: usize) {
        let peer = node_id(number);
        self.swim.handle_input(self.now, Input::LinkDown { peer });
        self.drain();
    }

    pub(crate) fn hear(&mut self, number: usize, body: impl Into<Body>) {
        let from = node_id(number);
        let body = body.into();
        self.swim
            .handle_input(self.now, Input::Message { from, body });
        self.drain();
    }

    pub(crate) fn news(&mut self, from: usize, updates: Vec<Update>) {
        self.hear(from, SwimGossip { updates });
    }

    /// Lets time pass, time-out by time-out; `answers` says who answers pings.
    pub(crate) fn pass(&mut self, duration: Duration, answers: impl Fn(usize) -> bool) {
        let end = self.now + duration;
        let mut seen = self.log.len();
        loop {
            while let Some(output) = self.log.get(seen).cloned() {
                seen += 1;
                let answered = (1..20).find(|number| answers(*number) && is_to(&output, *number));
                if let (Some(number), Some(ping)) = (answered, as_ping(&output)) {
                    let ack = SwimAck {
                        probe: ping.probe,
                        updates: Vec::new(),
                    };
                    self.hear(number, ack);
                }
            }
            let Some(due) = self.swim.poll_timeout().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.swim.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn state(&self, number: usize) -> Option<State> {
        Some(self.swim.member(&node_id(number))?.state())
    }

    /// Whether, and for what, a peer was blamed.
    pub(crate) fn blames(&self, number: usize) -> Vec<Offence> {
        let blame = |output: &Output| match output {
            Output::Misbehaved { peer, offence } if *peer == node_id(number) => Some(*offence),
            _ => None,
        };
        self.log.iter().filter_map(blame).collect()
    }

    /// Lets time pass, with nobody answering, until `number` is pinged; answers with the number of the probe.
    pub(crate) fn pinged(&mut self, number: usize) -> ProbeId {
        for _ in 0..10_000 {
            let mut pings = self.log.iter().filter(|output| is_to(output, number));
            if let Some(ping) = pings.find_map(as_ping) {
                return ping.probe;
            }
            self.pass(Duration::from_millis(10), |other| other != number);
        }
        panic!("{number} is never pinged");
    }

    /// What was sent to a node.
    pub(crate) fn sent_to(&self, number: usize) -> Vec<&Body> {
        let sent = self.log.iter().filter(|output| is_to(output, number));
        sent.filter_map(|output| match output {
            Output::Send { body, .. } => Some(body),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn requests(&self) -> Vec<(macula_wire::NodeId, &SwimPingReq)> {
        let request = |output| match output {
            &Output::Send {
                to,
                class: Class::Datagram,
                body: Body::SwimPingReq(ref request),
            } => Some((to, request)),
            _ => None,
        };
        self.log.iter().filter_map(request).collect()
    }
}

fn is_to(output: &Output, number: usize) -> bool {
    matches!(output, Output::Send { to, .. } if *to == node_id(number))
}

fn as_ping(output: &Output) -> Option<&SwimPing> {
    match output {
        Output::Send {
            body: Body::SwimPing(ping),
            ..
        } => Some(ping),
        _ => None,
    }
}
