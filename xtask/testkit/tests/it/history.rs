//! The checker of histories: a right one passes, and each way to break it is found and explained.

mod mutations;
mod sound;
mod unordered;
mod world;

use std::time::Duration;

use macula_testkit::each_seed;
use macula_testkit::history::{Did, History, Journal, JournalError, Limits, Rule, Violation};

use world::{Deed, deed, delivered, history};

/// Rules that a history breaks.
fn broken(deeds: &[Deed]) -> Vec<Rule> {
    let mut history = history(deeds);
    let report = history.check(&Limits::default());
    report.broken.into_keys().collect()
}

#[test]
fn the_example_that_is_broken_below_is_right() {
    let mut history = history(&sound::example());
    let report = history.check(&Limits::default());
    assert!(report.is_kept(), "{}", report.explain(&history));
    assert!(report.totals.delivered > 20 && report.totals.answered > 0);
    assert!(report.totals.receipts > 0 && report.totals.missing > 0);
}

#[test]
fn each_way_to_break_a_right_history_is_found() {
    for mutation in mutations::all() {
        let mut deeds = sound::example();
        (mutation.change)(&mut deeds);
        let found = broken(&deeds);
        assert!(
            found.contains(&mutation.rule),
            "{}: {:?} was expected, found {found:?}",
            mutation.name,
            mutation.rule
        );
    }
}

#[test]
fn every_rule_is_broken_by_some_mutation() {
    let mut rules: Vec<Rule> = mutations::all().iter().map(|known| known.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), 19, "{rules:?}");
}

/// One event with QoS 1, which `s2` lacks; its publisher is killed before it knows. `s1` is at `n2`.
fn orphan(keeps: Option<&'static str>, had: bool) -> Vec<Deed> {
    let mut deeds = vec![deed(0, "w", Did::Attached { node: "n1" })];
    for (actor, node) in [("s1", "n2"), ("s2", "n3")] {
        let (subscription, pattern, group) = (1, "a.b", None);
        let subscribe = Did::Subscribe {
            subscription,
            pattern,
            group,
            unordered: false,
        };
        deeds.push(deed(0, actor, Did::Attached { node }));
        deeds.push(deed(10, actor, subscribe));
        deeds.push(deed(20, actor, Did::Subscribed { subscription }));
    }
    deeds.extend(keeps.map(|node| deed(30, "world", Did::Keeps { node })));
    let publish = Did::Publish {
        topic: "a.b",
        number: 0,
        qos: 1,
        wait_ms: Some(1_000),
        receipt: true,
    };
    deeds.push(deed(3_000, "w", publish));
    deeds.push(deed(3_001, "w", Did::Accepted { number: 0 }));
    if had {
        let event = delivered(1, ("n1", "w"), "a.b", 0, 0);
        deeds.push(deed(3_002, "s1", event));
    }
    for who in ["n1", "w"] {
        deeds.push(deed(3_010, "world", Did::Killed { who }));
    }
    deeds.push(deed(60_000, "world", Did::Quiet));
    deeds
}

#[test]
fn what_a_node_has_that_keeps_it_is_not_lost_with_its_publisher() {
    assert_eq!(broken(&orphan(None, true)), []);
    assert_eq!(
        broken(&orphan(Some("n3"), true)),
        [],
        "that one had nothing"
    );
    assert_eq!(broken(&orphan(Some("n2"), false)), [], "nobody had it");
    assert_eq!(broken(&orphan(Some("n2"), true)), [Rule::NotLost]);
}

/// In which way a rule is broken: what was said, but for numbers. For a lost event they count too, because a receipt may
/// excuse some of those who lack it.
fn kind(violation: &Violation) -> String {
    let counts = violation.rule == Rule::NotLost;
    let detail = violation.detail.chars();
    detail
        .filter(|char| counts || !char.is_ascii_digit())
        .collect()
}

#[test]
fn an_excerpt_shows_the_violation_and_nothing_in_it_can_be_left_out() {
    for mutation in mutations::all() {
        let mut deeds = sound::example();
        (mutation.change)(&mut deeds);
        let mut history = history(&deeds);
        let report = history.check(&Limits::default());
        for violation in &report.violations {
            // What is left may break the same rule in another way: a delivery whose publish is left out, for example.
            let is_same =
                |found: &Violation| found.rule == violation.rule && kind(found) == kind(violation);
            let breaks = |places: &[usize]| {
                let report = history.only(places).check(&Limits::default());
                report.violations.iter().any(is_same)
            };
            let text = violation.explain(&history);
            let excerpt = &violation.excerpt;
            assert!(breaks(excerpt), "{}: {text}", mutation.name);
            for left_out in excerpt {
                let rest: Vec<usize> = excerpt
                    .iter()
                    .filter(|at| *at != left_out)
                    .copied()
                    .collect();
                assert!(
                    !breaks(&rest),
                    "{}: {left_out} of {excerpt:?} is not needed: {text}",
                    mutation.name
                );
            }
        }
    }
}

#[test]
fn right_histories_of_many_kinds_pass() {
    each_seed(|seed| {
        let mut history = history(&sound::random(seed));
        let report = history.check(&Limits::default());
        assert!(report.is_kept(), "{}", report.explain(&history));
        assert!(report.totals.accepted > 0 && report.totals.delivered > 0);
    });
}

