//! Publishing and subscribing through nodes that are processes.

use crate::command::{Place, Process, macula};

#[test]
fn what_is_published_reaches_a_subscriber_of_the_same_node() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "home.*.temperature", "--count", "2"]);
    assert_eq!(
        sub.wait_for("subscribed")["patterns"],
        serde_json::json!(["home.*.temperature"])
    );
    let published = node
        .macula(&["pub", "home.42.temperature", "21.5", "--count", "2"])
        .expect(0)
        .object();
    assert_eq!(
        (&published["event"], &published["count"]),
        (&"published".into(), &2.into())
    );
    let events = sub.end().expect(0).objects();
    assert_eq!(events.len(), 2);
    for (sequence, event) in events.iter().enumerate() {
        assert_eq!(event["event"], "event");
        assert_eq!(event["topic"], "home.42.temperature");
        assert_eq!(event["payload"], "21.5");
        assert_eq!(event["content"], "text/plain");
        assert_eq!(event["publisher"], node.id.as_str());
        assert_eq!(event["seq"], sequence);
    }
}

#[test]
fn events_cross_from_node_to_node() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let mut sub = two.start(&["sub", "home.**", "--count", "5"]);
    sub.wait_for("subscribed");
    // It publishes until the subscription has been heard of and five have come.
    let mut publishing = one.start(&[
        "pub",
        "home.1.power",
        "7",
        "--count",
        "100000",
        "--sleep",
        "10ms",
    ]);
    let events = sub.end().expect(0).objects();
    let sequences: Vec<u64> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences.len(), 5);
    assert!(
        sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{sequences:?}"
    );
    publishing.signal("TERM");
    assert!(publishing.wait_for("published")["count"].as_u64() >= Some(5));
    publishing.end().expect(0);
}

#[test]
fn lines_of_standard_input_are_events_and_all_of_it_is_one() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "a.*", "--count", "4"]);
    sub.wait_for("subscribed");
    let lines = node.attached(&["pub", "a.lines", "--send-on", "newline"]);
    Process::start_with_input(&lines, b"one\n\xff\nthree")
        .end()
        .expect(0);
    let whole = node.attached(&["pub", "a.whole", "-", "--content", "json"]);
    Process::start_with_input(&whole, b"{\n}").end().expect(0);
    let events = sub.end().expect(0).objects();
    let payloads: Vec<_> = events
        .iter()
        .map(|event| event["payload"].clone())
        .collect();
    assert_eq!(
        payloads,
        [
            serde_json::json!("one"),
            serde_json::json!({"hex": "ff"}),
            "three".into(),
            "{\n}".into()
        ]
    );
    assert_eq!(events[3]["content"], "application/json");
}

#[test]
fn people_get_lines_and_raw_is_raw() {
    let place = Place::new();
    let node = place.run_node();
    let mut subs = Vec::new();
    for more in [["--count", "1"].as_slice(), &["--count", "1", "--raw"]] {
        let mut arguments = vec!["sub", "a.b", "--node", &node.directory];
        arguments.extend(more);
        subs.push(Process::start(&arguments));
    }
    let mut ready = node.start(&["sub", "a.b", "--count", "1"]);
    ready.wait_for("subscribed");
    let publishing = node.start(&[
        "pub", "a.b", "x\u{1b}y", "--count", "100000", "--sleep", "10ms",
    ]);
    let [text, raw] = <[Process; 2]>::try_from(subs).unwrap_or_else(|_| panic!());
    assert_eq!(text.end().expect(0).lines, ["a.b x\\u{1b}y"]);
    assert_eq!(raw.end().expect(0).lines, ["x\u{1b}y"]);
    drop(publishing);
}

#[test]
fn several_patterns_are_one_stream() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "a.*", "b.*", "c.*", "--count", "3"]);
    sub.wait_for("subscribed");
    for topic in ["c.1", "a.1", "b.1"] {
        node.macula(&["pub", topic, "x"]).expect(0);
    }
    let events = sub.end().expect(0).objects();
    let mut topics: Vec<_> = events
        .iter()
        .map(|event| event["topic"].as_str().unwrap())
        .collect();
    topics.sort_unstable();
    assert_eq!(topics, ["a.1", "b.1", "c.1"]);
}

