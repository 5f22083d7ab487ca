//! Each policy, as the documentation has it.

use macula_realm::Zone;
use macula_wire::{CallId, Instant, Pattern, Procedure};

use super::*;
use crate::RegistrationKey;

const OWN: NodeId = NodeId::from_bytes([99; 32]);

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn member(number: u8, weight: u32) -> Candidate {
    Candidate::new(Provider::Member(id(number)), weight)
}

fn here(number: u64, weight: u32) -> Candidate {
    Candidate::new(Provider::Local(RegistrationKey::new(number)), weight)
}

fn since(mut candidate: Candidate, since_ms: u64) -> Candidate {
    candidate.since_ms = since_ms;
    candidate
}

fn zoned(mut candidate: Candidate, zone: &str) -> Candidate {
    candidate.zone = Some(Zone::new(zone).unwrap());
    candidate
}

fn all(invoke: Invoke, list: &[Candidate]) -> Candidates {
    Candidates::new(Pattern::new("a").unwrap(), invoke, OWN, list.to_vec())
}

fn request() -> CallRequest {
    let procedure = Procedure::new("a").unwrap();
    CallRequest::new(
        CallId::from_bytes([1; 16]),
        procedure,
        Instant::from_millis(9),
    )
}

fn order_of(candidates: &Candidates, request: &CallRequest, seed: u64) -> Vec<Provider> {
    let mut choice = Choice::new(candidates.clone(), Random::new(seed));
    std::iter::from_fn(|| choice.next(request).map(|one| one.provider)).collect()
}

fn order(invoke: Invoke, list: &[Candidate], seed: u64) -> Vec<Provider> {
    order_of(&all(invoke, list), &request(), seed)
}

/// How often each comes first.
fn firsts(candidates: &Candidates, rounds: u64) -> Vec<u64> {
    let list = candidates.all();
    let mut counts = vec![0_u64; list.len()];
    for seed in 0..rounds {
        let first = order_of(candidates, &request(), seed)[0];
        let at = list.iter().position(|one| one.provider == first).unwrap();
        counts[at] = counts[at].saturating_add(1);
    }
    counts
}

#[test]
fn each_comes_once_whatever_the_policy() {
    let list = [here(1, 1), here(2, 1), member(1, 100), member(2, 1)];
    for invoke in Invoke::ALL {
        for seed in 0..50 {
            let mut order = order(*invoke, &list, seed);
            order.sort_unstable();
            assert!(
                order.iter().eq(list.iter().map(|one| &one.provider)),
                "{invoke:?}"
            );
        }
    }
}

#[test]
fn what_drains_is_never_chosen_and_what_is_full_last() {
    let full = member(1, 5);
    let mut full = full;
    full.concurrency = 0;
    let list = [full.clone(), member(2, 0), member(3, 1)];
    for invoke in Invoke::ALL {
        let expected = [Provider::Member(id(3)), full.provider];
        assert_eq!(order(*invoke, &list, 1), expected, "{invoke:?}");
        assert!(order(*invoke, &[member(2, 0)], 1).is_empty());
    }
}

#[test]
fn the_default_prefers_this_node_while_it_has_room() {
    let list = [here(1, 1), member(1, 100)];
    let candidates = all(Invoke::P2c, &list);
    assert_eq!(firsts(&candidates, 50), [50, 0]);
    let mut full = here(1, 1);
    full.concurrency = 0;
    assert_eq!(
        firsts(&all(Invoke::P2c, &[full, member(1, 1)]), 50),
        [0, 50]
    );
}

#[test]
fn draws_go_by_weight() {
    let list = [member(1, 1), member(2, 1), member(3, 2), member(4, 0)];
    let counts = firsts(&all(Invoke::Random, &list), 4_000);
    assert!((800..1_200).contains(&counts[0]), "{counts:?}");
    assert!((800..1_200).contains(&counts[1]), "{counts:?}");
    assert!((1_800..2_200).contains(&counts[2]), "{counts:?}");
    assert_eq!(counts[3], 0);
}

#[test]
fn turns_are_taken_by_weight_and_go_on_from_call_to_call() {
    let candidates = all(Invoke::RoundRobin, &[member(1, 1), member(2, 3)]);
    let first = |seed| order_of(&candidates, &request(), seed)[0];
    let taken: Vec<Provider> = (0..8).map(first).collect();
    let ones = taken.iter().filter(|one| **one == Provider::Member(id(1)));
    assert_eq!(ones.count(), 2);
    assert_eq!(taken[..4], taken[4..]);
}

