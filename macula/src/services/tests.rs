//! Tests of the table of services.

use std::collections::BTreeMap;

use macula_rpc::RegistrationKey;
use proptest::prelude::*;

use super::declare::Declaration;
use super::*;

pub(super) fn plane() -> Plane {
    // Its tasks would run there; these tests start none.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    Plane::for_tests()
}

pub(super) fn endpoint(plane: &Plane, pattern: &str) -> Endpoint {
    let pattern = Pattern::new(pattern).unwrap();
    Endpoint::new(plane, pattern, &RegisterOptions::default(), Arc::default())
}

pub(super) const fn local(number: u64) -> Registrant {
    Registrant::Local(RegistrationKey::new(number))
}

fn of_session(session: u64, number: u64) -> Registrant {
    Registrant::Session(SessionKey::new(session), RegistrationId::new(number))
}

fn declaration(registration: u64, id: &str, name: &str) -> Declaration {
    Declaration {
        registration,
        id: id.into(),
        service: ServiceOptions::new(name, "1.0.0"),
    }
}

fn client(session: u64) -> NodeId {
    NodeId::from_bytes([u8::try_from(session).unwrap(); 32])
}

fn declares(plane: &Plane, session: u64, what: Declaration) -> Result<(), Error> {
    let key = SessionKey::new(session);
    plane.services.declare(plane, key, client(session), what)
}

fn begins(plane: &Plane, registrant: Registrant, service: Option<Number>) {
    let provider = match registrant {
        Registrant::Local(_) => plane.node(),
        Registrant::Session(session, _) => client(session.get()),
    };
    let endpoint = endpoint(plane, "a.b");
    plane
        .services
        .begin(plane, registrant, provider, service, endpoint);
}

/// The names of the services and how many endpoints each has.
fn shown(plane: &Plane) -> Vec<(String, usize)> {
    plane.services.read(|state| {
        let all = state.instances.values();
        all.map(|one| (one.about.name.clone(), one.endpoints.len()))
            .collect()
    })
}

fn names(plane: &Plane) -> Vec<String> {
    let names = plane.services.names();
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_belongs_to_no_service_is_in_that_of_its_process() {
    let plane = plane();
    plane.services.call("kitchen");
    begins(&plane, local(1), None);
    begins(&plane, local(2), None);
    begins(&plane, of_session(3, 1), None);
    let of_client = client(3).to_string()[..16].to_owned();
    let all = [("kitchen".to_owned(), 2), (of_client, 1)];
    assert_eq!(shown(&plane), all);
    plane.services.end(local(1));
    plane.services.end(of_session(3, 1));
    assert_eq!(shown(&plane), [("kitchen".to_owned(), 1)]);
    plane.services.end(local(2));
    assert!(shown(&plane).is_empty() && names(&plane).is_empty());
}

#[test]
fn a_name_that_names_no_service_is_not_that_of_the_node() {
    let plane = plane();
    plane.services.call("the kitchen");
    begins(&plane, local(1), None);
    assert_eq!(shown(&plane)[0].0, plane.node().to_string()[..16]);
}

#[test]
fn the_names_of_what_serves_are_announced_and_no_others() {
    let plane = plane();
    let about = ServiceOptions::new("chat", "1.0.0");
    let (number, id) = plane.services.open(&plane, about).unwrap();
    assert!(names(&plane).is_empty(), "it serves nothing");
    begins(&plane, local(1), Some(number));
    let all: Vec<String> = ["info", "ping", "stats"]
        .iter()
        .flat_map(|verb| {
            let head = format!("$svc.{verb}");
            [
                head.clone(),
                format!("{head}.chat"),
                format!("{head}.chat.{id}"),
            ]
        })
        .collect();
    assert_eq!(names(&plane), all);
    // What is registered belongs to it even after the application has dropped the handle.
    plane.services.close(number);
    assert_eq!(names(&plane), all);
    plane.services.end(local(1));
    assert!(names(&plane).is_empty() && shown(&plane).is_empty());
}

#[test]
fn an_application_makes_so_many_services_and_no_more() {
    let plane = plane();
    let open = || {
        plane
            .services
            .open(&plane, ServiceOptions::new("x", "1.0.0"))
    };
    let made: Vec<Number> = (0..MAX_INSTANCES).map(|_| open().unwrap().0).collect();
    assert_eq!(open().unwrap_err().code(), ErrorCode::QUOTA_EXCEEDED);
    let refused = declares(&plane, 1, declaration(1, "id", "y"));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::QUOTA_EXCEEDED);
    plane.services.close(made[0]);
    declares(&plane, 1, declaration(1, "id", "y")).unwrap();
}

