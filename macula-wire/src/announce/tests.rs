//! Tests of both sides, alone and talking to each other.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Announcement, Announcer, Changes, Heard, HeardLimits, Offence};
use crate::limit::MAX_ANNOUNCED;
use crate::{Instant, NodeId, Random};

const LEASE: Duration = Duration::from_secs(60);
const LIMITS: HeardLimits = HeardLimits {
    max_members: 2,
    max_entries: 4,
    max_lease: Duration::from_secs(600),
};

const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

const fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds.saturating_mul(1_000))
}

fn announcer() -> Announcer<u32, u32> {
    Announcer::new(LEASE, Random::new(1))
}

fn full(version: u64, add: &[u32]) -> Announcement<u32, u32> {
    Announcement {
        full: true,
        ..change(version, add, &[])
    }
}

fn change(version: u64, add: &[u32], remove: &[u32]) -> Announcement<u32, u32> {
    Announcement {
        version,
        full: false,
        lease_ms: 60_000,
        add: add.iter().map(|key| (*key, 1)).collect(),
        remove: remove.to_vec(),
    }
}

#[test]
fn who_comes_up_is_told_everything_and_then_the_changes() {
    let mut announcer = announcer();
    announcer.set(1, 10);
    assert!(!announcer.has_changes());
    let parts = announcer.member_up(at(0), node(1));
    assert_eq!(parts.len(), 1);
    assert!(parts[0].full);
    assert_eq!((parts[0].version, &parts[0].add), (0, &vec![(1, 10)]));

    announcer.set(2, 20);
    announcer.unset(&1);
    let change = announcer.next_change(at(1)).unwrap();
    assert!(!change.full);
    assert_eq!((change.version, change.lease_ms), (1, 60_000));
    assert_eq!((change.add, change.remove), (vec![(2, 20)], vec![1]));
    assert_eq!(announcer.next_change(at(1)), None);
}

#[test]
fn a_change_that_was_taken_back_is_not_announced() {
    let mut announcer = announcer();
    announcer.set(1, 10);
    announcer.member_up(at(0), node(1));
    announcer.set(2, 20);
    announcer.unset(&2);
    announcer.set(1, 11);
    announcer.set(1, 10);
    assert!(!announcer.has_changes());
    announcer.set(1, 11);
    assert!(announcer.has_changes());
}

#[test]
fn a_full_statement_leaves_out_what_waits() {
    let mut announcer = announcer();
    announcer.set(1, 10);
    announcer.member_up(at(0), node(1));
    announcer.set(2, 20);
    announcer.unset(&1);
    let parts = announcer.member_up(at(1), node(2));
    assert_eq!((parts[0].version, &parts[0].add), (0, &vec![(1, 10)]));
    assert_eq!(announcer.next_change(at(1)).unwrap().version, 1);
}

#[test]
fn large_statements_and_changes_are_cut() {
    let mut announcer = announcer();
    let count = u32::try_from(MAX_ANNOUNCED).unwrap() * 2 + 1;
    let sizes = |parts: &[Announcement<u32, u32>]| -> Vec<usize> {
        parts.iter().map(|part| part.add.len()).collect()
    };
    announcer.member_up(at(0), node(1));
    (0..count).for_each(|key| announcer.set(key, 0));
    let changes: Vec<_> = core::iter::from_fn(|| announcer.next_change(at(0))).collect();
    assert_eq!(sizes(&changes), [MAX_ANNOUNCED, MAX_ANNOUNCED, 1]);
    assert!(changes.iter().map(|part| part.version).eq([1, 2, 3]));
    let parts = announcer.member_up(at(0), node(2));
    assert_eq!(sizes(&parts), [MAX_ANNOUNCED, MAX_ANNOUNCED, 1]);
    assert!(parts.iter().map(|part| (part.version, part.full)).eq([
        (3, true),
        (3, false),
        (3, false)
    ]));
}

#[test]
fn renewals_come_shortly_before_half_of_the_lease_while_somebody_listens() {
    let mut announcer = announcer();
    assert_eq!(announcer.next_renewal(), None);
    announcer.member_up(at(0), node(1));
    let due = announcer.next_renewal().unwrap();
    assert!(due > at(26) && due <= at(30), "{due}");
    assert_eq!(announcer.renewal(at(26)), None);
    let renewal = announcer.renewal(due).unwrap();
    assert_eq!(renewal, change(0, &[], &[]));
    assert!(announcer.next_renewal().unwrap() > due);
    announcer.member_down(&node(1));
    assert_eq!(announcer.next_renewal(), None);
}

#[test]
fn a_full_statement_replaces_and_changes_add_up() {
    let mut heard = Heard::new(LIMITS);
    let changes = heard.hear(at(0), node(1), full(7, &[1, 2])).unwrap();
    assert_eq!(changes.set, [(1, 1), (2, 1)]);
    let changes = heard
        .hear(at(0), node(1), change(8, &[2, 3], &[1]))
        .unwrap();
    assert_eq!((changes.set, changes.unset), (vec![(3, 1)], vec![1]));
    let changes = heard.hear(at(0), node(1), full(0, &[3, 4])).unwrap();
    assert_eq!((changes.set, changes.unset), (vec![(4, 1)], vec![2]));
    assert!(heard.of(&node(1)).eq([(&3, &1), (&4, &1)]));
}

