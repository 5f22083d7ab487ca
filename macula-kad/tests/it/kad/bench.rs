//! One machine on its own, fed by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use macula_kad::{
    Checked, Config, Distance, Input, Kad, Outcome, Output, Stats, key, key_of, position, record_id,
};
use macula_testkit::{StubSigner, StubVerifier, node_id};
use macula_wire::message::{
    Contact, KadAnswer, KadChanges, KadFound, RecordKind, SignedRoutingRecord,
};
use macula_wire::{Body, ErrorCode, Instant, Key, Machine, NodeId, Random, RecordId, RequestId};

pub(crate) use super::draft::*;

pub(crate) fn found(request: RequestId, contacts: Vec<Arc<Contact>>) -> KadFound {
    KadFound {
        request,
        contacts,
        records: Vec::new(),
        more: false,
    }
}

pub(crate) fn answer(request: RequestId, codes: Vec<ErrorCode>) -> KadAnswer {
    KadAnswer { request, codes }
}

/// A full statement of one part.
pub(crate) fn statement(
    at: (Key, RecordKind),
    version: u64,
    records: Vec<Arc<SignedRoutingRecord>>,
) -> KadChanges {
    KadChanges {
        key: at.0,
        kind: at.1,
        version,
        full: true,
        more: false,
        records,
    }
}

/// A single change.
pub(crate) fn change(
    at: (Key, RecordKind),
    version: u64,
    record: &Arc<SignedRoutingRecord>,
) -> KadChanges {
    KadChanges {
        full: false,
        ..statement(at, version, vec![Arc::clone(record)])
    }
}

/// The number of the request that a message is, if it is one.
pub(crate) fn request_of(body: &Body) -> Option<RequestId> {
    match body {
        Body::KadFind(find) => Some(find.request),
        Body::KadStore(store) => Some(store.request),
        Body::KadWatch(watch) => Some(watch.request),
        Body::KadDigest(digest) => Some(digest.request),
        _ => None,
    }
}

/// What a node says that knows nobody and takes everything.
pub(crate) fn willing(body: &Body) -> Option<Body> {
    let all_ok = |request, count| Some(answer(request, vec![ErrorCode::OK; count]).into());
    match body {
        Body::KadFind(find) => Some(found(find.request, Vec::new()).into()),
        Body::KadStore(store) => all_ok(store.request, store.records.len()),
        Body::KadWatch(watch) => all_ok(watch.request, 1),
        Body::KadDigest(digest) => {
            let (request, ids) = (digest.request, Vec::new());
            Some(macula_wire::message::KadWant { request, ids }.into())
        }
        _ => None,
    }
}

/// No nodes by number.
pub(crate) const NOBODY: [usize; 0] = [];

/// The numbers of `nodes`, those closest to `key` first.
pub(crate) fn by_distance(key: &Key, nodes: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut all: Vec<usize> = nodes.into_iter().collect();
    all.sort_by_key(|number| Distance::between(key, &position(&node_id(*number))));
    all
}

/// A name, made of `prefix`, for whose key `fits`.
pub(crate) fn name_where(kind: RecordKind, prefix: &str, fits: impl Fn(&Key) -> bool) -> String {
    let names = (0..10_000).map(|number| format!("{prefix}.n{number}"));
    let mut fitting = names.filter(|name| fits(&key(&realm(), kind, name)));
    fitting.next().unwrap()
}

