//! How a member comes in: walks, and the edge where one ends.

use macula_swim::overlay::{JoinError, Output};
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::message::OverlayVerdict;

use crate::overlay_bench::{Bench, answer, denies, holds, ids, millis, order, token, walk};

const REFUSE: Option<OverlayVerdict> = Some(OverlayVerdict::Refuse);

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
