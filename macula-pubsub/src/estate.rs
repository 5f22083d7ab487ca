//! What publishers owe others, as far as this node was told to keep it, and takes over when they are lost.

mod boundary;
mod debt;

pub use boundary::{Bequest, EstateInput, EstateOutput, Inheritance, SharedEvent, SharedWith};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use macula_wire::message::Arrears;
use macula_wire::{ChannelRun, Instant, Machine, NodeId};

use self::debt::{Debt, Open};
use crate::EstateConfig;

/// What publishers owe to others, on a node that keeps it for them.
///
/// It is told with each event who is owed it ([`take`](Self::take)), and hears lazily what was settled. When a publisher is
/// lost, or has begun a new run and forgotten the former, what is not settled by then is put out as an inheritance: whoever
/// drives this sends it in the publisher's name. Several nodes that keep the same take their turns by rank.
///
/// `T` is the events as the caller sends them.
#[derive(Debug)]
pub struct Estate<T> {
    config: EstateConfig,
    now: Instant,
    debts: BTreeMap<Key, Debt<T>>,
    /// In which order they came, so that the oldest make room.
    arrivals: BTreeMap<u64, Key>,
    next_arrival: u64,
    events: usize,
    bytes: usize,
    /// Publishers that are thought dead, or have left.
    lost: BTreeSet<NodeId>,
    timers: BTreeSet<(Instant, Timer)>,
    outputs: VecDeque<EstateOutput<T>>,
}

/// The publisher, its numbering, and the id of the first event there.
type Key = (NodeId, ChannelRun, u64);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// The time to live of events.
    Expire(Key),
    /// What a lost publisher owed of one numbering is taken over, where this node has at most such a rank.
    Inherit(NodeId, ChannelRun, u32),
}

