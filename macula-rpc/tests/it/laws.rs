//! The six laws of machines.

use std::time::Duration;

use bytes::Bytes;
use macula_realm::DefaultRules;
use macula_rpc::{
    Call, CallConfig, CallInput, CallRequest, Candidate, Candidates, Config, Input, Offer,
    Provider, RegisterOptions, Rpc, SessionKey,
};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{CallResult, CancelMode, Failure, Invoke};
use macula_wire::{CallId, ContentType, ErrorCode, Instant, Machine, Random};
use proptest::prelude::*;

use crate::common::{anybody, local, own, pattern, procedure, session};

/// Few names, so that steps meet each other.
const NAMES: [&str; 4] = ["$sys.x", "a", "a.b", "b"];
/// What is served: the names, and patterns that cover some of them.
const PATTERNS: [&str; 6] = ["$sys.x", "a", "a.*", "a.**", "b", "**"];
const POLICIES: [Invoke; 3] = [Invoke::P2c, Invoke::Single, Invoke::Hash];

#[derive(Clone, Debug)]
enum Step {
    Register(u64, usize, u32, Words),
    Weigh(u64, u32),
    Unregister(u64),
    RegisterSession(u64, u64, usize),
    DropSession(u64),
    Watch(usize),
    Unwatch(usize),
    Down(usize),
    Offered(usize, usize, u32, Words),
    Unoffered(usize, usize),
}

/// By which policy, since when, and whether in place of others.
type Words = (usize, u64, bool);

fn words() -> impl Strategy<Value = Words> + Clone {
    let policy = prop_oneof![4 => Just(0_usize), 1 => Just(1_usize), 1 => Just(2_usize)];
    (policy, 0_u64..4, proptest::bool::weighted(0.1))
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        3 => (0_u64..4, 0_usize..6, 0_u32..3, words())
            .prop_map(|(id, at, weight, words)| Step::Register(id, at, weight, words)),
        1 => (0_u64..4, 0_u32..3).prop_map(|(id, weight)| Step::Weigh(id, weight)),
        2 => (0_u64..4).prop_map(Step::Unregister),
        2 => (0_u64..2, 0_u64..3, 0_usize..6)
            .prop_map(|(id, number, at)| Step::RegisterSession(id, number, at)),
        1 => (0_u64..2).prop_map(Step::DropSession),
        2 => (0_usize..4).prop_map(Step::Watch),
        1 => (0_usize..4).prop_map(Step::Unwatch),
        1 => (1_usize..4).prop_map(Step::Down),
        4 => (0_usize..4, 0_usize..6, 0_u32..3, words())
            .prop_map(|(node, at, weight, words)| Step::Offered(node, at, weight, words)),
        2 => (0_usize..4, 0_usize..6).prop_map(|(node, at)| Step::Unoffered(node, at)),
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
            Step::Register(id, at, weight, (policy, _, takeover)) => {
                options.weight = *weight;
                options.invoke = POLICIES[*policy];
                options.takeover = *takeover;
                let name = pattern(PATTERNS[*at]);
                let id = local(*id);
                let _ = machine.register(now, &DefaultRules, &anybody(), id, name, options);
            }
            Step::Unregister(id) => {
                let _ = machine.unregister(now, local(*id));
            }
            Step::Weigh(id, weight) => {
                let _ = machine.set_weight(now, local(*id), *weight);
            }
            Step::RegisterSession(id, number, at) => {
                let name = pattern(PATTERNS[*at]);
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
            Step::Offered(node, at, weight, (policy, since_ms, takeover)) => {
                let mut offer = Offer::new(*weight, POLICIES[*policy]);
                offer.since_ms = *since_ms;
                offer.takeover = *takeover;
                let input = Input::Offered {
                    node: node_id(*node),
                    pattern: pattern(PATTERNS[*at]),
                    offer,
                };
                machine.handle_input(now, input);
            }
            Step::Unoffered(node, at) => {
                let (node, pattern) = (node_id(*node), pattern(PATTERNS[*at]));
                machine.handle_input(now, Input::Unoffered { node, pattern });
            }
        }
    }

    fn max_outputs(&self) -> usize {
        // A table, each of the patterns, and the end of each registration with that of a watch, twice: what waited, and
        // what the step brought. And the begin or end of three watches.
        2 * (1 + 6 + 2 * 10) + 3
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
        let weight = |node| if node == 0 { weight } else { 1 };
        let list = (0..count)
            .map(|node| Candidate::new(Provider::Member(node_id(node)), weight(node)))
            .collect();
        let invoke = Invoke::ALL[random.index(Invoke::ALL.len())];
        let candidates = Some(Candidates::new(pattern("a"), invoke, own(), list));
        let deadline = now + Duration::from_millis(random.below(20_000));
        let mut request = CallRequest::new(CallId::from_bytes([1; 16]), procedure("a"), deadline);
        request.idempotent = random.below(2) == 0;
        let hedge = Duration::from_millis(random.below(3_000));
        request.hedge_after = Some(hedge).filter(|_| random.below(2) == 0);
        Call::new(CallConfig::default(), request, candidates, random, now)
    }

    fn apply(&self, machine: &mut Call, now: Instant, step: &CallInput) {
        machine.handle_input(now, step.clone());
    }

    fn max_outputs(&self) -> usize {
        // The end, and whoever is told to stop; or the next provider, before or after a hedge.
        3
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
    let failure = |(attempt, code)| CallInput::Answer {
        attempt,
        answer: Err(Failure::new(code, "no")),
    };
    let result = |(attempt, id)| CallInput::Answer {
        attempt,
        answer: Ok(CallResult {
            call: CallId::from_bytes([id; 16]),
            content: ContentType::Bytes,
            payload: Bytes::new(),
        }),
    };
    let attempt = || 1_u32..4;
    prop_oneof![
        6 => (attempt(), proptest::sample::select(codes.to_vec())).prop_map(failure),
        1 => (attempt(), 1_u8..3).prop_map(result),
        4 => attempt().prop_map(|attempt| CallInput::Lost { attempt }),
        4 => attempt().prop_map(|attempt| CallInput::NotSent { attempt }),
        2 => proptest::sample::select(CancelMode::ALL).prop_map(CallInput::Cancel),
    ]
}

#[test]
fn a_call_keeps_the_laws() {
    laws::check(&Calls, inputs());
}