#[test]
fn a_subscriber_that_waits_in_vain_ends_with_the_deadline() {
    let place = Place::new();
    let node = place.run_node();
    let none = node
        .macula(&["sub", "a.b", "--count", "1", "--timeout", "200ms"])
        .expect(5);
    assert_eq!(none.error()["exit"], 5);
    // Without a count it was only to listen for that long.
    node.macula(&["sub", "a.b", "--timeout", "200ms"]).expect(0);
    let mut some = node.start(&["sub", "a.b", "--count", "2", "--timeout", "3s"]);
    some.wait_for("subscribed");
    node.macula(&["pub", "a.b", "x"]).expect(0);
    assert_eq!(some.end().expect(7).objects().len(), 1);
}

#[test]
fn a_payload_over_the_limit_is_refused_and_the_link_stays_up() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "a.b", "--count", "3"]);
    sub.wait_for("subscribed");
    let mut input = b"before\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', (1 << 20) + 1));
    input.extend_from_slice(b"\nafter\n");
    let mixed = node.attached(&["pub", "a.b", "--send-on", "newline"]);
    let ended = Process::start_with_input(&mixed, &input).end().expect(7);
    let published = ended.object();
    assert_eq!(
        (&published["count"], &published["refused"]),
        (&2.into(), &1.into())
    );
    // The largest that is allowed passes, one byte more alone is an error.
    let whole = node.attached(&["pub", "a.b"]);
    let over = Process::start_with_input(&whole, &vec![b'x'; (1 << 20) + 1])
        .end()
        .expect(1);
    assert_eq!(over.error()["code"], "PAYLOAD_TOO_LARGE");
    Process::start_with_input(&whole, &vec![b'x'; 1 << 20])
        .end()
        .expect(0);
    let events = sub.end().expect(0).objects();
    let lengths: Vec<usize> = events
        .iter()
        .map(|event| event["payload"].as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [6, 5, 1 << 20]);
}

#[test]
fn names_that_cannot_be_are_refused_and_reserved_ones_denied() {
    let place = Place::new();
    let node = place.run_node();
    for topic in ["a..b", "a.*", "a.b c", &"a.".repeat(150)] {
        let refused = node.macula(&["pub", topic, "x"]).expect(2);
        assert_eq!(refused.error()["code"], "INVALID_NAME", "{topic}");
    }
    for arguments in [
        ["pub", "$sys.x", "x"].as_slice(),
        &["sub", "$sys.**"],
        &["call", "$other.x"],
        &["serve", "$sys.x", "--echo"],
    ] {
        let refused = node.macula(arguments).expect(3);
        assert_eq!(refused.error()["code"], "DENIED", "{arguments:?}");
    }
    node.macula(&["pub", "sys.x", "x"]).expect(0);
}

#[test]
fn a_slow_subscriber_is_told_what_it_missed() {
    let place = Place::new();
    let node = place.run_node();
    let mut slow = node.start(&[
        "sub",
        "a.b",
        "--max-events",
        "4",
        "--delay",
        "20ms",
        "--count",
        "20",
    ]);
    slow.wait_for("subscribed");
    let publishing = node.start(&["pub", "a.b", "x", "--count", "1000000", "--sleep", "1ms"]);
    let ended = slow.end().expect(0).objects();
    drop(publishing);
    let (mut next, mut gaps) = (0, 0);
    for object in &ended {
        if object["event"] == "gap" {
            assert_eq!(object["cause"], "overflow", "{object}");
            assert_eq!(object["from"].as_u64().unwrap(), next, "{object}");
            next = object["to"].as_u64().unwrap();
            assert!(object["count"].as_u64() > Some(0));
            gaps += 1;
        } else {
            assert_eq!(
                object["seq"].as_u64().unwrap(),
                next,
                "nothing is missing in silence: {object}"
            );
            next += 1;
        }
    }
    assert!(gaps > 0);
}

#[test]
fn a_node_that_stops_ends_its_subscribers() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "a.b"]);
    sub.wait_for("subscribed");
    let directory = node.directory.clone();
    node.stop().expect(0);
    assert_eq!(sub.end().expect(6).error()["exit"], 6);
    macula(&["pub", "a.b", "x", "--node", &directory]).expect(6);
}

