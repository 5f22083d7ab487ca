//! How a run starts: with everybody a member already.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula_swim::{Config, OwnRecord, Pen, Snapshot, Swim};
use macula_testkit::{NodeIndex, StubSigner};
use macula_wire::{Epoch, Instant, NodeId, Random, RealmName};

use super::Run;
use super::realm::Realm;
use crate::degree::degree_for;
use crate::graph::Graph;
use crate::progress::Progress;
use crate::scenario::Fault;
use crate::settings::{Part, Settings};

/// The wall clock at virtual time zero.
const WALL_MS: u64 = 1_700_000_000_000;

/// Starts all nodes: each knows all, is linked to its neighbours, or to all where membership wants that.
pub(super) fn start<'a>(settings: &'a Settings, progress: &'a Progress) -> Result<Run<'a>, Fault> {
    let mut random = Random::new(settings.seed ^ 0x0067_7261_7068);
    let graph = Graph::random_regular(settings.nodes, degree_for(settings.nodes), &mut random);
    let mut run = Run::new(settings, progress, Realm::new(&graph))?;
    let config = config(settings);
    let now = run.net.now();
    let records = (0..settings.nodes).map(|node| {
        let id = macula_testkit::node_id(node);
        Arc::clone(swim(&config, id, Random::new(0), now, Arc::default()).own_record())
    });
    let everybody = Arc::new(Snapshot::new(records.collect()));
    for _ in 0..settings.nodes {
        run.net
            .add(|id, random, now| swim(&config, id, random, now, Arc::clone(&everybody)));
    }
    let all = settings.nodes <= config.link_pool;
    let nodes: Vec<NodeIndex> = run.net.nodes().collect();
    for (place, node) in nodes.iter().enumerate() {
        let near = run.net.host().neighbours(*node).to_vec();
        let far: &[NodeIndex] = if all { &nodes } else { &near };
        for other in far.iter().filter(|other| other.get() > place) {
            run.net.link(*node, *other);
        }
    }
    run.begins();
    Ok(run)
}

/// Starts every node anew, with what it knew as its member cache; each dials its neighbours.
pub(super) fn restart_all(run: &mut Run<'_>) {
    let config = config(run.settings);
    let nodes: Vec<NodeIndex> = run.net.nodes().collect();
    // Those with equal views share one cache, as they shared one snapshot before.
    let mut caches: BTreeMap<u64, Arc<Snapshot>> = BTreeMap::new();
    let mut cache_of = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let Some(swim) = run.net.machine(*node) else {
            continue;
        };
        let cache = caches.entry(swim.digest()).or_insert_with(|| {
            let present = swim.members().filter(|member| member.state().is_present());
            Arc::new(Snapshot::new(
                present.map(|member| member.signed()).collect(),
            ))
        });
        cache_of.push((*node, Arc::clone(cache)));
    }
    for (node, cache) in cache_of {
        run.net.restart(node, |id, random, now| {
            swim(&config, id, random, now, cache)
        });
    }
    for node in &nodes {
        let near = run.net.host().neighbours(*node).to_vec();
        for other in near.iter().filter(|other| *other > node) {
            run.net.dial(*node, *other);
        }
    }
}

/// How membership is configured.
fn config(settings: &Settings) -> Config {
    let mut config = if settings.plain {
        Config::plain()
    } else {
        Config::default()
    };
    let switches = settings
        .without
        .iter()
        .map(|part| (part, false))
        .chain(settings.with.iter().map(|part| (part, true)));
    for (part, on) in switches {
        match part {
            Part::LhaProbe => config.lha_probe = on,
            Part::LhaSuspicion => config.lha_suspicion = on,
            Part::Buddy => config.buddy = on,
        }
    }
    config
}

fn wall_ms(now: Instant) -> u64 {
    WALL_MS.saturating_add(now.as_nanos() / 1_000_000)
}

/// A node that knows `members`.
#[expect(clippy::expect_used, reason = "the same short record for every node")]
fn swim(config: &Config, id: NodeId, random: Random, now: Instant, members: Arc<Snapshot>) -> Swim {
    let realm = RealmName::new("be.acme.iot").expect("a name of a realm");
    let pen = Pen::new(realm, Arc::new(StubSigner::new(id)));
    let mut own = OwnRecord::new(Epoch::new(wall_ms(now)));
    own.addresses = "192.0.2.1:4433".parse().into_iter().collect();
    own.agent = "macula 0.1".to_owned();
    let clock = (now, wall_ms(now));
    Swim::with_snapshot(config.clone(), pen, own, random, clock, members)
        .expect("a record within its limits")
}
