//! What one node does, rule by rule.

use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Rings, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput};
use macula_testkit::node_id;
use macula_wire::message::{Graft, Holding, IHave, Prune};
use macula_wire::{Body, Epoch, Machine, NodeId, Sequence};

use super::{batch, drain, news};
use crate::common::{at, own};

/// Whoever publishes here, too far away to be a neighbour.
fn publisher() -> NodeId {
    node_id(99)
}

/// A node with four neighbours, all of them linked, at time 2 s.
fn tree() -> Tree<u64> {
    tree_with(TreeConfig::default())
}

fn tree_with(config: TreeConfig) -> Tree<u64> {
    let mut tree = Tree::new(config, own(), at(0));
    for number in 1..5 {
        up(&mut tree, 0, number);
    }
    let members = TreeInput::Members {
        topic: news(),
        rings: Arc::new(Rings::new((0..5).map(node_id))),
        since: at(0),
    };
    tree.handle_input(at(0), members);
    tree.handle_timeout(at(2_000));
    drain(&mut tree);
    tree
}

fn up(tree: &mut Tree<u64>, millis: u64, number: usize) {
    let peer = node_id(number);
    tree.handle_input(at(millis), TreeInput::LinkUp { peer, rtt: None });
}

/// A batch of one event comes from a neighbour.
fn comes(tree: &mut Tree<u64>, millis: u64, from: usize, base: u64, distance: u8) -> Vec<Out> {
    let input = TreeInput::Batch {
        from: Some(node_id(from)),
        batch: batch(publisher(), base, 1, distance),
        expected: None,
    };
    tree.handle_input(at(millis), input);
    outputs(tree)
}

fn have(tree: &mut Tree<u64>, millis: u64, from: usize, next: u64, distance: u8) -> Vec<Out> {
    let input = TreeInput::Have {
        from: node_id(from),
        have: IHave {
            topic: news(),
            holdings: vec![Holding {
                publisher: publisher(),
                epoch: Epoch::new(1),
                first: Sequence::new(0),
                next: Sequence::new(next),
                distance,
            }],
        },
    };
    tree.handle_input(at(millis), input);
    outputs(tree)
}

fn graft(tree: &mut Tree<u64>, from: usize, range: (u64, u64), attach: bool) -> Vec<Out> {
    let input = TreeInput::Graft {
        from: node_id(from),
        graft: Graft {
            topic: news(),
            publisher: publisher(),
            epoch: Epoch::new(1),
            from: Sequence::new(range.0),
            to: Sequence::new(range.1),
            attach,
        },
    };
    tree.handle_input(at(2_050), input);
    outputs(tree)
}

/// Time goes on, and everything happens when it is due.
fn until(tree: &mut Tree<u64>, millis: u64) -> Vec<Out> {
    let mut found = outputs(tree);
    while let Some(due) = tree.poll_timeout().filter(|due| *due <= at(millis)) {
        tree.handle_timeout(due);
        found.extend(outputs(tree));
    }
    tree.handle_timeout(at(millis));
    found
}

/// What came out, in short; neighbours by their numbers.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Out {
    Push(usize, u64),
    Have(usize, u64),
    Graft(usize, u64, u64, bool),
    Prune(usize),
    Deliver(u64),
    Early(u64),
    Connect(usize),
    Unknown,
    /// What does not occur here.
    Other(String),
}

fn outputs(tree: &mut Tree<u64>) -> Vec<Out> {
    let number = |node: NodeId| (0..100).find(|at| node_id(*at) == node).unwrap();
    let short = |output| match output {
        TreeOutput::Push { to, batch } => Out::Push(number(to), batch.payload),
        TreeOutput::Deliver { batch } => Out::Deliver(batch.payload),
        TreeOutput::Early { batch } => Out::Early(batch.payload),
        TreeOutput::Connect { node } => Out::Connect(number(node)),
        TreeOutput::Unknown { .. } => Out::Unknown,
        TreeOutput::Send { to, body } => match body {
            Body::IHave(have) => Out::Have(number(to), have.holdings[0].next.get()),
            Body::Graft(graft) => {
                let (from, end) = (graft.from.get(), graft.to.get());
                Out::Graft(number(to), from, end, graft.attach)
            }
            Body::Prune(_) => Out::Prune(number(to)),
            other => Out::Other(format!("{other:?}")),
        },
        other => Out::Other(format!("{other:?}")),
    };
    let mut found: Vec<Out> = drain(tree).into_iter().map(short).collect();
    found.sort();
    found
}

