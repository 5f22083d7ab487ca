//! One node by itself, told by hand what happens in an order that a network seldom has.

use macula::wire::message::{
    InterestContent, Invoke, KadStore, MemberRecord, MemberStatus, ProviderContent, RecordContent,
    RecordKind, Roles, RoutingRecord, SignedRecord, SignedRoutingRecord, SwimGossip, Update,
};
use macula::wire::{
    Body, Epoch, ErrorCode, Incarnation, Instant, Machine, Pattern, Procedure, Random, RequestId,
    Signer, Topic, signed,
};
use macula::{MemberEvent, NodeInput, NodeMachine, NodeOutput};
use macula_kad::Checked;
use macula_pubsub::Destination;
use macula_testkit::{StubSigner, StubVerifier, node_id};

use super::mesh::{declare, machine, realm, subscribe, unsubscribe, wall_ms, watch};

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

pub(super) fn interest(text: &str) -> RecordContent {
    let pattern = Pattern::new(text).unwrap();
    RecordContent::Interest(InterestContent::each(pattern))
}

pub(super) fn offer(text: &str) -> RecordContent {
    RecordContent::Provider(ProviderContent {
        pattern: Pattern::new(text).unwrap(),
        weight: 1,
        concurrency: 8,
        invoke: Invoke::P2c,
        zone: None,
        since_ms: 1,
        takeover: false,
    })
}

/// What node `owner` asks to be kept, rightly signed.
pub(super) fn store(owner: usize, sequence: u64, withdrawn: bool, content: RecordContent) -> Body {
    let owner = node_id(owner);
    let record = RoutingRecord {
        owner,
        sequence,
        expires_ms: sequence + 3_600_000,
        withdrawn,
        content,
    };
    let bytes = signed::record_bytes(&realm(), &record).unwrap();
    let signature = StubSigner::new(owner).sign(&bytes);
    let records = vec![SignedRoutingRecord { record, signature }.into()];
    let request = RequestId::new(1);
    KadStore { request, records }.into()
}

/// Node 0 under test, at whose other end node 1 and node 2 speak.
struct Bench {
    node: NodeMachine,
    now: Instant,
    said: Vec<NodeOutput>,
}

impl Bench {
    fn new() -> Self {
        let (own, now) = (node_id(0), Instant::from_millis(1_000));
        let mut node = machine(own, Random::new(1), now);
        for topic in ["a.b", "x"] {
            declare(&mut node, now, own, topic);
        }
        for procedure in ["p", "q", "x"] {
            watch(&mut node, now, own, procedure);
        }
        Self {
            node,
            now,
            said: Vec::new(),
        }
    }

