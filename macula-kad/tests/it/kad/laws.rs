//! The laws of machines, on random messages, members, commands, clocks and pauses.

use std::fmt::Write;
use std::sync::Arc;

use macula_kad::{Checked, Config, Goal, Input, Kad, LookupOptions, Output, record_id};
use macula_testkit::laws::{self, Subject};
use macula_testkit::{StubSigner, StubVerifier, node_id};
use macula_wire::message::{
    KadAnswer, KadChanges, KadDigest, KadFind, KadFound, KadStore, KadWant, KadWatch,
    RecordContent, RecordKind, RecordVersion, SignedRoutingRecord,
};
use macula_wire::{Body, ErrorCode, Instant, Key, Machine, Random, RequestId};
use proptest::prelude::*;

use super::bench::{
    Draft, HOUR_MS, WALL_MS, contact, draft, interest, key_provider, key_value, millis,
    node_content, provider, realm, value, value_of,
};

/// What may happen to the machine of node 0.
#[derive(Clone, Debug)]
enum Step {
    Message(usize, Said, Vec<News>),
    Contact(usize),
    Member(usize),
    MemberGone(usize),
    Unreachable(usize),
    Wall(u64),
    Lookup(usize, usize, bool),
    Publish(usize, u64),
    Withdraw(usize),
    Watch(usize),
    Unwatch(usize),
    Join(usize),
}

/// A message. Requests are counted from 1, so that some answers are to what was asked.
#[derive(Clone, Debug)]
enum Said {
    Find(usize, bool),
    Found(u64, Vec<usize>),
    Store,
    Answer(u64, bool),
    Watch(usize, u32, u64),
    Changes(usize, u64, bool, bool),
    Digest,
    Want(u64),
    Foreign,
}

/// A record that somebody tells of.
#[derive(Clone, Copy, Debug)]
struct News {
    owner: usize,
    content: usize,
    version: u64,
    lease: usize,
    withdrawn: bool,
    forged: bool,
}

/// What records say, in this order. The last one belongs on no other node.
fn contents(index: usize) -> RecordContent {
    match index {
        0 => provider("a.b"),
        1 => interest("a.*"),
        2 => value("a.b"),
        3 => value_of("a.b", b"another value"),
        4 => node_content(),
        _ => value("$own"),
    }
}

const CONTENTS: usize = 6;

/// Where records are looked for and watched.
fn places(index: usize) -> (Key, RecordKind) {
    match index {
        0 => (key_provider("a.b"), RecordKind::Provider),
        1 => (draft(1, interest("a.*")).key(), RecordKind::Interest),
        2 => (key_value("a.b"), RecordKind::Value),
        _ => (draft(3, node_content()).key(), RecordKind::Node),
    }
}

const PLACES: usize = 4;

fn record(news: News) -> Draft {
    let leases = [20_000, HOUR_MS, 0, 49 * HOUR_MS, 47 * HOUR_MS];
    let made = draft(news.owner, contents(news.content)).version(news.version);
    let made = made.for_ms(leases[news.lease]);
    let made = if news.withdrawn {
        made.withdrawn()
    } else {
        made
    };
    if news.forged {
        made.signed_by(news.owner + 1)
    } else {
        made
    }
}