fn only(found: Vec<Out>, fits: fn(&Out) -> bool) -> Vec<Out> {
    found.into_iter().filter(fits).collect()
}

fn is_graft(out: &Out) -> bool {
    matches!(out, Out::Graft(..))
}

fn is_delivery(out: &Out) -> bool {
    matches!(out, Out::Deliver(_))
}

#[test]
fn a_new_batch_goes_to_all_others_and_is_delivered_once() {
    let mut tree = tree();
    let found = comes(&mut tree, 2_000, 1, 0, 1);
    let all = [
        Out::Push(2, 0),
        Out::Push(3, 0),
        Out::Push(4, 0),
        Out::Deliver(0),
    ];
    assert_eq!(found, all);
    assert_eq!(comes(&mut tree, 2_001, 2, 0, 2), [Out::Prune(2)]);
    // The one that came twice is neither sent nor told to whoever had it.
    assert_eq!(
        comes(&mut tree, 2_002, 1, 1, 1),
        [Out::Push(3, 1), Out::Push(4, 1), Out::Deliver(1)]
    );
}

#[test]
fn what_is_published_here_is_sent_and_not_delivered() {
    let mut tree = tree();
    let input = TreeInput::Batch {
        from: None,
        batch: batch(own(), 0, 1, 0),
        expected: None,
    };
    tree.handle_input(at(2_000), input);
    let sent = outputs(&mut tree);
    assert_eq!(sent, [1, 2, 3, 4].map(|to| Out::Push(to, 0)));
}

#[test]
fn a_nearer_sender_takes_the_place_of_a_farther_one() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 5);
    assert_eq!(comes(&mut tree, 2_010, 2, 0, 3), [Out::Prune(1)]);
    let (_, parent) = tree.edges(&news(), publisher());
    assert_eq!(parent, Some(node_id(2)));
    // Not if it is late: here by more than 100 ms.
    comes(&mut tree, 2_020, 2, 1, 3);
    assert_eq!(
        only(comes(&mut tree, 2_200, 3, 1, 1), |out| matches!(
            out,
            Out::Prune(_)
        )),
        [Out::Prune(3)]
    );
}

#[test]
fn a_pruned_neighbour_is_told_and_not_sent() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 1);
    let prune = Prune {
        topic: news(),
        publisher: publisher(),
    };
    tree.handle_input(
        at(2_010),
        TreeInput::Prune {
            from: node_id(3),
            prune,
        },
    );
    assert_eq!(outputs(&mut tree), []);
    let found = comes(&mut tree, 2_020, 1, 1, 1);
    assert_eq!(found, [Out::Push(2, 1), Out::Push(4, 1), Out::Deliver(1)]);
    assert_eq!(until(&mut tree, 2_130), [Out::Have(3, 2)]);
}

#[test]
fn who_hears_of_events_and_gets_none_asks_and_is_attached() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    // 120 ms are waited for the usual way.
    assert_eq!(have(&mut tree, 2_100, 2, 3, 1), []);
    assert_eq!(only(until(&mut tree, 2_219), is_graft), []);
    assert_eq!(
        only(until(&mut tree, 2_220), is_graft),
        [Out::Graft(2, 1, 3, true)]
    );
    // Nobody answers: the next one that has it is asked.
    have(&mut tree, 2_221, 3, 3, 3);
    assert_eq!(
        only(until(&mut tree, 2_340), is_graft),
        [Out::Graft(3, 1, 3, true)]
    );
    assert_eq!(
        only(comes(&mut tree, 2_350, 3, 1, 4), is_delivery),
        [Out::Deliver(1)]
    );
}

#[test]
fn nothing_is_asked_for_that_comes_in_time() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    have(&mut tree, 2_100, 2, 2, 3);
    comes(&mut tree, 2_150, 1, 1, 2);
    assert_eq!(only(until(&mut tree, 2_900), is_graft), []);
    assert_eq!(tree.stats().grafts, 0);
}

