//! How edges are exchanged to mix the overlay and to bring it nearer.

use macula_swim::overlay::Output;
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::message::OverlayVerdict;

use crate::overlay_bench::{Bench, answer, flip, ids, millis, offer, order};

const TAKE: Option<OverlayVerdict> = Some(OverlayVerdict::Take);
const REFUSE: Option<OverlayVerdict> = Some(OverlayVerdict::Refuse);
const READY: Option<OverlayVerdict> = Some(OverlayVerdict::Ready);

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
