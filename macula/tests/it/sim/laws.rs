//! The six laws of machines, for the composed one.

use macula::wire::message::{Roles, SwimGossip, SwimPing, Update};
use macula::wire::{Body, Epoch, Instant, Machine, Pattern, ProbeId, Procedure, Random, Topic};
use macula::{NodeInput, NodeMachine};
use macula_kad::Checked;
use macula_pubsub::{LocalId, Subscriber};
use macula_realm::{DefaultRules, Principal};
use macula_rpc::{RegisterOptions, Registrant, RegistrationKey};
use macula_testkit::laws::{self, Subject};
use macula_testkit::{StubVerifier, node_id};
use proptest::prelude::*;

use super::directed::{interest, offer, record, store};
use super::mesh::{machine, realm, wall_ms};

/// Few names, ascending, so that steps meet each other.
const NAMES: [&str; 4] = ["a", "a.b", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    LinkUp(usize, u64),
    LinkDown(usize),
    Record(usize, usize, u64, bool),
    Ping(usize),
    Interest(usize, u64, bool, usize),
    Offer(usize, u64, bool, usize),
    Declare(usize),
    Watch(usize),
    Unreachable(usize),
    Subscribe(u64, usize),
    Unsubscribe(u64),
    Register(u64, usize),
    Unregister(u64),
    Join(usize),
    Leave,
}

fn run(number: u64) -> u64 {
    wall_ms(Instant::from_millis(10_000)) + number
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let peer = 1_usize..5;
    let epoch = 0_u64..3;
    prop_oneof![
        4 => (peer.clone(), epoch.clone()).prop_map(|(peer, epoch)| Step::LinkUp(peer, epoch)),
        3 => peer.clone().prop_map(Step::LinkDown),
        4 => (peer.clone(), peer.clone(), epoch, prop::bool::weighted(0.2))
            .prop_map(|(from, of, epoch, left)| Step::Record(from, of, epoch, left)),
        1 => peer.clone().prop_map(Step::Ping),
        4 => (peer.clone(), 0_u64..4, prop::bool::weighted(0.2), 0_usize..4)
            .prop_map(|(owner, number, gone, at)| Step::Interest(owner, number, gone, at)),
        4 => (peer.clone(), 0_u64..4, prop::bool::weighted(0.2), 0_usize..4)
            .prop_map(|(owner, number, gone, at)| Step::Offer(owner, number, gone, at)),
        2 => (0_usize..4).prop_map(Step::Declare),
        2 => (0_usize..4).prop_map(Step::Watch),
        1 => peer.clone().prop_map(Step::Unreachable),
        2 => (0_u64..3, 0_usize..4).prop_map(|(key, at)| Step::Subscribe(key, at)),
        1 => (0_u64..3).prop_map(Step::Unsubscribe),
        2 => (0_u64..3, 0_usize..4).prop_map(|(key, at)| Step::Register(key, at)),
        1 => (0_u64..3).prop_map(Step::Unregister),
        1 => peer.prop_map(Step::Join),
        1 => Just(Step::Leave),
    ]
    .boxed()
}

fn message(from: usize, body: impl Into<Body>) -> NodeInput {
    NodeInput::Message {
        from: node_id(from),
        body: body.into(),
    }
}

fn routing(from: usize, body: Body) -> NodeInput {
    let body = Checked::new(&realm(), body, &StubVerifier::default());
    let from = node_id(from);
    NodeInput::Routing { from, body }
}

fn input(step: &Step) -> Option<NodeInput> {
    Some(match step {
        Step::LinkUp(peer, epoch) => NodeInput::LinkUp {
            peer: node_id(*peer),
            epoch: Epoch::new(run(*epoch)),
        },
        Step::LinkDown(peer) => NodeInput::LinkDown(node_id(*peer)),
        Step::Record(from, of, epoch, left) => {
            let updates = vec![Update::Record(record(*of, run(*epoch), *left).into())];
            message(*from, SwimGossip { updates })
        }
        Step::Ping(from) => message(
            *from,
            SwimPing {
                probe: ProbeId::new(7),
                updates: Vec::new(),
            },
        ),
        Step::Interest(owner, number, gone, at) => routing(
            *owner,
            store(*owner, run(*number), *gone, interest(NAMES[*at])),
        ),
        Step::Offer(owner, number, gone, at) => routing(
            *owner,
            store(*owner, run(*number), *gone, offer(NAMES[*at])),
        ),
        Step::Unreachable(node) => NodeInput::Unreachable(node_id(*node)),
        _ => return None,
    })
}

/// Commands may fail; the laws ask only that they fail alike.
fn command(node: &mut NodeMachine, now: Instant, step: &Step) {
    let who = Principal::new(node_id(0), Roles::MEMBER);
    let subscriber = |key| Subscriber::Local(LocalId::new(key));
    let registrant = |key| Registrant::Local(RegistrationKey::new(key));
    match step {
        Step::Subscribe(key, at) => {
            let (wanted, by) = (Pattern::new(NAMES[*at]).unwrap(), subscriber(*key));
            let pubsub = node.pubsub_mut();
            let _ = pubsub.subscribe(now, &DefaultRules, &who, by, wanted);
        }
        Step::Unsubscribe(key) => {
            let _ = node.pubsub_mut().unsubscribe(now, subscriber(*key));
        }
        Step::Register(key, at) => {
            let (name, by) = (Pattern::new(NAMES[*at]).unwrap(), registrant(*key));
            let options = RegisterOptions::default();
            let rpc = node.rpc_mut();
            let _ = rpc.register(now, &DefaultRules, &who, by, name, options);
        }
        Step::Declare(at) => {
            let topic = Topic::new(NAMES[*at]).unwrap();
            let _ = node.pubsub_mut().declare(now, &DefaultRules, &who, &topic);
        }
        Step::Watch(at) => {
            let name = Procedure::new(NAMES[*at]).unwrap();
            let _ = node.rpc_mut().watch(now, &DefaultRules, &who, &name);
        }
        Step::Unregister(key) => {
            let _ = node.rpc_mut().unregister(now, registrant(*key));
        }
        Step::Join(via) => {
            let _ = node.swim_mut().join(now, node_id(*via));
        }
        Step::Leave => node.swim_mut().leave(now),
        _ => {}
    }
    node.settle(now);
}

struct Nodes;

impl Subject for Nodes {
    type Machine = NodeMachine;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> NodeMachine {
        machine(node_id(0), Random::new(seed), now)
    }

    fn apply(&self, node: &mut NodeMachine, now: Instant, step: &Step) {
        match input(step) {
            Some(input) => node.handle_input(now, input),
            None => command(node, now, step),
        }
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, node: &NodeMachine) -> String {
        let members: Vec<_> = node.swim().members().collect();
        let topic = |name: &&str| node.pubsub().table().matches(&Topic::new(name).unwrap());
        let procedure = |name: &&str| {
            let table = node.rpc().table();
            table.candidates(&Procedure::new(name).unwrap()).to_vec()
        };
        let routes: Vec<_> = NAMES.iter().map(topic).collect();
        let providers: Vec<_> = NAMES.iter().map(procedure).collect();
        format!("{members:?} {routes:?} {providers:?}")
    }
}

#[test]
fn the_composed_machine_keeps_the_laws() {
    laws::check(&Nodes, steps());
}
