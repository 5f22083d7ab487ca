//! What a store keeps of the debts of others: the machine keeps the laws and its bounds, and takes over what is owed.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use macula_pubsub::{Bequest, Estate, EstateConfig, EstateInput, EstateOutput, Inheritance};
use macula_wire::message::{Arrear, Arrears, Balance, DebtGroup, Debts, DeliveryRange, Priority};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

const MAX_EVENTS: usize = 12;
const MAX_BYTES: usize = 600;
/// The node itself.
const OWN: u8 = 7;

/// Whatever publishers say that they owe, and owe yet, and whoever is lost or comes back, the machine keeps the six laws and
/// its bounds. It takes over what it was given, once, for others than itself and the publisher, and of each group at most as
/// many events as there are.
///
/// Input: steps of six bytes: a kind, a pause, a publisher with its numbering, and three arguments.
pub fn machine(data: &[u8]) {
    let steps = data.chunks_exact(6).take(MAX_STEPS).map(|bytes| {
        let [kind, pause, of, rest @ ..] = bytes else {
            unreachable!("six bytes")
        };
        let rest = <[u8; 3]>::try_from(rest).expect("three bytes");
        Timed {
            after: laws::pause(*pause),
            step: step(*kind, *of, rest),
        }
    });
    let steps = steps.collect::<Vec<_>>();
    laws::hold(&Store, &steps);
    as_was_given(&steps);
}

#[derive(Clone, Debug)]
enum Step {
    Take(Bequest<u64>, (usize, usize)),
    Input(EstateInput),
}

/// Plays the steps once more, and looks at what is taken over.
fn as_was_given(steps: &[Timed<Step>]) {
    let mut estate = Store.create();
    let mut now = START;
    // What was given by the number that is its payload, and how often it was taken over.
    let mut given: BTreeMap<u64, (Bequest<u64>, u32)> = BTreeMap::new();
    for (number, timed) in (0_u64..).zip(steps) {
        now = now + timed.after;
        match timed.step.clone() {
            Step::Take(mut bequest, elsewhere) => {
                bequest.payload = number;
                given.insert(number, (bequest.clone(), 0));
                estate.take(now, bequest, elsewhere);
            }
            Step::Input(input) => estate.handle_input(now, input),
        }
        take_over(&mut estate, &mut given);
    }
    estate.handle_timeout(now + Duration::from_secs(600));
    take_over(&mut estate, &mut given);
}

fn take_over(estate: &mut Estate<u64>, given: &mut BTreeMap<u64, (Bequest<u64>, u32)>) {
    while let Some(output) = estate.poll_output() {
        let EstateOutput::Inherited(inherited) = output else {
            continue;
        };
        let (bequest, times) = given.get_mut(&inherited.payload).expect("it was given");
        *times += 1;
        assert_eq!(*times, 1, "{inherited:?}");
        fits(&inherited, bequest);
    }
}

fn fits(inherited: &Inheritance<u64>, bequest: &Bequest<u64>) {
    assert_eq!(inherited.publisher, bequest.publisher);
    assert_eq!(
        (inherited.count, inherited.bytes, inherited.class),
        (bequest.count, bequest.bytes, bequest.class)
    );
    let left = inherited.ttl.unwrap_or(Duration::MAX);
    assert!(left > Duration::ZERO && left <= bequest.ttl.unwrap_or(Duration::MAX));
    for member in &inherited.members {
        assert!(bequest.debts.members.contains(member));
        assert!(*member != bequest.own && *member != bequest.publisher);
    }
    for group in &inherited.groups {
        let known = bequest.debts.groups.iter();
        let known = known.filter(|known| known.name == group.name).count();
        assert_eq!(known, 1, "{group:?}");
        assert!(group.events.iter().all(|event| event.at < bequest.count));
    }
    assert!(!inherited.members.is_empty() || !inherited.groups.is_empty());
}

