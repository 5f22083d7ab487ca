//! How edges are held to one word, end, and are mended after a crash or a goodbye.

use macula_swim::overlay::{Input, Output};
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::message::{OverlayEdge, OverlayVerdict};

use crate::overlay_bench::{Bench, answer, denies, holds, ids, millis, offer, order, peer, walk};

const TAKE: Option<OverlayVerdict> = Some(OverlayVerdict::Take);
const REFUSE: Option<OverlayVerdict> = Some(OverlayVerdict::Refuse);

#[test]
fn the_edge_of_a_member_is_ended_by_itself_only() {
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    bench.hear(60, denies());
    assert_eq!(bench.count(), 4);
    bench.hear(2, denies());
    assert!(!bench.holds(2));
    assert_eq!(bench.count(), 3);
    let down = Output::NeighbourDown { node: node_id(2) };
    assert!(bench.log.contains(&down));
}

#[test]
fn an_edge_that_only_the_other_end_holds_is_denied() {
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    bench.hear(60, holds([0, 3]));
    assert_eq!(bench.sent_to(60), [&Body::from(denies())]);
    let mut ask: OverlayEdge = holds([0, 10]);
    ask.ask = true;
    bench.hear(1, ask);
    let sent = bench.sent_to(1);
    assert!(
        matches!(sent[..], [Body::OverlayEdge(edge)] if edge.holds && !edge.ask && edge.neighbours.len() == 4),
        "{sent:?}"
    );
}

#[test]
fn an_edge_that_is_not_confirmed_is_dropped() {
    let mut config = macula_swim::overlay::Config::default();
    config.degree = 4;
    config.flip_period = std::time::Duration::ZERO;
    let mut bench = Bench::with(config, 4);
    // All answer but one.
    for _ in 0..300 {
        bench.pass(millis(300));
        for number in [1, 2, 4] {
            if bench
                .sent_to(number)
                .iter()
                .any(|body| matches!(body, Body::OverlayEdge(edge) if edge.ask))
            {
                bench.hear(number, holds([0, 10 * number]));
            }
        }
        bench
            .log
            .retain(|output| !matches!(output, Output::Send { .. }));
        if !bench.holds(3) {
            break;
        }
    }
    let held = [1, 2, 3, 4].map(|number| bench.holds(number));
    assert_eq!(held, [true, true, false, true]);
}

#[test]
fn after_a_crash_the_lower_of_two_mates_proposes() {
    // Around node 9: node 0 and others, in the order of their ids.
    for others in [[20, 21, 22], [23, 24, 25], [26, 27, 28], [30, 31, 32]] {
        let mut bench = Bench::new(4, 4);
        bench.hear(4, holds(others.into_iter().chain([0])));
        let order = ids(others.into_iter().chain([0]));
        let place = order.iter().position(|node| *node == node_id(0)).unwrap();
        let mate = order[place ^ 1];
        bench.log.clear();
        bench.gone(4);
        bench.pass(millis(10));
        assert!(!bench.holds(4));
        let dialled = bench.connects().contains(&mate);
        assert_eq!(dialled, node_id(0) < mate);
        let mate = Bench::number(mate);
        bench.link(mate);
        if dialled {
            let sent = bench.sent_to(mate);
            let Some(Body::OverlayOffer(offered)) = sent.first() else {
                panic!("{sent:?}");
            };
            let number = offered.token.get();
            // It does not know yet, then it does.
            bench.hear(mate, answer(number, OverlayVerdict::Refuse));
            bench.log.clear();
            bench.pass(millis(450));
            let sent = bench.sent_to(mate);
            let Some(Body::OverlayOffer(offered)) = sent.first() else {
                panic!("{sent:?}");
            };
            let number = offered.token.get();
            bench.hear(mate, answer(number, OverlayVerdict::Take));
        } else {
            bench.hear(mate, offer(99, None));
            assert_eq!(bench.verdict_to(mate), TAKE);
        }
        assert!(bench.holds(mate));
    }
}

#[test]
fn a_node_that_leaves_joins_its_neighbours_two_by_two() {
    let mut bench = Bench::new(4, 4);
    let now = bench.now;
    bench.overlay.leave(now);
    bench.pass(millis(1));
    let orders = bench.orders();
    assert_eq!(orders.len(), 4);
    for (to, of) in &orders {
        assert!(orders.contains(&(*of, *to)), "{orders:?}");
    }
    for number in 1..=4 {
        bench.hear(number, denies());
    }
    assert_eq!(bench.count(), 0);
    assert!(bench.overlay.has_left() && bench.overlay.is_settled());
    // It takes nobody in any more.
    bench.link(60);
    bench.log.clear();
    bench.hear(60, walk(9, 60, 4, 6));
    assert_eq!(bench.verdict_to(60), REFUSE);
}

#[test]
fn neighbours_of_each_other_are_not_joined_when_a_node_leaves() {
    let mut bench = Bench::new(2, 2);
    bench.hear(1, holds([0, 2]));
    let now = bench.now;
    bench.overlay.leave(now);
    bench.pass(millis(1));
    assert_eq!(bench.orders(), []);
    assert_eq!(bench.count(), 0);
}

