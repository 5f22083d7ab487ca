//! Asking for what is missing, and giving it.

use macula_wire::message::{Graft, Prune};
use macula_wire::{NodeId, Sequence};

use super::{Tree, TreeBatch, TreeOutput};

/// How often everybody is asked, at growing distances, before the next news is waited for.
const MAX_ROUNDS: u8 = 5;

impl<P: Clone> Tree<P> {
    /// Sees to it that what is missing is asked for in time, and given up in time.
    pub(super) fn wait_for_missing(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.held.is_empty() {
            source.gap_at = None;
            // Whoever gets something new has a way that works: what others have beyond that gets its time anew.
            let parent = source.parent.unwrap_or(self.own);
            let timeout = self.peers.graft_timeout(&parent, &self.config);
            source.ask_at = source.missing().map(|_| self.now + timeout);
            return;
        }
        if source.gap_at.is_none() {
            source.gap_at = Some(self.now + self.config.gap_timeout);
        }
        if source.ask_at.is_none() {
            self.ask(id);
        }
    }

    /// Asks one neighbour for what is missing. If later events came, the way is good and a hole is filled; otherwise the
    /// neighbour becomes the one that sends.
    pub(super) fn ask(&mut self, id: u32) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        if source.missing().is_none() {
            return;
        }
        let Some((node, known)) = source.whom_to_ask(&self.peers) else {
            self.ask_again(id);
            return;
        };
        let timeout = self.peers.graft_timeout(&node, &self.config);
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some((from, to)) = source.missing() else {
            return;
        };
        if let Some(edge) = source.edge(&node) {
            edge.asked = true;
        }
        let attach = source.held.is_empty();
        if attach {
            source.left = source.parent.filter(|parent| *parent != node);
            source.attach(node, known.distance.saturating_add(1));
        }
        source.ask_at = Some(self.now + timeout);
        self.request(id, node, (from, to.min(known.next).max(from)), attach);
    }

    /// Nobody is left to ask: once more the one that sends, then all others after a pause.
    fn ask_again(&mut self, id: u32) {
        let (now, peers, config) = (self.now, &self.peers, &self.config);
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let parent = source.parent.filter(|parent| peers.usable(parent));
        let hole = source.missing().filter(|_| !source.held.is_empty());
        let first_time = source.rounds == 0;
        source.rounds = source.rounds.saturating_add(1);
        if source.rounds > MAX_ROUNDS {
            return;
        }
        for edge in &mut source.edges {
            edge.asked = false;
        }
        let timeout = peers.graft_timeout(&parent.unwrap_or(self.own), config);
        let pause = timeout.saturating_mul(1 << source.rounds.min(MAX_ROUNDS));
        source.ask_at = Some(now + if first_time { timeout } else { pause });
        if let (true, Some(parent), Some(range)) = (first_time, parent, hole) {
            self.request(id, parent, range, false);
        }
    }

    /// Has another neighbour send, now that the one that did is lost.
    pub(super) fn join_another(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some((node, known)) = source.whom_to_join(&self.peers) else {
            return;
        };
        let Some(next) = source.next.filter(|_| source.publisher != self.own) else {
            return;
        };
        source.attach(node, known.distance.saturating_add(1));
        let to = source.missing().map_or(next, |(_, to)| to);
        self.request(id, node, (next, to), true);
    }

    /// Sends GRAFT.
    pub(super) fn request(&mut self, id: u32, to: NodeId, range: (u64, u64), attach: bool) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        let Some(mesh) = self.meshes.get(&source.mesh) else {
            return;
        };
        let graft = Graft {
            topic: mesh.topic.clone(),
            publisher: source.publisher,
            epoch: source.epoch,
            from: Sequence::new(range.0),
            to: Sequence::new(range.1),
            attach,
        };
        self.stats.grafts = self.stats.grafts.saturating_add(1);
        self.send(to, graft);
    }

    pub(super) fn on_graft(&mut self, from: NodeId, graft: &Graft) {
        let Some(id) = self.source_of(&graft.topic, graft.publisher) else {
            return;
        };
        let max = self.config.max_edges;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.epoch != graft.epoch {
            return;
        }
        if graft.attach {
            if source.parent == Some(from) {
                // It has lost its own way: another one is found when it shows that something is missing.
                source.parent = None;
            }
            if let Some(edge) = source.edge_or_new(from, max) {
                (edge.eager, edge.told) = (true, None);
            }
        }
        // What came since the neighbour was told is owed to one that attaches, as well as what follows.
        let to = if graft.attach {
            u64::MAX
        } else {
            graft.to.get()
        };
        self.send_again(id, from, (graft.from.get(), to));
    }

    /// Sends what is kept of a range.
    pub(super) fn send_again(&mut self, id: u32, to: NodeId, (from, end): (u64, u64)) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        let Some(mesh) = self.meshes.get(&source.mesh) else {
            return;
        };
        if source.distance >= self.config.max_distance {
            return;
        }
        let before = source.kept.range(..from).next_back();
        let before = before.filter(|(base, stored)| base.saturating_add(stored.count) > from);
        let rest = source.kept.range(from..end.max(from));
        let batches = before.filter(|_| from < end).into_iter().chain(rest);
        let mut count = 0_u64;
        for (base, stored) in batches.take(self.config.max_resent) {
            let batch = TreeBatch {
                publisher: source.publisher,
                epoch: source.epoch,
                topic: mesh.topic.clone(),
                base: Sequence::new(*base),
                count: stored.count,
                distance: source.distance.saturating_add(1),
                bytes: stored.bytes,
                payload: stored.payload.clone(),
            };
            self.outputs.push_back(TreeOutput::Push { to, batch });
            count = count.saturating_add(1);
        }
        self.stats.resent = self.stats.resent.saturating_add(count);
        self.stats.pushed = self.stats.pushed.saturating_add(count);
    }

    pub(super) fn on_prune(&mut self, from: NodeId, prune: &Prune) {
        let id = self.source_of(&prune.topic, prune.publisher);
        let source = id.and_then(|id| self.sources.get_mut(&id));
        if let Some(edge) = source.and_then(|source| source.edge(&from)) {
            (edge.eager, edge.told) = (false, None);
        }
    }
}
