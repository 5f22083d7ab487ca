//! Services and procedures, by the command.

use serde_json::Value;

use crate::command::{Place, Running, macula, until};

/// The objects that a command prints once it prints any.
fn objects(node: &Running, arguments: &[&str], count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    until("they are known", || {
        all = node.macula(arguments).expect(0).objects();
        all.len() == count
    });
    all
}

#[test]
fn services_are_listed_asked_and_counted_across_nodes() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &["--tag", "name=kitchen"]);
    assert!(objects(&one, &["services", "ls"], 0).is_empty());
    let missing = one.macula(&["services", "ping", "kitchen"]).expect(4);
    assert_eq!(missing.error()["code"], "NOT_FOUND");
    let mut serve = two.start(&["serve", "text.echo", "--echo"]);
    serve.wait_for("serving");
    let listed = objects(&one, &["services", "ls"], 1);
    assert_eq!(listed[0]["event"], "service");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["node"]),
        (&"kitchen".into(), &two.id.as_str().into())
    );
    one.macula(&["call", "text.echo", "x"]).expect(0);
    let stats = objects(&one, &["services", "stats", "kitchen"], 1);
    assert_eq!(stats[0]["event"], "service-stats");
    let endpoint = &stats[0]["endpoints"][0];
    assert_eq!(
        (&endpoint["procedure"], &endpoint["calls"]),
        (&"text.echo".into(), &1.into())
    );
    let id = stats[0]["id"].as_str().unwrap();
    let pong = one
        .macula(&["services", "ping", "kitchen", id])
        .expect(0)
        .object();
    assert_eq!(pong["event"], "pong");
    assert!(pong["latency_us"].as_u64() > Some(0));
    let info = one
        .macula(&["services", "info", "kitchen"])
        .expect(0)
        .object();
    assert_eq!(info["endpoints"][0]["concurrency"], 8);
    let named = [
        "serve",
        "heat.up",
        "--echo",
        "--service",
        "thermostat@1.4.0",
    ];
    let mut serve = two.start(&named);
    serve.wait_for("serving");
    let named = objects(&one, &["services", "ls"], 2);
    assert_eq!(
        (&named[1]["name"], &named[1]["version"]),
        (&"thermostat".into(), &"1.4.0".into())
    );
    for wrong in ["thermostat", "thermostat@one", "a.b@1.0.0"] {
        let serve = ["serve", "heat.up", "--echo", "--service", wrong];
        two.macula(&serve).expect(2);
    }
    // The same for people.
    for (verb, shown) in [
        ("ls", "kitchen"),
        ("info", "text.echo"),
        ("stats", "text.echo"),
        ("ping", "kitchen"),
    ] {
        let told = macula(&["services", verb, "--node", &one.directory]).expect(0);
        assert!(
            told.lines.iter().any(|line| line.contains(shown)),
            "{told:?}"
        );
    }
}

#[test]
fn procedures_are_listed_with_all_who_serve_them() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue(
        "two",
        &[
            "--listen",
            "127.0.0.1:0",
            "--join",
            &one.listen,
            "--zone",
            "attic",
        ],
    );
    let two = Place::run(&two, &[]);
    let mut serving = [
        one.start(&["serve", "text.echo", "--echo"]),
        two.start(&["serve", "text.echo", "--echo"]),
        two.start(&[
            "serve", "text", "--echo", "--match", "prefix", "--invoke", "hash",
        ]),
    ];
    for serve in &mut serving {
        serve.wait_for("serving");
    }
    let mut procs = Vec::new();
    until("all are known", || {
        procs = one.macula(&["procs"]).expect(0).objects();
        let providers = procs
            .iter()
            .map(|one| one["providers"].as_array().unwrap().len());
        providers.sum::<usize>() == 3
    });
    assert_eq!(procs.len(), 2);
    let by_prefix = &procs[0];
    assert_eq!(by_prefix["procedure"], "text.**");
    assert_eq!(
        (&by_prefix["match"], &by_prefix["invoke"]),
        (&"prefix".into(), &"hash".into())
    );
    assert_eq!(by_prefix["providers"][0]["zone"], "attic");
    let found = |name: &str| one.macula(&["procs", name]).expect(0).objects().len();
    assert_eq!((found("text.echo"), found("text.upper")), (2, 1));
    let nothing = one.macula(&["procs", "other.x"]).expect(4);
    assert_eq!(nothing.error()["code"], "NOT_FOUND");
    one.macula(&["procs", "text.*"]).expect(2);
    let told = macula(&["procs", "--node", &one.directory]).expect(0);
    assert!(
        told.lines.iter().any(|line| line.contains("attic")),
        "{told:?}"
    );
}
