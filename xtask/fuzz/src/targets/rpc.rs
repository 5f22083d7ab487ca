//! Calls: who serves what.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use macula_realm::{DefaultRules, Principal};
use macula_rpc::{
    Candidate, Config, Input, Output, Provider, RegisterOptions, Registrant, RegistrationKey, Rpc,
    SessionKey,
};
use macula_wire::message::Roles;
use macula_wire::{Instant, Machine, NodeId, Procedure, RegistrationId};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

const PROCEDURES: [&str; 5] = ["a", "a.b", "c", "c.d.e", "$sys.a"];

/// Whatever members offer and applications register, the machine keeps the six laws, and the table that is in force
/// once all has settled is what a naive reading of both gives.
///
/// Input: steps of a kind, a pause and an argument (1 byte each).
pub fn machine(data: &[u8]) {
    let mut steps = Vec::new();
    let mut rest = data;
    while let [kind, pause, argument, after @ ..] = rest
        && steps.len() < MAX_STEPS
    {
        rest = after;
        let step = step(kind % 10, *argument);
        steps.push(Timed {
            after: laws::pause(*pause),
            step,
        });
    }
    let sequence = steps;
    laws::hold(&Node, &sequence);
    settles(&sequence);
}

enum Step {
    MemberDown(NodeId),
    Offered(NodeId, usize, u32),
    Unoffered(NodeId, usize),
    Register(Registrant, usize, RegisterOptions),
    Unregister(Registrant),
    DropSession(SessionKey),
    Watch(usize),
    Unwatch(usize),
}

fn step(kind: u8, argument: u8) -> Step {
    let low = argument & 7;
    let high = usize::from(argument >> 3);
    match kind {
        0 => Step::Unoffered(member(argument >> 6), usize::from(low) % PROCEDURES.len()),
        1 => Step::MemberDown(member(argument)),
        2 | 3 => {
            let mut options = RegisterOptions::default();
            options.weight = u32::from(argument >> 6);
            options.concurrency = u32::from(low);
            Step::Register(registrant(low), high % PROCEDURES.len(), options)
        }
        4 => Step::Unregister(registrant(low)),
        5 => Step::DropSession(SessionKey::new(u64::from(low & 1))),
        6 => Step::Watch(high % PROCEDURES.len()),
        7 => Step::Unwatch(high % PROCEDURES.len()),
        _ => {
            let weight = u32::from(argument >> 3 & 7);
            Step::Offered(
                member(argument >> 6),
                usize::from(low) % PROCEDURES.len(),
                weight,
            )
        }
    }
}

fn registrant(number: u8) -> Registrant {
    match number {
        0..4 => Registrant::Local(RegistrationKey::new(number.into())),
        _ => Registrant::Session(
            SessionKey::new(u64::from(number & 1)),
            RegistrationId::new(number.into()),
        ),
    }
}

fn member(number: u8) -> NodeId {
    NodeId::from_bytes([number & 3; 32])
}

const OWN: NodeId = NodeId::from_bytes([9; 32]);

struct Node;

impl Subject for Node {
    type Machine = Rpc;
    type Step = Step;

    fn create(&self) -> Rpc {
        let mut config = Config::default();
        config.max_offers = 5;
        config.max_procedures = 4;
        config.max_registrations = 6;
        config.max_session_registrations = 2;
        config.max_watched = 3;
        Rpc::new(config, OWN, START)
    }

    fn apply(&self, machine: &mut Rpc, now: Instant, step: &Step) {
        let procedure = |number: &usize| Procedure::new(PROCEDURES[*number]).expect("a procedure");
        let who = Principal::new(OWN, Roles::CLIENT);
        match step {
            Step::MemberDown(node) => machine.handle_input(now, Input::MemberDown { node: *node }),
            Step::Offered(node, name, weight) => {
                let (node, procedure, weight) = (*node, procedure(name), *weight);
                machine.handle_input(
                    now,
                    Input::Offered {
                        node,
                        procedure,
                        weight,
                    },
                );
            }
            Step::Unoffered(node, name) => {
                let (node, procedure) = (*node, procedure(name));
                machine.handle_input(now, Input::Unoffered { node, procedure });
            }
            Step::Register(registrant, name, options) => {
                let (registrant, procedure) = (*registrant, procedure(name));
                let before = machine.registrations();
                let done =
                    machine.register(now, &DefaultRules, &who, registrant, procedure, *options);
                assert_eq!(machine.registrations(), before + usize::from(done.is_ok()));
            }
            Step::Unregister(registrant) => {
                let before = machine.registrations();
                let done = machine.unregister(now, *registrant);
                assert_eq!(machine.registrations() + usize::from(done.is_ok()), before);
            }
            Step::DropSession(session) => {
                let before = machine.registrations();
                let gone = machine.drop_session(now, *session);
                assert_eq!(machine.registrations() + gone, before);
            }
            // Whether a watch is granted does not matter here; the laws compare what comes of it.
            Step::Watch(name) => {
                let _granted = machine.watch(now, &DefaultRules, &who, &procedure(name));
            }
            Step::Unwatch(name) => {
                let _ended = machine.unwatch(now, &procedure(name));
            }
        }
    }

