//! Routing: the machine keeps the laws and its bounds.

mod record;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use macula_kad::{Checked, Config, Goal, Input, Kad, LookupOptions, Output, record_id};
use macula_wire::message::{
    Contact, KadAnswer, KadChanges, KadDigest, KadFind, KadFound, KadStore, KadWant, KadWatch,
    RecordContent, RecordKind, RecordVersion, SignedRoutingRecord,
};
use macula_wire::{
    Body, ErrorCode, Instant, Key, Machine, Random, RecordId, RequestId, Verifier, signed,
};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};
use record::{Pen, contact, content, node, place, realm, record};

/// The wall clock at the start, in milliseconds since 1970.
const WALL_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
/// How many nodes keep a record.
const K: usize = 3;
const MAX_OWNER_RECORDS: usize = 2;
const MAX_RECORDS: usize = 6;
const MAX_BYTES: usize = 2_000;
const MAX_WATCHES: usize = 3;
const MAX_OWN_WATCHES: usize = 2;
const MAX_OWN_RECORDS: usize = 3;

/// Whatever others say, however often and in whatever order, the machine keeps the six laws; it keeps and watches no
/// more than it may, and nothing of another realm or by another signer.
///
/// Input: steps of eight bytes: a kind, a pause, a node, a request and four arguments.
pub fn machine(data: &[u8]) {
    let steps = data.chunks_exact(8).take(MAX_STEPS).map(|bytes| {
        let [kind, pause, from, request, arguments @ ..] = bytes else {
            unreachable!("eight bytes")
        };
        let mut four = [0; 4];
        four.copy_from_slice(arguments);
        Timed {
            after: laws::pause(*pause),
            step: step(*kind, *from, *request, four),
        }
    });
    laws::hold(&Node, &steps.collect::<Vec<_>>());
}

enum Step {
    Input(Input),
    Lookup(Goal, LookupOptions),
    Publish(RecordContent, Duration),
    Withdraw(RecordContent),
    Watch(Key, RecordKind),
    Unwatch(Key, RecordKind),
    Join(Arc<Contact>),
}

fn step(kind: u8, from: u8, request: u8, four: [u8; 4]) -> Step {
    let [one, other, ..] = four;
    let peer = contact(from);
    let (key, of_kind) = place(one);
    Step::Input(match kind % 24 {
        0 | 1 => Input::Member(peer),
        2 => Input::MemberGone(peer.node),
        3 => Input::Unreachable(peer.node),
        4 => Input::Contact(peer),
        5 => Input::WallClock(wall(one, other)),
        6 => return Step::Lookup(goal(one, other), options(other)),
        7 => return Step::Publish(content(one), Duration::from_millis(u64::from(other) * 400)),
        8 => return Step::Withdraw(content(one)),
        9 => return Step::Watch(key, of_kind),
        10 => return Step::Unwatch(key, of_kind),
        11 => return Step::Join(peer),
        shape => Input::Message {
            from: peer,
            body: Checked::new(&realm(), message(shape, request, four), &Pen(node(0))),
        },
    })
}

fn message(shape: u8, request: u8, four: [u8; 4]) -> Body {
    let [one, other, third, fourth] = four;
    let (key, kind) = place(one);
    let request = RequestId::new(u64::from(request));
    let records = match fourth % 4 {
        0 => vec![record(other, third)],
        1 => vec![record(other, third), record(fourth, third)],
        2 => vec![
            record(other, third),
            record(other, third ^ 1),
            record(fourth, other),
        ],
        _ => Vec::new(),
    };
    match shape {
        12 | 13 => {
            let contacts = (0..fourth % 21).map(|next| contact(third.wrapping_add(next)));
            KadFound {
                request,
                contacts: contacts.collect(),
                records,
                more: other & 1 == 1,
            }
            .into()
        }
        14 => KadFind {
            request,
            key,
            kind: (other & 1 == 1).then_some(kind),
        }
        .into(),
        15..18 => KadStore { request, records }.into(),
        18 => {
            let code = [ErrorCode::OK, ErrorCode::QUOTA_EXCEEDED][usize::from(other & 1)];
            let codes = vec![code; usize::from(third % 66)];
            KadAnswer { request, codes }.into()
        }
        19 => KadWatch {
            request,
            key,
            kind,
            lease_ms: u32::from(other) * 200,
            version: u64::from(third & 7),
        }
        .into(),
        20 | 21 => KadChanges {
            key,
            kind,
            version: match third >> 2 {
                63 => u64::MAX,
                version => u64::from(version),
            },
            full: third & 1 == 1,
            more: third & 2 == 2,
            records,
        }
        .into(),
        22 => {
            let version = |signed: &Arc<SignedRoutingRecord>| RecordVersion {
                id: record_id(&signed.record.owner, &signed.record.content),
                sequence: signed.record.sequence,
            };
            let mut versions: Vec<RecordVersion> = records.iter().map(version).collect();
            versions.sort_unstable_by_key(|version| version.id);
            versions.dedup_by_key(|version| version.id);
            KadDigest { request, versions }.into()
        }
        _ => {
            let id = |signed: &Arc<SignedRoutingRecord>| {
                record_id(&signed.record.owner, &signed.record.content)
            };
            let mut ids: Vec<RecordId> = records.iter().map(id).collect();
            ids.sort_unstable();
            ids.dedup();
            KadWant { request, ids }.into()
        }
    }
}