fn body(said: &Said, news: &[News]) -> Body {
    let drafts: Vec<Draft> = news.iter().copied().map(record).collect();
    let records: Vec<Arc<SignedRoutingRecord>> = drafts.iter().cloned().map(Draft::sign).collect();
    let request = RequestId::new(7);
    match said {
        Said::Find(place, kind) => {
            let (key, wanted) = places(*place);
            let kind = kind.then_some(wanted);
            KadFind { request, key, kind }.into()
        }
        Said::Found(request, contacts) => KadFound {
            request: RequestId::new(*request),
            contacts: contacts.iter().copied().map(contact).collect(),
            records,
            more: false,
        }
        .into(),
        Said::Store => KadStore { request, records }.into(),
        Said::Answer(request, ok) => {
            let code = [ErrorCode::QUOTA_EXCEEDED, ErrorCode::OK][usize::from(*ok)];
            let request = RequestId::new(*request);
            let codes = vec![code; news.len()];
            KadAnswer { request, codes }.into()
        }
        Said::Watch(place, lease_ms, version) => {
            let ((key, kind), lease_ms, version) = (places(*place), *lease_ms, *version);
            KadWatch {
                request,
                key,
                kind,
                lease_ms,
                version,
            }
            .into()
        }
        Said::Changes(place, version, full, more) => {
            let (key, kind) = places(*place);
            KadChanges {
                key,
                kind,
                version: *version,
                full: *full,
                more: *more,
                records,
            }
            .into()
        }
        Said::Digest => {
            let version = |draft: &Draft| RecordVersion {
                id: draft.id(),
                sequence: draft.record.sequence,
            };
            let mut versions: Vec<RecordVersion> = drafts.iter().map(version).collect();
            versions.sort_unstable_by_key(|version| version.id);
            versions.dedup_by_key(|version| version.id);
            KadDigest { request, versions }.into()
        }
        Said::Want(request) => {
            let mut ids: Vec<_> = drafts.iter().map(Draft::id).collect();
            ids.sort_unstable();
            ids.dedup();
            let request = RequestId::new(*request);
            KadWant { request, ids }.into()
        }
        Said::Foreign => macula_wire::message::Ping { nonce: 1 }.into(),
    }
}

struct Node;

impl Subject for Node {
    type Machine = Kad;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Kad {
        let mut config = Config::default();
        config.k = 3;
        config.max_queries = 4;
        config.requests_per_second = 2;
        config.max_owner_records = 2;
        config.max_records = 5;
        config.max_own_records = 3;
        config.max_peer_watches = 2;
        config.max_watches = 3;
        config.max_own_watches = 2;
        config.replacements = 2;
        config.check_after = millis(5_000);
        config.watch_lease = millis(15_000);
        config.refresh_every = millis(30_000);
        config.replicate_every = millis(20_000);
        config.lease = millis(40_000);
        let signer = Arc::new(StubSigner::new(node_id(0)));
        Kad::new(config, realm(), signer, Random::new(seed), now, WALL_MS)
    }

