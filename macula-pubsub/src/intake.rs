//! The receiving side of channels: what is new, what is missing, and how far it has come.

mod inbound;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use macula_wire::message::{Deliver, EventAck, Priority, Resend};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId};

use self::inbound::Inbound;
use crate::{IntakeConfig, Outcome};

/// The receiving side of reliable events: one place for each peer and class.
///
/// It is asked about each DELIVER ([`take`](Self::take)), and is told when what it took is settled. What is missing it asks
/// for, once and again; what it settled it tells, in one message however much it was.
#[derive(Debug)]
pub struct Intake {
    config: IntakeConfig,
    now: Instant,
    channels: BTreeMap<Key, Inbound>,
    /// Channels of which the sender is to be told.
    dirty: BTreeSet<Key>,
    /// Channels that lack something, by when it is asked for again.
    asking: BTreeSet<(Instant, Key)>,
    outputs: VecDeque<IntakeOutput>,
}

type Key = (NodeId, Priority);

/// What to do with the events that a DELIVER tells of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever receives has to act on each answer"
)]
pub enum Taken {
    /// They are new: hand them on, and say when they are settled.
    New,
    /// They came before: drop them.
    Duplicate,
    /// Something before them is missing: drop them, they come again.
    Hole,
    /// There is no room for them: drop them, they come again.
    NoRoom,
    /// They are of a numbering that its sender has left: drop them.
    Stale,
    /// The sender broke a rule: drop them.
    Violation(IntakeOffence),
}

/// What a sender did wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeOffence {
    /// Some of the ids came before, and some did not.
    #[error("ids that overlap with what came before")]
    Overlap,
    /// DELIVER tells of another number of events than follow.
    #[error("another number of events than was told")]
    Count,
}

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum IntakeInput {
    /// Some of what was taken has come to its end.
    Settled {
        /// Who sent it.
        peer: NodeId,
        /// The class of the channel.
        class: Priority,
        /// Its numbering.
        run: ChannelRun,
        /// The first id.
        first: DeliveryId,
        /// The last id.
        last: DeliveryId,
        /// What became of them.
        outcome: Outcome,
    },
    /// There is room again.
    Room,
    /// There is a link to a peer, or another one than before.
    Up(NodeId),
    /// A peer is gone for good.
    Gone(NodeId),
}

/// What the caller has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IntakeOutput {
    /// Tell the sender how far it has come.
    Ack(NodeId, EventAck),
    /// Ask the sender for what is missing.
    Resend(NodeId, Resend),
}