#[test]
fn a_loss_in_a_random_history_is_found() {
    each_seed(|seed| {
        let mut deeds = sound::random(seed);
        let leaves = |deed: &Deed| matches!(deed.did, Did::Unsubscribe { .. });
        let leavers: Vec<&str> = deeds
            .iter()
            .filter(|deed| leaves(deed))
            .map(|deed| deed.actor)
            .collect();
        // Everybody has subscribed by then, and who leaves is owed nothing.
        let is_delivery = |deed: &Deed| {
            let is_owed = deed.at > 11_100 && !leavers.contains(&deed.actor);
            is_owed && matches!(deed.did, Did::Delivered { .. })
        };
        let deliveries: Vec<usize> = (0..deeds.len())
            .filter(|at| is_delivery(&deeds[*at]))
            .collect();
        if deliveries.is_empty() {
            return;
        }
        let turn = usize::try_from(seed).unwrap() * 7 % deliveries.len();
        deeds.remove(deliveries[turn]);
        let found = broken(&deeds);
        assert!(
            found.contains(&Rule::NotSilent) || found.contains(&Rule::NotLost),
            "{found:?}"
        );
    });
}

#[test]
fn a_million_records_are_checked_in_seconds() {
    let mut history = sound::large(200_000, 4);
    let report = history.check(&Limits::default());
    assert!(report.is_kept(), "{}", report.explain(&history));
    assert!(report.totals.records > 1_000_000, "{}", report.totals);
}

#[test]
fn a_journal_is_read_as_it_was_written_up_to_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    let deeds = [
        Did::Attached { node: "n1" },
        Did::Publish {
            topic: "a.b",
            number: 0,
            qos: 1,
            wait_ms: Some(5),
            receipt: true,
        },
        Did::Accepted { number: 0 },
    ];
    journal.write_all(deeds).unwrap();
    let torn = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&torn[..], b"{\"at\":1,\"did\":{\"acc"].concat()).unwrap();
    let mut history = History::new();
    assert_eq!(history.read("pub", &path).unwrap(), 3);
    let names = history.names();
    let read: Vec<Did<&str>> = history
        .records()
        .iter()
        .map(|record| record.did.map(|name| names.text(name)))
        .collect();
    assert_eq!(read, deeds);
    // Whoever goes on with it begins a line of its own.
    let accepted = Did::Accepted { number: 1 };
    Journal::open(&path).unwrap().write(accepted).unwrap();
    assert_eq!(History::new().read("pub", &path).unwrap(), 4);
    std::fs::write(&path, b"hello\n").unwrap();
    let refused = History::new().read("pub", &path);
    assert!(matches!(refused, Err(JournalError::Line { line: 1, .. })));
}

/// The example, in which the link of the writer is cut after its last event with QoS 0, which nobody got, and in which it
/// publishes once more by another one.
fn cut(is_lost: bool, last_comes: bool) -> Vec<Rule> {
    let mut deeds = sound::example();
    let is_last = |deed: &Deed| matches!(deed.did, Did::Delivered { number: 9, .. });
    deeds.retain(|deed| !is_last(deed));
    if is_lost {
        deeds.push(deed(2_200, "w", Did::Lost));
        deeds.push(deed(2_210, "w", Did::Attached { node: "n1" }));
    }
    let accepted = Did::Accepted { number: 19 };
    let again = Did::Publish {
        topic: "a.b",
        number: 19,
        qos: 0,
        wait_ms: None,
        receipt: false,
    };
    let sequence = if last_comes { 10 } else { 9 };
    let event = delivered(1, ("n1", "w"), "a.b", sequence, 19);
    deeds.extend([
        deed(9_000, "w", again),
        deed(9_001, "w", accepted),
        deed(9_010, "s1", event),
        deed(9_010, "s2", event),
    ]);
    broken(&deeds)
}

#[test]
fn what_was_on_the_way_when_a_writers_link_was_cut_has_no_sequence() {
    assert_eq!(cut(true, false), []);
    assert_eq!(cut(false, false), [Rule::NotSilent, Rule::Conserved]);
    // A sequence that was given away is told of all the same.
    assert_eq!(cut(true, true), [Rule::NotSilent]);
}

#[test]
fn a_node_that_comes_back_owes_from_a_second_later_on() {
    let without_last = |up: u64| {
        let mut deeds = sound::example();
        let is_last = |deed: &Deed| matches!(deed.did, Did::Delivered { number: 9, .. });
        deeds.retain(|deed| !is_last(deed));
        let durable = false;
        deeds.push(deed(500, "world", Did::Down { node: "n1" }));
        deeds.push(deed(
            up,
            "world",
            Did::Up {
                node: "n1",
                durable,
            },
        ));
        broken(&deeds)
    };
    // The last event is published at 2.09 s.
    assert_eq!(without_last(1_080), [Rule::NotSilent]);
    assert_eq!(without_last(1_095), []);
}

#[test]
fn limits_that_are_raised_allow_what_they_say() {
    let mutation = mutations::all()
        .into_iter()
        .find(|known| known.rule == Rule::InTime)
        .unwrap();
    let mut deeds = sound::example();
    (mutation.change)(&mut deeds);
    let mut limits = Limits::default();
    limits.arrival = Some(Duration::from_secs(60));
    let mut history = history(&deeds);
    assert!(history.check(&limits).is_kept());
    limits.arrival = None;
    assert!(history.check(&limits).is_kept());
}
