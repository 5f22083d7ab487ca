//! How a member takes an edge that two others offer.

use macula_wire::message::OverlayVerdict;

use crate::overlay_bench::{Bench, answer, ids, millis, offer};

const TAKE: Option<OverlayVerdict> = Some(OverlayVerdict::Take);
const REFUSE: Option<OverlayVerdict> = Some(OverlayVerdict::Refuse);

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
