//! Trees: how events go to many, along links between those who want them.

mod boundary;
mod cache;
mod config;
mod graft;
mod have;
mod members;
mod peers;
mod receive;
mod rings;
mod source;

pub use boundary::{TreeBatch, TreeInput, TreeOutput, TreeStats};
pub use config::TreeConfig;
pub use rings::Rings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use macula_wire::{Body, Instant, Machine, NodeId, Topic};

use cache::Cache;
use members::Mesh;
use peers::Peers;
use source::Source;

/// Spreads the events of topics that many want: Plumtree, with a tree for each publisher and topic.
///
/// Those interested in a topic are neighbours of each other by [`Rings`]. The first events of a publisher go by all of
/// these edges. Whoever gets an event a second time tells the sender to leave that out, so that a tree remains, and
/// prefers the neighbour nearer to the publisher, so that it is a shallow one. By the other edges neighbours tell each
/// other now and then what they have. Who learns so that it misses something asks for it, and becomes a branch of whoever
/// has it: so trees heal when nodes die, links break, or a neighbour takes nothing.
///
/// Each batch is passed on once by each node, and delivered once, in the order of its publisher and topic. What is
/// missing is waited for, up to [`TreeConfig::gap_timeout`].
///
/// Whatever comes in has to be proven to be its publisher's before; see [`TreeInput::Batch`].
#[derive(Debug)]
pub struct Tree<P> {
    config: TreeConfig,
    own: NodeId,
    now: Instant,
    peers: Peers,
    meshes: BTreeMap<u32, Mesh>,
    by_topic: BTreeMap<Topic, u32>,
    sources: BTreeMap<u32, Source<P>>,
    by_stream: BTreeMap<(u32, NodeId), u32>,
    next_id: u32,
    timers: BTreeSet<(Instant, u32)>,
    /// Sources of which neighbours are to be told.
    dirty: BTreeSet<u32>,
    digest_at: Option<Instant>,
    cache: Cache,
    held_bytes: usize,
    outputs: VecDeque<TreeOutput<P>>,
    stats: TreeStats,
}

impl<P: Clone> Tree<P> {
    /// The trees of the node `own`, which knows of nobody.
    #[must_use]
    pub fn new(mut config: TreeConfig, own: NodeId, now: Instant) -> Self {
        let least = Duration::from_millis(1);
        for time in [
            &mut config.digest_interval,
            &mut config.graft_timeout,
            &mut config.min_graft_timeout,
            &mut config.gap_timeout,
        ] {
            *time = (*time).max(least);
        }
        Self {
            config,
            own,
            now,
            peers: Peers::default(),
            meshes: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            sources: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            next_id: 0,
            timers: BTreeSet::new(),
            dirty: BTreeSet::new(),
            digest_at: None,
            cache: Cache::default(),
            held_bytes: 0,
            outputs: VecDeque::new(),
            stats: TreeStats::default(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> TreeStats {
        self.stats
    }

    /// How many topics there are.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.meshes.len()
    }

    /// How many pairs of a publisher and a topic are remembered.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// What the batches that are kept for neighbours take, and those that wait for earlier ones, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> (usize, usize) {
        (self.cache.bytes(), self.held_bytes)
    }

    /// The neighbours among those interested in a topic, ascending.
    #[must_use]
    pub fn neighbours(&self, topic: &Topic) -> &[NodeId] {
        let mesh = self.by_topic.get(topic).and_then(|id| self.meshes.get(id));
        mesh.map_or(&[], |mesh| &mesh.neighbours)
    }

    /// To whom the batches of a publisher are sent from here, and from whom they come.
    #[must_use]
    pub fn edges(&self, topic: &Topic, publisher: NodeId) -> (Vec<NodeId>, Option<NodeId>) {
        let mesh = self.by_topic.get(topic);
        let id = mesh.and_then(|mesh| self.by_stream.get(&(*mesh, publisher)));
        let Some(source) = id.and_then(|id| self.sources.get(id)) else {
            return (Vec::new(), None);
        };
        let sent = |node: &NodeId| Some(*node) != source.parent;
        let eager = source.edges.iter().filter(|edge| edge.eager);
        let to = eager.map(|edge| edge.node).filter(sent).collect();
        (to, source.parent)
    }

    /// Moves time on and does what has fallen due; every entry point begins here.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, id)) = self.timers.first().copied() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            self.fire(id);
            self.settle(id);
        }
        if self.digest_at.is_some_and(|at| at <= self.now) {
            self.digest_at = None;
            self.tell_neighbours();
        }
    }

    /// What a source waited for has not happened in time.
    fn fire(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.timer = None;
        let now = self.now;
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let (gap, ask) = (due(&mut source.gap_at), due(&mut source.ask_at));
        let again = due(&mut source.repeat_at);
        if gap {
            self.gap_due(id);
        }
        if ask {
            self.ask(id);
        }
        if again {
            self.tell_again(id);
        }
    }

    /// Sets the timer of a source after anything happened to it.
    fn settle(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let due = source.due();
        if source.timer == due {
            return;
        }
        if let Some(at) = source.timer {
            self.timers.remove(&(at, id));
        }
        source.timer = due;
        if let Some(at) = due {
            self.timers.insert((at, id));
        }
    }

    /// Neighbours are to be told of a source soon.
    fn touch(&mut self, id: u32) {
        self.dirty.insert(id);
        if self.digest_at.is_none() {
            self.digest_at = Some(self.now + self.config.digest_interval);
        }
    }

    fn send(&mut self, to: NodeId, body: impl Into<Body>) {
        let body = body.into();
        self.outputs.push_back(TreeOutput::Send { to, body });
    }

    /// A number that no topic and no source has.
    fn fresh_id(&mut self) -> u32 {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            let id = self.next_id;
            if !self.sources.contains_key(&id) && !self.meshes.contains_key(&id) {
                return id;
            }
        }
    }

    /// The sources of which `fits` is true.
    fn sources_where(&self, fits: impl Fn(&Source<P>) -> bool) -> Vec<u32> {
        let sources = self.sources.iter().filter(|(_, source)| fits(source));
        sources.map(|(id, _)| *id).collect()
    }
}

impl<P: Clone> Machine for Tree<P> {
    type Input = TreeInput<P>;
    type Output = TreeOutput<P>;

    fn handle_input(&mut self, now: Instant, input: TreeInput<P>) {
        self.advance(now);
        match input {
            TreeInput::Batch {
                from,
                batch,
                expected,
            } => self.on_batch(from, batch, expected),
            TreeInput::Direct { batch } => self.on_direct(batch),
            TreeInput::Have { from, have } => self.on_have(from, &have),
            TreeInput::Graft { from, graft } => self.on_graft(from, &graft),
            TreeInput::Prune { from, prune } => self.on_prune(from, &prune),
            TreeInput::Members {
                topic,
                rings,
                since,
            } => self.on_members(topic, rings, since),
            TreeInput::Forget { topic } => self.on_forget(&topic),
            TreeInput::LinkUp { peer, rtt } => self.on_link_up(peer, rtt),
            TreeInput::LinkDown { peer } => self.on_link_down(peer),
            TreeInput::Restarted { peer } => self.on_restarted(peer),
            TreeInput::Absent { peer } => self.on_absent(peer, true),
            TreeInput::Present { peer } => self.on_absent(peer, false),
            TreeInput::Lagging { peer } => self.on_lagging(peer),
            TreeInput::CaughtUp { peer } => self.on_caught_up(peer),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<TreeOutput<P>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.outputs.is_empty() {
            return Some(self.now);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        match (timer, self.digest_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}
