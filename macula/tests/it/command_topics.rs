//! What is subscribed to, and how far members are, by the command.

use crate::command::{Place, macula, until};

#[test]
fn patterns_are_listed_with_the_nodes_that_want_them() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let mut subscribers = [
        one.start(&["sub", "home.*"]),
        two.start(&["sub", "home.*", "work.**"]),
    ];
    for subscriber in &mut subscribers {
        subscriber.wait_for("subscribed");
    }
    let mut topics = Vec::new();
    until("both members are asked", || {
        topics = one.macula(&["topics"]).expect(0).objects();
        topics.len() == 2 && topics[0]["subscribers"] == 2
    });
    assert_eq!(topics[0]["pattern"], "home.*");
    assert_eq!(topics[0]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(topics[1]["nodes"][0]["node"], two.id.as_str());
    assert_eq!(topics[1]["nodes"][0]["clients"], 1);
    let here = one.macula(&["topics", "--here"]).expect(0).objects();
    assert_eq!(here.len(), 1);
    let matching = one.macula(&["topics", "work.x.y"]).expect(0).object();
    assert_eq!(matching["pattern"], "work.**");
    one.macula(&["topics", "work.*"]).expect(2);
    let told = macula(&["topics", "--node", &one.directory]).expect(0);
    assert!(
        told.lines.iter().any(|line| line.contains("work.**")),
        "{told:?}"
    );
}

#[test]
fn what_is_published_is_told_by_topic_and_second() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let every = ["--count", "100000", "--sleep", "5ms"];
    let publish = |topic| [&["pub", topic, "twelve bytes"][..], &every[..]].concat();
    let _publishers = [
        one.start(&publish("home.x")),
        two.start(&publish("home.x")),
        two.start(&publish("work.y")),
    ];
    let mut told = Vec::new();
    until("both members have published", || {
        let rates = one.macula(&["topics", "--rates", "200ms"]).expect(0);
        told = rates.objects();
        told.retain(|line| line["event"] == "rate");
        let is_live = |line: &serde_json::Value| line["events_per_s"].as_u64().unwrap() > 1;
        told.len() == 2 && told.iter().all(is_live) && told[0]["publishers"] == 2
    });
    assert_eq!(told[0]["topic"], "home.x");
    for line in &told {
        let rate = |key: &str| line[key].as_u64().unwrap();
        // Each payload has its length before it, and what is not whole is rounded up.
        assert!(
            rate("bytes_per_s") >= 12 * (rate("events_per_s") - 2),
            "{line}"
        );
        assert!(
            rate("bytes_per_s") <= 14 * rate("events_per_s") + 2,
            "{line}"
        );
    }
    let only = one.macula(&["topics", "work.y", "--rates"]).expect(0);
    assert_eq!(only.object()["topic"], "work.y");
}

#[test]
fn round_trips_to_members_are_measured() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let measure = ["rtt", "--count", "5", "--interval", "1ms"];
    let mut measured = Vec::new();
    until("both are members", || {
        measured = one.macula(&measure).expect(0).objects();
        measured.len() == 2
    });
    for line in &measured {
        let way = if line["node"] == two.id.as_str() {
            "direct"
        } else {
            "itself"
        };
        assert_eq!(
            (&line["way"], &line["sent"], &line["lost"]),
            (&way.into(), &5.into(), &0.into())
        );
        let time = |key: &str| line[key].as_u64().unwrap();
        assert!(
            time("min_us") > 0 && time("min_us") <= time("p50_us"),
            "{line}"
        );
        assert!(
            time("p50_us") <= time("p99_us") && time("p99_us") <= time("max_us"),
            "{line}"
        );
    }
    let alone = one
        .macula(&["rtt", &two.id, "--count", "2"])
        .expect(0)
        .object();
    assert_eq!(
        (&alone["event"], &alone["sent"]),
        (&"rtt".into(), &2.into())
    );
    let nobody = one.macula(&["rtt", "nobody"]).expect(4);
    assert_eq!(nobody.error()["code"], "NOT_FOUND");
    let told = macula(&["rtt", "--node", &one.directory, "--count", "1"]).expect(0);
    assert!(
        told.lines.iter().any(|line| line.contains("direct")),
        "{told:?}"
    );
}