impl<T> Estate<T> {
    /// Keeps nothing.
    #[must_use]
    pub const fn new(config: EstateConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            debts: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            next_arrival: 0,
            events: 0,
            bytes: 0,
            lost: BTreeSet::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Keeps events that others are owed as well. What came before counts once. Where there is no room the oldest are
    /// given up; `elsewhere` says how many events and bytes of the room are used by what was taken over and is not settled.
    pub fn take(&mut self, now: Instant, bequest: Bequest<T>, elsewhere: (usize, usize)) {
        self.advance(now);
        let key = (bequest.publisher, bequest.run, bequest.first.get());
        let (rank, ttl) = (bequest.rank, bequest.ttl);
        if self.debts.contains_key(&key) || ttl.is_some_and(|ttl| ttl.is_zero()) {
            return;
        }
        let expires = ttl.map(|ttl| self.now + ttl);
        let Some(debt) = Debt::new(bequest, expires, self.next_arrival) else {
            return;
        };
        self.arrivals.insert(self.next_arrival, key);
        self.next_arrival = self.next_arrival.saturating_add(1);
        self.events = self.events.saturating_add(debt.events());
        self.bytes = self.bytes.saturating_add(debt.bytes);
        if let Some(at) = expires {
            self.timers.insert((at, Timer::Expire(key)));
        }
        self.debts.insert(key, debt);
        self.make_room(elsewhere);
        if self.lost.contains(&key.0) {
            self.inherit_in_turn(key.0, key.1, rank);
            self.advance(now);
        }
    }

    /// How many events are kept, and how many bytes they take.
    #[must_use]
    pub const fn used(&self) -> (usize, usize) {
        (self.events, self.bytes)
    }

    fn make_room(&mut self, elsewhere: (usize, usize)) {
        let mut given_up: usize = 0;
        while self.events.saturating_add(elsewhere.0) > self.config.max_events
            || self.bytes.saturating_add(elsewhere.1) > self.config.max_bytes
        {
            let Some((_, key)) = self.arrivals.first_key_value() else {
                break;
            };
            let key = *key;
            if let Some(debt) = self.remove(key) {
                given_up = given_up.saturating_add(debt.events());
            }
        }
        if given_up > 0 {
            let events = u64::try_from(given_up).unwrap_or(u64::MAX);
            self.outputs.push_back(EstateOutput::GivenUp { events });
        }
    }

    fn remove(&mut self, key: Key) -> Option<Debt<T>> {
        let debt = self.debts.remove(&key)?;
        self.arrivals.remove(&debt.arrival);
        self.events = self.events.saturating_sub(debt.events());
        self.bytes = self.bytes.saturating_sub(debt.bytes);
        if let Some(at) = debt.expires {
            self.timers.remove(&(at, Timer::Expire(key)));
        }
        Some(debt)
    }

    fn on_arrears(&mut self, publisher: NodeId, arrears: &Arrears) {
        // It may have said so before it was lost. It knows nothing of an earlier numbering than this one.
        let earlier = (publisher, ChannelRun::new(0), 0)..(publisher, arrears.run, 0);
        let mut left: BTreeSet<(ChannelRun, u32)> = BTreeSet::new();
        for ((_, run, _), debt) in self.debts.range_mut(earlier) {
            if !std::mem::replace(&mut debt.is_forgotten, true) {
                left.insert((*run, debt.rank));
            }
        }
        for (run, rank) in left {
            self.inherit_in_turn(publisher, run, rank);
        }
        let open = Open::new(arrears);
        let known = (publisher, arrears.run, 0)..(publisher, arrears.run, arrears.upto.get());
        let mut ended: Vec<Key> = Vec::new();
        let mut forgotten: BTreeSet<u32> = BTreeSet::new();
        for (key, debt) in self.debts.range_mut(known) {
            if key.2 < arrears.since.get() && !debt.is_in(&open) {
                if !std::mem::replace(&mut debt.is_forgotten, true) {
                    forgotten.insert(debt.rank);
                }
            } else if debt.keep_open(&open) {
                ended.push(*key);
            }
        }
        ended.into_iter().for_each(|key| drop(self.remove(key)));
        for rank in forgotten {
            self.inherit_in_turn(publisher, arrears.run, rank);
        }
    }

    fn on_lost(&mut self, publisher: NodeId) {
        if self.lost.len() >= self.config.max_lost.max(1) {
            self.lost.pop_first();
        }
        self.lost.insert(publisher);
        let turns: BTreeSet<(ChannelRun, u32)> = self
            .of(publisher)
            .map(|((_, run, _), debt)| (*run, debt.rank))
            .collect();
        for (run, rank) in turns {
            self.inherit_in_turn(publisher, run, rank);
        }
    }

    fn on_back(&mut self, publisher: NodeId) {
        // What was due by then stays, unless the publisher has forgotten it.
        self.lost.remove(&publisher);
    }

    /// Nothing is owed to a member any more, which has begun anew.
    fn on_gone(&mut self, member: NodeId) {
        let ended: Vec<Key> = self
            .debts
            .iter_mut()
            .filter_map(|(key, debt)| debt.strike(member).then_some(*key))
            .collect();
        ended.into_iter().for_each(|key| drop(self.remove(key)));
    }

    fn inherit_in_turn(&mut self, publisher: NodeId, run: ChannelRun, rank: u32) {
        let at = self.now + self.config.turn.saturating_mul(rank);
        self.timers
            .insert((at, Timer::Inherit(publisher, run, rank)));
    }

    fn on_inherit(&mut self, publisher: NodeId, run: ChannelRun, rank: u32) {
        let is_lost = self.lost.contains(&publisher);
        let of_run = (publisher, run, 0)..=(publisher, run, u64::MAX);
        let due: Vec<Key> = self
            .debts
            .range(of_run)
            .filter(|(_, debt)| debt.rank <= rank && (is_lost || debt.is_forgotten))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some(debt) = self.remove(key) {
                let inherited = debt.inherited(publisher, self.now);
                self.outputs
                    .push_back(EstateOutput::Inherited(Box::new(inherited)));
            }
        }
    }

    fn of(&self, publisher: NodeId) -> impl Iterator<Item = (&Key, &Debt<T>)> {
        let first = (publisher, ChannelRun::new(0), 0);
        let last = (publisher, ChannelRun::new(u64::MAX), u64::MAX);
        self.debts.range(first..=last)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Expire(key) => drop(self.remove(key)),
                Timer::Inherit(publisher, run, rank) => self.on_inherit(publisher, run, rank),
            }
        }
    }
}

impl<T> Machine for Estate<T> {
    type Input = EstateInput;
    type Output = EstateOutput<T>;

    fn handle_input(&mut self, now: Instant, input: EstateInput) {
        self.advance(now);
        match input {
            EstateInput::Arrears(publisher, arrears) => self.on_arrears(publisher, &arrears),
            EstateInput::Lost(publisher) => self.on_lost(publisher),
            EstateInput::Back(publisher) => self.on_back(publisher),
            EstateInput::Gone(member) => self.on_gone(member),
        }
        // Whoever has the first rank takes over at once.
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<EstateOutput<T>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            self.timers.first().map(|(at, _)| *at)
        } else {
            Some(self.now)
        }
    }
}
