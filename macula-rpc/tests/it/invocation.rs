//! Admission of incoming calls: ids, slots, deadlines, bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_rpc::{Admission, Entry, InvocationConfig, Invocations, Slots};
use macula_testkit::{each_seed, node_id};
use macula_wire::{CallId, ErrorCode, Instant, Random};

use crate::common::at;

fn call(number: u8) -> CallId {
    CallId::from_bytes([number; 16])
}

fn invocations() -> Invocations {
    Invocations::new(&InvocationConfig::default())
}

/// A call that runs.
#[derive(Debug)]
struct Running(
    Admission,
    #[expect(dead_code, reason = "it is held to be dropped")] Entry,
);

/// Admits call `number` of node 1 at `millis`, with five seconds of time.
fn admit(
    invocations: &Invocations,
    slots: &Slots,
    millis: u64,
    number: u8,
) -> Result<Running, ErrorCode> {
    let deadline = at(millis + 5_000);
    run(invocations, slots, at(millis), (1, number), deadline)
}

/// Admits a call and lets it enter a registration.
fn run(
    invocations: &Invocations,
    slots: &Slots,
    now: Instant,
    (caller, number): (usize, u8),
    deadline: Instant,
) -> Result<Running, ErrorCode> {
    let admission = invocations.admit(now, node_id(caller), call(number), deadline);
    let admission = admission.map_err(|failure| failure.code)?;
    let entry = admission.enter(now, slots);
    Ok(Running(admission, entry.map_err(|failure| failure.code)?))
}

#[test]
fn a_call_id_runs_once_while_it_runs_and_afterwards() {
    let (invocations, slots) = (invocations(), Slots::new(10));
    let first = admit(&invocations, &slots, 0, 1).unwrap();
    assert_eq!((first.0.caller(), first.0.call()), (node_id(1), call(1)));
    assert_eq!(first.0.deadline(), at(5_000));
    assert_eq!(
        admit(&invocations, &slots, 1, 1).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    first.0.finish();
    assert_eq!(
        admit(&invocations, &slots, 2, 1).unwrap_err(),
        ErrorCode::CALL_GONE
    );
    // Another id, and the same id of another caller, are other calls.
    assert!(admit(&invocations, &slots, 3, 2).is_ok());
    let other = run(&invocations, &slots, at(3), (2, 1), at(10));
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
    let admit = |now| run(&invocations, &slots, now, (1, 1), at(1_000_000));
    drop(admit(at(0)));
    assert!(admit(at(999_999)).is_err());
    let (now, later) = (at(1_000_000), at(1_000_001));
    assert!(run(&invocations, &slots, now, (1, 1), later).is_ok());
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
    assert_eq!((stats.running, stats.admitted, stats.busy), (0, 4, 1));
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
    let admit = |deadline: Instant| run(&invocations, &slots, at(100), (1, 1), deadline).map(drop);
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
        let mut running: Vec<(usize, Running)> = Vec::new();
        let mut came: BTreeMap<(usize, u8), Instant> = BTreeMap::new();
        // When somebody found no free slot of a registration: for a second others may find none either.
        let mut refused = [None; 2];
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
            let is_running = running.iter().any(|(_, held)| {
                held.0.caller() == node_id(caller) && held.0.call() == call(number)
            });
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
            match run(&invocations, &slots[which], now, (caller, number), deadline) {
                Ok(admission) => {
                    assert_eq!(expected, None);
                    came.insert((caller, number), now);
                    running.push((which, admission));
                }
                Err(code) => {
                    let kept = refused[which].is_some_and(|then: Instant| now < then);
                    let shared = expected.is_none() && kept && code == ErrorCode::BUSY;
                    assert!(shared || Some(code) == expected, "{code} {expected:?}");
                    if code == ErrorCode::BUSY && used >= limit {
                        refused[which] = Some(now + Duration::from_secs(1));
                    }
                    if code == ErrorCode::BUSY {
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
