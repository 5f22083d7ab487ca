//! Membership in a large realm where nothing happens.
#![expect(
    clippy::expect_used,
    reason = "a scenario whose input is wrong measures something else, so it has to stop"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use macula_swim::{Config, Input, Output, OwnRecord, Swim};
use macula_wire::message::{SwimAck, SwimGossip, SwimPing, Update};
use macula_wire::{
    Body, Epoch, Instant, Machine, NodeId, ProbeId, Random, RealmName, Signature, Signer,
};

use crate::input::{SIGNATURE, WALL_MS, node, record};
use crate::{Round, Scenario, Size};

/// How many members there are beside this node.
const MEMBERS: usize = 999;
/// How long the news of the members' arrival goes round at most.
const SETTLING: usize = 600;
/// How many are heard of together, before a moment passes.
const TOGETHER: usize = 50;
/// In it news that waits is told.
const MOMENT: Duration = Duration::from_millis(125);
/// What passes in a round.
const SECOND: Duration = Duration::from_secs(1);

/// The scenarios of this group.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("swim_second_1000", 1, second),
    Scenario::new("swim_answer_1000", 100, answer),
];

/// One second: a probe, its answer, and whatever else falls due.
fn second(size: Size) -> Round {
    let mut realm = Realm::new(size);
    Box::new(move || realm.pass(SECOND))
}

/// Answers the pings of a hundred members.
fn answer(size: Size) -> Round {
    let mut realm = Realm::new(size);
    let from: Vec<NodeId> = (1..=size.of(100)).map(node).collect();
    Box::new(move || {
        for from in &from {
            let ping = SwimPing {
                probe: ProbeId::new(7),
                updates: Vec::new(),
            };
            let (now, body, from) = (realm.now, ping.into(), *from);
            let input = Input::Message { from, body };
            realm.swim.handle_input(now, black_box(input));
            let ack = realm.swim.poll_output();
            assert!(matches!(ack, Some(Output::Send { to, .. }) if to == from));
        }
    })
}

/// The machine of a node that has heard of so many others and has a link to one of them, as most members of a large realm
/// have none to each other. `told` says whether it has told that one of the others already.
///
/// # Panics
///
/// If the machine does not take all of them in, or does not answer a ping.
#[must_use]
pub fn knowing(members: usize, told: bool) -> Swim {
    let mut config = Config::default();
    // Nobody of them answers, so nobody is asked.
    config.link_grace = SECOND.saturating_mul(3_600);
    let mut realm = Realm::alone(config);
    let peer = node(1);
    realm.swim.handle_input(realm.now, Input::LinkUp { peer });
    for member in 1..=members {
        realm.meet(member);
        while told && realm.tell(peer) > 0 {}
        if told && member.is_multiple_of(TOGETHER) {
            realm.pass(MOMENT);
        }
    }
    let known = realm.swim.counts().alive;
    assert_eq!(known, members.saturating_add(1));
    realm.swim
}

/// The machine of one node, and members that answer every probe at once.
struct Realm {
    swim: Swim,
    now: Instant,
}

impl Realm {
    /// A realm in which the news that all members are there has gone round.
    fn new(size: Size) -> Self {
        let mut realm = Self::alone(Config::default());
        let members = size.of(MEMBERS);
        for member in 1..=members {
            let peer = node(member);
            realm.swim.handle_input(realm.now, Input::LinkUp { peer });
            realm.meet(member);
        }
        (0..size.of(SETTLING)).for_each(|_| realm.pass(SECOND));
        let alive = realm.swim.counts().alive;
        assert_eq!(alive, members.saturating_add(1));
        realm
    }

    /// A node that knows nobody.
    fn alone(config: Config) -> Self {
        let now = Instant::from_millis(1);
        let realm = RealmName::new("be.acme.iot").expect("a realm");
        let mut own = OwnRecord::new(Epoch::new(WALL_MS));
        own.addresses = record(0).record.addresses;
        let (random, signer) = (Random::new(5), Arc::new(Blank));
        let swim =
            Swim::new(config, realm, signer, own, random, now, WALL_MS).expect("a short record");
        Self { swim, now }
    }

    /// Hears of the member of this number.
    fn meet(&mut self, member: usize) {
        let updates = vec![Update::Record(record(member).into())];
        self.hear(node(member), SwimGossip { updates });
    }

    /// Answers the ping of a peer, with news; how many pieces it were.
    fn tell(&mut self, from: NodeId) -> usize {
        let ping = SwimPing {
            probe: ProbeId::new(7),
            updates: Vec::new(),
        };
        let (now, body) = (self.now, ping.into());
        self.swim.handle_input(now, Input::Message { from, body });
        let mut told = None;
        while let Some(output) = self.swim.poll_output() {
            if let Output::Send {
                body: Body::SwimAck(ack),
                ..
            } = output
            {
                told = Some(ack.updates.len());
            }
        }
        told.expect("every ping is answered")
    }

    /// Lets time pass, with every time-out that falls in it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.swim.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.swim.handle_timeout(self.now);
            self.answer();
        }
        self.now = end;
    }

    /// Answers every probe, and drops all else that the machine says.
    fn answer(&mut self) {
        while let Some(output) = self.swim.poll_output() {
            if let Output::Send {
                to,
                body: Body::SwimPing(ping),
                ..
            } = black_box(output)
            {
                let ack = SwimAck {
                    probe: ping.probe,
                    updates: Vec::new(),
                };
                self.swim.handle_input(
                    self.now,
                    Input::Message {
                        from: to,
                        body: ack.into(),
                    },
                );
            }
        }
    }

    fn hear(&mut self, from: NodeId, body: impl Into<Body>) {
        let body = body.into();
        self.swim
            .handle_input(self.now, Input::Message { from, body });
        self.answer();
    }
}

/// Signs as node 0, for nothing.
struct Blank;

impl Signer for Blank {
    fn node(&self) -> NodeId {
        node(0)
    }

    fn sign(&self, _: &[u8]) -> Signature {
        SIGNATURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_probe_and_nobody_dies() {
        let mut realm = Realm::new(Size::Tiny);
        let before = realm.swim.stats();
        (0..20).for_each(|_| realm.pass(SECOND));
        let after = realm.swim.stats();
        assert!(after.probes > before.probes.saturating_add(15), "{after:?}");
        assert_eq!(after.suspicions, 0);
    }
}
