//! Watching members come and go, by the command.

use crate::command::{Place, Process, macula, until};

#[test]
fn a_watch_lists_who_is_there_and_tells_each_change() {
    let place = Place::new();
    let one = place.run_node();
    let mut watch = one.start(&["members", "--watch"]);
    assert_eq!(watch.wait_for("member")["node"], one.id.as_str());
    assert_eq!(watch.wait_for("watching")["members"], 1);
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let node = Place::run(&two, &["--tag", "site=cellar", "--tag", "rack=7"]);
    let up = watch.wait_for("up");
    assert_eq!(up["node"], node.id.as_str());
    assert_eq!(
        (&up["tags"]["site"], &up["tags"]["rack"]),
        (&"cellar".into(), &"7".into())
    );
    assert!(up["at_ms"].as_u64() > Some(1_600_000_000_000), "{up}");
    node.process.signal("KILL");
    for event in ["suspect", "down"] {
        assert_eq!(watch.wait_for(event)["node"], node.id.as_str());
    }
    drop(node);
    let again = Place::run(&two, &["--tag", "site=attic"]);
    assert_eq!(watch.wait_for("up")["tags"]["site"], "attic");
    again.stop().expect(0);
    let left = watch.wait_for("left");
    assert_eq!(left["node"], up["node"]);
    assert!(left["at_ms"].as_u64() >= up["at_ms"].as_u64(), "{left}");
    watch.signal("TERM");
    watch.end().expect(0);
}

#[test]
fn a_watch_ends_with_its_node() {
    let place = Place::new();
    let node = place.run_node();
    let mut watch = node.start(&["members", "--watch"]);
    watch.wait_for("watching");
    node.stop().expect(0);
    assert_eq!(watch.end().expect(6).error()["code"], "UNREACHABLE");
}

#[test]
fn tags_are_listed_with_what_else_is_known_of_a_member() {
    let place = Place::new();
    let two = place.issue("two", &["--listen", "127.0.0.1:0"]);
    let text = std::fs::read_to_string(place.path("two").join("node.toml")).unwrap();
    let text = text.replace("[tags]", "[tags]\nsite = \"cellar\"\nrack = \"7\"");
    std::fs::write(place.path("two").join("node.toml"), text).unwrap();
    let node = Place::run(&two, &["--tag", "rack=8"]);
    let member = node.macula(&["members"]).expect(0).object();
    assert_eq!(
        member["tags"],
        serde_json::json!({"rack": "8", "site": "cellar"})
    );
    assert_eq!(member["incarnation"], 0);
    assert!(
        member["rtt_us"].is_null() && member["since_at_ms"].is_u64(),
        "{member}"
    );
    let shown = macula(&["members", "--node", &node.directory]).expect(0);
    assert!(shown.lines[1].ends_with("rack=8 site=cellar"), "{shown:?}");
    node.stop().expect(0);
    for wrong in ["rack", "=8", "ra ck=8"] {
        let refused = Process::start(&["node", "run", "--dir", &two, "--tag", wrong]).end();
        assert_eq!(refused.code, Some(2), "{wrong}: {refused:?}");
    }
}

#[test]
fn peers_know_the_tags_of_each_other() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &["--tag", "site=cellar"]);
    until("the tags have arrived, and the way is measured", || {
        let members = one.macula(&["members"]).expect(0).objects();
        members.iter().any(|member| {
            member["node"] == two.id.as_str()
                && member["tags"]["site"] == "cellar"
                && member["rtt_us"].as_u64() > Some(0)
        })
    });
}

#[test]
fn links_and_the_graph_of_them_are_shown_in_every_way() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    until("a link is up", || {
        let graph = one.macula(&["graph"]).expect(0).object();
        graph["edges"].as_array().unwrap().len() == 1
    });
    let peers = one.macula(&["peers"]).expect(0).objects();
    let peer = peers.iter().find(|peer| peer["role"] == "member").unwrap();
    assert_eq!(peer["node"], two.id.as_str());
    assert_eq!(peer["path"], format!("quic {}", two.listen));
    assert_eq!(peer["dialled_by"], "peer");
    assert!(
        peer["neighbour"].is_boolean() && peer["streams"].is_u64(),
        "{peer}"
    );
    assert!(
        peer["since_at_ms"].as_u64() > Some(1_600_000_000_000),
        "{peer}"
    );
    assert!(peer["since_ms"].as_u64() < Some(3_600_000), "{peer}");
    let graph = one.macula(&["graph"]).expect(0).object();
    assert_eq!(
        (&graph["event"], &graph["own"]),
        (&"graph".into(), &one.id.as_str().into())
    );
    let edge = &graph["edges"][0];
    let mut ends = [one.id.as_str(), two.id.as_str()];
    ends.sort_unstable();
    assert_eq!((&edge["a"], &edge["b"]), (&ends[0].into(), &ends[1].into()));
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 2);
    let drawn = |format: &str| {
        let arguments = ["graph", "--format", format, "--node", &one.directory];
        macula(&arguments).expect(0).lines
    };
    let (a, b) = (&ends[0][..8], &ends[1][..8]);
    assert!(
        drawn("text")
            .iter()
            .any(|line| line.starts_with(&format!("  -- {a}")))
    );
    let dot = drawn("dot");
    assert_eq!(
        (dot[0].as_str(), dot.last().unwrap().as_str()),
        ("graph macula {", "}")
    );
    assert!(
        dot.iter()
            .any(|line| line.contains(&format!("\"{a}\" -- \"{b}\"")))
    );
    let mermaid = drawn("mermaid");
    assert_eq!(mermaid[0], "graph LR");
    assert!(
        mermaid.last().unwrap().starts_with(&format!("  n{a} ")),
        "{mermaid:?}"
    );
    assert!(drawn("json")[0].starts_with("{\"event\":\"graph\""));
    macula(&["graph", "--format", "png", "--node", &one.directory]).expect(2);
}

#[test]
fn a_member_that_leaves_is_not_taken_for_dead_and_dials_nobody() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    until("it has joined", || {
        one.macula(&["members"]).expect(0).objects().len() == 2
    });
    let id = two.id.clone();
    let left = two.stop().expect(0);
    assert_eq!(left.stderr.matches("link up").count(), 1, "{}", left.stderr);
    let ended = one.stop().expect(0);
    assert!(!ended.stderr.contains("taken for dead"), "{}", ended.stderr);
    let ups = ended.stderr.lines().filter(|line| line.contains("link up"));
    let with = ups.filter(|line| line.contains(&id[..8]));
    assert_eq!(with.count(), 1, "{}", ended.stderr);
}
