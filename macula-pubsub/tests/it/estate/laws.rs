//! The six laws, on what a store keeps of the debts of others.

use std::time::Duration;

use macula_pubsub::{Bequest, Estate, EstateConfig, EstateInput};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{Arrear, Arrears, Balance, DebtGroup, Debts, DeliveryRange, Priority};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Take(usize, u64, u64, u32, bool, Option<u16>),
    Arrears(usize, u64, u64, u64, usize),
    Lost(usize),
    Back(usize),
    Gone(usize),
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let node = || 0_usize..4;
    let id = || 1_u64..12;
    prop_oneof![
        6 => (node(), 0_u64..3, id(), 0_u32..3, any::<bool>(), prop::option::of(0_u16..200))
            .prop_map(|(of, run, first, rank, shared, ttl)| Step::Take(of, run, first, rank, shared, ttl)),
        3 => (node(), 0_u64..3, id(), id(), node())
            .prop_map(|(of, run, since, upto, open)| Step::Arrears(of, run, since, upto, open)),
        2 => node().prop_map(Step::Lost),
        1 => node().prop_map(Step::Back),
        1 => node().prop_map(Step::Gone),
    ]
}

fn all() -> Vec<NodeId> {
    let mut all: Vec<NodeId> = (0..4).map(node_id).collect();
    all.sort();
    all
}

struct Estates;

impl Subject for Estates {
    type Machine = Estate<u64>;
    type Step = Step;

    fn create(&self, _: u64, now: Instant) -> Estate<u64> {
        let mut config = EstateConfig::default();
        config.max_events = 8;
        config.turn = Duration::from_millis(100);
        Estate::new(config, now)
    }

    fn apply(&self, machine: &mut Estate<u64>, now: Instant, step: &Step) {
        let input = match *step {
            Step::Take(of, run, first, rank, is_shared, ttl) => {
                let group = is_shared.then(|| DebtGroup {
                    name: "g".into(),
                    balance: Balance::Sticky,
                    members: all(),
                    first: DeliveryId::new(first + 20),
                    chosen: vec![0, 3],
                });
                let bequest = Bequest {
                    publisher: node_id(of),
                    run: ChannelRun::new(run),
                    first: DeliveryId::new(first),
                    count: 2,
                    payload: first,
                    bytes: 10,
                    class: Priority::Normal,
                    ttl: ttl.map(|ttl| Duration::from_millis(u64::from(ttl))),
                    debts: Debts {
                        members: all(),
                        stores: all(),
                        groups: group.into_iter().collect(),
                    },
                    rank,
                    own: node_id(3),
                };
                return machine.take(now, bequest, (0, 0));
            }
            Step::Arrears(of, run, since, upto, open) => {
                let range = DeliveryRange {
                    first: DeliveryId::new(since),
                    last: DeliveryId::new(since + 2),
                };
                let arrears = Arrears {
                    run: ChannelRun::new(run),
                    since: DeliveryId::new(since),
                    upto: DeliveryId::new(upto),
                    open: vec![Arrear {
                        node: node_id(open),
                        open: vec![range],
                    }],
                };
                EstateInput::Arrears(node_id(of), arrears)
            }
            Step::Lost(of) => EstateInput::Lost(node_id(of)),
            Step::Back(of) => EstateInput::Back(node_id(of)),
            Step::Gone(of) => EstateInput::Gone(node_id(of)),
        };
        machine.handle_input(now, input);
    }

    fn max_outputs(&self) -> usize {
        // All that is kept may be taken over at once.
        8
    }

    fn observe(&self, machine: &Estate<u64>) -> String {
        format!("{:?}", machine.used())
    }
}

#[test]
fn an_estate_keeps_the_laws() {
    laws::check(&Estates, steps());
}
