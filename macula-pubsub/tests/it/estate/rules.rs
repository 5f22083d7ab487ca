//! What a store does with what it is told, rule by rule.

use std::time::Duration;

use macula_pubsub::{Bequest, Estate, EstateConfig, EstateInput, EstateOutput};
use macula_testkit::node_id as id;
use macula_wire::message::{Arrear, Arrears, Debts, DeliveryRange, Priority};
use macula_wire::{ChannelRun, DeliveryId, Machine, NodeId};

use crate::common::at;

const PUBLISHER: usize = 0;
const STORES: [usize; 2] = [1, 2];

fn sorted(all: &[usize]) -> Vec<NodeId> {
    let mut all: Vec<NodeId> = all.iter().map(|at| id(*at)).collect();
    all.sort();
    all
}

fn bequest(first: u64, count: u32, members: &[usize], rank: u32) -> Bequest<u64> {
    Bequest {
        publisher: id(PUBLISHER),
        run: ChannelRun::new(7),
        first: DeliveryId::new(first),
        count,
        payload: first,
        bytes: 100,
        class: Priority::Normal,
        ttl: None,
        debts: Debts {
            members: sorted(members),
            stores: sorted(&STORES),
            groups: Vec::new(),
        },
        rank,
        own: id(STORES[0]),
    }
}

fn arrears(run: u64, since: u64, upto: u64, open: &[(usize, u64, u64)]) -> EstateInput {
    let open = open.iter().map(|(node, first, last)| Arrear {
        node: id(*node),
        open: vec![DeliveryRange {
            first: DeliveryId::new(*first),
            last: DeliveryId::new(*last),
        }],
    });
    let arrears = Arrears {
        run: ChannelRun::new(run),
        since: DeliveryId::new(since),
        upto: DeliveryId::new(upto),
        open: open.collect(),
    };
    EstateInput::Arrears(id(PUBLISHER), arrears)
}

/// What is taken over: the first ids, and who is owed each.
fn inherited(estate: &mut Estate<u64>) -> Vec<(u64, Vec<NodeId>)> {
    let outputs = std::iter::from_fn(|| estate.poll_output());
    outputs
        .filter_map(|output| match output {
            EstateOutput::Inherited(one) => Some((one.payload, one.members)),
            _ => None,
        })
        .collect()
}

fn estate(max_events: usize) -> Estate<u64> {
    let mut config = EstateConfig::default();
    config.max_events = max_events;
    Estate::new(config, at(0))
}

#[test]
fn what_is_settled_is_forgotten_and_the_rest_taken_over() {
    let mut estate = estate(100);
    for first in [1, 3, 5, 7] {
        estate.take(at(1), bequest(first, 2, &[1, 3, 4], 0), (0, 0));
    }
    estate.handle_input(at(2), arrears(7, 1, 7, &[(3, 4, 5), (4, 6, 6)]));
    estate.handle_input(at(3), EstateInput::Lost(id(PUBLISHER)));
    let both = || sorted(&[3, 4]);
    let expected = [(3, sorted(&[3])), (5, both()), (7, both())];
    assert_eq!(inherited(&mut estate), expected);
    assert_eq!(estate.used(), (0, 0));
    // What comes of it after that is taken over at once.
    estate.take(at(4), bequest(9, 1, &[3], 0), (0, 0));
    estate.handle_timeout(at(4));
    assert_eq!(inherited(&mut estate), [(9, sorted(&[3]))]);
}

#[test]
fn who_is_not_the_first_waits_and_a_publisher_that_is_back_is_left_alone() {
    let mut estate = estate(100);
    estate.take(at(1), bequest(1, 1, &[3], 1), (0, 0));
    estate.handle_input(at(2), EstateInput::Lost(id(PUBLISHER)));
    assert_eq!(inherited(&mut estate), []);
    estate.handle_input(at(3), EstateInput::Back(id(PUBLISHER)));
    estate.handle_timeout(at(60_000));
    assert_eq!(inherited(&mut estate), []);
    estate.handle_input(at(60_001), EstateInput::Lost(id(PUBLISHER)));
    estate.handle_timeout(at(63_000));
    assert_eq!(inherited(&mut estate), []);
    estate.handle_timeout(at(63_001));
    assert_eq!(inherited(&mut estate), [(1, sorted(&[3]))]);
}

#[test]
fn what_a_publisher_has_forgotten_is_taken_over_and_what_it_remembers_is_not() {
    let mut estate = estate(100);
    for first in 1..4 {
        estate.take(at(1), bequest(first, 1, &[3], 0), (0, 0));
    }
    // It was started again from its log, which holds the second of them.
    estate.handle_input(at(2), arrears(7, 100, 100, &[(3, 2, 2)]));
    estate.handle_timeout(at(2));
    assert_eq!(
        inherited(&mut estate),
        [(1, sorted(&[3])), (3, sorted(&[3]))]
    );
    // It was started again without.
    estate.handle_input(at(3), arrears(8, 1, 1, &[]));
    estate.handle_timeout(at(3));
    assert_eq!(inherited(&mut estate), [(2, sorted(&[3]))]);
}

#[test]
fn the_oldest_make_room_and_who_has_begun_anew_is_owed_nothing() {
    let mut estate = estate(4);
    for first in [1, 3, 5] {
        estate.take(at(1), bequest(first, 2, &[3], 0), (0, 0));
    }
    let told = estate.poll_output();
    assert!(
        matches!(told, Some(EstateOutput::GivenUp { events: 2 })),
        "{told:?}"
    );
    assert_eq!(estate.used(), (4, 200));
    estate.take(at(1), bequest(7, 1, &[4], 0), (2, 0));
    assert_eq!(estate.used(), (1, 100), "what was taken over counts");
    estate.handle_input(at(2), EstateInput::Gone(id(3)));
    assert_eq!(estate.used(), (1, 100));
    estate.handle_input(at(2), EstateInput::Gone(id(4)));
    assert_eq!(estate.used(), (0, 0));
    estate.take(
        at(3),
        Bequest {
            ttl: Some(Duration::from_millis(5)),
            ..bequest(9, 1, &[3], 0)
        },
        (0, 0),
    );
    estate.handle_timeout(at(8));
    assert_eq!(estate.used(), (0, 0), "it has expired");
}
