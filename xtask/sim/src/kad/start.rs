//! Nodes join one after the other, each by one that is there.

use std::sync::Arc;
use std::time::Duration;

use macula_kad::{Config, Kad, MemberSnapshot};
use macula_testkit::{NodeIndex, StubSigner};
use macula_wire::RealmName;

use super::node::{Mesh, Nodes, contact};
use crate::progress::Progress;
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;

/// A run of routing.
pub(super) type Run<'a> = crate::run::Run<'a, Nodes>;

/// The time from one join to the next.
const BETWEEN: Duration = Duration::from_millis(5);
/// How long the last ones have to find their place.
const SETTLE: Duration = Duration::from_secs(10);

/// The wall clock at the beginning of virtual time, in milliseconds since 1970.
const WALL_MS: u64 = 1_700_000_000_000;

/// A network in which all have joined.
pub(super) fn joined<'a>(settings: &'a Settings, progress: &'a Progress) -> Result<Run<'a>, Fault> {
    let realm = RealmName::new("be.acme.sim").map_err(|error| error.to_string())?;
    let mut run = Run::new(settings, progress, Nodes::new(realm))?;
    progress.says(format!("{} nodes join", settings.nodes));
    for number_joined in 0..settings.nodes {
        let node = add(&mut run.net);
        let before = run.random.index(number_joined.max(1));
        join(&mut run.net, node, NodeIndex::new(before));
        run.run_for(BETWEEN)?;
        if number_joined % 100 == 0 {
            progress.reached(number(number_joined), number(settings.nodes));
        }
    }
    run.run_for(SETTLE)?;
    if settings.seeded {
        tell_members(&mut run.net);
    }
    Ok(run)
}

/// Adds a node that knows nobody.
pub(super) fn add(net: &mut Mesh) -> NodeIndex {
    let realm = net.host().realm.clone();
    net.add(|id, random, now| {
        let signer = Arc::new(StubSigner::new(id));
        let wall_ms = WALL_MS.saturating_add(now.as_nanos() / 1_000_000);
        Kad::new(Config::default(), realm, signer, random, now, wall_ms)
    })
}

/// Lets a node join by another.
pub(super) fn join(net: &mut Mesh, node: NodeIndex, by: NodeIndex) {
    if let Some(by) = net.id(by).filter(|_| by != node) {
        let now = net.now();
        net.host_mut().joins(node, now);
        net.with(node, |kad, now| kad.join(now, contact(by)).ok());
    }
}

/// Tells every node who the others are, as membership does.
pub(super) fn tell_members(net: &mut Mesh) {
    let ids = net.running().filter_map(|node| net.id(node));
    let members = Arc::new(MemberSnapshot::new(ids.map(contact)));
    for node in net.nodes() {
        net.with(node, |kad, _| kad.begin_with(Arc::clone(&members)));
    }
}
