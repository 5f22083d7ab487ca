//! What goes on beside the links: the present topology, packets of own links, silent peers, and traces.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use macula_kad::Topology;
use macula_kad::forward::SendError;
use macula_transport::ForwardedPackets;
use macula_wire::message::Traced;
use macula_wire::{NodeId, RequestId};
use tokio::time::MissedTickBehavior;

use super::silence::Sample;
use super::{Forwarding, lock, ping};
use crate::Neighbourhood;
use crate::plane::Plane;
use crate::plane::links::Attached;

/// The least time between two topologies.
const REFRESH_PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether peers that carry something are silent.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How long after something was carried to a peer it is looked after.
const CARRIED_LATELY: Duration = Duration::from_secs(2);
/// How long the answer to a trace is waited for before it is sent again.
const TRACE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a trace is sent.
const TRACES: usize = 3;

impl Plane {
    /// Waits until there is a link to the member, and returns it.
    pub(crate) async fn until_linked(&self, node: &NodeId) -> Arc<Attached> {
        loop {
            let changed = self.tables_changed.notified();
            if let Some(linked) = self.links.member(node) {
                return linked;
            }
            changed.await;
        }
    }
}

impl Forwarding {
    /// Starts what runs as long as the node.
    pub(crate) fn start(self: &Arc<Self>) {
        let tasks = &self.plane.tasks;
        tasks.spawn("topology", Arc::clone(self).keep_topology());
        tasks.spawn("silence", Arc::clone(self).keep_watch());
        if let Some(packets) = self.endpoint.forwarded() {
            tasks.spawn("forwarded packets", Arc::clone(self).send_all(packets));
        }
    }

    /// Goes by another neighbourhood from here on.
    pub(crate) fn replace_neighbourhood(&self, neighbourhood: Arc<Neighbourhood>) {
        self.neighbourhood.store(neighbourhood);
        self.links_changed();
    }

    /// A link came or went.
    pub(crate) fn links_changed(&self) {
        self.changed.notify_one();
    }

    async fn send_all(self: Arc<Self>, mut packets: ForwardedPackets) {
        while let Some(packet) = packets.next().await {
            self.send(packet);
        }
    }

    async fn keep_topology(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            self.refresh();
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
    }

    /// Makes the topology anew. Where a peer is lost by it, forwarded links are made to say something: their next packet
    /// takes another way, and what it is answered with tells QUIC what was lost on the former one, which QUIC would
    /// otherwise wait to find out for as long as the way was dead.
    fn refresh(&self) {
        let neighbourhood = self.neighbourhood.load_full();
        let members = self.plane.links.members();
        let (forwarded, direct): (Vec<_>, Vec<_>) = members
            .iter()
            .filter(|attached| attached.link.close_reason().is_none())
            .partition(|attached| attached.link.is_forwarded());
        let direct: Vec<NodeId> = direct.iter().map(|one| one.link.peer().node).collect();
        let mut suspected = neighbourhood.suspected.clone();
        suspected.extend(lock(&self.silence).silent());
        let linked = direct.iter().map(|node| (*node, neighbourhood.of(node)));
        let topology = Topology::new(self.plane.node(), linked, suspected.iter().copied());
        self.topology.store(Arc::new(topology));
        let sound: BTreeSet<NodeId> = direct
            .into_iter()
            .filter(|node| !suspected.contains(node))
            .collect();
        let mut known = lock(&self.sound);
        let is_lost = known.iter().any(|node| !sound.contains(node));
        *known = sound;
        drop(known);
        if is_lost {
            forwarded.iter().for_each(|attached| ping(attached));
        }
    }

    /// Takes note that something is carried to a peer.
    pub(super) fn used(&self, attached: &Attached) {
        attached.passage.used(self.plane.clock.now());
        if !self.is_carrying.swap(true, Ordering::Relaxed) {
            self.carrying.notify_one();
        }
    }

    /// Watches whether the peer of a direct link answers; whether it does not. Returns after `patience` at the latest.
    pub(crate) async fn falls_silent(&self, attached: &Attached, patience: Duration) -> bool {
        let watched = async {
            while !attached.is_silent() {
                self.used(attached);
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        tokio::time::timeout(patience, watched).await.is_ok()
    }

    async fn keep_watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.look() {
                self.is_carrying.store(false, Ordering::Relaxed);
                self.carrying.notified().await;
                ticks.reset();
            }
        }
    }

    /// Looks whether peers are silent. Whether there is any that something was carried to lately.
    fn look(&self) -> bool {
        let now = self.plane.clock.now();
        let mut silence = lock(&self.silence);
        let matters = |attached: &&Arc<Attached>| {
            let used = attached.passage.last_used();
            let lately = used.is_some_and(|at| now.saturating_since(at) <= CARRIED_LATELY);
            (lately || silence.is_silent(&attached.link.peer().node))
                && !attached.link.is_forwarded()
        };
        let members = self.plane.links.members();
        let watched: Vec<&Arc<Attached>> = members.iter().filter(matters).collect();
        let samples: Vec<Sample> = watched
            .iter()
            .map(|attached| {
                let stats = attached.link.stats();
                Sample {
                    node: attached.link.peer().node,
                    received: stats.packets_received,
                    rtt: stats.rtt,
                }
            })
            .collect();
        let look = silence.look(now, &samples);
        for (attached, sample) in watched.iter().zip(&samples) {
            let is_silent = silence.is_silent(&sample.node);
            attached.passage.set_silent(is_silent, sample.received);
        }
        drop(silence);
        for attached in &watched {
            if look.ask.contains(&attached.link.peer().node) {
                ping(attached);
            }
        }
        if look.has_changed {
            self.links_changed();
        }
        !samples.is_empty()
    }

    /// Traces the way that a packet to `target` takes. `None` if no answer came.
    ///
    /// # Errors
    ///
    /// When this node is the target, or has no peer.
    pub(crate) async fn trace(&self, target: NodeId) -> Result<Option<Traced>, SendError> {
        for _ in 0..TRACES {
            let number = self.plane.with_random(macula_wire::Random::next_u64);
            let request = RequestId::new(number);
            let topology = self.topology.load_full();
            let via = self.via(&topology, &target);
            let now = self.plane.clock.now();
            let sent = self
                .wayfinder
                .send_trace(now, &topology, target, &via, request)?;
            let Some(mut waiting) = self.traces.begin(request) else {
                return Ok(None);
            };
            self.carry(sent.to, sent.message.into());
            let answer = tokio::time::timeout(TRACE_TIMEOUT, &mut waiting.answer).await;
            if let Ok(Ok(traced)) = answer {
                return Ok(Some(traced));
            }
        }
        Ok(None)
    }
}
