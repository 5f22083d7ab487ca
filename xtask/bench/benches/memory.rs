//! How much memory interest and members take: what a process grows by while it takes in many patterns, by the pattern, and
//! many members, by the member.
//!
//! It fails when a figure is above its goal.
#![expect(clippy::print_stdout, reason = "a bench tells what it found")]

use std::hint::black_box;
use std::process::ExitCode;

use macula_pubsub::{Config, Input, LocalId, PubSub, Subscriber};
use macula_realm::{DefaultRules, Principal};
use macula_swim::Swim;
use macula_wire::message::Roles;
use macula_wire::{Instant, Machine, NodeId, Pattern, Topic};

/// How many patterns there are.
const PATTERNS: u64 = 200_000;
/// How many members want them.
const MEMBERS: u64 = 200;
/// How many members of a realm there are.
const KNOWN: usize = 10_000;
/// The most bytes that a member may take when the news of it have gone round.
const MEMBER_GOAL: u64 = 200;
/// The most bytes that it may take before, of those that a node tells news of at the same time.
const FRESH_GOAL: u64 = 450;
/// The most bytes that a pattern of another member may take.
const REMOTE_GOAL: u64 = 300;
/// The most bytes that a subscription may take in the machine, without its queue.
const LOCAL_GOAL: u64 = 300;

fn main() -> ExitCode {
    // First of all, and kept: what others have freed would be used again, and not be counted. What the process takes once, it
    // has taken before.
    drop(black_box(macula_bench::swim::knowing(100, true)));
    let (known, settled) = member_bytes(true);
    let (fresh, unsettled) = member_bytes(false);
    drop(black_box((settled, unsettled)));
    let remote = measured(PATTERNS, |number, pubsub| {
        let node = member(number / (PATTERNS / MEMBERS));
        if let Some(pattern) = pattern(number) {
            pubsub.handle_input(at(1), Input::Wanted { node, pattern });
        }
    });
    let local = measured(PATTERNS, |number, pubsub| {
        let (who, subscriber) = (anybody(), Subscriber::Local(LocalId::new(number)));
        if let Some(pattern) = pattern(number) {
            let done = pubsub.subscribe(at(1), &DefaultRules, &who, subscriber, pattern);
            assert_eq!(done, Ok(()), "there is room for it");
        }
    });
    let mut held = true;
    for (what, bytes, goal) in [
        ("a member at rest", known, MEMBER_GOAL),
        ("a member of whom nobody was told yet", fresh, FRESH_GOAL),
        ("a pattern of another member", remote, REMOTE_GOAL),
        ("a subscription of this node", local, LOCAL_GOAL),
    ] {
        println!("{what}: {bytes} bytes, goal {goal}");
        held &= bytes <= goal;
    }
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How many bytes the process grows by for each member that is heard of, and the machine that knows them.
fn member_bytes(told: bool) -> (u64, Swim) {
    let before = resident();
    let swim = macula_bench::swim::knowing(KNOWN, told);
    let grown = resident().saturating_sub(before);
    let known = u64::try_from(KNOWN).unwrap_or(u64::MAX);
    (grown.checked_div(known).unwrap_or(u64::MAX), swim)
}

/// How many bytes the process grows by for each of `count` patterns that `add` adds.
fn measured(count: u64, add: impl Fn(u64, &mut PubSub)) -> u64 {
    let mut config = Config::default();
    config.max_patterns = usize::MAX;
    let mut pubsub = PubSub::new(config, member(u64::MAX), at(0));
    if let Ok(topic) = Topic::new("plant.0") {
        let done = pubsub.declare(at(0), &DefaultRules, &anybody(), &topic);
        assert_eq!(done, Ok(()), "there is room for it");
    }
    let before = resident();
    for number in 0..count {
        add(number, &mut pubsub);
        while pubsub.poll_output().is_some() {}
    }
    pubsub.handle_timeout(at(1_000));
    while pubsub.poll_output().is_some() {}
    let grown = resident().saturating_sub(before);
    let known = pubsub.table().len();
    assert_eq!(u64::try_from(known), Ok(count), "every pattern is taken in");
    drop(black_box(pubsub));
    grown.checked_div(count).unwrap_or(u64::MAX)
}

/// As in the scenario of matching: every tenth leaves a segment open, every twentieth the end.
fn pattern(number: u64) -> Option<Pattern> {
    let (plant, line, kind) = (number / 2_000, number / 20 % 100, number % 20);
    let text = match kind {
        0 | 10 => format!("plant.{plant}.line.*.{line}-{kind}"),
        15 => format!("plant.{plant}.line.{line}.**"),
        _ => format!("plant.{plant}.line.{line}.{kind}"),
    };
    Pattern::new(&text).ok()
}

fn member(number: u64) -> NodeId {
    let mut bytes = [0; 32];
    let number = number.to_be_bytes();
    for (place, byte) in bytes.iter_mut().zip(number) {
        *place = byte;
    }
    NodeId::from_bytes(bytes)
}

fn anybody() -> Principal {
    Principal::new(member(u64::MAX), Roles::MEMBER)
}

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// What of this process is in memory and no part of a file, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}
