//! Membership: the machine keeps the laws and its bounds.

pub mod verification;

use std::fmt::{self, Write};
use std::sync::Arc;

use macula_swim::{Config, Input, OwnRecord, Swim};
use macula_wire::message::{
    Accusation, BucketVersions, DigestPart, MemberRecord, MemberStatus, MemberVersion, Roles,
    SignedAccusation, SignedRecord, Standing, SwimAck, SwimDigest, SwimGossip, SwimJoin, SwimNack,
    SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{
    Body, Domain, Epoch, Incarnation, Instant, Kind, Machine, NodeId, ProbeId, Random, RealmName,
    SIGNATURE_LEN, Signature, Signer, signed,
};

use super::frame;
use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

/// The wall clock at the start, in milliseconds since 1970.
const WALL_MS: u64 = 1_800_000_000_000;
/// The number of this node.
const OWN: u8 = 0;
/// The most members of its table.
const MAX_MEMBERS: usize = 6;

/// Whatever members say, however often and in whatever order, the machine keeps the six laws, its table stays within its
/// limit, and it never takes itself for anything but alive before it has left.
///
/// Input: steps. Each has a kind, a pause, a node and an argument (1 byte each), and what its kind reads besides.
pub fn machine(data: &[u8]) {
    let mut input = Cursor(data);
    let mut steps = Vec::new();
    while steps.len() < MAX_STEPS && !input.0.is_empty() {
        let (kind, pause) = (input.byte(), input.byte());
        steps.push(Timed {
            after: laws::pause(pause),
            step: step(kind, &mut input),
        });
    }
    laws::hold(&Node, &steps);
}

enum Step {
    Message(NodeId, Body),
    LinkUp(NodeId),
    LinkDown(NodeId),
    /// Whether it becomes one or is none any more.
    Neighbour(NodeId, bool),
    Join(NodeId),
    Tags(u8),
    Leave,
}

fn step(kind: u8, input: &mut Cursor<'_>) -> Step {
    let (from, argument) = (input.node(), input.byte());
    match kind % 16 {
        0 | 1 => Step::LinkUp(from),
        2 => Step::Neighbour(from, argument & 1 == 0),
        3 => Step::LinkDown(from),
        4 => Step::Join(from),
        5 => Step::Tags(argument),
        // Seldom, because nothing happens afterwards.
        6 if argument == 0xff => Step::Leave,
        6 | 7 => {
            let kinds = Kind::ALL;
            let kind = kinds[usize::from(argument) % kinds.len()];
            let length = usize::from(input.byte());
            match frame::body(kind, input.take(length)) {
                Some(body) => Step::Message(from, body),
                None => Step::LinkUp(from),
            }
        }
        shape => Step::Message(from, message(shape, from, argument, input)),
    }
}

/// A message of membership about few nodes, with small numbers.
fn message(shape: u8, from: NodeId, argument: u8, input: &mut Cursor<'_>) -> Body {
    let target = node(argument & 7);
    // Probes of the machine are numbered from a random start, which the input finds by itself.
    let probe = match argument >> 3 {
        0..16 => ProbeId::new(u64::from(argument)),
        _ => ProbeId::new(u64::from_le_bytes(input.array())),
    };
    if shape == 9 {
        return SwimNack { probe, target }.into();
    }
    if shape == 8 {
        let record = match news(0, input) {
            Update::Record(record) if argument & 1 == 1 => record,
            _ => record(from, WALL_MS + 1, 0, false, 0),
        };
        return SwimJoin { record }.into();
    }
    let count = input.byte() % 4;
    let mut updates: Vec<Update> = Vec::new();
    for _ in 0..count {
        let kind = input.byte();
        updates.push(news(kind, input));
    }
    match shape {
        10 => SwimAck { probe, updates }.into(),
        11 => SwimPingReq {
            probe,
            target,
            updates,
        }
        .into(),
        12 => SwimState {
            more: argument & 1 == 1,
            updates,
        }
        .into(),
        13 => SwimPing { probe, updates }.into(),
        14 => SwimDigest {
            part: digest(argument, input),
        }
        .into(),
        _ => SwimGossip { updates }.into(),
    }
}

/// What is compared of two views.
fn digest(argument: u8, input: &mut Cursor<'_>) -> DigestPart {
    if argument & 3 == 0 {
        return DigestPart::View(u64::from_le_bytes(input.array()));
    }
    if argument & 3 == 1 {
        let word = u64::from_le_bytes(input.array());
        return DigestPart::Buckets(vec![word; 256]);
    }
    // Ids of this target differ in every byte, so that a bucket holds one of them.
    let node = input.node();
    let [epoch, incarnation, standing] = input.array();
    let known = MemberVersion {
        node,
        epoch: Epoch::new(WALL_MS + u64::from(epoch)),
        incarnation: Incarnation::new(u64::from(incarnation)),
        standing: Standing::ALL[usize::from(standing) % Standing::ALL.len()],
    };
    DigestPart::Versions(BucketVersions {
        bucket: node.as_bytes()[0],
        complete: argument & 4 == 4,
        compare: argument & 8 == 8,
        versions: if argument & 16 == 16 {
            Vec::new()
        } else {
            vec![known]
        },
    })
}

/// News of one member.
///
/// Reads the member, its version and the accuser (1 byte each).
fn news(kind: u8, input: &mut Cursor<'_>) -> Update {
    let (subject, version, accuser) = (input.node(), input.byte(), input.node());
    let epoch = WALL_MS
        + if version & 0x80 == 0 {
            1
        } else {
            1_000_000_000
        } * u64::from(version >> 5 & 3);
    let incarnation = match version & 0x1f {
        0x1e => 2_000,
        0x1f => u64::MAX,
        small => u64::from(small),
    };
    match kind % 4 {
        0 | 1 => Update::Record(record(subject, epoch, incarnation, kind & 0xf0 == 0xf0, 0)),
        2 => Update::Suspect(accusation(
            Domain::Suspect,
            subject,
            epoch,
            incarnation,
            accuser,
        )),
        _ => Update::Dead(accusation(
            Domain::Dead,
            subject,
            epoch,
            incarnation,
            accuser,
        )),
    }
}

struct Node;

impl Subject for Node {
    type Machine = Swim;
    type Step = Step;

    fn create(&self) -> Swim {
        let mut config = Config::default();
        config.max_members = MAX_MEMBERS;
        config.max_gossip = 8;
        config.max_probes = 4;
        config.max_relays = 4;
        config.link_pool = 3;
        config.max_answers = 2;
        config.max_accusations = 5;
        let mut own = OwnRecord::new(Epoch::new(WALL_MS));
        own.addresses = vec![([192, 0, 2, 1], 4433).into()];
        let signer = Arc::new(Pen(node(OWN)));
        Swim::new(config, realm(), signer, own, Random::new(3), START, WALL_MS)
            .expect("a short record")
    }

    fn apply(&self, machine: &mut Swim, now: Instant, step: &Step) {
        match step {
            Step::Message(from, body) => {
                let (from, body) = (*from, body.clone());
                machine.handle_input(now, Input::Message { from, body });
            }
            Step::LinkUp(peer) => machine.handle_input(now, Input::LinkUp { peer: *peer }),
            Step::LinkDown(peer) => machine.handle_input(now, Input::LinkDown { peer: *peer }),
            Step::Neighbour(peer, true) => {
                machine.handle_input(now, Input::NeighbourUp { peer: *peer });
            }
            Step::Neighbour(peer, false) => {
                machine.handle_input(now, Input::NeighbourDown { peer: *peer });
            }
            Step::Join(via) => {
                let joined = machine.join(now, *via);
                assert_eq!(joined.is_ok(), *via != node(OWN) && !machine.has_left());
            }
            Step::Tags(value) => {
                let tag = Tag {
                    key: "k".into(),
                    value: "v".repeat(usize::from(value % 80)),
                };
                let fits = tag.value.len() <= 64;
                let set = machine.set_tags(now, vec![tag]);
                assert_eq!(set.is_ok(), fits && !machine.has_left(), "{set:?}");
            }
            Step::Leave => machine.leave(now),
        }
    }

    fn max_outputs(&self) -> usize {
        128
    }

    fn observe(&self, machine: &Swim, out: &mut Digest) -> fmt::Result {
        for member in machine.members() {
            write!(out, "{member:?}")?;
        }
        write!(out, "{:?}{:?}", machine.counts(), machine.stats())
    }

    fn inspect(&self, machine: &Swim) {
        let counts = machine.counts();
        let members = machine.members().count();
        assert!(members <= MAX_MEMBERS, "{members} members");
        assert_eq!(counts.present() + counts.dead + counts.left, members);
        let own = machine.members().next().expect("itself");
        assert_eq!(own.node(), node(OWN));
        assert_eq!(own.state().is_present(), !machine.has_left());
        assert!(counts.alive >= usize::from(!machine.has_left()));
    }
}

fn record(
    node: NodeId,
    epoch: u64,
    incarnation: u64,
    left: bool,
    tags: usize,
) -> Arc<SignedRecord> {
    let record = MemberRecord {
        node,
        epoch: Epoch::new(epoch),
        incarnation: Incarnation::new(incarnation),
        status: if left {
            MemberStatus::Left
        } else {
            MemberStatus::Alive
        },
        addresses: vec![([192, 0, 2, 7], 4433).into()],
        roles: Roles::MEMBER,
        zone: None,
        agent: String::new(),
        tags: (0..tags)
            .map(|number| Tag {
                key: format!("{number:02}"),
                value: "v".repeat(60),
            })
            .collect(),
    };
    let bytes = signed::member_bytes(&realm(), &record).expect("a legal record");
    let signature = Pen(node).sign(&bytes);
    Arc::new(SignedRecord { record, signature })
}

fn accusation(
    domain: Domain,
    subject: NodeId,
    epoch: u64,
    incarnation: u64,
    accuser: NodeId,
) -> Arc<SignedAccusation> {
    let accusation = Accusation {
        subject,
        epoch: Epoch::new(epoch),
        incarnation: Incarnation::new(incarnation),
        accuser,
    };
    let bytes = signed::accusation_bytes(domain, &realm(), &accusation);
    Arc::new(SignedAccusation {
        accusation,
        signature: Pen(accuser).sign(&bytes),
    })
}

/// Signs as a node, without a key: the signature is made of a digest of the message.
struct Pen(NodeId);

impl Signer for Pen {
    fn node(&self) -> NodeId {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let digest = macula_realm::sha256(message);
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..32].copy_from_slice(&digest);
        bytes[32..].copy_from_slice(self.0.as_bytes());
        Signature::from_bytes(bytes)
    }
}

fn realm() -> RealmName {
    RealmName::new("be.acme.iot").expect("a realm")
}

const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number + 1; 32])
}

/// Reads an input; behind its end are zeros.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// One of eight.
    fn node(&mut self) -> NodeId {
        node(self.byte() & 7)
    }
}
