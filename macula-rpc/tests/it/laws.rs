//! The six laws of machines.

use std::time::Duration;

use bytes::Bytes;
use macula_realm::DefaultRules;
use macula_rpc::{
    Call, CallConfig, CallInput, CallRequest, Candidate, Config, Input, Provider, RegisterOptions,
    Rpc, SessionKey,
};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{CallId, ContentType, ErrorCode, Instant, Machine, Random};
use proptest::prelude::*;

use crate::common::{anybody, local, own, procedure, session};

/// Few names, so that steps meet each other.
const NAMES: [&str; 4] = ["$sys.x", "a", "a.b", "b"];

#[derive(Clone, Debug)]
enum Step {
    Register(u64, usize, u32),
    Unregister(u64),
    RegisterSession(u64, u64, usize),
    DropSession(u64),
    Watch(usize),
    Unwatch(usize),
    Down(usize),
    Offered(usize, usize, u32),
    Unoffered(usize, usize),
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        3 => (0_u64..4, 0_usize..4, 0_u32..3)
            .prop_map(|(id, at, weight)| Step::Register(id, at, weight)),
        2 => (0_u64..4).prop_map(Step::Unregister),
        2 => (0_u64..2, 0_u64..3, 0_usize..4)
            .prop_map(|(id, number, at)| Step::RegisterSession(id, number, at)),
        1 => (0_u64..2).prop_map(Step::DropSession),
        2 => (0_usize..4).prop_map(Step::Watch),
        1 => (0_usize..4).prop_map(Step::Unwatch),
        1 => (1_usize..4).prop_map(Step::Down),
        4 => (0_usize..4, 0_usize..4, 0_u32..3)
            .prop_map(|(node, at, weight)| Step::Offered(node, at, weight)),
        2 => (0_usize..4, 0_usize..4).prop_map(|(node, at)| Step::Unoffered(node, at)),
    ]
}

struct Rpcs;

impl Subject for Rpcs {
    type Machine = Rpc;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Rpc {
        let mut config = Config::default();
        config.max_offers = 2 + usize::try_from(seed % 4).unwrap();
        Rpc::new(config, own(), now)
    }

    fn apply(&self, machine: &mut Rpc, now: Instant, step: &Step) {
        // Commands may fail; the laws ask only that they fail alike.
        let mut options = RegisterOptions::default();
        match step {
            Step::Register(id, at, weight) => {
                options.weight = *weight;
                let name = procedure(NAMES[*at]);
                let id = local(*id);
                let _ = machine.register(now, &DefaultRules, &anybody(), id, name, options);
            }
            Step::Unregister(id) => {
                let _ = machine.unregister(now, local(*id));
            }
            Step::RegisterSession(id, number, at) => {
                let name = procedure(NAMES[*at]);
                let id = session(*id, *number);
                let _ = machine.register(now, &DefaultRules, &anybody(), id, name, options);
            }
            Step::DropSession(id) => {
                machine.drop_session(now, SessionKey::new(*id));
            }
            Step::Watch(at) => {
                let name = procedure(NAMES[*at]);
                let _ = machine.watch(now, &DefaultRules, &anybody(), &name);
            }
            Step::Unwatch(at) => {
                let _ = machine.unwatch(now, &procedure(NAMES[*at]));
            }
            Step::Down(node) => {
                let node = node_id(*node);
                machine.handle_input(now, Input::MemberDown { node });
            }
            Step::Offered(node, at, weight) => {
                let input = Input::Offered {
                    node: node_id(*node),
                    procedure: procedure(NAMES[*at]),
                    weight: *weight,
                };
                machine.handle_input(now, input);
            }
            Step::Unoffered(node, at) => {
                let (node, procedure) = (node_id(*node), procedure(NAMES[*at]));
                machine.handle_input(now, Input::Unoffered { node, procedure });
            }
        }
    }

    fn max_outputs(&self) -> usize {
        // A table and each of the names, twice: what waited, and what the step brought. And the end of a watch.
        11
    }

    fn observe(&self, machine: &Rpc) -> String {
        let offers: Vec<_> = (0..4)
            .map(|node| machine.offers_of(&node_id(node)).collect::<Vec<_>>())
            .collect();
        let table = machine.table();
        let candidates: Vec<_> = NAMES
            .iter()
            .map(|name| table.candidates(&procedure(name)))
            .collect();
        let counts = (
            machine.registrations(),
            machine.version(),
            machine.offers_refused(),
        );
        format!("{counts:?} {offers:?} {candidates:?}")
    }
}

#[test]
fn the_registry_keeps_the_laws() {
    laws::check(&Rpcs, steps());
}

struct Calls;

impl Subject for Calls {
    type Machine = Call;
    type Step = CallInput;

    fn create(&self, seed: u64, now: Instant) -> Call {
        let mut random = Random::new(seed);
        let count = random.index(6);
        let weight = u32::try_from(random.below(3)).unwrap();
        let candidates = (0..count)
            .map(|node| Candidate {
                provider: Provider::Member(node_id(node)),
                weight: if node == 0 { weight } else { 1 },
            })
            .collect();
        let deadline = now + Duration::from_millis(random.below(20_000));
        let mut request = CallRequest::new(CallId::from_bytes([1; 16]), procedure("a"), deadline);
        request.idempotent = random.below(2) == 0;
        Call::new(CallConfig::default(), request, candidates, random, now)
    }

    fn apply(&self, machine: &mut Call, now: Instant, step: &CallInput) {
        machine.handle_input(now, step.clone());
    }

    fn max_outputs(&self) -> usize {
        2
    }

    fn observe(&self, machine: &Call) -> String {
        format!("{:?} {}", machine.callee(), machine.is_done())
    }
}

fn inputs() -> impl Strategy<Value = CallInput> + Clone {
    let codes = [
        ErrorCode::APPLICATION,
        ErrorCode::BUSY,
        ErrorCode::CALLEE_LOST,
        ErrorCode::UNAVAILABLE,
    ];
    let failure = |code| CallInput::Answer(Err(Failure::new(code, "no")));
    let result = |id| {
        CallInput::Answer(Ok(CallResult {
            call: CallId::from_bytes([id; 16]),
            content: ContentType::Bytes,
            payload: Bytes::new(),
        }))
    };
    prop_oneof![
        6 => proptest::sample::select(codes.to_vec()).prop_map(failure),
        1 => (1_u8..3).prop_map(result),
        4 => Just(CallInput::Lost),
        4 => Just(CallInput::NotSent),
        2 => proptest::sample::select(CancelMode::ALL).prop_map(CallInput::Cancel),
    ]
}

#[test]
fn a_call_keeps_the_laws() {
    laws::check(&Calls, inputs());
}