#[test]
fn a_client_says_where_a_registration_will_belong() {
    let plane = plane();
    declares(&plane, 1, declaration(5, "one", "chat")).unwrap();
    declares(&plane, 1, declaration(6, "one", "chat")).unwrap();
    begins(&plane, of_session(1, 5), None);
    begins(&plane, of_session(1, 6), None);
    begins(&plane, of_session(1, 7), None);
    let of_client = client(1).to_string()[..16].to_owned();
    let all = [("chat".to_owned(), 2), (of_client, 1)];
    assert_eq!(shown(&plane), all);
    // The id is that of this client's service, and of no other.
    for (session, other) in [
        (1, declaration(8, "one", "talk")),
        (2, declaration(1, "one", "chat")),
    ] {
        let refused = declares(&plane, session, other);
        assert_eq!(refused.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    }
    plane.services.end_session(SessionKey::new(1));
    assert!(shown(&plane).is_empty());
    declares(&plane, 2, declaration(1, "one", "chat")).unwrap();
}

#[test]
fn a_client_declares_so_much_and_no_more() {
    let plane = plane();
    for at in 0..MAX_SESSION_INSTANCES {
        let at = u64::try_from(at).unwrap();
        declares(&plane, 1, declaration(at, &format!("id{at}"), "x")).unwrap();
    }
    let refused = declares(&plane, 1, declaration(99, "id99", "x"));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::QUOTA_EXCEEDED);
    declares(&plane, 2, declaration(99, "id99", "x")).unwrap();
    let most = u64::try_from(MAX_DECLARED).unwrap();
    let first = u64::try_from(MAX_SESSION_INSTANCES).unwrap();
    for at in first..most {
        declares(&plane, 1, declaration(at, "id0", "x")).unwrap();
    }
    let refused = declares(&plane, 1, declaration(most, "id0", "x"));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::QUOTA_EXCEEDED);
    // One that is declared already may be declared anew, also for another service.
    declares(&plane, 1, declaration(1, "id0", "x")).unwrap();
    plane
        .services
        .refused(SessionKey::new(1), RegistrationId::new(0));
    declares(&plane, 1, declaration(most, "id0", "x")).unwrap();
}

/// What may happen to the table.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Close(u64),
    Begin(u64, u64, Option<u64>),
    End(u64, u64),
    Declare(u64, u64, u64),
    Refused(u64, u64),
    EndSession(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Open),
        (0..4_u64).prop_map(Step::Close),
        (0..3_u64, 0..4_u64, prop::option::of(0..4_u64))
            .prop_map(|(session, number, service)| Step::Begin(session, number, service)),
        (0..3_u64, 0..4_u64).prop_map(|(session, number)| Step::End(session, number)),
        (1..3_u64, 0..4_u64, 0..2_u64)
            .prop_map(|(session, number, id)| Step::Declare(session, number, id)),
        (1..3_u64, 0..4_u64).prop_map(|(session, number)| Step::Refused(session, number)),
        (1..3_u64).prop_map(Step::EndSession),
    ]
}

/// Session 0 is the process itself.
fn registrant(session: u64, number: u64) -> Registrant {
    match session {
        0 => local(number),
        _ => of_session(session, number),
    }
}

fn take_step(plane: &Plane, serving: &mut BTreeMap<Registrant, ()>, step: Step) {
    match step {
        Step::Open => {
            let about = ServiceOptions::new("x", "1.0.0");
            drop(plane.services.open(plane, about));
        }
        Step::Close(number) => plane.services.close(number),
        Step::Begin(session, number, service) => {
            let key = registrant(session, number);
            // A registration begins once, as the machine sees to.
            if serving.insert(key, ()).is_none() {
                begins(plane, key, service.filter(|_| session == 0));
            }
        }
        Step::End(session, number) => {
            let key = registrant(session, number);
            plane.services.end(key);
            serving.remove(&key);
        }
        Step::Declare(session, number, id) => {
            let what = declaration(number, &format!("{session}-{id}"), "y");
            drop(declares(plane, session, what));
        }
        Step::Refused(session, number) => plane
            .services
            .refused(SessionKey::new(session), RegistrationId::new(number)),
        Step::EndSession(session) => {
            plane.services.end_session(SessionKey::new(session));
            serving.retain(
                |key, ()| !matches!(key, Registrant::Session(other, _) if other.get() == session),
            );
        }
    }
}

proptest! {
    /// Whatever comes and goes: each registration is told of once, and nothing is kept of what is not needed.
    #[test]
    fn every_registration_is_in_one_service_and_nothing_else_stays(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let plane = plane();
        let mut serving = BTreeMap::new();
        for step in steps {
            take_step(&plane, &mut serving, step);
            plane.services.read(|state| {
                let told: Vec<Registrant> = state
                    .instances
                    .values()
                    .flat_map(|one| one.endpoints.keys().copied())
                    .collect();
                prop_assert_eq!(told.len(), serving.len());
                prop_assert!(told.iter().all(|key| serving.contains_key(key)));
                prop_assert!(state.registrants.keys().eq(serving.keys()));
                prop_assert!(state.instances.values().all(Instance::is_needed));
                let expected: usize = state.instances.values().map(|one| one.expected).sum();
                prop_assert_eq!(expected, state.declared.len());
                let defaults = state.instances.values().filter(|one| one.is_default);
                prop_assert_eq!(defaults.count(), state.defaults.len());
                Ok(())
            })?;
            prop_assert!(serving.keys().all(|key| plane.services.tally(*key).is_some()));
        }
    }
}
