//! Running a node, and asking it how it is.

use crate::command::{Place, Process, macula, until};

#[test]
fn a_node_says_once_that_it_serves_and_drains_on_both_signals() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let node = place.run_node();
        assert_eq!(node.id.len(), 64);
        node.process.signal(signal);
        let ended = node.process.end().expect(0);
        assert!(ended.lines.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_port_in_use_is_told_and_another_is_taken() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", &one.listen]);
    let refused = macula(&["node", "run", "--json", "--dir", &two]).expect(8);
    let error = refused.error();
    assert_eq!(
        (&error["code"], &error["exit"]),
        (&"ADDRESS_IN_USE".into(), &8.into())
    );
    assert!(
        error["detail"].as_str().unwrap().contains(&one.listen),
        "{error}"
    );
    Place::run(&two, &["--listen", "127.0.0.1:0"])
        .stop()
        .expect(0);
    let listen = one.listen.clone();
    one.stop().expect(0);
    assert_eq!(Place::run(&two, &[]).listen, listen);
}

#[test]
fn a_directory_has_one_node_at_a_time() {
    let place = Place::new();
    let node = place.run_node();
    let refused = macula(&["node", "run", "--json", "--dir", &place.node()]).expect(8);
    let detail = refused.error()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("macula.sock"), "{detail}");
    // The one that runs is not disturbed.
    node.macula(&["status"]).expect(0);
    node.stop().expect(0);
    place.run_node().stop().expect(0);
}

#[test]
fn a_node_that_was_killed_can_run_again() {
    let place = Place::new();
    let node = place.run_node();
    node.process.signal("KILL");
    assert_eq!(node.process.end().code, None);
    let again = place.run_node();
    assert_eq!(again.id, node.id);
    again.macula(&["status"]).expect(0);
    again.stop().expect(0);
}

#[test]
fn nodes_that_join_see_each_other() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let three = place.issue("three", &[]);
    let three = Place::run(&three, &["--listen", "127.0.0.1:0", "--join", &two.listen]);
    let nodes = [&one, &two, &three];
    for node in nodes {
        until("all are members", || {
            let members = node.macula(&["members"]).expect(0).objects();
            let alive = |id: &str| {
                members
                    .iter()
                    .any(|member| member["node"] == id && member["state"] == "alive")
            };
            nodes.iter().all(|node| alive(&node.id))
        });
    }
    until("one has a link to each", || {
        let peers = one.macula(&["peers"]).expect(0).objects();
        let linked = |id: &str| {
            peers
                .iter()
                .any(|peer| peer["node"] == id && peer["role"] == "member")
        };
        linked(&two.id) && linked(&three.id)
    });
    let status = one.macula(&["status"]).expect(0).object();
    assert_eq!(
        (&status["event"], &status["node"]),
        (&"status".into(), &one.id.as_str().into())
    );
    assert_eq!(status["stats"]["members"]["alive"], 3);
    assert_eq!(status["stats"]["panics"], 0);
    // One that leaves is not missed, it has left.
    three.stop().expect(0);
    until("it has left", || {
        let members = one.macula(&["members"]).expect(0).objects();
        !members.iter().any(|member| {
            member["state"] == "alive" && member["node"] != *one.id && member["node"] != *two.id
        })
    });
}

#[test]
fn every_question_about_a_node_is_answered_for_programs_and_for_people() {
    let place = Place::new();
    let node = place.run_node();
    for (command, event) in [
        ("members", "member"),
        ("peers", "peer"),
        ("status", "status"),
        ("stats", "stats"),
    ] {
        let objects = node.macula(&[command]).expect(0).objects();
        assert!(
            objects.iter().all(|object| object["event"] == event),
            "{objects:?}"
        );
        assert!(!objects.is_empty(), "{command}");
        let text = macula(&[command, "--node", &node.directory]).expect(0);
        assert!(text.lines.len() > 1, "{text:?}");
    }
    let version = node.macula(&["version"]).expect(0).object();
    assert_eq!(version["node"], node.id.as_str());
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let own = macula(&["version", "--json"]).expect(0).object();
    assert!(own["node"].is_null());
}

#[test]
fn the_counters_that_operators_need_are_told() {
    let place = Place::new();
    let node = place.run_node();
    let stats = &node.macula(&["status"]).expect(0).object()["stats"];
    for name in [
        "process_resident_bytes",
        "process_open_fds",
        "tasks",
        "panics",
        "subscriptions",
        "registrations",
        "queued_bytes",
    ] {
        assert!(stats[name].is_u64(), "{name}: {stats}");
    }
    assert!(stats["endpoint"]["handshakes_pending"].is_u64(), "{stats}");
    assert!(stats["endpoint"]["auth_failures"].is_array(), "{stats}");
    for name in [
        "health",
        "neighbours",
        "probes",
        "suspicions",
        "suspicions_cleared",
        "refutations",
        "accusations_refused",
        "stalls",
    ] {
        assert!(stats["membership"][name].is_u64(), "{name}: {stats}");
    }
    assert!(stats["cache"]["records"].is_u64(), "{stats}");
    assert!(stats["counts"]["denied"].is_u64(), "{stats}");
    assert!(
        stats["process_resident_bytes"].as_u64() > Some(1 << 20),
        "{stats}"
    );
}

#[test]
fn a_second_signal_does_not_wait_for_the_first() {
    let place = Place::new();
    let node = place.run_node();
    node.process.signal("TERM");
    node.process.signal("INT");
    // Whether the first was done before the second came is open; that it ends is not.
    assert!(matches!(node.process.end().code, Some(0 | 1)));
}

#[test]
fn a_level_that_is_none_is_a_usage_error() {
    let place = Place::new();
    let run =
        |level: &str| ["node", "run", "--dir", &place.node(), "--log", level].map(str::to_owned);
    let wrong = run("=loud=");
    macula(&wrong.each_ref().map(String::as_str)).expect(2);
    let mut right = Process::start(&run("debug").each_ref().map(String::as_str));
    right.wait_for("ready");
    right.signal("TERM");
    let ended = right.end().expect(0);
    assert!(
        ended.stderr.contains("leaves the realm"),
        "{}",
        ended.stderr
    );
}
