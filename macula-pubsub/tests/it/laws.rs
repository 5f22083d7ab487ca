//! The six laws of machines.

use macula_pubsub::{Config, Input, PubSub, SessionId};
use macula_realm::DefaultRules;
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::{Instant, Machine};
use proptest::prelude::*;

use crate::common::{anybody, local, own, pattern, session, topic};

/// Few names, so that steps meet each other.
const PATTERNS: [&str; 6] = ["**", "a.*", "a.**", "a.b", "b.c", "c"];
const TOPICS: [&str; 4] = ["a.b", "a.c", "b.c", "$sys.x"];

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u64, usize),
    Unsubscribe(u64),
    SubscribeSession(u64, u64, usize),
    DropSession(u64),
    Declare(usize),
    Retract(usize),
    Down(usize),
    Wanted(usize, usize),
    Unwanted(usize, usize),
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        3 => (0_u64..4, 0_usize..6).prop_map(|(id, at)| Step::Subscribe(id, at)),
        2 => (0_u64..4).prop_map(Step::Unsubscribe),
        2 => (0_u64..2, 0_u64..3, 0_usize..6)
            .prop_map(|(id, number, at)| Step::SubscribeSession(id, number, at)),
        1 => (0_u64..2).prop_map(Step::DropSession),
        2 => (0_usize..4).prop_map(Step::Declare),
        1 => (0_usize..4).prop_map(Step::Retract),
        1 => (1_usize..4).prop_map(Step::Down),
        4 => (0_usize..4, 0_usize..6).prop_map(|(node, at)| Step::Wanted(node, at)),
        2 => (0_usize..4, 0_usize..6).prop_map(|(node, at)| Step::Unwanted(node, at)),
    ]
}

struct PubSubs;

impl Subject for PubSubs {
    type Machine = PubSub;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> PubSub {
        let mut config = Config::default();
        config.max_interests = 3 + usize::try_from(seed % 4).unwrap();
        PubSub::new(config, own(), now)
    }

    fn apply(&self, machine: &mut PubSub, now: Instant, step: &Step) {
        // Commands may fail; the laws ask only that they fail alike.
        match step {
            Step::Subscribe(id, at) => {
                let wanted = pattern(PATTERNS[*at]);
                let _ = machine.subscribe(now, &DefaultRules, &anybody(), local(*id), wanted);
            }
            Step::Unsubscribe(id) => {
                let _ = machine.unsubscribe(now, local(*id));
            }
            Step::SubscribeSession(id, number, at) => {
                let wanted = pattern(PATTERNS[*at]);
                let who = session(*id, *number);
                let _ = machine.subscribe(now, &DefaultRules, &anybody(), who, wanted);
            }
            Step::DropSession(id) => {
                machine.drop_session(now, SessionId::new(*id));
            }
            Step::Declare(at) => {
                let _ = machine.declare(now, &DefaultRules, &anybody(), &topic(TOPICS[*at]));
            }
            Step::Retract(at) => {
                let _ = machine.retract(now, &topic(TOPICS[*at]));
            }
            Step::Down(node) => {
                let node = node_id(*node);
                machine.handle_input(now, Input::MemberDown { node });
            }
            Step::Wanted(node, at) => {
                let (node, pattern) = (node_id(*node), pattern(PATTERNS[*at]));
                machine.handle_input(now, Input::Wanted { node, pattern });
            }
            Step::Unwanted(node, at) => {
                let (node, pattern) = (node_id(*node), pattern(PATTERNS[*at]));
                machine.handle_input(now, Input::Unwanted { node, pattern });
            }
        }
    }

    fn max_outputs(&self) -> usize {
        // A table and each of the patterns, twice: what waited, and what the step brought. And two keys.
        16
    }

    fn observe(&self, machine: &PubSub) -> String {
        let interests: Vec<_> = machine
            .interested()
            .map(|member| (member, machine.interest_of(member).collect::<Vec<_>>()))
            .collect();
        let matches: Vec<_> = TOPICS
            .iter()
            .map(|text| machine.table().matches(&topic(text)))
            .collect();
        let counts = (
            machine.subscriptions(),
            machine.patterns(),
            machine.version(),
            machine.interests_refused(),
        );
        format!("{counts:?} {interests:?} {matches:?}")
    }
}

#[test]
fn the_machine_keeps_the_laws() {
    laws::check(&PubSubs, steps());
}