#[test]
fn two_that_are_moved_to_each_other_become_neighbours() {
    let lower = (60..80)
        .find(|number| node_id(*number) < node_id(0))
        .unwrap();
    let higher = (60..80)
        .find(|number| node_id(*number) > node_id(0))
        .unwrap();
    for (other, early) in [
        (lower, false),
        (higher, false),
        (lower, true),
        (higher, true),
    ] {
        let mut bench = Bench::new(4, 4);
        bench.link(other);
        // Their offer may come before the word of the neighbour between.
        if early {
            bench.hear(other, offer(9, Some(1)));
            bench.hear(1, order(9, other));
        } else {
            bench.hear(1, order(9, other));
            bench.hear(other, offer(9, Some(1)));
        }
        let own_turn = node_id(0) < node_id(other);
        assert_eq!(bench.holds(other), own_turn);
        if own_turn {
            assert_eq!(bench.verdict_to(other), TAKE);
        } else {
            bench.hear(other, answer(9, OverlayVerdict::Take));
        }
        assert!(bench.holds(other) && !bench.holds(1));
    }
}

#[test]
fn neighbours_that_lack_one_each_drop_the_edge_between_them() {
    let mut bench = Bench::new(4, 3);
    let mut pair = walk(9, 1, 1, 5);
    pair.avoid = ids([0]);
    bench.hear(2, pair.clone());
    assert!(!bench.holds(1));
    assert_eq!(bench.sent_to(1).last(), Some(&&Body::from(denies())));
    // With all edges there is nothing to gain.
    let mut bench = Bench::new(4, 4);
    bench.hear(2, pair);
    assert!(bench.holds(1));
}

#[test]
fn those_that_lack_one_edge_find_each_other_by_what_they_leave_behind() {
    let mut bench = Bench::new(4, 4);
    bench.hear(1, walk(9, 60, 1, 5));
    assert_eq!(bench.walks().len(), 1, "it goes on");
    bench.link(60);
    bench.log.clear();
    bench.hear(2, walk(10, 61, 1, 5));
    let walks = bench.walks();
    assert_eq!(walks.len(), 1);
    assert_eq!(walks[0].0, node_id(60), "it is sent to who came by");
    // Only once.
    bench.log.clear();
    bench.hear(1, walk(11, 62, 1, 5));
    assert_ne!(bench.walks()[0].0, node_id(60));
    bench.hear(1, walk(12, 63, 1, 5));
    assert_eq!(bench.connects(), [node_id(62)], "no link to it yet");
    // Not after a while, and not to whom it has an edge.
    bench.log.clear();
    bench.hear(1, walk(13, 64, 1, 5));
    let mut adjacent = walk(14, 65, 1, 5);
    adjacent.avoid = ids([64]);
    bench.hear(1, adjacent);
    bench.pass(millis(11_000));
    bench.hear(1, walk(15, 66, 1, 5));
    assert_eq!(bench.connects(), []);
}

#[test]
fn what_is_not_of_the_overlay_is_reported() {
    let mut bench = Bench::new(4, 1);
    bench.hear(1, macula_wire::message::Ping { nonce: 1 });
    assert_eq!(bench.blames(), [macula_swim::overlay::Offence::NotOverlay]);
}

#[test]
fn nothing_is_sent_to_whom_there_is_no_link() {
    let mut bench = Bench::new(4, 2);
    bench.unlink(1);
    bench.log.clear();
    bench.hear(1, holds([0]));
    bench.hear(1, walk(9, 1, 4, 6));
    assert!(bench.sent_to(1).is_empty());
    assert!(!bench.holds(1));
}

#[test]
fn a_link_that_is_not_needed_any_more_is_released_after_a_while() {
    let mut bench = Bench::new(4, 4);
    bench.hear(2, denies());
    let released = Output::Release { node: node_id(2) };
    bench.pass(millis(9_900));
    assert!(!bench.log.contains(&released));
    bench.pass(millis(200));
    assert!(bench.log.contains(&released));
}

#[test]
fn a_node_back_from_the_dead_is_bridged_to_by_two_edges() {
    let mut bench = Bench::new(4, 4);
    let (node, addresses) = (node_id(60), peer(60).addresses);
    bench.input(Input::Bridge { node, addresses });
    assert_eq!(bench.connects(), [node]);
    bench.link(60);
    bench.pass(millis(2_000));
    let orders = bench.orders();
    assert_eq!(
        orders.len(),
        2,
        "two neighbours become neighbours of each other"
    );
    for (to, _) in orders {
        bench.hear(Bench::number(to), denies());
    }
    assert_eq!(bench.count(), 2);
    bench.pass(millis(20));
    let walks = bench.walks();
    assert!(
        walks.iter().any(|(to, walk)| *to == node && walk.hops > 0),
        "{walks:?}"
    );
    assert_eq!(bench.overlay.stats().bridges, 1);
}

#[test]
fn of_many_that_come_back_at_once_few_are_dialled() {
    let mut bench = Bench::new(4, 4);
    for number in 60..160 {
        let (node, addresses) = (node_id(number), peer(number).addresses);
        bench.input(Input::Bridge { node, addresses });
    }
    assert_eq!(bench.connects(), [node_id(60)]);
    bench.pass(millis(2_000));
    assert!(bench.connects().len() <= 4, "{:?}", bench.connects());
}
