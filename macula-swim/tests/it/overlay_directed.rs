//! Each step of an exchange of edges by itself, and each refusal beside what is accepted.

use macula_swim::overlay::{Input, JoinError, Output};
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::message::{OverlayEdge, OverlayVerdict};

use crate::overlay_bench::{
    Bench, answer, denies, flip, holds, ids, millis, offer, order, peer, token, walk,
};

const TAKE: Option<OverlayVerdict> = Some(OverlayVerdict::Take);
const REFUSE: Option<OverlayVerdict> = Some(OverlayVerdict::Refuse);
const READY: Option<OverlayVerdict> = Some(OverlayVerdict::Ready);

#[test]
fn a_machine_may_move_between_threads() {
    const fn assert_send<T: Send>() {}
    const { assert_send::<macula_swim::Overlay>() };
}

#[test]
fn a_node_cannot_join_through_itself_or_after_it_has_left() {
    let mut bench = Bench::new(4, 0);
    let (now, own) = (bench.now, node_id(0));
    let join = |bench: &mut Bench, node| bench.overlay.join(now, node, Vec::new());
    assert_eq!(join(&mut bench, own), Err(JoinError::Own));
    assert_eq!(join(&mut bench, node_id(1)), Ok(()));
    bench.overlay.leave(now);
    assert_eq!(join(&mut bench, node_id(1)), Err(JoinError::Left));
}

#[test]
fn the_first_of_an_overlay_takes_the_second_as_its_neighbour() {
    let mut bench = Bench::new(4, 0);
    bench.link(1);
    bench.hear(1, walk(9, 1, 4, 6));
    let sent = bench.sent_to(1);
    assert!(
        matches!(sent[..], [_, Body::OverlayOffer(offer)] if offer.token == token(9) && offer.instead.is_none()),
        "{sent:?}"
    );
    assert!(!bench.holds(1), "not before it says so");
    bench.hear(1, answer(9, OverlayVerdict::Take));
    assert!(bench.holds(1));
    let up = Output::NeighbourUp { node: node_id(1) };
    assert!(bench.log.contains(&up));
}

#[test]
fn a_walk_goes_on_to_a_neighbour_that_it_did_not_come_from() {
    for (hops, spare, expected) in [(5, 3, Some((4, 3))), (1, 3, Some((0, 3)))] {
        let mut bench = Bench::new(4, 4);
        let mut walk = walk(9, 77, 4, hops);
        walk.spare = spare;
        bench.hear(2, walk);
        let walks = bench.walks();
        let steps = walks.first().map(|(_, walk)| (walk.hops, walk.spare));
        assert_eq!(steps, expected);
        assert!(
            walks
                .iter()
                .all(|(to, _)| *to != node_id(2) && *to != node_id(77))
        );
    }
}

#[test]
fn where_a_walk_ends_an_edge_is_split() {
    let mut bench = Bench::new(4, 4);
    bench.hear(2, walk(9, 77, 4, 0));
    // The other end is told, the newcomer is dialled and is made an offer as soon as there is a link.
    let orders = bench.orders();
    let [(old, new)] = orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(new, node_id(77));
    assert_eq!(bench.connects(), [node_id(77)]);
    assert!(bench.sent_to(77).is_empty());
    bench.link(77);
    let sent = bench.sent_to(77);
    assert!(
        matches!(sent[..], [Body::OverlayOffer(offer)] if offer.instead == Some(old) && offer.token == token(9)),
        "{sent:?}"
    );
    assert_eq!(bench.count(), 4, "nothing has changed yet");
    bench.log.clear();
    bench.hear(77, answer(9, OverlayVerdict::Take));
    assert!(bench.holds(77) && !bench.overlay.is_neighbour(&old));
    assert_eq!(bench.count(), 4);
    let old = Bench::number(old);
    assert_eq!(
        bench.sent_to(old),
        [&Body::from(denies())],
        "its end is gone"
    );
}

#[test]
fn a_walk_is_not_ended_at_an_edge_that_does_not_suit() {
    // Of three edges one leads to a neighbour of the newcomer, one to somebody who knows it, one is locked.
    let mut bench = Bench::new(4, 4);
    bench.hear(2, holds([0, 77]));
    bench.hear(3, order(5, 50));
    let mut unfit = walk(9, 77, 4, 0);
    unfit.avoid = ids([1, 4]);
    bench.log.clear();
    bench.hear(1, unfit);
    assert_eq!(bench.orders(), []);
    let walks = bench.walks();
    assert_eq!(walks.len(), 1, "it goes on");
    assert_eq!(walks.first().map(|(_, walk)| walk.spare), Some(2));
    // The twin: one edge suits.
    let mut fit = walk(10, 78, 4, 0);
    fit.avoid = ids([1, 2]);
    bench.hear(1, fit);
    assert_eq!(bench.orders(), [(node_id(4), node_id(78))]);
}