fn step(kind: u8, of: u8, [one, two, three]: [u8; 3]) -> Step {
    let publisher = node(of);
    let run = ChannelRun::new(u64::from(of >> 6));
    match kind % 8 {
        0..4 => {
            let elsewhere = if kind & 0x80 == 0 {
                (0, 0)
            } else {
                (usize::from(kind >> 3 & 7), 0)
            };
            Step::Take(bequest(publisher, run, [one, two, three]), elsewhere)
        }
        4 => Step::Input(EstateInput::Arrears(
            publisher,
            arrears(run, [one, two, three]),
        )),
        5 => Step::Input(EstateInput::Lost(publisher)),
        6 => Step::Input(EstateInput::Back(publisher)),
        _ => Step::Input(EstateInput::Gone(publisher)),
    }
}

fn bequest(publisher: NodeId, run: ChannelRun, [one, two, three]: [u8; 3]) -> Bequest<u64> {
    let count = u32::from(one >> 5 & 3) + 1;
    let first = u64::from(one & 31);
    let group = (three & 1 == 1).then(|| DebtGroup {
        name: if three & 2 == 0 { "g" } else { "h" }.into(),
        balance: Balance::Sticky,
        members: some(three >> 2),
        first: DeliveryId::new(first),
        // Places of members, some of which nobody has.
        chosen: (0..count).map(|at| u32::from(two & 7) + at).collect(),
    });
    Bequest {
        publisher,
        run,
        first: DeliveryId::new(first),
        count,
        payload: 0,
        bytes: usize::from(two),
        class: Priority::Normal,
        ttl: (one & 0x80 != 0).then(|| Duration::from_millis(u64::from(three) * 4)),
        debts: Debts {
            members: some(two),
            stores: some(three),
            groups: group.into_iter().collect(),
        },
        rank: u32::from(two >> 6),
        own: node(OWN),
    }
}

fn arrears(run: ChannelRun, [one, two, three]: [u8; 3]) -> Arrears {
    let since = u64::from(one & 31);
    let ranges = |node: NodeId| Arrear {
        node,
        open: vec![DeliveryRange {
            first: DeliveryId::new(since + u64::from(three & 3)),
            last: DeliveryId::new(since + u64::from(three >> 2 & 7)),
        }],
    };
    Arrears {
        run,
        since: DeliveryId::new(since),
        upto: DeliveryId::new(since + u64::from(one >> 5) * 4),
        open: some(two).into_iter().map(ranges).collect(),
    }
}

/// Some nodes: those whose bits are set.
fn some(bits: u8) -> Vec<NodeId> {
    let set = (0..8).filter(|bit| bits >> bit & 1 == 1);
    set.map(node).collect()
}

const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([(number & 7) + 1; 32])
}

struct Store;

impl Subject for Store {
    type Machine = Estate<u64>;
    type Step = Step;

    fn create(&self) -> Estate<u64> {
        let mut config = EstateConfig::default();
        config.max_events = MAX_EVENTS;
        config.max_bytes = MAX_BYTES;
        config.max_lost = 3;
        config.turn = Duration::from_millis(100);
        Estate::new(config, START)
    }

    fn apply(&self, machine: &mut Estate<u64>, now: Instant, step: &Step) {
        match step.clone() {
            Step::Take(bequest, elsewhere) => machine.take(now, bequest, elsewhere),
            Step::Input(input) => machine.handle_input(now, input),
        }
    }

    fn max_outputs(&self) -> usize {
        // All that is kept may be taken over at once, and room made for what comes.
        MAX_EVENTS + 2
    }

    fn observe(&self, machine: &Estate<u64>, out: &mut Digest) -> fmt::Result {
        write!(out, "{:?}", machine.used())
    }

    fn inspect(&self, machine: &Estate<u64>) {
        let (events, bytes) = machine.used();
        assert!(
            events <= MAX_EVENTS && bytes <= MAX_BYTES,
            "{events} {bytes}"
        );
    }
}
