//! Batches: new or known, passed on, kept, delivered in order.

use macula_wire::message::Prune;
use macula_wire::{Epoch, Instant, NodeId, Sequence};

use super::source::Stored;
use super::{Tree, TreeBatch, TreeOutput};

impl<P: Clone> Tree<P> {
    pub(super) fn on_batch(
        &mut self,
        from: Option<NodeId>,
        batch: TreeBatch<P>,
        expected: Option<Sequence>,
    ) {
        let Some(id) = self.source_for(&batch) else {
            if from.is_some() {
                self.outputs.push_back(TreeOutput::Deliver { batch });
            }
            return;
        };
        let (base, end) = (batch.base.get(), batch.base.plus(batch.count).get());
        if !self.is_current(id, batch.epoch) {
            self.stats.duplicates = self.stats.duplicates.saturating_add(1);
            return;
        }
        self.judge(id, from);
        if let Some(source) = self.sources.get_mut(&id) {
            let begin = expected.map_or(base, Sequence::get);
            source.next.get_or_insert(begin);
            if source.has_seen(base, end) {
                self.stats.duplicates = self.stats.duplicates.saturating_add(1);
                if let Some(from) = from {
                    self.on_duplicate(id, from, batch.distance, (base, end));
                }
                return;
            }
        }
        self.stats.received = self
            .stats
            .received
            .saturating_add(u64::from(from.is_some()));
        self.take_note(id, from, batch.distance, (base, end));
        self.pass_on(id, from, &batch, end);
        self.keep(id, &batch);
        self.order(id, batch, from.is_some());
        self.wait_for_missing(id);
        self.touch(id);
        self.tell_later(id);
        self.settle(id);
    }

    /// A batch that its publisher sent to everybody itself.
    pub(super) fn on_direct(&mut self, batch: TreeBatch<P>) {
        let Some(id) = self.source_of(&batch.topic, batch.publisher) else {
            self.outputs.push_back(TreeOutput::Deliver { batch });
            return;
        };
        if !self.is_current(id, batch.epoch) {
            return;
        }
        let (base, end) = (batch.base.get(), batch.base.plus(batch.count).get());
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.next.get_or_insert(base);
        if source.has_seen(base, end) {
            return;
        }
        source.head = source.head.max(end);
        self.keep(id, &batch);
        self.order(id, batch, true);
        self.wait_for_missing(id);
        self.settle(id);
    }

    /// The source of a batch; `None` if there is no room for its topic.
    fn source_for(&mut self, batch: &TreeBatch<P>) -> Option<u32> {
        if let Some(id) = self.source_of(&batch.topic, batch.publisher) {
            return Some(id);
        }
        let known = self.by_topic.contains_key(&batch.topic);
        let mesh = self.mesh_or_new(&batch.topic)?;
        if !known {
            let topic = batch.topic.clone();
            self.outputs.push_back(TreeOutput::Unknown { topic });
        }
        Some(self.new_source(mesh, batch.publisher, batch.epoch))
    }

    /// Whether an epoch is that of the source, which begins anew with a later one.
    pub(super) fn is_current(&mut self, id: u32, epoch: Epoch) -> bool {
        let Some(source) = self.sources.get_mut(&id) else {
            return false;
        };
        if epoch > source.epoch {
            source.epoch = epoch;
            (source.next, source.head) = (None, 0);
            (source.gap_at, source.ask_at, source.rounds) = (None, None, 0);
            for edge in &mut source.edges {
                (edge.known, edge.told, edge.asked) = (None, None, false);
            }
            self.clear_source(id);
            self.settle(id);
            return true;
        }
        epoch == source.epoch
    }

    /// Learns from the way by which a batch came how long to wait for late ones.
    fn judge(&mut self, id: u32, from: Option<NodeId>) {
        let source = self.sources.get_mut(&id);
        let Some(source) = source.filter(|_| from.is_some()) else {
            return;
        };
        if source.left == from {
            source.left = None;
            self.peers.was_late();
        } else if source.parent == from && source.left.is_none() {
            self.peers.was_in_time();
        }
    }

    /// Takes in by whom something new came.
    fn take_note(&mut self, id: u32, from: Option<NodeId>, distance: u8, range: (u64, u64)) {
        let max = self.config.max_edges;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        for edge in &mut source.edges {
            edge.asked = false;
        }
        source.rounds = 0;
        let (_, end) = range;
        let is_head = end > source.head;
        if is_head {
            (source.head, source.heard, source.improved) = (end, self.now, false);
        }
        let Some(from) = from else {
            // Whoever published it is here, or attached to this node.
            (source.parent, source.distance) = (None, 0);
            return;
        };
        source.sent_by(from, range, distance, max);
        if is_head && source.publisher != self.own {
            source.attach(from, distance);
        }
    }

    fn pass_on(&mut self, id: u32, from: Option<NodeId>, batch: &TreeBatch<P>, end: u64) {
        let peers = &self.peers;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let mut to = Vec::new();
        for edge in &mut source.edges {
            if !edge.eager || edge.has(end) || Some(edge.node) == from {
                continue;
            }
            // Whoever cannot be sent it is told when it can.
            edge.eager = peers.usable(&edge.node);
            if edge.eager {
                to.push(edge.node);
            }
        }
        if to.is_empty() {
            return;
        }
        if batch.distance >= self.config.max_distance {
            self.stats.too_far = self.stats.too_far.saturating_add(1);
            return;
        }
        for to in to {
            self.stats.pushed = self.stats.pushed.saturating_add(1);
            let mut batch = batch.clone();
            batch.distance = batch.distance.saturating_add(1);
            self.outputs.push_back(TreeOutput::Push { to, batch });
        }
    }