#[test]
fn a_walk_without_steps_left_is_lost() {
    let mut bench = Bench::new(4, 4);
    let mut tired = walk(9, 77, 4, 0);
    tired.spare = 0;
    tired.avoid = ids(1..=4);
    bench.hear(2, tired);
    assert_eq!((bench.walks().len(), bench.orders().len()), (0, 0));
    assert_eq!(bench.overlay.stats().walks_lost, 1);
}

#[test]
fn an_offer_that_the_other_end_refuses_goes_to_another_edge() {
    let mut bench = Bench::new(4, 4);
    bench.hear(2, walk(9, 77, 4, 0));
    let (old, _) = bench.orders()[0];
    bench.log.clear();
    bench.hear(Bench::number(old), answer(9, OverlayVerdict::Refuse));
    assert_eq!(bench.orders().len() + bench.walks().len(), 1);
    // Once the newcomer has the offer it is told, and looks for another by itself.
    let mut bench = Bench::new(4, 4);
    bench.link(77);
    bench.hear(2, walk(9, 77, 4, 0));
    let (old, _) = bench.orders()[0];
    bench.hear(Bench::number(old), answer(9, OverlayVerdict::Refuse));
    assert_eq!(bench.verdict_to(77), REFUSE);
    assert_eq!(bench.walks().len(), 0);
}

#[test]
fn an_exchange_that_nobody_answers_ends_and_the_edge_is_asked_after() {
    let mut bench = Bench::new(4, 4);
    bench.link(77);
    bench.hear(2, walk(9, 77, 4, 0));
    let (old, _) = bench.orders()[0];
    bench.log.clear();
    bench.pass(millis(3_100));
    assert_eq!(bench.verdict_to(77), REFUSE);
    let asks = |body: &&Body| matches!(body, Body::OverlayEdge(edge) if edge.ask);
    let asked = bench.sent_to(Bench::number(old)).into_iter().filter(asks);
    assert_eq!(asked.count(), 1);
    // What comes too late is told so.
    bench.log.clear();
    bench.hear(77, answer(9, OverlayVerdict::Take));
    assert_eq!(bench.sent_to(77), [&Body::from(denies())]);
    assert!(!bench.holds(77));
}

#[test]
fn a_neighbour_may_give_its_end_to_another_and_only_a_neighbour_may() {
    let check = |from: usize, to: usize, accepted: bool| {
        let mut bench = Bench::new(4, 4);
        bench.link(5);
        bench.link(60);
        bench.hear(from, order(9, to));
        let offered = bench
            .sent_to(to)
            .iter()
            .any(|body| matches!(body, Body::OverlayOffer(_)));
        assert_eq!(offered, accepted, "{from} to {to}");
        if accepted {
            bench.hear(to, answer(9, OverlayVerdict::Take));
            assert!(bench.holds(to) && !bench.holds(from));
        } else {
            assert_eq!(bench.verdict_to(from), REFUSE, "{from} to {to}");
            assert_eq!(bench.count(), 4);
        }
    };
    check(1, 60, true);
    check(5, 60, false);
    check(1, 2, false);
    check(1, 0, false);
}

#[test]
fn a_locked_edge_is_not_given_a_second_time() {
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    bench.link(61);
    bench.hear(1, order(9, 60));
    bench.hear(1, order(10, 61));
    assert_eq!(bench.verdict_to(1), REFUSE);
    bench.hear(2, order(11, 61));
    assert_eq!(bench.verdict_to(2), None);
    bench.hear(3, order(12, 61));
    assert_eq!(bench.verdict_to(3), REFUSE, "two edges to one node");
}