#[test]
fn a_hole_is_asked_for_at_once_and_holds_up_what_follows() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    let found = comes(&mut tree, 2_010, 1, 2, 2);
    assert_eq!(only(found.clone(), is_delivery), []);
    assert_eq!(only(found.clone(), is_graft), [Out::Graft(1, 1, 2, false)]);
    // Whoever needs no order may have it at once, and once.
    assert!(found.contains(&Out::Early(2)), "{found:?}");
    assert_eq!(comes(&mut tree, 2_020, 2, 2, 3), [Out::Prune(2)]);
    let found = comes(&mut tree, 2_100, 3, 1, 4);
    assert!(!found.contains(&Out::Early(1)), "{found:?}");
    assert_eq!(only(found, is_delivery), [Out::Deliver(1), Out::Deliver(2)]);
}

#[test]
fn what_nobody_has_is_given_up_after_a_quarter_of_a_second() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    comes(&mut tree, 2_010, 1, 2, 2);
    assert_eq!(only(until(&mut tree, 2_259), is_delivery), []);
    assert_eq!(
        only(until(&mut tree, 2_260), is_delivery),
        [Out::Deliver(2)]
    );
    assert_eq!(tree.stats().given_up, 1);
    // It comes too late.
    assert_eq!(only(comes(&mut tree, 2_270, 3, 1, 4), is_delivery), []);
}

#[test]
fn what_a_neighbour_has_is_waited_for_longer_but_not_for_ever() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    comes(&mut tree, 2_010, 1, 2, 2);
    have(&mut tree, 2_020, 2, 3, 1);
    assert_eq!(only(until(&mut tree, 4_009), is_delivery), []);
    assert_eq!(
        only(until(&mut tree, 4_010), is_delivery),
        [Out::Deliver(2)]
    );
}

#[test]
fn a_graft_gets_what_is_kept_and_what_follows() {
    let mut tree = tree();
    up(&mut tree, 2_000, 7);
    for base in 0..4 {
        comes(&mut tree, 2_000 + base, 1, base, 2);
    }
    assert_eq!(
        graft(&mut tree, 7, (1, 3), false),
        [Out::Push(7, 1), Out::Push(7, 2)]
    );
    let found = comes(&mut tree, 2_060, 1, 4, 2);
    assert!(!found.contains(&Out::Push(7, 4)), "{found:?}");
    // Whoever attaches gets what came since it was told as well.
    assert_eq!(
        graft(&mut tree, 7, (2, 3), true),
        [2, 3, 4].map(|base| Out::Push(7, base))
    );
    let found = comes(&mut tree, 2_070, 1, 5, 2);
    assert!(found.contains(&Out::Push(7, 5)), "{found:?}");
    // Of another run, or of a publisher that nobody knows, there is nothing.
    let other = Graft {
        topic: news(),
        publisher: publisher(),
        epoch: Epoch::new(2),
        from: Sequence::new(0),
        to: Sequence::new(9),
        attach: true,
    };
    tree.handle_input(
        at(2_080),
        TreeInput::Graft {
            from: node_id(8),
            graft: other,
        },
    );
    assert_eq!(outputs(&mut tree), []);
}

#[test]
fn who_lags_is_left_out_until_it_has_caught_up() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    let peer = node_id(3);
    tree.handle_input(at(2_010), TreeInput::Lagging { peer });
    let found = comes(&mut tree, 2_020, 1, 1, 2);
    assert_eq!(found, [Out::Push(2, 1), Out::Push(4, 1), Out::Deliver(1)]);
    tree.handle_input(at(2_030), TreeInput::CaughtUp { peer });
    assert_eq!(until(&mut tree, 2_130), [Out::Have(3, 2)]);
}

#[test]
fn when_the_sender_is_lost_another_takes_over_at_once() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    have(&mut tree, 2_010, 2, 1, 1);
    tree.handle_input(at(2_020), TreeInput::LinkDown { peer: node_id(1) });
    assert_eq!(
        outputs(&mut tree),
        [Out::Graft(2, 1, 1, true), Out::Connect(1)]
    );
}