#[test]
fn an_event_is_printed_with_what_it_was_published_with() {
    let place = Place::new();
    let node = place.run_node();
    let mut sub = node.start(&["sub", "with.*", "--count", "2"]);
    sub.wait_for("subscribed");
    let with = [
        "pub",
        "with.x",
        "21.5",
        "-H",
        "unit:C",
        "-H",
        "a:b",
        "--key",
        "k",
        "--dedup-id",
        "7",
        "--ttl",
        "1h",
    ];
    node.macula(&with).expect(0);
    node.macula(&with).expect(0);
    node.macula(&["pub", "with.y", "plain"]).expect(0);
    let events = sub.end().expect(0).objects();
    let full = &events[0];
    assert_eq!(full["headers"], serde_json::json!({"a": "b", "unit": "C"}));
    assert_eq!(
        (&full["key"], &full["dedup_id"]),
        (&"k".into(), &"7".into())
    );
    assert!(full["ttl_left_ms"].as_u64().unwrap() > 3_500_000, "{full}");
    // The second one had the same id.
    assert_eq!(events[1]["payload"], "plain");
    assert!(events[1].get("headers").is_none(), "{}", events[1]);
    node.macula(&["pub", "with.x", "1", "-H", "$unit:C"])
        .expect(2);
    node.macula(&["pub", "with.x", "1", "--eligible", "somebody"])
        .expect(2);
}

#[test]
fn a_value_that_is_retained_is_printed_first_and_taken_back_by_nothing() {
    let place = Place::new();
    let node = place.run_node();
    node.macula(&["pub", "stays.x", "21", "--retain"]).expect(0);
    let last = ["sub", "stays.*", "--last", "--timeout", "2s"];
    let until_found = |expected: usize| loop {
        let found = node.macula(&last).expect(0).objects();
        let values = found.iter().filter(|one| one["event"] == "retained");
        let values: Vec<_> = values.map(|one| one["payload"].clone()).collect();
        if values.len() == expected {
            return values;
        }
    };
    assert_eq!(until_found(1), ["21"]);
    node.macula(&["pub", "stays.x", "", "--retain"]).expect(0);
    assert!(until_found(0).is_empty());
}

#[test]
fn events_are_counted_by_topic_written_to_files_or_told_with_the_time() {
    let place = Place::new();
    let node = place.run_node();
    let folder = place.path("events").display().to_string();
    let mut counting = node.start(&["sub", "t.*", "--report-topics", "--count", "3"]);
    let mut dumping = node.start(&["sub", "t.*", "--dump", &folder, "--count", "3"]);
    let mut timed = node.start(&["sub", "t.*", "--timestamp", "--count", "3"]);
    for sub in [&mut counting, &mut dumping, &mut timed] {
        sub.wait_for("subscribed");
    }
    for (topic, body, count) in [("t.one", "abc", "2"), ("t.two", "d", "1")] {
        node.macula(&["pub", topic, body, "--count", count])
            .expect(0);
    }
    let topics = counting.end().expect(0).objects();
    let counts: Vec<_> = topics
        .iter()
        .map(|topic| (topic["topic"].as_str(), &topic["events"], &topic["bytes"]))
        .collect();
    let (one, two, six) = (1.into(), 2.into(), 6.into());
    assert_eq!(
        counts,
        [(Some("t.one"), &two, &six), (Some("t.two"), &one, &one)]
    );
    dumping.end().expect(0);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        files,
        [
            ("00000000-t.one", "abc"),
            ("00000001-t.one", "abc"),
            ("00000002-t.two", "d")
        ]
    );
    let events = timed.end().expect(0).objects();
    assert!(events.iter().all(|event| event["at_ms"].as_u64() > Some(0)));
    // A folder of another run is left as it is.
    let mut again = node.start(&["sub", "t.*", "--dump", &folder, "--count", "1"]);
    again.wait_for("subscribed");
    node.macula(&["pub", "t.one", "e"]).expect(0);
    again.end().expect(1);
    assert_eq!(
        std::fs::read_to_string(place.path("events/00000000-t.one")).unwrap(),
        "abc"
    );
}