fn goal(one: u8, other: u8) -> Goal {
    let (key, kind) = place(one);
    match other & 3 {
        0 => Goal::Closest(key),
        1 => Goal::Node(node(one)),
        all => Goal::Records {
            key,
            kind,
            all: all == 2,
        },
    }
}

fn options(other: u8) -> LookupOptions {
    let mut options = LookupOptions::default();
    options.paths = usize::from(other >> 4);
    options.seeded = other & 8 == 0;
    options
}

/// A wall clock: a little off, far off, or at an end.
fn wall(one: u8, other: u8) -> u64 {
    match one {
        0 => 0,
        255 => u64::MAX,
        1..128 => WALL_MS - HOUR_MS + u64::from(one) * 60_000 + u64::from(other),
        128..255 => WALL_MS + u64::from(one - 128) * HOUR_MS,
    }
}

struct Node;

impl Subject for Node {
    type Machine = Kad;
    type Step = Step;

    fn create(&self) -> Kad {
        let mut config = Config::default();
        config.k = K;
        config.max_queries = 3;
        config.replacements = 2;
        config.check_after = Duration::from_secs(3);
        config.requests_per_second = 4;
        config.lease = Duration::from_secs(10);
        config.max_owner_records = MAX_OWNER_RECORDS;
        config.max_records = MAX_RECORDS;
        config.max_bytes = MAX_BYTES;
        config.max_own_records = MAX_OWN_RECORDS;
        config.max_peer_watches = 2;
        config.max_watches = MAX_WATCHES;
        config.max_own_watches = MAX_OWN_WATCHES;
        config.watch_lease = Duration::from_secs(8);
        config.refresh_every = Duration::from_secs(9);
        config.replicate_every = Duration::from_secs(7);
        let signer = Arc::new(Pen(node(0)));
        Kad::new(config, realm(), signer, Random::new(3), START, WALL_MS)
    }

    fn apply(&self, machine: &mut Kad, now: Instant, step: &Step) {
        match step {
            Step::Input(input) => machine.handle_input(now, input.clone()),
            Step::Lookup(goal, options) => {
                machine.lookup(now, *goal, *options).ok();
            }
            Step::Publish(content, lease) => {
                let done = machine.publish_for(now, content.clone(), *lease);
                assert!(done.is_err() || !content.name().starts_with('$'));
            }
            Step::Withdraw(content) => {
                machine.withdraw(now, &record_id(&node(0), content));
            }
            Step::Watch(key, kind) => {
                machine.watch(now, *key, *kind).ok();
            }
            Step::Unwatch(key, kind) => {
                machine.unwatch(now, *key, *kind);
            }
            Step::Join(by) => {
                machine.join(now, Arc::clone(by)).ok();
            }
        }
    }

    fn max_outputs(&self) -> usize {
        400
    }

    /// Messages as they travel, which also shows that all of them can; a signature stands for its record.
    fn write(&self, output: &Output, out: &mut Digest) -> fmt::Result {
        match output {
            Output::Send { to, body } => {
                let mut bytes = Vec::with_capacity(512);
                body.encode(&mut bytes).expect("a legal message");
                out.bytes(&bytes);
                out.bytes(to.node.as_bytes());
                write!(out, "{:?}", to.addresses)
            }
            Output::Changed {
                key,
                record,
                present,
            } => {
                out.bytes(key.as_bytes());
                out.bytes(record.signature.as_bytes());
                write!(out, "{present}")
            }
            other => write!(out, "{other:?}"),
        }
    }

    fn observe(&self, machine: &Kad, out: &mut Digest) -> fmt::Result {
        write!(out, "{:?}{:?}", machine.stats(), machine.kept())?;
        write!(out, "{}{}", machine.watched(), machine.watches())?;
        for content in machine.own_records() {
            write!(out, "{content:?}")?;
        }
        for which in 0..16 {
            let (key, kind) = place(which);
            for signed in machine.kept_under(key, kind) {
                let bytes = signed::record_bytes(&realm(), &signed.record);
                let bytes = bytes.expect("a legal record");
                let owner = signed.record.owner;
                assert!(Pen(node(0)).verify(owner, &bytes, &signed.signature));
                assert!(!signed.record.withdrawn);
            }
        }
        let near = machine.closest_known(machine.position(), 20);
        write!(out, "{near:?}{}", machine.size_estimate())
    }

    fn inspect(&self, machine: &Kad) {
        let (records, bytes) = machine.kept();
        assert!(
            records <= MAX_RECORDS && bytes <= MAX_BYTES,
            "{records}, {bytes}"
        );
        assert!(machine.watched() <= MAX_WATCHES);
        assert!(machine.watches() <= MAX_OWN_WATCHES);
        assert!(machine.own_records().count() <= MAX_OWN_RECORDS);
        assert!(machine.table_len() <= 256 * K);
    }
}
