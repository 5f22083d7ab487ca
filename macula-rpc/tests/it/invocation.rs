//! Admission of incoming calls: ids, slots, deadlines, bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_rpc::{Admission, InvocationConfig, Invocations, Slots};
use macula_testkit::{each_seed, node_id};
use macula_wire::{CallId, ErrorCode, Instant, Random};

use crate::common::at;

fn call(number: u8) -> CallId {
    CallId::from_bytes([number; 16])
}

fn invocations() -> Invocations {
    Invocations::new(&InvocationConfig::default())
}

/// Admits call `number` of node 1 at `millis`, with five seconds of time.
fn admit(
    invocations: &Invocations,
    slots: &Slots,
    millis: u64,
    number: u8,
) -> Result<Admission, ErrorCode> {
    let deadline = at(millis + 5_000);
    invocations
        .admit(at(millis), node_id(1), call(number), slots, deadline)
        .map_err(|failure| failure.code)
}

#[test]
fn a_call_id_runs_once_while_it_runs_and_afterwards() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    let first = admit(&invocations, &slots, 0, 1).unwrap();
    assert_eq!((first.caller(), first.call()), (node_id(1), call(1)));
    assert_eq!(first.deadline(), at(5_000));
    assert_eq!(
        admit(&invocations, &slots, 1, 1).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    first.finish();
    assert_eq!(
        admit(&invocations, &slots, 2, 1).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    // Another id, and the same id of another caller, are other calls.
    assert!(admit(&invocations, &slots, 3, 2).is_ok());
    let other = invocations.admit(at(3), node_id(2), call(1), &slots, at(10));
    assert!(other.is_ok());
    assert_eq!(invocations.stats().repeated, 2);
}

#[test]
fn ids_are_remembered_for_the_window() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    drop(admit(&invocations, &slots, 0, 1));
    assert!(admit(&invocations, &slots, 299_999, 1).is_err());
    assert!(admit(&invocations, &slots, 300_000, 1).is_ok());
}

#[test]
fn a_call_with_a_long_deadline_is_remembered_until_then() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    let admit = |now| invocations.admit(now, node_id(1), call(1), &slots, at(1_000_000));
    drop(admit(at(0)));
    assert!(admit(at(999_999)).is_err());
    let (now, later) = (at(1_000_000), at(1_000_001));
    assert!(
        invocations
            .admit(now, node_id(1), call(1), &slots, later)
            .is_ok()
    );
}

#[test]
fn only_so_many_ids_are_remembered_but_all_that_run() {
    let mut config = InvocationConfig::default();
    config.shards = 1;
    config.max_ids = 2;
    let (invocations, slots) = (Invocations::new(&config), Slots::new(10));
    let running = admit(&invocations, &slots, 0, 1).unwrap();
    drop(admit(&invocations, &slots, 0, 2));
    drop(admit(&invocations, &slots, 0, 3));
    drop(admit(&invocations, &slots, 0, 4));
    assert!(admit(&invocations, &slots, 1, 1).is_err());
    assert!(admit(&invocations, &slots, 1, 4).is_err());
    assert!(admit(&invocations, &slots, 1, 2).is_ok());
    drop(running);
    assert!(admit(&invocations, &slots, 2, 1).is_ok());
}

