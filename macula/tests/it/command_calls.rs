//! Calling and serving through nodes that are processes.

use std::time::Duration;

use crate::command::{Place, macula, until};

#[test]
fn an_echo_answers_across_nodes() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let mut serve = two.start(&["serve", "text.echo", "--echo"]);
    assert_eq!(serve.wait_for("serving")["procedure"], "text.echo");
    until("the offer has been heard of", || {
        one.macula(&["call", "text.echo"]).code == Some(0)
    });
    let reply = one
        .macula(&["call", "text.echo", "hello", "--content", "json"])
        .expect(0)
        .object();
    assert_eq!(
        (&reply["event"], &reply["payload"]),
        (&"reply".into(), &"hello".into())
    );
    assert_eq!(reply["content"], "application/json");
    assert!(reply["latency_us"].is_u64());
    let call = serve.wait_for("call");
    assert_eq!(
        (&call["code"], &call["caller"]),
        (&"OK".into(), &one.id.as_str().into())
    );
    serve.signal("TERM");
    serve.end().expect(0);
    until("it is no longer served", || {
        one.macula(&["call", "text.echo"]).code == Some(4)
    });
}

#[test]
fn a_call_to_nobody_fails_at_once() {
    let place = Place::new();
    let node = place.run_node();
    let clock = macula::transport::Clock::new();
    let refused = node
        .macula(&["call", "no.such", "--deadline", "30s"])
        .expect(4);
    let took = Duration::from_nanos(clock.now().as_nanos());
    let error = refused.error();
    assert_eq!(
        (&error["code"], &error["number"]),
        (&"NO_SUCH_PROCEDURE".into(), &48.into())
    );
    assert_eq!(error["retry"], "re-resolve");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let text = macula(&["call", "no.such", "--node", &node.directory]).expect(4);
    assert!(
        text.stderr.starts_with("NO_SUCH_PROCEDURE: "),
        "{}",
        text.stderr
    );
    // The twin: somebody serves it.
    let mut serve = node.start(&["serve", "no.such", "--echo"]);
    serve.wait_for("serving");
    node.macula(&["call", "no.such", "x"]).expect(0);
}

#[test]
fn a_program_answers_with_what_it_writes() {
    let place = Place::new();
    let node = place.run_node();
    let mut serve = node.start(&[
        "serve",
        "text.upper",
        "--count",
        "2",
        "--exec",
        "tr",
        "a-z",
        "A-Z",
    ]);
    serve.wait_for("serving");
    let reply = node
        .macula(&["call", "text.upper", "straight"])
        .expect(0)
        .object();
    assert_eq!(
        (&reply["payload"], &reply["content"]),
        (&"STRAIGHT".into(), &"text/plain".into())
    );
    let text = macula(&[
        "call",
        "text.upper",
        "two\nlines",
        "--node",
        &node.directory,
    ])
    .expect(0);
    assert_eq!(text.lines, ["TWO", "LINES"]);
    serve.end().expect(0);
}

#[test]
fn a_program_that_fails_fails_the_call_with_its_last_words() {
    let place = Place::new();
    let node = place.run_node();
    let script = "read word; echo not this >&2; echo \"no $word here\" >&2; exit 3";
    let mut serve = node.start(&["serve", "shop.buy", "--exec", "sh", "-c", script]);
    serve.wait_for("serving");
    let error = node
        .macula(&["call", "shop.buy", "bread\n"])
        .expect(1)
        .error();
    assert_eq!(
        (&error["code"], &error["name"]),
        (&"APPLICATION".into(), &"exit".into())
    );
    assert_eq!(error["detail"], "no bread here");
    let mut missing = node.start(&["serve", "shop.sell", "--exec", "/no/such/program"]);
    missing.wait_for("serving");
    assert_eq!(
        node.macula(&["call", "shop.sell"]).expect(1).error()["name"],
        "exec"
    );
}

#[test]
fn what_a_program_writes_is_bounded() {
    let place = Place::new();
    let node = place.run_node();
    for (name, bytes, code) in [
        ("most.allowed", 1 << 20, 0),
        ("one.more", (1 << 20) + 1, 1),
        ("no.end", 1 << 30, 1),
    ] {
        let script = format!("head -c {bytes} /dev/zero");
        let mut serve = node.start(&["serve", name, "--exec", "sh", "-c", &script]);
        serve.wait_for("serving");
        let ended = node
            .macula(&["call", name, "--deadline", "30s"])
            .expect(code);
        if code != 0 {
            assert_eq!(ended.error()["code"], "PAYLOAD_TOO_LARGE", "{name}");
        }
    }
}