#[test]
fn an_end_that_was_given_up_first_keeps_its_place_until_the_other_is_there() {
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    bench.hear(1, order(9, 60));
    bench.hear(1, denies());
    assert!(bench.holds(1), "60 may not come");
    bench.log.clear();
    bench.hear(60, answer(9, OverlayVerdict::Take));
    assert!(bench.holds(60) && !bench.holds(1));
    assert!(bench.sent_to(1).is_empty(), "it knows");
    // The twin: it does not come.
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    bench.hear(1, order(9, 60));
    bench.hear(1, denies());
    bench.hear(60, answer(9, OverlayVerdict::Refuse));
    assert!(!bench.holds(60) && !bench.holds(1));
}

/// Node 0 with two neighbours of four, and a walk of its own under way; answers its token.
fn seeking() -> (Bench, u64) {
    let mut bench = Bench::new(4, 2);
    bench.pass(millis(1_300));
    let walks = bench.walks();
    let [(_, walk)] = &walks[..] else {
        panic!("{walks:?}");
    };
    assert_eq!((walk.need, walk.avoid.clone()), (2, ids([1, 2])));
    let number = walk.token.get();
    bench.link(60);
    bench.link(61);
    bench.log.clear();
    (bench, number)
}

#[test]
fn a_node_enters_an_edge_when_both_ends_offer() {
    let (mut bench, number) = seeking();
    bench.hear(60, offer(number, Some(61)));
    assert_eq!((bench.count(), bench.verdict_to(60)), (2, None));
    bench.hear(61, offer(number, Some(60)));
    assert_eq!((bench.verdict_to(60), bench.verdict_to(61)), (TAKE, TAKE));
    assert_eq!(bench.count(), 4);
    assert!(bench.overlay.is_settled());
}

#[test]
fn ends_that_do_not_name_each_other_are_refused() {
    let (mut bench, number) = seeking();
    bench.link(62);
    bench.hear(60, offer(number, Some(61)));
    bench.hear(61, offer(number, Some(62)));
    assert_eq!(
        (bench.verdict_to(60), bench.verdict_to(61)),
        (REFUSE, REFUSE)
    );
    assert_eq!(bench.count(), 2);
}

#[test]
fn an_end_that_waits_too_long_for_the_other_is_told() {
    let (mut bench, number) = seeking();
    bench.hear(60, offer(number, Some(61)));
    bench.pass(millis(2_100));
    assert_eq!(bench.verdict_to(60), REFUSE);
    bench.hear(61, offer(number, Some(60)));
    assert_eq!(bench.verdict_to(61), REFUSE);
}

#[test]
fn an_end_that_is_a_neighbour_already_is_refused() {
    let (mut bench, number) = seeking();
    bench.hear(60, offer(number, Some(1)));
    bench.hear(1, offer(number, Some(60)));
    assert_eq!(
        (bench.verdict_to(60), bench.verdict_to(1)),
        (REFUSE, REFUSE)
    );
}

#[test]
fn an_edge_is_not_taken_for_a_place_that_is_not_kept() {
    // A walk for one edge is answered with a split, which is two.
    let mut bench = Bench::new(4, 3);
    bench.pass(millis(1_300));
    let (_, walk) = bench.walks().remove(0);
    assert_eq!(walk.need, 1);
    bench.link(60);
    bench.hear(60, offer(walk.token.get(), Some(61)));
    assert_eq!(bench.verdict_to(60), REFUSE);
    assert_eq!(bench.count(), 3);
}

#[test]
fn what_was_taken_is_given_back_when_the_other_end_gives_up() {
    let (mut bench, number) = seeking();
    bench.hear(60, offer(number, Some(61)));
    bench.hear(61, offer(number, Some(60)));
    bench.hear(61, answer(number, OverlayVerdict::Refuse));
    assert!(bench.holds(60) && !bench.holds(61));
    bench.hear(60, answer(number + 1, OverlayVerdict::Refuse));
    assert!(bench.holds(60), "another exchange");
}

