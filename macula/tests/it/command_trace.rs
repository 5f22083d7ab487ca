//! The ways between nodes, by the command.

use std::net::UdpSocket;

use serde_json::Value;

use crate::command::{Place, until};

/// What `node` tells of its link to another.
fn peer(node: &crate::command::Running, id: &str) -> Option<Value> {
    let peers = node.macula(&["peers"]).expect(0).objects();
    peers.into_iter().find(|peer| peer["node"] == id)
}

#[test]
fn a_way_over_another_member_is_shown_hop_by_hop() {
    let place = Place::new();
    let issue = |name| place.issue(name, &["--listen", "127.0.0.1:0"]);
    let middle = Place::run(&issue("middle"), &["--tag", "name=hub"]);
    // Nobody answers there.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = dead.local_addr().unwrap().to_string();
    let options = ["--advertise", &dead, "--join", &middle.listen];
    let [one, other] = ["one", "other"].map(|name| Place::run(&issue(name), &options));
    until("a forwarded link", || {
        let link = peer(&one, &other.id);
        link.is_some_and(|link| link["path"] == "forwarded" && link["hops"] == 2)
    });
    let short = &other.id[..12];
    let trace = one.macula(&["trace", short]).expect(0).object();
    assert_eq!(
        (&trace["event"], &trace["link"], &trace["code"]),
        (&"trace".into(), &"forwarded".into(), &"OK".into())
    );
    assert_eq!(trace["target"], other.id.as_str());
    let hops = trace["hops"].as_array().unwrap();
    let nodes: Vec<&Value> = hops.iter().map(|hop| &hop["node"]).collect();
    assert_eq!(nodes, [one.id.as_str(), &middle.id, &other.id]);
    assert_eq!(hops[1]["name"], "hub");
    assert!(hops[2]["rtt_us"].as_u64() > Some(0), "{trace}");
    let direct = one.macula(&["trace", "hub"]).expect(0).object();
    assert_eq!(
        (&direct["link"], &direct["reached"]),
        (&"direct".into(), &true.into())
    );
    let peer = peer(&one, &middle.id).unwrap();
    assert_eq!(peer["hops"], 1, "{peer}");
    let error = one.macula(&["trace", "nowhere"]).expect(2);
    assert_eq!(error.error()["code"], "INVALID_ARGUMENT");
    let nobody = "7".repeat(64);
    let lost = one.macula(&["trace", &nobody]).expect(6).object();
    assert_eq!(
        (&lost["reached"], &lost["code"]),
        (&false.into(), &"UNREACHABLE".into())
    );
    assert!(!lost["hops"].as_array().unwrap().is_empty(), "{lost}");
}
