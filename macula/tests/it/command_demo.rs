//! The demo.

use crate::command::macula;

#[test]
fn the_demo_delivers_everything_and_says_so() {
    let ended = macula(&["demo", "--seconds", "2", "--nodes", "4", "--json"]).expect(0);
    let objects = ended.objects();
    let of = |event: &str| {
        objects
            .iter()
            .filter(|object| object["event"] == event)
            .count()
    };
    assert_eq!(of("started"), 1);
    assert!(of("call") > 4 && of("received") > 2, "{objects:?}");
    let summary = objects.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["complete"]),
        (&"summary".into(), &true.into())
    );
    assert_eq!(summary["published"], 2 * 8_759);
    assert_eq!(summary["received"], summary["owed"]);
    assert_eq!(summary["owed"], 4 * 8_759);
    assert_eq!(summary["calls_failed"], 0);
    let nodes = summary["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    for node in nodes.iter().skip(2) {
        assert_eq!(
            (&node["received"], &node["missed"]),
            (&(2 * 8_759).into(), &0.into())
        );
        assert!(node["event_p50_us"].is_u64(), "{node}");
    }
    assert!(
        nodes
            .iter()
            .map(|node| node["answered"].as_u64().unwrap())
            .sum::<u64>()
            > 4
    );
}

#[test]
fn people_see_lines_and_a_table() {
    let ended = macula(&["demo", "--seconds", "1"]).expect(0);
    let text = ended.lines.join("\n");
    for part in [
        "3 nodes have found each other",
        "node 2 <- ",
        "called temperature.",
        "event p50",
        "arrived wherever",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(ended.stderr, "");
}