    fn apply(&self, machine: &mut Kad, now: Instant, step: &Step) {
        let mut input = |input| machine.handle_input(now, input);
        match step {
            Step::Message(from, said, news) => {
                let body = Checked::new(&realm(), body(said, news), &StubVerifier::new());
                let from = contact(*from);
                input(Input::Message { from, body });
            }
            Step::Contact(node) => input(Input::Contact(contact(*node))),
            Step::Member(node) => input(Input::Member(contact(*node))),
            Step::MemberGone(node) => input(Input::MemberGone(node_id(*node))),
            Step::Unreachable(node) => input(Input::Unreachable(node_id(*node))),
            Step::Wall(wall_ms) => input(Input::WallClock(*wall_ms)),
            Step::Lookup(goal, paths, seeded) => {
                let (key, kind) = places(*goal % PLACES);
                let goal = match *goal {
                    0..PLACES => Goal::Records {
                        key,
                        kind,
                        all: *seeded,
                    },
                    PLACES => Goal::Closest(key),
                    _ => Goal::Node(node_id(2)),
                };
                let mut options = LookupOptions::default();
                (options.paths, options.seeded) = (*paths, *seeded);
                machine.lookup(now, goal, options).ok();
            }
            Step::Publish(content, lease) => {
                let lease = millis(*lease);
                machine.publish_for(now, contents(*content), lease).ok();
            }
            Step::Withdraw(content) => {
                let id = record_id(&node_id(0), &contents(*content));
                machine.withdraw(now, &id);
            }
            Step::Watch(place) => {
                let (key, kind) = places(*place);
                machine.watch(now, key, kind).ok();
            }
            Step::Unwatch(place) => {
                let (key, kind) = places(*place);
                machine.unwatch(now, key, kind);
            }
            Step::Join(node) => {
                machine.join(now, contact(*node)).ok();
            }
        }
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, machine: &Kad) -> String {
        let mut text = format!("{:?} {:?}", machine.stats(), machine.kept());
        let counts = [machine.table_len(), machine.watches(), machine.watched()];
        write!(text, " {counts:?} {}", machine.size_estimate()).unwrap();
        let own: Vec<_> = machine.own_records().collect();
        let near = machine.closest_known(machine.position(), 20);
        write!(text, " {own:?} {near:?}").unwrap();
        for (key, kind) in (0..PLACES).map(places) {
            let kept: Vec<_> = machine.kept_under(key, kind).collect();
            write!(text, " {kept:?}").unwrap();
        }
        text
    }
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let node = 0_usize..9;
    let request = 1_u64..40;
    let news = (
        0_usize..6,
        0..CONTENTS,
        0_u64..4,
        prop_oneof![6 => 0_usize..2, 1 => 2_usize..5],
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    );
    let news = news.prop_map(|(owner, content, version, lease, withdrawn, forged)| News {
        owner,
        content,
        version,
        lease,
        withdrawn,
        forged,
    });
    let version = prop_oneof![6 => 0_u64..4, 1 => Just(u64::MAX)];
    let lease_ms = prop_oneof![1 => Just(0), 6 => 1_u32..60_000, 1 => Just(u32::MAX)];
    let said = prop_oneof![
        2 => (0..PLACES, any::<bool>()).prop_map(|(place, kind)| Said::Find(place, kind)),
        4 => (request.clone(), prop::collection::vec(node.clone(), 0..5))
            .prop_map(|(request, contacts)| Said::Found(request, contacts)),
        4 => Just(Said::Store),
        4 => (request.clone(), any::<bool>()).prop_map(|(request, ok)| Said::Answer(request, ok)),
        2 => (0..PLACES, lease_ms, version.clone())
            .prop_map(|(place, lease, version)| Said::Watch(place, lease, version)),
        2 => (0..PLACES, version, any::<bool>(), any::<bool>())
            .prop_map(|(place, version, full, more)| Said::Changes(place, version, full, more)),
        1 => Just(Said::Digest),
        2 => request.prop_map(Said::Want),
        1 => Just(Said::Foreign),
    ];
    let wall = prop_oneof![
        4 => (0_u64..4 * HOUR_MS).prop_map(|ahead| WALL_MS - 2 * HOUR_MS + ahead),
        1 => Just(0),
        1 => Just(u64::MAX),
    ];
    let lease = prop_oneof![6 => 1_000_u64..60_000, 1 => Just(0), 1 => Just(u64::MAX)];
    prop_oneof![
        12 => (node.clone(), said, prop::collection::vec(news, 1..4))
            .prop_map(|(from, said, news)| Step::Message(from, said, news)),
        2 => node.clone().prop_map(Step::Contact),
        3 => node.clone().prop_map(Step::Member),
        2 => node.clone().prop_map(Step::MemberGone),
        2 => node.clone().prop_map(Step::Unreachable),
        1 => wall.prop_map(Step::Wall),
        2 => (0..PLACES + 2, 0_usize..5, any::<bool>())
            .prop_map(|(goal, paths, seeded)| Step::Lookup(goal, paths, seeded)),
        2 => (0..CONTENTS, lease).prop_map(|(content, lease)| Step::Publish(content, lease)),
        1 => (0..CONTENTS).prop_map(Step::Withdraw),
        2 => (0..PLACES).prop_map(Step::Watch),
        1 => (0..PLACES).prop_map(Step::Unwatch),
        1 => node.prop_map(Step::Join),
    ]
    .boxed()
}

#[test]
fn routing_keeps_the_laws() {
    laws::check(&Node, steps());
}

#[test]
fn the_steps_reach_every_output() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut now = Instant::from_millis(10_000);
        let mut machine = Node.create(seed, now);
        let sequence = prop::collection::vec(steps(), 30..60);
        for step in laws::sample(&sequence, seed).unwrap() {
            now = now + millis(400);
            machine.handle_timeout(now);
            Node.apply(&mut machine, now, &step);
            while let Some(output) = machine.poll_output() {
                kinds.insert(match output {
                    Output::Send { body, .. } => body.kind().name(),
                    Output::Found(_) => "Found",
                    Output::Changed { present: true, .. } => "Changed, there",
                    Output::Changed { .. } => "Changed, gone",
                    Output::Watching { .. } => "Watching",
                    _ => "unknown",
                });
            }
        }
    }
    let expected = [
        "KAD_FIND",
        "KAD_FOUND",
        "KAD_STORE",
        "KAD_ANSWER",
        "KAD_WATCH",
        "KAD_CHANGES",
        "KAD_DIGEST",
        "KAD_WANT",
        "Found",
        "Changed, there",
        "Changed, gone",
        "Watching",
    ];
    for kind in expected {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
    assert_eq!(kinds.len(), expected.len());
}
