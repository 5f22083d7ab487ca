//! The machine: what a node is told, what it does at once, and whom it leaves the rest to.

mod compare;
mod drive;
mod event;
mod link;
mod merge;
mod probing;
mod receive;
mod spread;
mod state;
mod suspect;
mod watch;

pub use event::{Class, Input, Output, Stats};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{MemberRecord, MemberStatus, SignedRecord, SwimGossip, Tag, Update};
use macula_wire::{Body, Epoch, Instant, NodeId, Random, RealmName, Signer};

use crate::config::Config;
use crate::error::{JoinError, Offence, RecordError};
use crate::gossip::Gossip;
use crate::health::Health;
use crate::kept::Kept;
use crate::member::{Counts, Member, State};
use crate::members::Members;
use crate::own::{OwnRecord, Pen, in_order};
use crate::peers::{Allowance, Peers};
use crate::probe::Probes;
use crate::rotation::Rotation;
use crate::snapshot::Snapshot;
use crate::suspicion::Suspicion;
use crate::timer::{Timer, Timers};

/// Membership of one realm, as one node sees it.
///
/// See the [crate documentation](crate) for what it does and [`Config`] for its limits. No message makes it look at all
/// members, and each causes a bounded number of outputs.
pub struct Swim {
    config: Config,
    pen: Pen,
    own: Arc<SignedRecord>,
    random: Random,
    now: Instant,
    started: Instant,
    wall_ms: u64,
    members: Members,
    peers: Peers,
    timers: Timers,
    probes: Probes,
    rotation: Rotation,
    health: Health,
    suspicions: BTreeMap<NodeId, Suspicion>,
    gossip: Gossip,
    /// Through whom this node wants to join.
    joins: BTreeSet<NodeId>,
    /// Who was asked for the membership and has not sent all of it.
    asked: BTreeSet<NodeId>,
    /// Who asked this node for it, and how much of it is still to be sent.
    answers: VecDeque<(NodeId, u32)>,
    /// How many accusations each accuser may still bring.
    allowances: BTreeMap<NodeId, Allowance>,
    /// Links that were asked for in order to probe who is at their other end.
    strangers: BTreeSet<NodeId>,
    last_flood: Option<Instant>,
    last_return: Option<Instant>,
    last_refuted: Option<Instant>,
    has_left: bool,
    stats: Stats,
    outputs: VecDeque<Output>,
}

impl Swim {
    /// A node that knows nobody but itself.
    ///
    /// `signer` signs as this node and thereby says who it is; `wall_ms` is the wall clock at `now`, in milliseconds
    /// since 1970, from which this machine tells how far ahead an epoch lies.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if `own` is over a limit.
    pub fn new(
        config: Config,
        realm: RealmName,
        signer: Arc<dyn Signer + Send + Sync>,
        own: OwnRecord,
        random: Random,
        now: Instant,
        wall_ms: u64,
    ) -> Result<Self, RecordError> {
        let pen = Pen::new(realm, signer);
        let base = Arc::new(Snapshot::default());
        Self::with_snapshot(config, pen, own, random, (now, wall_ms), base)
    }

    /// A node that takes the members of `base` for alive until it learns more. No [`Output::Up`] tells of them.
    ///
    /// `pen` signs as this node and thereby says who it is; `(now, wall_ms)` is as for [`new`](Self::new). An earlier
    /// record of this node in `base` is ignored. Members of `base` beyond [`Config::max_members`] are kept.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if `own` is over a limit.
    pub fn with_snapshot(
        config: Config,
        pen: Pen,
        own: OwnRecord,
        mut random: Random,
        (now, wall_ms): (Instant, u64),
        base: Arc<Snapshot>,
    ) -> Result<Self, RecordError> {
        let record = pen.record(own.into_record(pen.node()))?;
        let mut swim = Self {
            members: Members::new(Kept::new(&record)?, base, now),
            own: record,
            probes: Probes::new(&mut random),
            rotation: Rotation::new(),
            health: Health::default(),
            config,
            pen,
            random,
            now,
            started: now,
            wall_ms,
            peers: Peers::default(),
            timers: Timers::default(),
            suspicions: BTreeMap::new(),
            gossip: Gossip::default(),
            joins: BTreeSet::new(),
            asked: BTreeSet::new(),
            answers: VecDeque::new(),
            allowances: BTreeMap::new(),
            strangers: BTreeSet::new(),
            last_flood: None,
            last_return: None,
            last_refuted: None,
            has_left: false,
            stats: Stats::default(),
            outputs: VecDeque::new(),
        };
        // Nodes that start together should not act in step, nor dial strangers before they have neighbours.
        let round = if swim.is_small() {
            swim.config.probe_period
        } else {
            swim.config.stranger_period
        };
        for (timer, period) in [
            (Timer::Round, round),
            (Timer::Revive, swim.config.revive_period),
            (Timer::Sync, swim.config.sync_period),
        ] {
            let first = swim.within(period);
            swim.after(timer, first);
        }
        Ok(swim)
    }

    /// Asks `via` for all members and tells it of this node. The link to it is up, or will be; if it breaks before the
    /// answer is there, this node asks again over the next one.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if this node has left or `via` is itself. The state is unchanged.
    pub fn join(&mut self, now: Instant, via: NodeId) -> Result<(), JoinError> {
        self.advance(now);
        if self.has_left {
            return Err(JoinError::Left);
        }
        if via == self.own_id() {
            return Err(JoinError::Own);
        }
        self.joins.insert(via);
        self.ask(via);
        self.finish();
        Ok(())
    }