#[test]
fn versions_are_kept_in_order() {
    let mut heard = Heard::new(LIMITS);
    let refused = heard.hear(at(0), node(1), change(1, &[1], &[]));
    assert_eq!(refused, Err(Offence::WithoutFull));
    heard.hear(at(0), node(1), full(5, &[1])).unwrap();
    assert!(heard.hear(at(0), node(1), change(5, &[2], &[])).is_ok());
    assert_eq!(
        heard.hear(at(0), node(1), change(4, &[3], &[])),
        Ok(Changes::default())
    );
    assert_eq!(
        heard.hear(at(0), node(1), change(7, &[3], &[])),
        Err(Offence::Skipped)
    );
    assert!(heard.hear(at(0), node(1), change(6, &[3], &[])).is_ok());
    assert!(heard.of(&node(1)).map(|(key, _)| *key).eq([1, 2, 3]));
}

#[test]
fn lists_ascend_and_do_not_contradict_each_other() {
    let mut heard = Heard::new(LIMITS);
    for (add, remove, expected) in [
        (&[2, 1][..], &[][..], Err(Offence::Disorder)),
        (&[1, 1], &[], Err(Offence::Disorder)),
        (&[], &[3, 3], Err(Offence::Disorder)),
        (&[1, 5], &[2, 5], Err(Offence::Contradiction)),
        (&[1, 5], &[2, 6], Ok(())),
    ] {
        let message = Announcement {
            full: true,
            ..change(0, add, remove)
        };
        let result = heard.hear(at(0), node(1), message).map(|_| ());
        assert_eq!(result, expected, "{add:?} {remove:?}");
    }
}

#[test]
fn nobody_says_more_than_the_limits() {
    let mut heard = Heard::new(LIMITS);
    let refused = heard.hear(at(0), node(1), full(0, &[1, 2, 3, 4, 5]));
    assert_eq!(refused, Err(Offence::TooMany));
    assert!(heard.hear(at(0), node(1), full(0, &[1, 2, 3, 4])).is_ok());
    let refused = heard.hear(at(0), node(1), change(1, &[5], &[]));
    assert_eq!(refused, Err(Offence::TooMany));
    assert!(heard.hear(at(0), node(1), change(1, &[5], &[1])).is_ok());
    assert!(heard.hear(at(0), node(2), full(0, &[])).is_ok());
    let refused = heard.hear(at(0), node(3), full(0, &[]));
    assert_eq!(refused, Err(Offence::TooManyMembers));
    heard.forget(&node(2));
    assert!(heard.hear(at(0), node(3), full(0, &[])).is_ok());
}

#[test]
fn a_statement_ends_with_its_lease() {
    let mut heard = Heard::new(LIMITS);
    heard.hear(at(0), node(1), full(0, &[1])).unwrap();
    assert_eq!(heard.next_end(), Some(at(60)));
    heard.hear(at(30), node(1), change(0, &[], &[])).unwrap();
    assert_eq!(heard.expire(at(89)), None);
    assert_eq!(heard.expire(at(90)), Some((node(1), vec![1])));
    assert_eq!(heard.next_end(), None);
}

#[test]
fn leases_stay_between_a_second_and_the_limit() {
    let mut heard = Heard::new(LIMITS);
    for (lease_ms, expected) in [(0, 1), (u32::MAX, 600), (2_000, 2)] {
        let message = Announcement {
            lease_ms,
            ..full(0, &[1])
        };
        heard.hear(at(0), node(1), message).unwrap();
        assert_eq!(heard.next_end(), Some(at(expected)), "{lease_ms}");
    }
}

/// Random changes, members that come and go, and late collection: every listener ends with what was said.
#[test]
fn listeners_end_with_what_the_announcer_says() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut announcer = Announcer::new(LEASE, random.fork());
        let mut listeners: BTreeMap<NodeId, Heard<u32, u32>> = BTreeMap::new();
        let limits = HeardLimits {
            max_entries: 10_000,
            ..LIMITS
        };
        let mut said = BTreeMap::new();
        for step in 0..200 {
            let now = at(step);
            match random.below(5) {
                0 | 1 => {
                    let (key, value) = (key(&mut random), key(&mut random));
                    announcer.set(key, value);
                    said.insert(key, value);
                }
                2 => {
                    let key = key(&mut random);
                    announcer.unset(&key);
                    said.remove(&key);
                }
                3 => {
                    let member = node(u8::try_from(random.below(4)).unwrap());
                    let listener = listeners
                        .entry(member)
                        .or_insert_with(|| Heard::new(limits));
                    for part in announcer.member_up(now, member) {
                        listener.hear(now, node(9), part).unwrap();
                    }
                }
                _ => {
                    let member = node(u8::try_from(random.below(4)).unwrap());
                    announcer.member_down(&member);
                    listeners.remove(&member);
                }
            }
            if random.below(3) == 0 {
                deliver(&mut announcer, now, &mut listeners);
            }
        }
        deliver(&mut announcer, at(200), &mut listeners);
        for listener in listeners.values() {
            assert!(listener.of(&node(9)).eq(said.iter()), "seed {seed}");
        }
    }
}

fn key(random: &mut Random) -> u32 {
    u32::try_from(random.below(6)).unwrap()
}

fn deliver(
    announcer: &mut Announcer<u32, u32>,
    now: Instant,
    listeners: &mut BTreeMap<NodeId, Heard<u32, u32>>,
) {
    let renewal = announcer.renewal(now);
    let changes = core::iter::from_fn(|| announcer.next_change(now));
    for message in renewal.into_iter().chain(changes) {
        for listener in listeners.values_mut() {
            listener.hear(now, node(9), message.clone()).unwrap();
        }
    }
}
