//! Making realms and nodes, and what is wrong with their files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::command::{Place, Process, macula, read};

#[test]
fn init_makes_a_node_that_runs_and_overwrites_nothing() {
    let place = Place::new();
    let key = read(&place.path("realm/root.key"));
    let directory = place.text("");
    let again = macula(&[
        "init",
        "--realm",
        "be.acme.iot",
        "--dir",
        &directory,
        "--json",
    ])
    .expect(2);
    let error = again.error();
    assert_eq!(error["code"], "USAGE");
    assert!(
        error["detail"].as_str().unwrap().contains("root.key"),
        "{error}"
    );
    assert_eq!(read(&place.path("realm/root.key")), key);
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode("realm/root.key"), mode("node/node.key")],
        [0o600, 0o600]
    );
    place.run_node().stop().expect(0);
}

#[test]
fn init_warns_to_keep_the_root_offline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh");
    let ended = macula(&[
        "init",
        "--realm",
        "be.acme.iot",
        "--dir",
        path.to_str().unwrap(),
    ])
    .expect(0);
    assert!(ended.stderr.contains("offline"), "{}", ended.stderr);
    assert!(
        ended
            .lines
            .last()
            .unwrap()
            .starts_with("next: macula node run --dir "),
        "{:?}",
        ended.lines
    );
    let wrong = directory.path().join("other");
    macula(&[
        "init",
        "--realm",
        "Not A Realm",
        "--dir",
        wrong.to_str().unwrap(),
    ])
    .expect(2);
    assert!(!wrong.exists());
}

#[test]
fn certificates_say_what_they_were_issued_for() {
    let place = Place::new();
    let (realm, out) = (place.text("realm"), place.text("meter"));
    let issued = macula(&[
        "cert", "issue", "--json", "--realm", &realm, "--out", &out, "--role", "client",
        "--tenant", "acme", "--zone", "hall-1", "--days", "3",
    ]);
    let issued = issued.expect(0).object();
    let file = place.text("meter/node.crt");
    for path in [&out, &file] {
        let shown = macula(&["cert", "show", path, "--json"]).expect(0).object();
        assert_eq!(shown["event"], "certificate");
        for key in [
            "node",
            "realm",
            "roles",
            "tenant",
            "zone",
            "not_after",
            "sha256",
        ] {
            assert_eq!(shown[key], issued[key], "{key}");
        }
        assert_eq!(shown["roles"], serde_json::json!(["client"]));
        assert_eq!(
            (&shown["tenant"], &shown["zone"]),
            (&"acme".into(), &"hall-1".into())
        );
        assert!(
            matches!(shown["days_left"].as_u64(), Some(2..=3)),
            "{shown}"
        );
    }
    // The same directory is not issued for twice, and what is no certificate is named.
    macula(&["cert", "issue", "--realm", &realm, "--out", &out]).expect(2);
    macula(&[
        "cert",
        "issue",
        "--realm",
        &realm,
        "--out",
        &place.text("x"),
        "--role",
        "king",
    ])
    .expect(2);
    let wrong = macula(&["cert", "show", &place.text("meter/node.toml"), "--json"]).expect(9);
    assert!(
        wrong.error()["detail"]
            .as_str()
            .unwrap()
            .contains("node.toml")
    );
    macula(&["cert", "show", &place.text("nowhere")]).expect(9);
}

#[test]
fn a_realm_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("realm");
    let create = [
        "realm",
        "create",
        "--json",
        "--realm",
        "be.acme.iot",
        "--out",
        out.to_str().unwrap(),
    ];
    assert_eq!(macula(&create).expect(0).object()["realm"], "be.acme.iot");
    let key = read(&out.join("root.key"));
    macula(&create).expect(2);
    assert_eq!(read(&out.join("root.key")), key);
}

