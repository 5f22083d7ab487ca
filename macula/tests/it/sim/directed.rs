//! One node by itself, told by hand what happens in an order that a network seldom has.

use macula::wire::message::{
    Interest, MemberRecord, MemberStatus, Offer, OfferedProcedure, Roles, SignedRecord, SwimGossip,
    Update,
};
use macula::wire::{
    Body, Epoch, ErrorCode, Incarnation, Instant, Machine, Pattern, Procedure, Random, Signer,
    Topic, signed,
};
use macula::{MemberEvent, NodeInput, NodeMachine, NodeOutput};
use macula_pubsub::Destination;
use macula_testkit::{StubSigner, node_id};

use super::mesh::{machine, realm, subscribe, wall_ms};

/// What node `number` says of itself, rightly signed.
pub(super) fn record(number: usize, epoch: u64, left: bool) -> SignedRecord {
    let node = node_id(number);
    let record = MemberRecord {
        node,
        epoch: Epoch::new(epoch),
        incarnation: Incarnation::new(u64::from(left)),
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
    let bytes = signed::member_bytes(&realm(), &record).unwrap();
    let signature = StubSigner::new(node).sign(&bytes);
    SignedRecord { record, signature }
}

pub(super) fn interest(version: u64, full: bool, add: &[&str]) -> Interest {
    Interest {
        version,
        full,
        lease_ms: 60_000,
        add: add.iter().map(|text| Pattern::new(text).unwrap()).collect(),
        remove: Vec::new(),
    }
}

pub(super) fn offer(version: u64, full: bool, add: &[&str]) -> Offer {
    let offered = |text: &&str| OfferedProcedure {
        procedure: Procedure::new(text).unwrap(),
        weight: 1,
    };
    Offer {
        version,
        full,
        lease_ms: 60_000,
        add: add.iter().map(offered).collect(),
        remove: Vec::new(),
    }
}

/// Node 0 under test, at whose other end node 1 and node 2 speak.
struct Bench {
    node: NodeMachine,
    now: Instant,
    said: Vec<NodeOutput>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        Self {
            node: machine(node_id(0), Random::new(1), now),
            now,
            said: Vec::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.said.push(output);
        }
    }

    fn input(&mut self, input: NodeInput) {
        self.now = self.now + std::time::Duration::from_millis(10);
        self.node.handle_timeout(self.now);
        self.node.handle_input(self.now, input);
        self.drain();
    }

    fn link(&mut self, peer: usize, epoch: u64) {
        self.input(NodeInput::LinkUp {
            peer: node_id(peer),
            epoch: Epoch::new(epoch),
        });
    }

    fn hear(&mut self, from: usize, body: impl Into<Body>) {
        self.input(NodeInput::Message {
            from: node_id(from),
            body: body.into(),
        });
    }

    fn gossip(&mut self, from: usize, record: SignedRecord) {
        let updates = vec![Update::Record(record.into())];
        self.hear(from, SwimGossip { updates });
    }

    fn receivers(&self, topic: &str) -> Vec<Destination> {
        let table = self.node.pubsub().table();
        table.matches(&Topic::new(topic).unwrap())
    }

    fn providers(&self, procedure: &str) -> usize {
        let table = self.node.rpc().table();
        table.candidates(&Procedure::new(procedure).unwrap()).len()
    }

    fn lost(&self) -> usize {
        let lost = |output: &&NodeOutput| matches!(output, NodeOutput::Lost(_));
        self.said.iter().filter(lost).count()
    }

    fn disconnected(&self) -> Vec<ErrorCode> {
        let code = |output: &NodeOutput| match output {
            NodeOutput::Disconnect { code, .. } => Some(*code),
            _ => None,
        };
        self.said.iter().filter_map(code).collect()
    }

    fn heard_of_end(&self) -> bool {
        self.said.iter().any(|output| {
            matches!(
                output,
                NodeOutput::Member(MemberEvent::Down(_) | MemberEvent::Left(_))
            )
        })
    }
}

/// A run of node 1, by the wall clock.
fn run(number: u64) -> u64 {
    wall_ms(Instant::from_millis(1_000)) + number
}

/// Node 1 and node 2 are members with links, and node 1 wants `a.b` and serves `p`.
fn two_members() -> Bench {
    let mut bench = Bench::new();
    for peer in [1, 2] {
        bench.link(peer, run(0));
        bench.gossip(peer, record(peer, run(0), false));
    }
    bench.hear(1, interest(1, true, &["a.b"]));
    bench.hear(1, offer(1, true, &["p"]));
    assert_eq!(bench.receivers("a.b"), [Destination::Member(node_id(1))]);
    assert_eq!(bench.providers("p"), 1);
    bench
}

/// Its old link is down, the link of its next run is up, and that run has spoken.
fn with_next_run() -> Bench {
    let mut bench = two_members();
    bench.input(NodeInput::LinkDown(node_id(1)));
    bench.link(1, run(5));
    bench.hear(1, interest(0, true, &["a.c"]));
    bench.hear(1, offer(0, true, &["q"]));
    bench
}

