//! Rates of a node, by the command.

use crate::command::Place;

#[test]
fn what_passes_a_node_is_told_as_rates() {
    let place = Place::new();
    let node = place.run_node();
    let mut top = node.start(&["top", "--interval", "100ms"]);
    top.wait_for("top");
    let mut subscriber = node.start(&["sub", "t"]);
    subscriber.wait_for("subscribed");
    let published = node.start(&["pub", "t", "x", "--count", "50"]);
    // Some look is the one in which the fifty events fell.
    let busy = std::iter::repeat_with(|| top.wait_for("top"))
        .take(600)
        .find(|look| look["published"].as_u64() > Some(0));
    let busy = busy.expect("no look shows what was published");
    assert!(busy["period_ms"].as_u64() >= Some(50), "{busy}");
    assert!(busy["links"].as_array().unwrap().len() >= 2, "{busy}");
    published.end().expect(0);
    subscriber.signal("TERM");
    subscriber.end().expect(0);
    top.signal("INT");
    top.end().expect(0);
}

#[test]
fn a_number_of_looks_is_kept_and_too_short_an_interval_refused() {
    let place = Place::new();
    let node = place.run_node();
    let looks = ["top", "--interval", "100ms", "--count", "3"];
    assert_eq!(node.macula(&looks).expect(0).objects().len(), 3);
    let error = node
        .macula(&["top", "--interval", "50ms"])
        .expect(2)
        .error();
    assert_eq!(error["code"], "USAGE");
}