/// The machine of node 0, and everything that it put out.
pub(crate) struct Bench {
    pub(crate) kad: Kad,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<(NodeId, Body)>,
    pub(crate) found: Vec<Outcome>,
    /// Records that a watch told of, and whether they hold.
    pub(crate) changed: Vec<(RecordId, bool)>,
    /// Keys of which all was told.
    pub(crate) watching: Vec<(Key, RecordKind)>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let signer = Arc::new(StubSigner::new(node_id(0)));
        let random = Random::new(1);
        let kad = Kad::new(config, realm(), signer, random, START, WALL_MS);
        Self {
            kad,
            now: START,
            sent: Vec::new(),
            found: Vec::new(),
            changed: Vec::new(),
            watching: Vec::new(),
        }
    }

    /// Among these members.
    pub(crate) fn among(config: Config, members: impl IntoIterator<Item = usize>) -> Self {
        let mut bench = Self::with(config);
        for number in members {
            bench.member(number);
        }
        bench.pass(millis(100));
        bench.forget();
        bench
    }

    /// Forgets what was put out so far.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.found.clear();
        self.changed.clear();
        self.watching.clear();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.kad.poll_output() {
            match output {
                Output::Send { to, body } => self.sent.push((to.node, body)),
                Output::Found(outcome) => self.found.push(outcome),
                Output::Changed {
                    key,
                    record,
                    present,
                } => {
                    let inner = &record.record;
                    assert_eq!(key, key_of(&realm(), &inner.owner, &inner.content));
                    let id = record_id(&inner.owner, &inner.content);
                    self.changed.push((id, present));
                }
                Output::Watching { key, kind } => self.watching.push((key, kind)),
                other => panic!("unknown output {other:?}"),
            }
        }
        let next = self.kad.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "law 1: {next:?}");
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.kad.handle_input(self.now, input);
        self.drain();
    }

    pub(crate) fn member(&mut self, number: usize) {
        self.input(Input::Member(contact(number)));
    }

    pub(crate) fn gone(&mut self, number: usize) {
        self.input(Input::MemberGone(node_id(number)));
    }

    pub(crate) fn contact(&mut self, number: usize) {
        self.input(Input::Contact(contact(number)));
    }

    pub(crate) fn hear(&mut self, number: usize, body: impl Into<Body>) {
        self.hear_at(contact(number), body);
    }

    pub(crate) fn hear_at(&mut self, from: Arc<Contact>, body: impl Into<Body>) {
        let body = Checked::new(&realm(), body.into(), &StubVerifier::new());
        self.input(Input::Message { from, body });
    }

    /// Calls a command and drains.
    pub(crate) fn with_kad<R>(&mut self, command: impl FnOnce(&mut Kad, Instant) -> R) -> R {
        let result = command(&mut self.kad, self.now);
        self.drain();
        result
    }

    /// Lets time pass, time-out by time-out, while nobody answers.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.pass_with(duration, |_, _| None);
    }

    /// The same, while all take everything.
    pub(crate) fn pass_willing(&mut self, duration: Duration) {
        self.pass_with(duration, |_, body| willing(body));
    }

    /// The same; `answers` says what a node says to what is sent from here on.
    pub(crate) fn pass_with(
        &mut self,
        duration: Duration,
        mut answers: impl FnMut(usize, &Body) -> Option<Body>,
    ) {
        let end = self.now + duration;
        let mut seen = self.sent.len();
        loop {
            self.answer_from(&mut seen, &mut answers);
            let Some(due) = self.kad.poll_timeout().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.kad.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Answers what was sent and not forgotten, at once.
    pub(crate) fn answer_all(&mut self, mut answers: impl FnMut(usize, &Body) -> Option<Body>) {
        self.answer_from(&mut 0, &mut answers);
    }

    fn answer_from(
        &mut self,
        seen: &mut usize,
        answers: &mut impl FnMut(usize, &Body) -> Option<Body>,
    ) {
        while let Some((to, body)) = self.sent.get(*seen) {
            *seen += 1;
            let number = number_of(to);
            if let Some(said) = answers(number, body) {
                self.hear(number, said);
            }
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.kad.stats()
    }

    /// What was sent to a node.
    pub(crate) fn sent_to(&self, number: usize) -> Vec<&Body> {
        let sent = self.sent.iter().filter(|(to, _)| *to == node_id(number));
        sent.map(|(_, body)| body).collect()
    }

    /// To whom messages were sent that `fits` finds, in order.
    pub(crate) fn receivers(&self, fits: impl Fn(&Body) -> bool) -> Vec<usize> {
        let fitting = self.sent.iter().filter(|(_, body)| fits(body));
        fitting.map(|(to, _)| number_of(to)).collect()
    }

    /// To whom a record was sent, ascending, each once.
    pub(crate) fn told_of(&self, id: RecordId) -> Vec<usize> {
        let names = |body: &Body| match body {
            Body::KadStore(store) => store
                .records
                .iter()
                .any(|signed| record_id(&signed.record.owner, &signed.record.content) == id),
            _ => false,
        };
        let mut told = self.receivers(names);
        told.sort_unstable();
        told.dedup();
        told
    }

    /// The codes of the last KAD_ANSWER to a node.
    pub(crate) fn codes_to(&self, number: usize) -> Vec<ErrorCode> {
        let sent = self.sent_to(number);
        let codes = sent.iter().rev().find_map(|body| match body {
            Body::KadAnswer(answer) => Some(answer.codes.clone()),
            _ => None,
        });
        codes.unwrap()
    }

    /// The request of the last message to a node that is one.
    pub(crate) fn asked(&self, number: usize) -> Option<RequestId> {
        let sent = self.sent_to(number);
        sent.iter().rev().find_map(|body| request_of(body))
    }
}

/// How many nodes the tests know by number.
const NODES: usize = 5_000;

static NUMBERS: LazyLock<BTreeMap<NodeId, usize>> =
    LazyLock::new(|| (0..NODES).map(|number| (node_id(number), number)).collect());

pub(crate) fn number_of(node: &NodeId) -> usize {
    NUMBERS.get(node).copied().unwrap_or(NODES)
}

/// A name under whose key of a kind node 0 is not one of the `k` closest of itself and the nodes up to 40.
pub(crate) fn far_name(kind: RecordKind, k: usize) -> String {
    name_where(kind, "v", |key| {
        !by_distance(key, 0..40)[..k + 1].contains(&0)
    })
}

/// Of the nodes 0 to 29 the machine of node 0, where `k` keep a record: it watches the key of [`far_name`]. With it that
/// key, and its three holders, closest first.
pub(crate) fn watching(kind: RecordKind, k: usize) -> (Bench, (Key, RecordKind), Vec<usize>) {
    let at = (key(&realm(), kind, &far_name(kind, k)), kind);
    let mut config = Config::default();
    config.k = k;
    let mut bench = Bench::among(config, 1..30);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    let holders = by_distance(&at.0, 1..30)[..3].to_vec();
    (bench, at, holders)
}