#[test]
fn a_registration_takes_as_many_calls_as_it_said() {
    let (invocations, slots) = (invocations(), Slots::new(1));
    let first = admit(&invocations, &slots, 0, 1).unwrap();
    assert_eq!(
        admit(&invocations, &slots, 0, 2).unwrap_err(),
        ErrorCode::BUSY
    );
    // Another registration has slots of its own.
    assert!(admit(&invocations, &Slots::new(1), 0, 3).is_ok());
    drop(first);
    // A call that was refused may have gone elsewhere, so its id is spent; a new one finds the slot.
    assert_eq!(
        admit(&invocations, &slots, 1, 2).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    assert!(admit(&invocations, &slots, 1, 4).is_ok());
    assert_eq!(slots.used(), 0);
    let stats = invocations.stats();
    assert_eq!((stats.running, stats.admitted, stats.busy), (0, 3, 1));
}

#[test]
fn the_node_takes_no_more_calls_than_its_limit() {
    let mut config = InvocationConfig::default();
    config.max_running = 2;
    let (invocations, slots) = (Invocations::new(&config), Slots::new(10));
    let first = admit(&invocations, &slots, 0, 1).unwrap();
    let _second = admit(&invocations, &slots, 0, 2).unwrap();
    assert_eq!(
        admit(&invocations, &slots, 0, 3).unwrap_err(),
        ErrorCode::BUSY
    );
    assert_eq!(slots.used(), 2);
    drop(first);
    assert!(admit(&invocations, &slots, 0, 4).is_ok());
}

#[test]
fn a_call_that_was_refused_elsewhere_does_not_run_later() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    invocations.refuse(at(0), node_id(1), call(1), at(5_000));
    assert_eq!(
        admit(&invocations, &slots, 1, 1).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    assert!(admit(&invocations, &slots, 1, 2).is_ok());
    // A call that runs is not ended by it.
    let running = admit(&invocations, &slots, 2, 3).unwrap();
    invocations.refuse(at(3), node_id(1), call(3), at(5_000));
    assert_eq!((invocations.stats().running, slots.used()), (1, 1));
    drop(running);
}

#[test]
fn a_call_that_came_too_late_does_not_run() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    let admit = |deadline: Instant| {
        let result = invocations.admit(at(100), node_id(1), call(1), &slots, deadline);
        result.map(drop).map_err(|failure| failure.code)
    };
    assert_eq!(admit(at(100)), Err(ErrorCode::DEADLINE_EXCEEDED));
    assert_eq!(admit(at(101)), Ok(()));
    assert_eq!(invocations.stats().late, 1);
}

/// Random calls that come, come again and end, against plain maps.
#[test]
fn no_call_runs_twice_and_no_slot_is_lost() {
    each_seed(|seed| {
        let mut config = InvocationConfig::default();
        config.max_running = 6;
        let (invocations, slots) = (Invocations::new(&config), [Slots::new(2), Slots::new(5)]);
        let mut random = Random::new(seed);
        let mut running: Vec<(usize, Admission)> = Vec::new();
        let mut came: BTreeMap<(usize, u8), Instant> = BTreeMap::new();
        let mut now = at(0);
        for _ in 0..500 {
            now = now + Duration::from_millis(random.below(4_000));
            if random.below(3) == 0 && !running.is_empty() {
                drop(running.swap_remove(random.index(running.len())));
                continue;
            }
            let caller = random.index(3);
            let number = u8::try_from(random.below(100)).unwrap();
            let which = random.index(2);
            let used = running.iter().filter(|(other, _)| *other == which).count();
            let is_running = running
                .iter()
                .any(|(_, held)| held.caller() == node_id(caller) && held.call() == call(number));
            let window = Duration::from_secs(300);
            let is_recent = came
                .get(&(caller, number))
                .is_some_and(|then| *then + window > now);
            let limit = usize::try_from(slots[which].limit()).unwrap();
            let expected = if is_running || is_recent {
                Some(ErrorCode::CALL_GONE)
            } else if running.len() >= 6 || used >= limit {
                Some(ErrorCode::BUSY)
            } else {
                None
            };
            let deadline = now + Duration::from_secs(1);
            let id = node_id(caller);
            match invocations.admit(now, id, call(number), &slots[which], deadline) {
                Ok(admission) => {
                    assert_eq!(expected, None);
                    came.insert((caller, number), now);
                    running.push((which, admission));
                }
                Err(failure) => {
                    assert_eq!(Some(failure.code), expected);
                    if failure.code == ErrorCode::BUSY {
                        came.insert((caller, number), now);
                    }
                }
            }
        }
        drop(running);
        assert_eq!(invocations.stats().running, 0);
        assert!(slots.iter().all(|slots| slots.used() == 0));
    });
}