#[test]
fn a_deadline_ends_the_call_and_the_program() {
    let place = Place::new();
    let node = place.run_node();
    let file = place.path("pid");
    let script = format!("echo $$ > {}; exec sleep 600", file.display());
    let mut serve = node.start(&["serve", "slow.one", "--exec", "sh", "-c", &script]);
    serve.wait_for("serving");
    let error = node
        .macula(&["call", "slow.one", "--deadline", "1s"])
        .expect(5)
        .error();
    assert_eq!(error["code"], "DEADLINE_EXCEEDED");
    let mut pid = String::new();
    until("the program has started", || {
        pid = std::fs::read_to_string(&file).unwrap_or_default();
        pid.ends_with('\n')
    });
    let state = format!("/proc/{}/stat", pid.trim());
    until("the program is gone", || {
        let stat = std::fs::read_to_string(&state).unwrap_or_default();
        // A process that was killed and not waited for yet is a zombie.
        stat.is_empty() || stat.contains(") Z ")
    });
    // The provider serves on.
    let mut quick = node.start(&["serve", "quick.one", "--echo"]);
    quick.wait_for("serving");
    node.macula(&["call", "quick.one", "--deadline", "10s"])
        .expect(0);
}

#[test]
fn a_provider_with_no_free_slot_is_busy() {
    let place = Place::new();
    let node = place.run_node();
    let gate = place.text("gate");
    let fifo = std::process::Command::new("mkfifo")
        .arg(&gate)
        .status()
        .unwrap();
    assert!(fifo.success());
    let started = place.path("started");
    let script = format!("touch {}; cat {gate}", started.display());
    let mut serve = node.start(&[
        "serve",
        "one.slot",
        "--concurrency",
        "1",
        "--exec",
        "sh",
        "-c",
        &script,
    ]);
    serve.wait_for("serving");
    let first = node.start(&["call", "one.slot", "--deadline", "50s"]);
    until("the slot is taken", || started.exists());
    let second = node.macula(&["call", "one.slot", "--deadline", "10s"]);
    assert_eq!(second.expect(1).error()["code"], "BUSY");
    std::fs::write(&gate, "done").unwrap();
    assert_eq!(first.end().expect(0).object()["payload"], "done");
}

#[test]
fn a_name_is_registered_once_by_one_node() {
    let place = Place::new();
    let node = place.run_node();
    let mut serve = node.start(&["serve", "a.b", "--echo"]);
    serve.wait_for("serving");
    assert_eq!(
        node.macula(&["call", "a.b", "x"]).expect(0).object()["payload"],
        "x"
    );
    // Another client may serve it as well: calls are shared between them.
    let mut other = node.start(&["serve", "a.b", "--echo"]);
    other.wait_for("serving");
    node.macula(&["call", "a.b", "x"]).expect(0);
}

#[test]
fn all_who_serve_answer_and_parts_come_back() {
    let place = Place::new();
    let one = place.run_node();
    let two = place.issue("two", &["--listen", "127.0.0.1:0", "--join", &one.listen]);
    let two = Place::run(&two, &[]);
    let mut here = one.start(&["serve", "text.who", "--exec", "echo", "one"]);
    here.wait_for("serving");
    let mut there = two.start(&["serve", "text.who", "--exec", "echo", "two"]);
    assert_eq!(there.wait_for("serving")["invoke"], "p2c");
    until("both have been heard of", || {
        one.macula(&["call", "text.who", "--all"]).lines.len() == 2
    });
    let to_two = one.macula(&["call", "text.who", "--to", &two.id]).expect(0);
    assert_eq!(to_two.object()["payload"], "two\n");
    one.macula(&["call", "text.who", "--cast"]).expect(0);
    // Another policy is refused, the same one is not.
    let refused = one.macula(&["serve", "text.who", "--echo", "--invoke", "hash"]);
    assert_eq!(refused.expect(1).error()["code"], "POLICY_CONFLICT");
    let mut below = two.start(&["serve", "text.mirror", "--echo", "--match", "prefix"]);
    below.wait_for("serving");
    until("the prefix has been heard of", || {
        one.macula(&["call", "text.mirror.any"]).code == Some(0)
    });
    let missing = one.macula(&["call", "text.missing", "--all"]);
    assert_eq!(missing.expect(4).error()["code"], "NO_SUCH_PROCEDURE");
}
