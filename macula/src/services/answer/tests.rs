//! Tests of what is told of services.

use macula_realm::Tenant;
use macula_wire::NodeId;
use serde_json::Value;

use super::*;
use crate::services::ServiceOptions;
use crate::services::tests::{endpoint, local, plane};

fn anybody() -> Principal {
    Principal::new(NodeId::from_bytes([1; 32]), Roles::CLIENT)
}

/// What is told of everything, and of how much is not told.
fn ask(plane: &Plane, procedure: &str, who: &Principal) -> (Vec<Value>, usize) {
    let question = Question::read(procedure).unwrap();
    let (services, more) = plane.services.told(&question, who);
    let parse = |text: &String| serde_json::from_str(text).unwrap();
    (services.iter().map(parse).collect(), more)
}

#[test]
fn a_question_is_a_verb_a_name_and_an_id() {
    let read = |text| Question::read(text).map(|found| (found.verb, found.name, found.id));
    assert_eq!(read("$svc.ping"), Some((Verb::Ping, None, None)));
    assert_eq!(read("$svc.info.a"), Some((Verb::Info, Some("a"), None)));
    assert_eq!(
        read("$svc.stats.a.b"),
        Some((Verb::Stats, Some("a"), Some("b")))
    );
    for wrong in [
        "$svc",
        "$svc.other",
        "$svc.ping.a.b.c",
        "svc.ping",
        "$sys.ping",
    ] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn a_pattern_tells_how_its_name_was_read() {
    for (pattern, expected) in [
        ("a.b", "exact"),
        ("a.b.**", "prefix"),
        ("a.*.b", "wildcard"),
        ("a.*.**", "wildcard"),
        ("**", "wildcard"),
    ] {
        assert_eq!(kind(&Pattern::new(pattern).unwrap()), expected, "{pattern}");
    }
}

#[test]
fn each_question_is_answered_by_those_that_it_concerns() {
    let plane = plane();
    let mut ids = Vec::new();
    for (at, name) in (1..).zip(["chat", "chat", "mail"]) {
        let about = ServiceOptions::new(name, "1.2.0")
            .description("says \"hello\"")
            .metadata("team", "x");
        let (number, id) = plane.services.open(&plane, about).unwrap();
        let (registrant, endpoint) = (local(at), endpoint(&plane, "a.b"));
        plane
            .services
            .begin(&plane, registrant, plane.node(), Some(number), endpoint);
        ids.push(id);
    }
    let count = |procedure: &str| ask(&plane, procedure, &anybody()).0.len();
    assert_eq!((count("$svc.ping"), count("$svc.ping.chat")), (3, 2));
    assert_eq!(count(&format!("$svc.ping.chat.{}", ids[1])), 1);
    assert_eq!(count(&format!("$svc.ping.mail.{}", ids[1])), 0);
    assert_eq!(count("$svc.ping.other"), 0);
    let (told, _) = ask(&plane, "$svc.info.mail", &anybody());
    assert_eq!(told[0]["description"], "says \"hello\"");
    assert_eq!(told[0]["metadata"]["team"], "x");
    let endpoint = &told[0]["endpoints"][0];
    assert_eq!(
        (
            &endpoint["procedure"],
            &endpoint["invoke"],
            &endpoint["match"]
        ),
        (&"a.b".into(), &"p2c".into(), &"exact".into())
    );
    assert_eq!(endpoint["concurrency"], 1_024);
    let (told, _) = ask(&plane, "$svc.stats.mail", &anybody());
    assert_eq!(told[0]["endpoints"][0]["calls"], 0);
    assert!(told[0].get("description").is_none());
    let (told, _) = ask(&plane, "$svc.ping.mail", &anybody());
    assert!(told[0].get("endpoints").is_none() && told[0].get("more_endpoints").is_none());
}

#[test]
fn a_tenant_hears_of_what_it_may_call() {
    let plane = plane();
    for (at, name) in (1..).zip(["acme.x", "other.x"]) {
        let endpoint = endpoint(&plane, name);
        plane
            .services
            .begin(&plane, local(at), plane.node(), None, endpoint);
    }
    let of = |tenant: &str| anybody().with_tenant(Tenant::new(tenant).unwrap());
    let procedures = |who: &Principal| {
        let (told, _) = ask(&plane, "$svc.info", who);
        let all = told
            .iter()
            .flat_map(|one| one["endpoints"].as_array().unwrap());
        all.map(|one| one["procedure"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(procedures(&anybody()), ["acme.x", "other.x"]);
    assert_eq!(procedures(&of("acme")), ["acme.x"]);
    assert!(ask(&plane, "$svc.ping", &of("third")).0.is_empty());
}

#[test]
fn what_finds_no_room_is_counted() {
    let plane = plane();
    let metadata =
        |options: ServiceOptions, at: usize| options.metadata(at.to_string(), "v".repeat(256));
    let about = (0..16).fold(ServiceOptions::new("big", "1.0.0"), metadata);
    let mut registrant = 0;
    let mut serve = |number, count| {
        for _ in 0..count {
            registrant += 1;
            let endpoint = endpoint(&plane, "a.b");
            plane.services.begin(
                &plane,
                local(registrant),
                plane.node(),
                Some(number),
                endpoint,
            );
        }
    };
    for _ in 0..200 {
        let (number, _) = plane.services.open(&plane, about.clone()).unwrap();
        serve(number, 1);
    }
    let (many, _) = plane
        .services
        .open(&plane, ServiceOptions::new("many", "1.0.0"))
        .unwrap();
    serve(many, 300);
    let (told, more) = ask(&plane, "$svc.info.big", &anybody());
    assert_eq!(told.len() + more, 200);
    assert!(more > 0, "200 of 4 KiB and more do not fit");
    let length: usize = told.iter().map(|one| one.to_string().len()).sum();
    assert!(length <= MAX_ANSWER);
    let (told, more) = ask(&plane, "$svc.stats.many", &anybody());
    assert_eq!(more, 0);
    assert_eq!(told[0]["endpoints"].as_array().unwrap().len(), 256);
    assert_eq!(told[0]["more_endpoints"], 44);
}