#[test]
fn an_edge_that_was_not_asked_for_is_taken_if_one_is_missing() {
    let propose = |neighbours: usize, from: usize| {
        let mut bench = Bench::new(4, neighbours);
        bench.link(from);
        bench.hear(from, offer(9, None));
        (bench.verdict_to(from), bench.count())
    };
    assert_eq!(propose(3, 60), (TAKE, 4));
    assert_eq!(propose(4, 60), (REFUSE, 4));
    assert_eq!(propose(3, 1), (REFUSE, 3), "there is one already");
}

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
fn the_head_of_a_flip_takes_when_both_halves_are_there() {
    let mut config = macula_swim::overlay::Config::default();
    config.degree = 4;
    config.check_period = millis(10_000_000);
    let mut bench = Bench::with(config, 4);
    // A flip begins by itself; those for nearness need round trips.
    let (tail, request) = loop {
        bench.log.clear();
        bench.pass(millis(1_000));
        let flips = bench.log.iter().find_map(|output| match output {
            Output::Send {
                to,
                body: Body::OverlayFlip(flip),
                ..
            } => Some((*to, flip.clone())),
            _ => None,
        });
        if let Some((to, flip)) = flips
            && !flip.near
        {
            break (Bench::number(to), flip);
        }
    };
    let number = request.token.get();
    let old = Bench::number(request.peer.node);
    assert!(bench.holds(old) && old != tail);
    bench.hear(tail, answer(number, OverlayVerdict::Ready));
    assert_eq!(bench.orders(), [(node_id(old), node_id(tail))]);
    bench.link(60);
    bench.hear(60, offer(number, Some(tail)));
    assert!(!bench.holds(60));
    bench.hear(tail, answer(number, OverlayVerdict::Ready));
    assert!(bench.holds(60) && bench.holds(tail) && !bench.holds(old));
    assert_eq!((bench.verdict_to(60), bench.verdict_to(tail)), (TAKE, TAKE));
    assert_eq!(bench.overlay.stats().flips, 1);
}

#[test]
fn the_tail_of_a_flip_gives_an_edge_that_suits() {
    let mut bench = Bench::new(4, 4);
    let mut request = flip(9, 60, false);
    request.avoid = ids([0, 2, 3]);
    bench.hear(1, request);
    // Of the edges to 2, 3 and 4 only the last one suits.
    assert_eq!(bench.orders(), [(node_id(4), node_id(1))]);
    assert_eq!(bench.verdict_to(1), READY);
    bench.log.clear();
    bench.link(60);
    bench.hear(60, offer(9, Some(1)));
    assert_eq!(bench.verdict_to(1), READY);
    bench.hear(1, answer(9, OverlayVerdict::Take));
    assert!(bench.holds(60) && bench.holds(1) && !bench.holds(4));
    assert_eq!(bench.verdict_to(60), TAKE);
}

#[test]
fn a_flip_is_refused_where_it_does_not_suit() {
    let ask = |from: usize, moved: usize, avoid: &[usize]| {
        let mut bench = Bench::new(4, 4);
        bench.link(60);
        let mut request = flip(9, moved, false);
        request.avoid = ids(avoid.iter().copied());
        bench.hear(from, request);
        bench.verdict_to(from)
    };
    assert_eq!(ask(1, 61, &[]), READY);
    assert_eq!(ask(60, 61, &[]), REFUSE, "no neighbour");
    assert_eq!(ask(1, 2, &[]), REFUSE, "a neighbour already");
    assert_eq!(ask(1, 61, &[2, 3, 4]), REFUSE, "no edge that suits");
    assert_eq!(ask(1, 0, &[]), REFUSE, "this node");
}

#[test]
fn a_flip_for_nearness_needs_an_edge_that_is_shorter() {
    let near = |own: u64, new: u64| {
        let mut bench = Bench::new(4, 4);
        for number in 1..=4 {
            bench.rtt(number, own);
        }
        bench.hear(1, flip(9, 60, true));
        bench.link(60);
        bench.rtt(60, new);
        bench.log.clear();
        bench.hear(60, offer(9, Some(1)));
        bench.verdict_to(1)
    };
    assert_eq!(near(50, 20), READY);
    assert_eq!(near(20, 50), REFUSE);
}

#[test]
fn half_of_the_edges_stay_as_chance_made_them() {
    let mut bench = Bench::new(4, 4);
    let mut near = 0;
    for number in 60..70_usize {
        let from = bench.overlay.neighbours().next().unwrap();
        bench.link(number);
        let mut order = order(u64::try_from(number).unwrap(), number);
        order.near = true;
        // Each time another edge that chance made is to become a near one.
        let from = (1..=4)
            .find(|old| bench.holds(*old))
            .unwrap_or_else(|| Bench::number(from));
        bench.log.clear();
        bench.hear(from, order);
        if bench.verdict_to(from) == REFUSE {
            break;
        }
        let number = u64::try_from(number).unwrap();
        bench.hear(
            usize::try_from(number).unwrap(),
            answer(number, OverlayVerdict::Take),
        );
        near += 1;
    }
    assert_eq!(near, 2);
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