#[test]
fn the_last_events_are_told_again_to_all_when_no_more_come() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    let told = only(until(&mut tree, 2_999), |out| matches!(out, Out::Have(..)));
    assert_eq!(told, []);
    let all = [2, 3, 4].map(|to| Out::Have(to, 1));
    assert_eq!(
        only(until(&mut tree, 3_100), |out| matches!(out, Out::Have(..))),
        all
    );
    assert_eq!(
        only(until(&mut tree, 8_200), |out| matches!(out, Out::Have(..))),
        all
    );
    // And no more after that.
    assert_eq!(until(&mut tree, 60_000), []);
    assert_eq!(tree.poll_timeout(), None);
}

#[test]
fn a_batch_that_has_passed_as_many_links_as_it_may_goes_no_further() {
    let mut config = TreeConfig::default();
    config.max_distance = 3;
    let mut tree = tree_with(config);
    assert_eq!(comes(&mut tree, 2_000, 1, 0, 3), [Out::Deliver(0)]);
    assert_eq!(tree.stats().too_far, 1);
    assert!(comes(&mut tree, 2_001, 1, 1, 2).contains(&Out::Push(2, 1)));
}

#[test]
fn a_later_run_begins_anew_and_an_earlier_one_is_over() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 7, 2);
    let later = |epoch, base| TreeInput::Batch {
        from: Some(node_id(1)),
        batch: TreeBatch {
            epoch: Epoch::new(epoch),
            ..batch(publisher(), base, 1, 2)
        },
        expected: None,
    };
    tree.handle_input(at(2_010), later(2, 0));
    assert_eq!(only(outputs(&mut tree), is_delivery), [Out::Deliver(0)]);
    tree.handle_input(at(2_020), later(1, 8));
    assert_eq!(outputs(&mut tree), []);
}

#[test]
fn a_topic_of_which_nobody_is_known_is_asked_for_and_caught_up_with() {
    let mut tree = Tree::new(TreeConfig::default(), own(), at(0));
    for number in 1..5 {
        up(&mut tree, 0, number);
    }
    assert_eq!(
        comes(&mut tree, 2_000, 1, 0, 1),
        [Out::Deliver(0), Out::Unknown]
    );
    let members = TreeInput::Members {
        topic: news(),
        rings: Arc::new(Rings::new((0..5).map(node_id))),
        since: at(0),
    };
    tree.handle_input(at(2_100), members);
    assert_eq!(outputs(&mut tree), [2, 3, 4].map(|to| Out::Push(to, 0)));
}

#[test]
fn whoever_is_new_is_not_told_of_what_was_long_before() {
    let interested = |count: usize| Arc::new(Rings::new((0..count).map(node_id)));
    let members = |rings, since| TreeInput::Members {
        topic: news(),
        rings,
        since: at(since),
    };
    for (since, first) in [(0, 2), (16_000, 0)] {
        let mut tree = Tree::new(TreeConfig::default(), own(), at(0));
        for number in 1..5 {
            up(&mut tree, 0, number);
        }
        tree.handle_input(at(since), members(interested(4), since));
        for (base, millis) in [(0, 17_000), (1, 18_900), (2, 19_100), (3, 19_900)] {
            comes(&mut tree, millis, 1, base, 2);
        }
        tree.handle_input(at(20_000), members(interested(5), since));
        let told = told(&mut tree, 20_100, 4);
        assert_eq!(told, [(first, 4)], "known since {since}");
    }
}

/// What a neighbour is told until then that this node has.
fn told(tree: &mut Tree<u64>, millis: u64, neighbour: usize) -> Vec<(u64, u64)> {
    let mut told = Vec::new();
    while let Some(due) = tree.poll_timeout().filter(|due| *due <= at(millis)) {
        tree.handle_timeout(due);
        while let Some(output) = tree.poll_output() {
            if let TreeOutput::Send { to, body } = output
                && let (true, Body::IHave(have)) = (to == node_id(neighbour), body)
            {
                let ranges = have.holdings.iter();
                told.extend(ranges.map(|holding| (holding.first.get(), holding.next.get())));
            }
        }
    }
    told
}

