//! Calls: who serves what.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use macula_realm::{DefaultRules, Principal};
use macula_rpc::{
    Config, Input, Offer, OfferKey, Output, Provider, RegisterOptions, Registrant, RegistrationKey,
    Rpc, SessionKey,
};
use macula_wire::message::{Invoke, Roles};
use macula_wire::{Instant, Machine, NodeId, Pattern, Procedure, RegistrationId};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

const PROCEDURES: [&str; 5] = ["a", "a.b", "c", "c.d.e", "$sys.a"];
/// What is served; each is of one policy, so that whoever serves it counts.
const PATTERNS: [(&str, Invoke); 6] = [
    ("a", Invoke::P2c),
    ("a.b", Invoke::Hash),
    ("a.*", Invoke::Random),
    ("c.**", Invoke::RoundRobin),
    ("**", Invoke::LeastLoaded),
    ("$sys.a", Invoke::P2c),
];

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
        0 => Step::Unoffered(member(argument >> 6), usize::from(low) % PATTERNS.len()),
        1 => Step::MemberDown(member(argument)),
        2 | 3 => {
            let mut options = RegisterOptions::default();
            options.weight = u32::from(argument >> 6);
            options.concurrency = u32::from(low);
            let at = high % PATTERNS.len();
            options.invoke = PATTERNS[at].1;
            Step::Register(registrant(low), at, options)
        }
        4 => Step::Unregister(registrant(low)),
        5 => Step::DropSession(SessionKey::new(u64::from(low & 1))),
        6 => Step::Watch(high % PROCEDURES.len()),
        7 => Step::Unwatch(high % PROCEDURES.len()),
        _ => {
            let weight = u32::from(argument >> 3 & 7);
            Step::Offered(
                member(argument >> 6),
                usize::from(low) % PATTERNS.len(),
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
        let pattern = |number: &usize| Pattern::new(PATTERNS[*number].0).expect("a pattern");
        let who = Principal::new(OWN, Roles::CLIENT);
        match step {
            Step::MemberDown(node) => machine.handle_input(now, Input::MemberDown { node: *node }),
            Step::Offered(node, name, weight) => {
                let (node, pattern) = (*node, pattern(name));
                let offer = Offer::new(*weight, PATTERNS[*name].1);
                let input = Input::Offered {
                    node,
                    pattern,
                    offer,
                };
                machine.handle_input(now, input);
            }
            Step::Unoffered(node, name) => {
                let (node, pattern) = (*node, pattern(name));
                machine.handle_input(now, Input::Unoffered { node, pattern });
            }
            Step::Register(registrant, name, options) => {
                let (registrant, options) = (*registrant, options.clone());
                let before = machine.registrations();
                let pattern = pattern(name);
                let done = machine.register(now, &DefaultRules, &who, registrant, pattern, options);
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
        for (pattern, candidates) in table.iter() {
            write!(out, "{pattern}{candidates:?}")?;
        }
        write!(out, "{}", machine.registrations())
    }

    fn inspect(&self, machine: &Rpc) {
        assert!(machine.registrations() <= 6);
        assert!(machine.table().len() <= PATTERNS.len() && machine.offers() <= 5);
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
                model.insert(*registrant, (PATTERNS[*name].0, options.weight));
            }
            Step::Register(registrant, name, _) => {
                let full = model.len() >= 6
                    || known(registrant, &model)
                    || PATTERNS[*name].0.starts_with('$')
                    || matches!(registrant, Registrant::Session(session, _)
                        if of_session(&model, *session) >= 2)
                    || {
                        let mut names: Vec<&str> = model.values().map(|(name, _)| *name).collect();
                        names.sort_unstable();
                        names.dedup();
                        names.len() >= 4 && !names.contains(&PATTERNS[*name].0)
                    };
                assert!(full, "{registrant:?} was refused {}", PATTERNS[*name].0);
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
        for (name, _) in PATTERNS {
            agree(&machine, &model, name);
        }
        for name in PROCEDURES {
            finds(&machine, name);
        }
    }
}

fn of_session(model: &BTreeMap<Registrant, (&str, u32)>, session: SessionKey) -> usize {
    let of = |registrant: &&Registrant| matches!(registrant, Registrant::Session(of, _) if *of == session);
    model.keys().filter(of).count()
}

/// Takes all output; each key is watched and no longer watched by turns.
fn drain(machine: &mut Rpc, watched: &mut BTreeMap<OfferKey, bool>) {
    while let Some(output) = machine.poll_output() {
        match output {
            Output::Watch { key } => {
                assert_ne!(watched.insert(key, true), Some(true));
            }
            Output::Unwatch { key } => {
                assert_eq!(watched.insert(key, false), Some(true));
            }
            Output::Table(table) => assert!(table.version() <= machine.version()),
            Output::Announce { .. } | Output::Withdraw { .. } => {}
            other => panic!("{other:?} is new here"),
        }
    }
    let now = watched.values().filter(|watched| **watched).count();
    // Two for each procedure that is called, one for each pattern that is served, and that of wildcards.
    assert!(now <= 3 * 2 + 4 + 1, "{now} keys are watched");
}

fn agree(machine: &Rpc, model: &BTreeMap<Registrant, (&str, u32)>, name: &str) {
    let pattern = Pattern::new(name).expect("a pattern");
    let own = model.iter().filter(|(_, (of, _))| *of == name);
    let mut expected: Vec<(Provider, u32)> = own
        .map(|(registrant, (_, weight))| (Provider::from(*registrant), *weight))
        .collect();
    let here = expected.len();
    for number in 0..4 {
        let node = member(number);
        let offers = machine.offers_of(&node).filter(|(of, _)| **of == pattern);
        expected.extend(offers.map(|(_, offer)| (Provider::Member(node), offer.weight)));
    }
    expected.sort_unstable();
    let table = machine.table();
    let found = table.of_pattern(&pattern);
    let all = found.map(|found| found.all()).unwrap_or_default();
    let said: Vec<(Provider, u32)> = all.iter().map(|one| (one.provider, one.weight)).collect();
    assert_eq!(said, expected, "{name}");
    assert_eq!(found.map_or(0, |found| found.here().len()), here);
    for (provider, _) in expected {
        let slots = table.slots(provider);
        assert_eq!(slots.is_some(), provider.is_here());
        assert!(slots.is_none_or(|slots| slots.limit() > 0));
    }
}

/// The pattern that is found for a procedure covers it, and none is found only where none covers it.
fn finds(machine: &Rpc, name: &str) {
    let procedure = Procedure::new(name).expect("a procedure");
    let table = machine.table();
    let covering = table.iter().any(|(pattern, _)| pattern.covers(&procedure));
    let found = table.find(&procedure).map(|found| found.pattern());
    assert_eq!(found.is_some(), covering, "{name}");
    assert!(
        found.is_none_or(|pattern| pattern.covers(&procedure)),
        "{name}"
    );
}