impl Intake {
    /// Has taken nothing.
    #[must_use]
    pub const fn new(config: IntakeConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            channels: BTreeMap::new(),
            dirty: BTreeSet::new(),
            asking: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Says what to do with `count` events that came behind a DELIVER; `has_room` whether they could be kept.
    pub fn take(
        &mut self,
        now: Instant,
        peer: NodeId,
        class: Priority,
        deliver: &Deliver,
        count: usize,
        has_room: bool,
    ) -> Taken {
        self.advance(now);
        if u64::try_from(count) != Ok(u64::from(deliver.count)) {
            return Taken::Violation(IntakeOffence::Count);
        }
        let key = (peer, class);
        if !self.enter(key, deliver) {
            return Taken::Stale;
        }
        let Some(channel) = self.channels.get_mut(&key) else {
            return Taken::Stale;
        };
        channel.heard = self.now;
        channel.forget_below(deliver.floor.get());
        let taken = channel.judge(deliver, has_room);
        match taken {
            Taken::New => self.found(key),
            Taken::Duplicate => {
                channel.tell_all();
                self.dirty.insert(key);
            }
            Taken::Hole => self.lacks(key),
            Taken::NoRoom => {
                channel.is_stalled = true;
                // It is asked for when there is room, not before.
                self.found(key);
            }
            Taken::Stale | Taken::Violation(_) => {}
        }
        taken
    }

    /// Makes the channel one of the numbering that a DELIVER names. `false` if that is over.
    fn enter(&mut self, key: Key, deliver: &Deliver) -> bool {
        match self.channels.get(&key) {
            Some(known) if known.run > deliver.run => return false,
            Some(known) if known.run == deliver.run => return true,
            Some(_) => self.forget(key),
            None if self.channels.len() >= self.config.max_channels.max(1) => {
                let oldest = self.channels.iter().min_by_key(|(_, one)| one.heard);
                if let Some((oldest, _)) = oldest {
                    self.forget(*oldest);
                }
            }
            None => {}
        }
        let channel = Inbound::new(deliver.run, deliver.prev.get(), self.config.max_refused);
        self.channels.insert(key, channel);
        true
    }

    /// A channel goes on: it lacks nothing.
    fn found(&mut self, key: Key) {
        if let Some(channel) = self.channels.get_mut(&key)
            && let Some(at) = channel.lacks_until.take()
        {
            self.asking.remove(&(at, key));
        }
    }

    /// Asks for what is missing, unless that was asked for just now.
    fn lacks(&mut self, key: Key) {
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        if channel.lacks_until.is_none() && !channel.is_stalled {
            let at = self.now + self.config.resend_timeout;
            channel.lacks_until = Some(at);
            self.asking.insert((at, key));
            let resend = channel.resend(key.1);
            self.outputs.push_back(IntakeOutput::Resend(key.0, resend));
        }
    }

    fn forget(&mut self, key: Key) {
        self.found(key);
        self.channels.remove(&key);
        self.dirty.remove(&key);
    }

    /// The id that came last in order on a channel; `None` if nothing did.
    #[must_use]
    pub fn position(&self, peer: NodeId, class: Priority) -> Option<DeliveryId> {
        let channel = self.channels.get(&(peer, class))?;
        Some(DeliveryId::new(channel.cursor))
    }

    /// How many channels are known.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    fn on_settled(
        &mut self,
        key: Key,
        run: ChannelRun,
        first: DeliveryId,
        last: DeliveryId,
        outcome: Outcome,
    ) {
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        if channel.run == run && channel.settled(first.get(), last.get(), outcome) {
            self.dirty.insert(key);
        }
    }

    fn on_room(&mut self) {
        let stalled = self.channels.iter().filter(|(_, one)| one.is_stalled);
        let stalled: Vec<Key> = stalled.map(|(key, _)| *key).collect();
        for key in stalled {
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.is_stalled = false;
            }
            self.lacks(key);
        }
    }

    fn on_up(&mut self, peer: NodeId) {
        for class in Priority::ALL {
            let key = (peer, *class);
            self.found(key);
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.tell_all();
                let resend = channel.resend(*class);
                self.dirty.insert(key);
                self.outputs.push_back(IntakeOutput::Resend(peer, resend));
            }
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, key)) = self.asking.first().copied() {
            if at > self.now {
                return;
            }
            self.found(key);
            self.lacks(key);
        }
    }

    /// The next acknowledgement, made of all that was settled so far.
    fn next_ack(&mut self) -> Option<IntakeOutput> {
        loop {
            let key = self.dirty.pop_first()?;
            let Some(channel) = self.channels.get_mut(&key) else {
                continue;
            };
            let (ack, more) = channel.ack(key.1);
            if more {
                self.dirty.insert(key);
            }
            return Some(IntakeOutput::Ack(key.0, ack));
        }
    }
}

impl Machine for Intake {
    type Input = IntakeInput;
    type Output = IntakeOutput;

    fn handle_input(&mut self, now: Instant, input: IntakeInput) {
        self.advance(now);
        match input {
            IntakeInput::Settled {
                peer,
                class,
                run,
                first,
                last,
                outcome,
            } => self.on_settled((peer, class), run, first, last, outcome),
            IntakeInput::Room => self.on_room(),
            IntakeInput::Up(peer) => self.on_up(peer),
            IntakeInput::Gone(peer) => Priority::ALL
                .iter()
                .for_each(|class| self.forget((peer, *class))),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<IntakeOutput> {
        self.outputs.pop_front().or_else(|| self.next_ack())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() && self.dirty.is_empty() {
            self.asking.first().map(|(at, _)| *at)
        } else {
            Some(self.now)
        }
    }
}