#[test]
fn whoever_has_restarted_is_told_as_one_that_is_new() {
    for (restarts, first) in [(true, 1), (false, 0)] {
        let mut tree = tree();
        comes(&mut tree, 20_000, 1, 0, 2);
        comes(&mut tree, 29_500, 1, 1, 2);
        let peer = node_id(4);
        tree.handle_input(at(30_000), TreeInput::LinkDown { peer });
        if restarts {
            tree.handle_input(at(30_000), TreeInput::Restarted { peer });
        }
        drain(&mut tree);
        up(&mut tree, 30_000, 4);
        let told = told(&mut tree, 30_100, 4);
        assert_eq!(told, [(first, 2)], "restarts: {restarts}");
    }
}

#[test]
fn whoever_hears_of_a_publisher_wants_all_that_it_is_told_of() {
    let mut tree = tree();
    let asked = only(have(&mut tree, 2_000, 1, 5, 1), is_graft);
    assert_eq!(asked, [Out::Graft(1, 0, 5, true)]);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_in_time() {
    let mut config = TreeConfig::default();
    config.cache_bytes = 500;
    let mut tree = tree_with(config);
    for base in 0..100 {
        comes(&mut tree, 2_000 + base, 1, base, 2);
        let (kept, held) = tree.bytes();
        assert!(kept <= 500 && held == 0, "{kept} {held}");
    }
    let kept = graft(&mut tree, 2, (0, 100), false);
    assert_eq!(kept, [97, 98, 99].map(|base| Out::Push(2, base)));
    comes(&mut tree, 33_000, 1, 100, 2);
    let kept = graft(&mut tree, 2, (0, 101), false);
    assert_eq!(kept, [Out::Push(2, 100)], "30 s later");
}

#[test]
fn what_waits_is_bounded() {
    let mut config = TreeConfig::default();
    config.max_held = 3;
    let mut tree = tree_with(config);
    comes(&mut tree, 2_000, 1, 0, 2);
    for base in 2..5 {
        assert_eq!(only(comes(&mut tree, 2_001, 1, base, 2), is_delivery), []);
    }
    let all = [2, 3, 4, 5].map(Out::Deliver);
    assert_eq!(only(comes(&mut tree, 2_002, 1, 5, 2), is_delivery), all);
}

#[test]
fn topics_and_publishers_beyond_the_bound_make_room_or_find_none() {
    let mut config = TreeConfig::default();
    (config.max_topics, config.max_sources) = (1, 2);
    let mut tree = tree_with(config);
    let other = TreeInput::Batch {
        from: Some(node_id(1)),
        batch: TreeBatch {
            topic: crate::common::topic("other"),
            ..batch(publisher(), 0, 1, 1)
        },
        expected: None,
    };
    tree.handle_input(at(2_000), other);
    assert_eq!(
        outputs(&mut tree),
        [Out::Deliver(0)],
        "delivered, and not passed on"
    );
    assert_eq!((tree.topics(), tree.stats().refused_topics), (1, 1));
    for number in 10..20 {
        let input = TreeInput::Batch {
            from: Some(node_id(1)),
            batch: batch(node_id(number), 0, 1, 1),
            expected: None,
        };
        tree.handle_input(at(2_000 + u64::try_from(number).unwrap()), input);
        assert!(tree.sources() <= 2);
    }
}

#[test]
fn where_much_is_late_it_is_waited_for_longer() {
    let mut tree = tree();
    comes(&mut tree, 2_000, 1, 0, 2);
    let waits = |tree: &mut Tree<u64>, begin: u64, next: u64| {
        have(tree, begin, 2, next, 1);
        let mut millis = begin;
        while only(until(tree, millis), is_graft).is_empty() {
            millis += 10;
        }
        millis - begin
    };
    let first = waits(&mut tree, 2_100, 2);
    let mut now = 2_400;
    for base in 1..20 {
        // It comes by the usual way when another was asked already, and that one is left again.
        let (_, parent) = tree.edges(&news(), publisher());
        let usual = if parent == Some(node_id(2)) { 1 } else { 2 };
        comes(&mut tree, now, usual, base, 2);
        now += 100;
        waits(&mut tree, now, base + 2);
        now += 1_200;
    }
    comes(&mut tree, now, 1, 20, 2);
    let last = waits(&mut tree, now + 100, 22);
    assert!(first <= 130 && last >= 400, "{first} {last}");
    assert!(
        Duration::from_millis(last)
            <= TreeConfig::default().max_graft_timeout + Duration::from_millis(10)
    );
}
