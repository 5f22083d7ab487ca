//! Attaching over QUIC, and the HTTP/3 face.

use crate::command::{Place, Process, macula};

#[test]
fn a_client_attaches_over_quic_with_its_own_identity() {
    let place = Place::new();
    let node = place.run_node();
    let meter = place.issue("meter", &["--role", "client"]);
    let far = ["--connect", &node.listen, "--identity", &meter, "--json"];
    let with = |arguments: &[&str]| {
        [arguments, &far]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let run = |arguments: &[&str]| {
        let all = with(arguments);
        Process::start(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let shown = macula(&["cert", "show", &meter, "--json"])
        .expect(0)
        .object();
    let mut sub = run(&["sub", "a.*", "--count", "2"]);
    sub.wait_for("subscribed");
    run(&["pub", "a.far", "x"]).end().expect(0);
    node.macula(&["pub", "a.near", "x"]).expect(0);
    let events = sub.end().expect(0).objects();
    assert_eq!(events[0]["publisher"], shown["node"]);
    assert_eq!(events[1]["publisher"], node.id.as_str());
    let mut serve = run(&["serve", "far.echo", "--echo"]);
    serve.wait_for("serving");
    assert_eq!(
        node.macula(&["call", "far.echo", "x"]).expect(0).object()["payload"],
        "x"
    );
    assert_eq!(run(&["members"]).end().expect(0).objects().len(), 1);
}

#[test]
fn a_tenant_keeps_to_its_own_names() {
    let place = Place::new();
    let node = place.run_node();
    let meter = place.issue("meter", &["--role", "client", "--tenant", "acme"]);
    let far = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--connect", &node.listen, "--identity", &meter, "--json"]);
        macula(&all)
    };
    for denied in [
        ["pub", "other.x", "x"].as_slice(),
        &["sub", "**", "--timeout", "1s"],
        &["call", "other.x"],
    ] {
        assert_eq!(
            far(denied).expect(3).error()["code"],
            "DENIED",
            "{denied:?}"
        );
    }
    far(&["pub", "acme.x", "x"]).expect(0);
    far(&["sub", "acme.**", "--timeout", "200ms"]).expect(0);
    assert_eq!(
        far(&["call", "acme.x"]).expect(4).error()["code"],
        "NO_SUCH_PROCEDURE"
    );
}

#[test]
fn a_client_of_another_realm_is_refused() {
    let (here, there) = (Place::new(), Place::new());
    let node = here.run_node();
    let stranger = there.issue("stranger", &["--role", "client"]);
    let refused = macula(&[
        "members",
        "--connect",
        &node.listen,
        "--identity",
        &stranger,
        "--json",
    ]);
    assert!(matches!(refused.code, Some(3 | 4)), "{refused:?}");
    let own = here.issue("own", &["--role", "client"]);
    macula(&["members", "--connect", &node.listen, "--identity", &own]).expect(0);
}

#[test]
fn nobody_there_is_unreachable() {
    let place = Place::new();
    let local = macula(&["members", "--json", "--node", &place.node()])
        .expect(6)
        .error();
    assert_eq!(local["code"], "UNREACHABLE");
    assert!(
        local["detail"]
            .as_str()
            .unwrap()
            .contains("macula node run"),
        "{local}"
    );
    // A port that answers nothing: it is bound, and nobody reads it.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let far = macula(&[
        "members",
        "--json",
        "--connect",
        &address,
        "--identity",
        &place.node(),
    ])
    .expect(6);
    assert_eq!(far.error()["code"], "UNREACHABLE");
    macula(&["http", "get", "/healthz", "--connect", &address]).expect(6);
    let damaged = macula(&[
        "members",
        "--json",
        "--connect",
        &address,
        "--identity",
        &place.text("nowhere"),
    ])
    .expect(9);
    assert!(
        damaged.error()["detail"]
            .as_str()
            .unwrap()
            .contains("node.crt")
    );
}

#[test]
fn the_http3_face_tells_health_numbers_and_state() {
    let place = Place::new();
    let node = place.run_node();
    let get = |path: &str| macula(&["http", "get", path, "--connect", &node.listen, "--json"]);
    let health = get("/healthz").expect(0).object();
    assert_eq!(
        (&health["status"], &health["body"]),
        (&200.into(), &"ok\n".into())
    );
    crate::command::until("the numbers have been taken", || {
        get("/v1/node").code == Some(0)
    });
    let metrics = get("/metrics").expect(0).object();
    for name in [
        "macula_members{",
        "macula_suspicions_total",
        "macula_refutations_total",
        "macula_stalls_total",
        "macula_health ",
        "macula_neighbours ",
        "macula_accusations_refused_total",
        "macula_cache_records ",
    ] {
        assert!(
            metrics["body"].as_str().unwrap().contains(name),
            "{name}: {metrics}"
        );
    }
    let state = get("/v1/node").expect(0).object();
    let state: serde_json::Value = serde_json::from_str(state["body"].as_str().unwrap()).unwrap();
    assert_eq!(state["node"]["node"], node.id.as_str());
    assert_eq!(get("/nope").expect(4).error()["exit"], 4);
    let plain = macula(&[
        "http",
        "get",
        "/healthz",
        "--connect",
        &node.listen,
        "--identity",
        &node.directory,
    ]);
    assert_eq!(plain.expect(0).lines, ["ok"]);
    get("no-slash").expect(2);
}