#[test]
fn the_end_of_a_run_behind_the_link_of_the_next_purges_nothing() {
    for ending in [record(1, run(5), false), record(1, run(0), true)] {
        let mut bench = with_next_run();
        bench.gossip(2, ending);
        assert!(bench.heard_of_end());
        assert_eq!(bench.receivers("a.c"), [Destination::Member(node_id(1))]);
        assert_eq!(bench.providers("q"), 1);
        assert!(bench.receivers("a.b").is_empty() && bench.providers("p") == 0);
        assert_eq!((bench.lost(), bench.disconnected().len()), (0, 0));
    }
}

#[test]
fn the_end_of_a_run_without_a_link_purges_all_of_it() {
    for ending in [record(1, run(5), false), record(1, run(0), true)] {
        let mut bench = two_members();
        bench.input(NodeInput::LinkDown(node_id(1)));
        assert_eq!(bench.lost(), 0, "a link that breaks is no death");
        bench.gossip(2, ending);
        assert!(bench.receivers("a.b").is_empty());
        assert_eq!(bench.providers("p"), 0);
        assert_eq!((bench.lost(), bench.disconnected().len()), (1, 0));
    }
}

#[test]
fn the_end_of_a_run_with_its_link_up_ends_the_link_first() {
    let mut bench = two_members();
    bench.gossip(2, record(1, run(0), true));
    assert_eq!(bench.disconnected(), [ErrorCode::SHUTTING_DOWN]);
    assert_eq!(bench.lost(), 0);
    bench.input(NodeInput::LinkDown(node_id(1)));
    assert_eq!(bench.lost(), 1);
    assert!(bench.receivers("a.b").is_empty());
    assert_eq!(bench.providers("p"), 0);
}

#[test]
fn a_link_of_somebody_who_is_no_member_takes_everything_with_it() {
    let mut bench = Bench::new();
    bench.link(3, run(0));
    bench.hear(3, interest(0, true, &["a.b"]));
    assert_eq!(bench.receivers("a.b").len(), 1);
    bench.input(NodeInput::LinkDown(node_id(3)));
    assert!(bench.receivers("a.b").is_empty());
}

#[test]
fn who_announces_wrongly_loses_the_link_and_begins_anew() {
    let wrong: [Body; 4] = [
        interest(9, false, &["x"]).into(),
        interest(2, false, &["x", "a.b"]).into(),
        offer(9, false, &["x"]).into(),
        offer(2, false, &["x", "p"]).into(),
    ];
    for body in wrong {
        let mut bench = two_members();
        bench.hear(1, body);
        assert_eq!(bench.disconnected(), [ErrorCode::PROTOCOL_VIOLATION]);
        assert_eq!(bench.receivers("a.b").len(), 1, "nothing of it was applied");
        bench.input(NodeInput::LinkDown(node_id(1)));
        bench.link(1, run(0));
        bench.hear(1, interest(9, true, &["x"]));
        bench.hear(1, offer(9, true, &["x"]));
        assert_eq!(bench.receivers("x").len(), 1);
        assert_eq!(bench.disconnected().len(), 1);
    }
    let mut twin = two_members();
    twin.hear(1, interest(2, false, &["x"]));
    twin.hear(1, offer(2, false, &["x"]));
    assert!(twin.disconnected().is_empty());
    assert_eq!((twin.receivers("x").len(), twin.providers("x")), (1, 1));
}

#[test]
fn a_new_link_is_told_everything_again() {
    let mut bench = two_members();
    let now = bench.now;
    subscribe(&mut bench.node, now, node_id(0), 1, "b.c");
    bench.drain();
    bench.said.clear();
    // The successor of a link may be up before its predecessor is known to be down.
    bench.link(1, run(5));
    let full = |output: &&NodeOutput| {
        matches!(output, NodeOutput::Send { to, body: Body::Interest(said), .. }
            if *to == node_id(1) && said.full && said.add.len() == 1)
    };
    assert_eq!(bench.said.iter().filter(full).count(), 1);
}

#[test]
fn a_later_run_of_the_node_itself_is_told() {
    let mut bench = two_members();
    bench.gossip(1, record(0, run(60), false));
    let told = |output: &NodeOutput| matches!(output, NodeOutput::Superseded { epoch } if epoch.get() == run(60));
    assert!(bench.said.iter().any(told));
}

#[test]
fn who_leaves_before_it_knows_anybody_says_goodbye_nevertheless() {
    for is_member in [false, true] {
        let mut bench = Bench::new();
        bench.link(1, run(0));
        if is_member {
            bench.gossip(1, record(1, run(0), false));
        }
        bench.said.clear();
        let now = bench.now;
        bench.node.leave(now);
        bench.node.leave(now);
        bench.node.settle(now);
        bench.drain();
        let goodbyes = bench.said.iter().filter(|output| match output {
            NodeOutput::Send { to, body, .. } => {
                let Body::SwimGossip(gossip) = body else {
                    return false;
                };
                let is_goodbye = |update: &Update| match update {
                    Update::Record(signed) => signed.record.status == MemberStatus::Left,
                    _ => false,
                };
                *to == node_id(1) && gossip.updates.iter().any(is_goodbye)
            }
            _ => false,
        });
        assert_eq!(goodbyes.count(), 1, "{is_member}");
    }
}