    /// Keeps a batch for neighbours.
    fn keep(&mut self, id: u32, batch: &TreeBatch<P>) {
        if batch.bytes <= self.config.cache_bytes
            && let Some(source) = self.sources.get_mut(&id)
        {
            let base = batch.base.get();
            if let Some(before) = source.kept.insert(base, stored(batch, self.now)) {
                self.cache.freed(before.bytes);
            }
            self.cache.add(self.now, id, base, batch.bytes);
        }
        while let Some((id, base)) = self.cache.surplus(self.now, &self.config) {
            let source = self.sources.get_mut(&id);
            if let Some(gone) = source.and_then(|source| source.kept.remove(&base)) {
                self.cache.freed(gone.bytes);
            }
        }
    }

    /// Delivers what is in order, and holds what is not.
    fn order(&mut self, id: u32, batch: TreeBatch<P>, deliver: bool) {
        let (base, end) = (batch.base.get(), batch.base.plus(batch.count).get());
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let next = source.next.unwrap_or(base);
        if base <= next || !deliver {
            source.next = Some(next.max(end));
            if deliver {
                self.outputs.push_back(TreeOutput::Deliver { batch });
            }
            self.deliver_held(id);
            return;
        }
        self.held_bytes = self.held_bytes.saturating_add(batch.bytes);
        if let Some(before) = source.held.insert(base, stored(&batch, self.now)) {
            self.held_bytes = self.held_bytes.saturating_sub(before.bytes);
        }
        self.outputs.push_back(TreeOutput::Early { batch });
        let many = source.held.len() > self.config.max_held;
        if many || self.held_bytes > self.config.held_bytes {
            self.give_up(id);
        }
    }

    /// Delivers what no longer waits for anything.
    fn deliver_held(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let topic = self.meshes.get(&source.mesh).map(|mesh| mesh.topic.clone());
        let (Some(topic), Some(mut next)) = (topic, source.next) else {
            return;
        };
        while let Some(first) = source.held.first_entry() {
            let base = *first.key();
            if base > next {
                break;
            }
            let stored = first.remove();
            self.held_bytes = self.held_bytes.saturating_sub(stored.bytes);
            let end = base.saturating_add(stored.count);
            if end <= next {
                continue;
            }
            next = end;
            let batch = TreeBatch {
                publisher: source.publisher,
                epoch: source.epoch,
                topic: topic.clone(),
                base: Sequence::new(base),
                count: stored.count,
                distance: stored.distance,
                bytes: stored.bytes,
                payload: stored.payload,
            };
            self.outputs.push_back(TreeOutput::Deliver { batch });
        }
        source.next = Some(next);
        // What is missing now has been so for less time than what came.
        (source.gap_at, source.put_off) = (None, 0);
    }

    /// What is missing has not come in time: waits on if a neighbour has it.
    pub(super) fn gap_due(&mut self, id: u32) {
        let (now, timeout) = (self.now, self.config.gap_timeout);
        let most = self.config.max_gap_timeout;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let waited = timeout.saturating_mul(source.put_off.saturating_add(1));
        if waited < most && source.is_somewhere(&self.peers) {
            source.put_off = source.put_off.saturating_add(1);
            source.gap_at = Some(now + timeout);
            if source.ask_at.is_none() {
                source.rounds = 0;
                self.ask(id);
            }
        } else {
            self.give_up(id);
        }
    }

    /// Waits no longer for what is missing before the batches that are held.
    pub(super) fn give_up(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some((base, _)) = source.held.first_key_value() else {
            return;
        };
        source.next = Some(*base);
        self.stats.given_up = self.stats.given_up.saturating_add(1);
        self.deliver_held(id);
        if let Some(source) = self.sources.get_mut(&id)
            && !source.held.is_empty()
        {
            source.gap_at = Some(self.now + self.config.gap_timeout);
        }
    }

    /// A batch came a second time: one of the two ways is one too many.
    fn on_duplicate(&mut self, id: u32, from: NodeId, distance: u8, range: (u64, u64)) {
        let (now, own, max) = (self.now, self.own, self.config.max_edges);
        let tolerance = self.peers.patient(self.config.tolerance);
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.edge(&from).is_some() {
            source.sent_by(from, range, distance, max);
        }
        if source.parent == Some(from) {
            return;
        }
        let late = now.saturating_since(source.heard) > tolerance;
        let nearer = distance < source.distance && range.1 == source.head && !late;
        if nearer && source.publisher != own && self.peers.usable(&from) {
            source.edge_or_new(from, max);
            let before = source.parent;
            source.attach(from, distance);
            if let Some(before) = before {
                self.prune(id, before);
            }
        } else {
            self.prune(id, from);
        }
    }

    /// Has `node` send no more batches.
    pub(super) fn prune(&mut self, id: u32, node: NodeId) {
        let now = self.now;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some(mesh) = self.meshes.get(&source.mesh) else {
            return;
        };
        if let Some(edge) = source.edge(&node) {
            let again = now - self.config.max_graft_timeout;
            if edge.pruned.is_some_and(|at| at > again) {
                return;
            }
            (edge.eager, edge.pruned) = (false, Some(now));
        }
        let prune = Prune {
            topic: mesh.topic.clone(),
            publisher: source.publisher,
        };
        self.stats.prunes = self.stats.prunes.saturating_add(1);
        self.send(node, prune);
    }
}

fn stored<P: Clone>(batch: &TreeBatch<P>, at: Instant) -> Stored<P> {
    Stored {
        at,
        count: batch.count,
        distance: batch.distance,
        bytes: batch.bytes,
        payload: batch.payload.clone(),
    }
}