    /// Says goodbye to the members. This run is over then: the machine does nothing any more.
    ///
    /// Keep the links for a moment, so that the message arrives.
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        if self.has_left {
            return;
        }
        let mut record = self.next_record();
        record.status = MemberStatus::Left;
        if self.publish(record).is_ok() {
            let updates = vec![Update::Record(Arc::clone(&self.own))];
            let mut to: BTreeSet<NodeId> = self.peers.neighbours().collect();
            to.extend(self.sample(self.config.leave_fanout));
            for to in to {
                let updates = updates.clone();
                self.send(to, Class::Reliable, SwimGossip { updates });
            }
        }
        self.has_left = true;
        let own = self.own_id();
        self.members.set_state(&own, State::Left, self.now);
        self.timers.clear();
        self.gossip.clear();
        self.probes.void();
        self.suspicions.clear();
        self.joins.clear();
        self.asked.clear();
        self.answers.clear();
        self.strangers.clear();
    }

    /// Replaces the application's marks on this node; their order does not matter, a key may occur once.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the record would be over a limit or this node has left. The state is unchanged.
    pub fn set_tags(&mut self, now: Instant, tags: Vec<Tag>) -> Result<(), RecordError> {
        self.advance(now);
        let mut record = self.next_record();
        record.tags = in_order(tags);
        let published = self.publish(record);
        self.finish();
        published
    }

    /// Replaces the addresses at which this node can be dialled, best first.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the record would be over a limit or this node has left. The state is unchanged.
    pub fn set_addresses(
        &mut self,
        now: Instant,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), RecordError> {
        self.advance(now);
        let mut record = self.next_record();
        record.addresses = addresses;
        let published = self.publish(record);
        self.finish();
        published
    }

    /// Removes the updates that would change nothing, so that their signatures need not be checked.
    pub fn retain_news(&self, body: &mut Body) {
        if let Some(updates) = crate::verify::updates_mut(body) {
            updates.retain(|update| self.wants(update));
        }
    }

    /// Every member, this node first; the dead and those that left until they are forgotten.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// A member by its id.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members.get(node)
    }

    /// How long a round trip to a peer takes, smoothed; `None` without a link or before the first measurement.
    #[must_use]
    pub fn rtt(&self, node: &NodeId) -> Option<Duration> {
        self.peers.rtt(node).get()
    }

    /// The neighbours in the overlay to which there is a link.
    pub fn neighbours(&self) -> impl Iterator<Item = NodeId> {
        self.peers.neighbours()
    }

    /// What this node says of itself.
    #[must_use]
    pub const fn own_record(&self) -> &Arc<SignedRecord> {
        &self.own
    }

    /// How many members are in each state.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.members.counts()
    }

    /// A hash of this node's view: who is present, in which run and version. Nodes with equal views have equal digests.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.members.digest().view()
    }

    /// How much reason this node has to doubt itself, from 0 (none) to
    /// [`Config::max_health`]: Lifeguard's local health multiplier, less one.
    #[must_use]
    pub const fn health(&self) -> u32 {
        self.health.score()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        self.pen.realm()
    }

    /// Whether this node has left.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.has_left
    }
}

// What all parts of the machine use.
impl Swim {
    fn own_id(&self) -> NodeId {
        self.own.record.node
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn send(&mut self, to: NodeId, class: Class, body: impl Into<Body>) {
        let body = body.into();
        self.output(Output::Send { to, class, body });
    }

    fn misbehaved(&mut self, peer: NodeId, offence: Offence) {
        self.output(Output::Misbehaved { peer, offence });
    }

    /// Sets `timer` to fire after `pause`.
    fn after(&mut self, timer: Timer, pause: Duration) {
        self.timers.set(timer, self.now + pause);
    }

    /// A random duration below `width`.
    fn within(&mut self, width: Duration) -> Duration {
        let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(nanos))
    }

    /// Up to `count` present members by chance to which there is a link.
    fn sample(&mut self, count: usize) -> Vec<NodeId> {
        let members = &self.members;
        self.peers.sample(&mut self.random, count, |node| {
            members
                .get(node)
                .is_some_and(|member| member.state().is_present())
        })
    }

    /// This node's record with the next incarnation.
    fn next_record(&self) -> MemberRecord {
        let mut record = self.own.record.clone();
        record.incarnation = record.incarnation.next();
        record
    }

    /// Signs a record of this node and spreads it.
    fn publish(&mut self, record: MemberRecord) -> Result<(), RecordError> {
        if self.has_left {
            return Err(RecordError::Left);
        }
        let record = self.pen.record(record)?;
        let kept = Kept::new(&record)?;
        self.own = record;
        let own = self.own_id();
        self.members.set_record(&own, kept);
        self.spread(Update::Record(Arc::clone(&self.own)), None, true);
        Ok(())
    }

    /// Whether an epoch lies further ahead of the wall clock than allowed.
    fn is_ahead(&self, epoch: Epoch) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let passed = millis(self.now.saturating_since(self.started));
        let ahead = millis(self.config.max_epoch_ahead);
        epoch.get() > self.wall_ms.saturating_add(passed).saturating_add(ahead)
    }
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("node", &self.own_id())
            .field("counts", &self.counts())
            .field("links", &self.peers.len())
            .finish_non_exhaustive()
    }
}