/// Runs the node with one file spoiled, and again with the file as it was.
#[track_caller]
fn check_spoiled(name: &str, code: i32, spoil: impl Fn(&std::path::Path)) {
    let place = Place::new();
    // A first run writes the files that only a run writes.
    place.run_node().stop().expect(0);
    let path = place.path("node").join(name);
    let (bytes, rights) = (read(&path), fs::metadata(&path).unwrap().permissions());
    spoil(&path);
    let refused = macula(&["node", "run", "--json", "--dir", &place.node()]).expect(code);
    assert!(refused.lines.is_empty(), "{refused:?}");
    let error = refused.error();
    assert!(
        error["detail"].as_str().unwrap().contains(name),
        "{name}: {error}"
    );
    assert_eq!(error["exit"], code, "{error}");
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, rights).unwrap();
    place.run_node().stop().expect(0);
}

#[test]
fn a_missing_file_is_named() {
    for name in ["node.crt", "node.key", "realm.trust", "node.toml"] {
        check_spoiled(name, 9, |path| fs::remove_file(path).unwrap());
    }
}

#[test]
fn an_unreadable_file_is_named() {
    // A directory in its place cannot be read, whoever runs the test.
    for name in ["node.crt", "node.key", "realm.trust", "node.toml", "epoch"] {
        check_spoiled(name, 9, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
    }
}

#[test]
fn a_damaged_file_is_named() {
    for name in ["node.crt", "node.key", "realm.trust", "node.toml", "epoch"] {
        check_spoiled(name, 9, |path| {
            fs::write(path, b"\xff\xfe damaged").unwrap();
        });
    }
    for name in ["node.crt", "node.key", "realm.trust"] {
        check_spoiled(name, 9, |path| {
            let bytes = read(path);
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        });
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    check_spoiled("node.key", 9, |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    });
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line() {
    for (line, word) in [
        ("lissten = \"127.0.0.1:0\"", "lissten"),
        ("http = 3", "http"),
        ("http = ", "line 1"),
    ] {
        check_spoiled("node.toml", 2, |path| {
            fs::write(path, format!("{line}\n")).unwrap();
        });
        let place = Place::new();
        fs::write(place.path("node/node.toml"), format!("{line}\n")).unwrap();
        let refused = macula(&["node", "run", "--dir", &place.node()]).expect(2);
        assert!(
            refused.stderr.contains("line 1") && refused.stderr.contains(word),
            "{}",
            refused.stderr
        );
    }
    // The twin: the same key spelled right.
    let place = Place::new();
    fs::write(
        place.path("node/node.toml"),
        "listen = \"127.0.0.1:0\"\nhttp = false\n",
    )
    .unwrap();
    place.run_node().stop().expect(0);
}

#[test]
fn a_reader_that_has_had_enough_ends_the_command_quietly() {
    for arguments in [
        ["errors"].as_slice(),
        &["completions", "bash"],
        &["errors", "--json"],
    ] {
        let ended = Process::start(arguments).end_unread().expect(0);
        assert_eq!(ended.stderr, "", "{arguments:?}");
    }
}

#[test]
fn codes_are_explained_and_unknown_ones_are_not_found() {
    let shown = macula(&["errors", "lookup", "no_such_procedure", "--json"])
        .expect(0)
        .object();
    assert_eq!((&shown["number"], &shown["exit"]), (&48.into(), &4.into()));
    macula(&["errors", "lookup", "0xee"]).expect(4);
    let all = macula(&["errors", "--json"]).expect(0).objects();
    assert!(all.len() > 40, "{}", all.len());
}

#[test]
fn what_is_no_command_line_is_a_usage_error() {
    for arguments in [
        ["pub"].as_slice(),
        &["nonsense"],
        &["sub", "a.*", "--timeout", "5"],
        &["demo", "--nodes", "2"],
        &["serve", "a.b", "--node", "x"],
        &["members", "--connect", "127.0.0.1:1"],
    ] {
        macula(arguments).expect(2);
    }
    let unnamed = macula(&["members", "--json"]).expect(2);
    assert!(
        unnamed.error()["detail"]
            .as_str()
            .unwrap()
            .contains("MACULA_NODE")
    );
}
