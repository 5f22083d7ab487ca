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