    /// Lets time pass.
    fn pass(&mut self, millis: u64) {
        let end = self.now + std::time::Duration::from_millis(millis);
        while let Some(due) = self.node.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
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

    /// Node `from` asks for a record of its own to be kept.
    fn store(&mut self, from: usize, sequence: u64, content: RecordContent) {
        self.routing(from, store(from, sequence, false, content));
    }

    fn routing(&mut self, from: usize, body: Body) {
        let body = Checked::new(&realm(), body, &StubVerifier::default());
        let from = node_id(from);
        self.input(NodeInput::Routing { from, body });
    }

    /// What node `to` was asked to keep: how many records of interest.
    fn stores_to(&self, to: usize) -> usize {
        let of = |output: &NodeOutput| match output {
            NodeOutput::Send {
                to: node,
                body: Body::KadStore(store),
                ..
            } if *node == node_id(to) => {
                let records = store.records.iter();
                let kinds = records.map(|signed| signed.record.content.kind());
                Some(kinds.filter(|kind| *kind == RecordKind::Interest).count())
            }
            _ => None,
        };
        self.said.iter().filter_map(of).sum()
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
    bench.store(1, run(1), interest("a.b"));
    bench.store(1, run(2), offer("p"));
    assert_eq!(bench.receivers("a.b"), [Destination::Member(node_id(1))]);
    assert_eq!(bench.providers("p"), 1);
    bench
}

/// Its old link is down, the link of its next run is up, and that run has spoken.
fn with_next_run() -> Bench {
    let mut bench = two_members();
    bench.input(NodeInput::LinkDown(node_id(1)));
    bench.link(1, run(5));
    bench.store(1, run(6), interest("a.c"));
    bench.store(1, run(7), offer("q"));
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
fn what_somebody_wants_counts_when_it_is_a_member() {
    let mut bench = Bench::new();
    bench.link(3, run(0));
    bench.store(3, run(1), interest("a.b"));
    assert!(bench.receivers("a.b").is_empty());
    bench.gossip(3, record(3, run(0), false));
    assert_eq!(bench.receivers("a.b").len(), 1);
    bench.gossip(3, record(3, run(0), true));
    bench.input(NodeInput::LinkDown(node_id(3)));
    assert!(bench.receivers("a.b").is_empty());
}

#[test]
fn what_an_earlier_run_wanted_ends_with_the_next_one() {
    let mut bench = two_members();
    // Another node tells of the next run before its link is up.
    bench.gossip(2, record(1, run(5), false));
    assert!(bench.receivers("a.b").is_empty() && bench.providers("p") == 0);
    // Somebody who kept it passes on what the earlier run said.
    let stale = store(1, run(4), false, interest("a.b"));
    bench.routing(2, stale);
    bench.pass(5_000);
    assert!(bench.receivers("a.b").is_empty());
    // The twin is said by the run that is there.
    bench.routing(2, store(1, run(5), false, interest("a.b")));
    assert_eq!(bench.receivers("a.b"), [Destination::Member(node_id(1))]);
}

#[test]
fn a_suspected_member_keeps_what_it_wants_and_one_that_comes_back_has_it_again() {
    let mut bench = two_members();
    bench.gossip(2, record(1, run(0), true));
    bench.input(NodeInput::LinkDown(node_id(1)));
    assert!(bench.receivers("a.b").is_empty());
    // Only a later run may come back, and it says anew what it wants.
    bench.link(1, run(9));
    bench.gossip(1, record(1, run(9), false));
    assert!(bench.receivers("a.b").is_empty() && bench.providers("p") == 0);
    bench.store(1, run(10), interest("a.b"));
    bench.store(1, run(11), offer("p"));
    assert_eq!((bench.receivers("a.b").len(), bench.providers("p")), (1, 1));
    // A withdrawal ends it at once.
    bench.routing(1, store(1, run(12), true, interest("a.b")));
    bench.routing(1, store(1, run(13), true, offer("p")));
    assert_eq!((bench.receivers("a.b").len(), bench.providers("p")), (0, 0));
}

#[test]
fn what_is_wanted_here_is_told_to_members_and_again_over_a_new_link() {
    let mut bench = two_members();
    bench.said.clear();
    let (own, now) = (node_id(0), bench.now);
    subscribe(&mut bench.node, now, own, 1, "b.c");
    bench.drain();
    assert_eq!((bench.stores_to(1), bench.stores_to(2)), (1, 1));
    // Nobody has answered. The successor of a link may be up before its predecessor is known to be down.
    bench.said.clear();
    bench.link(1, run(0));
    bench.pass(200);
    assert_eq!((bench.stores_to(1) > 0, bench.stores_to(2)), (true, 0));
    bench.said.clear();
    let now = bench.now;
    unsubscribe(&mut bench.node, now, 1);
    bench.drain();
    assert_eq!((bench.stores_to(1), bench.stores_to(2)), (1, 1));
}

#[test]
fn messages_wait_for_a_link_and_are_given_up_without_one() {
    let mut bench = two_members();
    bench.input(NodeInput::LinkDown(node_id(1)));
    bench.said.clear();
    let (own, now) = (node_id(0), bench.now);
    subscribe(&mut bench.node, now, own, 1, "b.c");
    bench.drain();
    let dialled = |bench: &Bench| {
        let fits = |output: &&NodeOutput| matches!(output, NodeOutput::Connect { node, .. } if *node == node_id(1));
        bench.said.iter().filter(fits).count()
    };
    assert_eq!((bench.stores_to(1), bench.stores_to(2)), (0, 1));
    assert!(dialled(&bench) > 0);
    bench.link(1, run(0));
    assert!(bench.stores_to(1) > 0, "what waited has left");
    bench.input(NodeInput::LinkDown(node_id(1)));
    let dropped = bench.node.routing().dropped;
    let now = bench.now;
    unsubscribe(&mut bench.node, now, 1);
    bench.drain();
    bench.input(NodeInput::Unreachable(node_id(1)));
    assert!(bench.node.routing().dropped > dropped);
    bench.said.clear();
    bench.link(1, run(0));
    bench.pass(2_000);
    assert!(bench.stores_to(1) > 0, "it is told again when it can be");
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