#[test]
fn the_first_and_the_last_are_those_by_time_then_by_id() {
    let list = [
        since(member(1, 1), 5),
        since(member(2, 1), 3),
        since(member(3, 1), 3),
    ];
    let members = |numbers: [u8; 3]| numbers.map(|number| Provider::Member(id(number)));
    assert_eq!(order(Invoke::First, &list, 1), members([2, 3, 1]));
    assert_eq!(order(Invoke::Last, &list, 1), members([1, 3, 2]));
    // This node is as old as the older of its registrations.
    let list = [
        since(here(1, 1), 2),
        since(here(2, 1), 9),
        since(member(1, 1), 5),
    ];
    let last = order(Invoke::Last, &list, 1);
    assert_eq!(last[0], Provider::Member(id(1)));
    assert_eq!(last[1], Provider::Local(RegistrationKey::new(2)));
}

#[test]
fn load_counts_for_its_weight() {
    let (busy, idle) = (member(1, 1), member(2, 1));
    let _running = (busy.slots.take(), busy.slots.take());
    let list = [busy, idle];
    for invoke in [Invoke::LeastLoaded, Invoke::P2c] {
        assert_eq!(firsts(&all(invoke, &list), 50), [0, 50], "{invoke:?}");
    }
    // Two of ten are less than one of one.
    let one = member(3, 1);
    let _one = one.slots.take();
    let strong = member(4, 10);
    let _two = (strong.slots.take(), strong.slots.take());
    assert_eq!(
        firsts(&all(Invoke::LeastLoaded, &[one, strong]), 50),
        [0, 50]
    );
    // Equals share.
    let counts = firsts(
        &all(Invoke::LeastLoaded, &[member(5, 1), member(6, 1)]),
        400,
    );
    assert!(
        counts.iter().all(|count| (120..280).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_key_chooses_alike_at_every_caller() {
    let seen_by = |own: u8| {
        let numbers = [1, 2, 3, 4];
        let list = numbers.map(|number| {
            if number == own {
                here(7, 1)
            } else {
                member(number, 1)
            }
        });
        Candidates::new(
            Pattern::new("a").unwrap(),
            Invoke::Hash,
            id(own),
            list.to_vec(),
        )
    };
    let mut counts = [0; 5];
    for key in 0..400_u32 {
        let key = key.to_be_bytes();
        let chosen = |own: u8| {
            let request = request().keyed(Some(&key), &id(own));
            match order_of(&seen_by(own), &request, u64::from(own))[0] {
                Provider::Member(node) => node.as_bytes()[0],
                Provider::Local(_) | Provider::Session(..) => own,
            }
        };
        let by_one = chosen(1);
        assert!((2..=4).all(|own| chosen(own) == by_one));
        counts[usize::from(by_one)] += 1;
    }
    assert!(
        counts[1..].iter().all(|count| (60..140).contains(count)),
        "{counts:?}"
    );
    // Without a key a caller stays where it is.
    let order_of_caller = |seed| order_of(&seen_by(1), &request().keyed(None, &id(9)), seed);
    assert_eq!(order_of_caller(1), order_of_caller(2));
}

#[test]
fn near_goes_before_far() {
    let list = [
        here(1, 1),
        zoned(member(1, 1), "east"),
        zoned(member(2, 1), "west"),
    ];
    let mut request = request();
    request.zone = Some(Zone::new("west").unwrap());
    for seed in 0..20 {
        let order = order_of(&all(Invoke::LocalFirst, &list), &request, seed);
        let expected = [list[0].provider, list[2].provider, list[1].provider];
        assert_eq!(order, expected);
    }
}

#[test]
fn a_scope_leaves_the_others_out() {
    let list = [here(1, 1), zoned(member(1, 1), "east"), member(2, 1)];
    let chosen = |scope: Scope| {
        let mut request = request();
        request.scope = scope;
        order_of(&all(Invoke::Random, &list), &request, 1)
    };
    assert_eq!(chosen(Scope::Here), [list[0].provider]);
    assert_eq!(
        chosen(Scope::Zone(Zone::new("east").unwrap())),
        [list[1].provider]
    );
    assert!(chosen(Scope::Zone(Zone::new("west").unwrap())).is_empty());
    assert_eq!(chosen(Scope::Any).len(), 3);
}
