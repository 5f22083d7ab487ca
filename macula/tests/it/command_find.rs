//! Looking things up in the realm's routing, by the command.

use serde_json::Value;

use crate::command::{Place, Process, Running, until};

/// The names of the records that a lookup found.
fn owners(found: &Value) -> Vec<&str> {
    let records = found["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["owner"].as_str().unwrap())
        .collect()
}

#[test]
fn a_node_its_services_and_its_interest_are_found_by_another() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &["--tag", "site=cellar"]);
    until("the record of the other node is found", || {
        one.macula(&["find", &two.id]).code == Some(0)
    });
    let start = &two.id[..12];
    let found = one.macula(&["find", start]).expect(0).object();
    assert_eq!(owners(&found), [two.id.as_str()]);
    let record = &found["records"][0];
    assert_eq!(record["addresses"][0], two.listen.as_str());
    assert_eq!(record["tags"]["site"], "cellar");
    for (what, name) in [("procedure", "home.status"), ("topic", "home.42.power")] {
        let nothing = one.macula(&["find", what, name]).expect(4).object();
        assert!(owners(&nothing).is_empty());
    }
    let mut serve = two.start(&["serve", "home.status", "--echo"]);
    serve.wait_for("serving");
    let mut home = two.start(&["sub", "home.*.power"]);
    home.wait_for("subscribed");
    let mut every = one.start(&["sub", "**"]);
    every.wait_for("subscribed");
    until("the service is found", || {
        one.macula(&["find", "procedure", "home.status"]).code == Some(0)
    });
    let found = one
        .macula(&["find", "procedure", "home.status"])
        .expect(0)
        .object();
    assert_eq!(owners(&found), [two.id.as_str()]);
    until("both subscribers are found", || {
        let found = one.macula(&["find", "topic", "home.42.power"]);
        found.code == Some(0) && owners(&found.object()).len() == 2
    });
    let found = one
        .macula(&["find", "topic", "garden.42.power"])
        .expect(0)
        .object();
    assert_eq!(
        owners(&found),
        [one.id.as_str()],
        "another topic: the wildcard alone"
    );
    for child in [serve, home, every] {
        child.signal("TERM");
        child.end().expect(0);
    }
    until("the service is not found any more", || {
        one.macula(&["find", "procedure", "home.status"]).code == Some(4)
    });
}

#[test]
fn what_cannot_be_looked_up_is_refused_with_what_to_do() {
    let place = Place::new();
    let node = place.run_node();
    for (arguments, code) in [
        (&["find", "no-node"][..], 2),
        (&["find", "0000000000"], 2),
        (&["find", "procedure"], 2),
        (&["find", "street", "home"], 2),
        (&["find", "topic", "home.*.power"], 2),
        (&["dht", "lookup", "--key", "abc"], 2),
        (&["dht", "lookup"], 2),
        (&["dht", "put", "$sys.x", "1"], 2),
        (&["dht", "put", "name"], 2),
        (&["dht", "get", "no such name"], 2),
    ] {
        let refused = node.macula(arguments);
        assert_eq!(refused.code, Some(code), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn a_value_is_kept_by_others_until_it_is_withdrawn() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    until("the two are linked", || {
        one.macula(&["peers"])
            .expect(0)
            .objects()
            .iter()
            .any(|peer| peer["role"] == "member")
    });
    let put = one.macula(&["dht", "put", "config.rate", "12", "--lease", "2h"]);
    assert!(put.expect(0).object()["expires_at_ms"].as_u64() > Some(1_600_000_000_000));
    one.macula(&["dht", "put", "config.rate", "13"]).expect(0);
    let values = |node: &Running| {
        let found = node.macula(&["dht", "get", "config.rate"]);
        let object = found.object();
        let records = object["records"].as_array().unwrap().clone();
        let texts = records
            .iter()
            .map(|record| record["text"].as_str().unwrap().to_owned());
        texts.collect::<Vec<String>>()
    };
    until("the other one has the later value", || {
        values(&two) == ["13"]
    });
    two.macula(&["dht", "put", "config.rate", "14"]).expect(0);
    until("each owner has a value of its own", || {
        values(&one).len() == 2
    });
    let table = two.macula(&["dht", "table"]).expect(0).object();
    assert_eq!(table["contacts"][0]["node"], one.id.as_str());
    assert!(table["records"].as_u64() >= Some(2), "{table}");
    // It outlives its owner.
    two.process.signal("KILL");
    until("the other one is gone", || {
        let members = one.macula(&["members"]).expect(0).objects();
        members.iter().any(|member| member["state"] == "dead")
    });
    assert_eq!(values(&one).len(), 2);
    one.macula(&["dht", "put", "config.rate", "--withdraw"])
        .expect(0);
    assert_eq!(values(&one), ["14"]);
    one.macula(&["dht", "put", "config.rate", "--withdraw"])
        .expect(4);
    let largest = "x".repeat(65_536);
    one.macula(&["dht", "put", "large", &largest]).expect(0);
    let refused = one
        .macula(&["dht", "put", "large", &format!("{largest}x")])
        .expect(1);
    assert_eq!(refused.error()["code"], "PAYLOAD_TOO_LARGE");
}

#[test]
fn a_lookup_shows_whom_it_asked() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    until("the two know each other", || {
        one.macula(&["members"]).expect(0).objects().len() == 2
    });
    let found = one
        .macula(&["dht", "lookup", &two.id, "--trace"])
        .expect(0)
        .object();
    assert_eq!(found["closest"][0]["node"], two.id.as_str());
    assert_eq!(found["steps"][0]["end"], "answered");
    assert_eq!((&found["hops"], &found["requests"]), (&1.into(), &1.into()));
    let key = found["key"].as_str().unwrap();
    let same = one
        .macula(&["dht", "lookup", "--key", key])
        .expect(0)
        .object();
    assert_eq!(same["closest"], found["closest"]);
}

#[test]
fn only_local_clients_change_what_a_node_publishes() {
    let place = Place::new();
    let node = place.run_node();
    let identity = place.issue("guest", &[]);
    let remote = ["--connect", &node.listen, "--identity", &identity];
    let with =
        |arguments: &[&str]| Process::start(&[&["--json"], arguments, &remote].concat()).end();
    let refused = with(&["dht", "put", "name", "1"]);
    assert_eq!(refused.expect(3).error()["code"], "DENIED");
    assert_eq!(with(&["dht", "get", "name"]).code, Some(4));
    node.macula(&["dht", "put", "name", "1"]).expect(0);
    assert_eq!(with(&["dht", "get", "name"]).code, Some(0));
}