    fn max_outputs(&self) -> usize {
        64
    }

    fn observe(&self, machine: &Rpc, out: &mut Digest) -> fmt::Result {
        let table = machine.table();
        for procedure in table.procedures() {
            write!(out, "{procedure}{:?}", table.candidates(procedure))?;
        }
        write!(out, "{}", machine.registrations())
    }

    fn inspect(&self, machine: &Rpc) {
        assert!(machine.registrations() <= 6);
        assert!(machine.table().len() <= PROCEDURES.len() && machine.offers() <= 5);
    }
}

/// Compares the table in force after each step with what was registered and offered.
fn settles(steps: &[Timed<Step>]) {
    let mut machine = Node.create();
    let mut now = START;
    let mut model = BTreeMap::new();
    let mut watched = BTreeMap::new();
    for timed in steps {
        now = now + timed.after;
        let known = |registrant: &Registrant, model: &BTreeMap<Registrant, _>| {
            model.contains_key(registrant)
        };
        let before = machine.registrations();
        Node.apply(&mut machine, now, &timed.step);
        match &timed.step {
            Step::Register(registrant, name, options) if machine.registrations() > before => {
                assert!(!known(registrant, &model), "{registrant:?} twice");
                model.insert(*registrant, (PROCEDURES[*name], options.weight));
            }
            Step::Register(registrant, name, _) => {
                let full = model.len() >= 6
                    || known(registrant, &model)
                    || PROCEDURES[*name].starts_with('$')
                    || matches!(registrant, Registrant::Session(session, _)
                        if of_session(&model, *session) >= 2)
                    || {
                        let mut names: Vec<&str> = model.values().map(|(name, _)| *name).collect();
                        names.sort_unstable();
                        names.dedup();
                        names.len() >= 4 && !names.contains(&PROCEDURES[*name])
                    };
                assert!(full, "{registrant:?} was refused {}", PROCEDURES[*name]);
            }
            Step::Unregister(registrant) => {
                let had = model.remove(registrant).is_some();
                assert_eq!(had, machine.registrations() < before);
            }
            Step::DropSession(session) => model.retain(
                |registrant, _| !matches!(registrant, Registrant::Session(of, _) if of == session),
            ),
            _ => {}
        }
        assert_eq!(machine.registrations(), model.len());
        // Longer than the pause between two tables.
        now = now + Duration::from_millis(5);
        machine.handle_timeout(now);
        drain(&mut machine, &mut watched);
        for name in PROCEDURES {
            agree(&machine, &model, name);
        }
    }
}

fn of_session(model: &BTreeMap<Registrant, (&str, u32)>, session: SessionKey) -> usize {
    let of = |registrant: &&Registrant| matches!(registrant, Registrant::Session(of, _) if *of == session);
    model.keys().filter(of).count()
}

/// Takes all output; each procedure is watched and no longer watched by turns.
fn drain(machine: &mut Rpc, watched: &mut BTreeMap<Procedure, bool>) {
    while let Some(output) = machine.poll_output() {
        match output {
            Output::Watch { procedure } => {
                assert_ne!(watched.insert(procedure, true), Some(true));
            }
            Output::Unwatch { procedure } => {
                assert_eq!(watched.insert(procedure, false), Some(true));
            }
            Output::Table(table) => assert!(table.version() <= machine.version()),
            Output::Announce { .. } | Output::Withdraw { .. } => {}
            other => panic!("{other:?} is new here"),
        }
    }
    let now = watched.values().filter(|watched| **watched).count();
    assert!(now <= 3, "{now} procedures are watched");
}

fn agree(machine: &Rpc, model: &BTreeMap<Registrant, (&str, u32)>, name: &str) {
    let procedure = Procedure::new(name).expect("a procedure");
    let own = model.iter().filter(|(_, (of, _))| *of == name);
    let mut expected: Vec<Candidate> = own
        .map(|(registrant, (_, weight))| Candidate {
            provider: Provider::from(*registrant),
            weight: *weight,
        })
        .collect();
    let here = expected.len();
    for number in 0..4 {
        let node = member(number);
        let offers = machine.offers_of(&node);
        expected.extend(
            offers
                .filter(|(of, _)| **of == procedure)
                .map(|(_, weight)| Candidate {
                    provider: Provider::Member(node),
                    weight: *weight,
                }),
        );
    }
    expected.sort_by_key(|candidate| candidate.provider);
    let table = machine.table();
    assert_eq!(table.candidates(&procedure), expected, "{name}");
    assert_eq!(table.candidates_here(&procedure), &expected[..here]);
    for candidate in expected {
        let slots = table.slots(candidate.provider);
        assert_eq!(slots.is_some(), candidate.provider.is_here());
        assert!(slots.is_none_or(|slots| slots.limit() > 0));
    }
}
