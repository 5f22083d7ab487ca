//! The machine: subscriptions of this node, interest of the others, and the tables made of both.

mod boundary;

pub use boundary::{Audience, Input, Output};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_wire::announce::{Offence, Pace};
use macula_wire::message::Interest;
use macula_wire::{Instant, Machine, NodeId, Pattern, Random, SubscriptionId, Topic};

use crate::interest::Interests;
use crate::{
    Config, DeclareError, RetractError, SessionId, SubscribeError, Subscriber, Table,
    UnsubscribeError, WatchKey,
};

/// The control plane of events: it knows who wants what, tells the others, and publishes [`Table`]s.
///
/// Events themselves never pass through it; see [`Forwarder`](crate::Forwarder).
#[derive(Debug)]
pub struct PubSub {
    config: Config,
    own: NodeId,
    now: Instant,
    interests: Interests,
    subscriptions: BTreeMap<Subscriber, Pattern>,
    sessions: BTreeMap<SessionId, usize>,
    /// How many publishers declared a topic.
    publications: BTreeMap<Topic, u32>,
    /// Of how many declared topics each watched key is.
    watched: BTreeMap<WatchKey, usize>,
    table: Arc<Table>,
    /// When what changed since the last table takes effect.
    pace: Pace,
    outputs: VecDeque<Output>,
}

impl PubSub {
    /// A node `own` without subscriptions that knows of no other member.
    #[must_use]
    pub fn new(config: Config, own: NodeId, random: Random, now: Instant) -> Self {
        let interests = Interests::new(&config, random);
        let pace = Pace::new(config.settle);
        Self {
            config,
            own,
            now,
            interests,
            subscriptions: BTreeMap::new(),
            sessions: BTreeMap::new(),
            publications: BTreeMap::new(),
            watched: BTreeMap::new(),
            table: Arc::default(),
            pace,
            outputs: VecDeque::new(),
        }
    }

    /// Adds a subscription of somebody on this node. It takes effect with table [`version`](Self::version).
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]: no right to it, an id in use, or a limit. Nothing has changed then.
    pub fn subscribe(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        subscriber: Subscriber,
        pattern: Pattern,
    ) -> Result<(), SubscribeError> {
        self.advance(now);
        match authority.check(who, Action::Subscribe, pattern.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(SubscribeError::Denied),
            Verdict::Unknown => return Err(SubscribeError::Undecided),
        }
        self.check_room(subscriber, &pattern)?;
        if let Subscriber::Session(session, _) = subscriber {
            let count = self.sessions.entry(session).or_insert(0);
            *count = count.saturating_add(1);
        }
        let changed = self.interests.add(&pattern, subscriber.destination());
        self.subscriptions.insert(subscriber, pattern);
        self.settle_if(changed);
        Ok(())
    }

    /// Ends a subscription of this node.
    ///
    /// # Errors
    ///
    /// [`UnsubscribeError::Unknown`] if there is none under this id.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        subscriber: Subscriber,
    ) -> Result<(), UnsubscribeError> {
        self.advance(now);
        let pattern = self
            .subscriptions
            .remove(&subscriber)
            .ok_or(UnsubscribeError::Unknown)?;
        if let Subscriber::Session(session, _) = subscriber {
            self.leave_session(session);
        }
        let changed = self.interests.remove(&pattern, subscriber.destination());
        self.settle_if(changed);
        Ok(())
    }

    /// Ends every subscription of a client whose link is gone, and says how many that were.
    pub fn drop_session(&mut self, now: Instant, session: SessionId) -> usize {
        self.advance(now);
        let first = Subscriber::Session(session, SubscriptionId::new(0));
        let last = Subscriber::Session(session, SubscriptionId::new(u64::MAX));
        let gone: Vec<Subscriber> = self
            .subscriptions
            .range(first..=last)
            .map(|(subscriber, _)| *subscriber)
            .collect();
        let mut changed = false;
        for subscriber in &gone {
            if let Some(pattern) = self.subscriptions.remove(subscriber) {
                changed |= self.interests.remove(&pattern, subscriber.destination());
            }
        }
        self.sessions.remove(&session);
        self.settle_if(changed);
        gone.len()
    }

    /// Says that somebody on this node is going to publish under `topic`; each declaration is taken back by
    /// [`retract`](Self::retract).
    ///
    /// The first declaration of a topic watches for those who want it ([`Output::Watch`]).
    ///
    /// # Errors
    ///
    /// [`DeclareError`]: no right to it, or a limit. Nothing has changed then.
    pub fn declare(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        topic: &Topic,
    ) -> Result<(), DeclareError> {
        self.advance(now);
        match authority.check(who, Action::Publish, topic.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(DeclareError::Denied),
            Verdict::Unknown => return Err(DeclareError::Undecided),
        }
        if let Some(count) = self.publications.get_mut(topic) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        let limit = self.config.max_publications;
        if self.publications.len() >= limit {
            return Err(DeclareError::TooManyTopics { limit });
        }
        self.publications.insert(topic.clone(), 1);
        for key in [WatchKey::of_topic(topic), WatchKey::Wildcard] {
            let count = self.watched.entry(key.clone()).or_insert(0);
            *count = count.saturating_add(1);
            if *count == 1 {
                self.outputs.push_back(Output::Watch { key });
            }
        }
        Ok(())
    }

    /// Takes one [`declare`](Self::declare) of `topic` back.
    ///
    /// # Errors
    ///
    /// [`RetractError::Unknown`] if the topic is not declared.
    pub fn retract(&mut self, now: Instant, topic: &Topic) -> Result<(), RetractError> {
        self.advance(now);
        let count = self
            .publications
            .get_mut(topic)
            .ok_or(RetractError::Unknown)?;
        *count = count.saturating_sub(1);
        if *count > 0 {
            return Ok(());
        }
        self.publications.remove(topic);
        for key in [WatchKey::of_topic(topic), WatchKey::Wildcard] {
            let Some(count) = self.watched.get_mut(&key) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.watched.remove(&key);
                self.outputs.push_back(Output::Unwatch { key });
            }
        }
        Ok(())
    }

    /// The latest table. Its [`Output::Table`] may still wait.
    #[must_use]
    pub const fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The version of the table in which every change made so far has its effect. It has been put out, or it will be
    /// within [`Config::settle`].
    #[must_use]
    pub fn version(&self) -> u64 {
        let pending = u64::from(self.pace.due().is_some());
        self.table.version().saturating_add(pending)
    }

    /// How many subscriptions there are on this node.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// How many distinct patterns this node wants.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.interests.own_patterns()
    }

    /// What `member` wants, ascending.
    pub fn interest_of(&self, member: &NodeId) -> impl Iterator<Item = &Pattern> {
        self.interests.of(member)
    }

    /// The members that have said what they want, be it nothing, ascending.
    pub fn interested(&self) -> impl Iterator<Item = &NodeId> {
        self.interests.members()
    }

    fn check_room(&self, subscriber: Subscriber, pattern: &Pattern) -> Result<(), SubscribeError> {
        if self.subscriptions.contains_key(&subscriber) {
            return Err(SubscribeError::Exists);
        }
        let limit = self.config.max_subscriptions;
        if self.subscriptions.len() >= limit {
            return Err(SubscribeError::TooManySubscriptions { limit });
        }
        if let Subscriber::Session(session, _) = subscriber {
            let limit = self.config.max_session_subscriptions;
            if self.sessions.get(&session).is_some_and(|had| *had >= limit) {
                return Err(SubscribeError::SessionFull { limit });
            }
        }
        let limit = self.config.max_patterns;
        if self.interests.own_patterns() >= limit && !self.interests.is_own(pattern) {
            return Err(SubscribeError::TooManyPatterns { limit });
        }
        Ok(())
    }

    fn leave_session(&mut self, session: SessionId) {
        if let Some(count) = self.sessions.get_mut(&session) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sessions.remove(&session);
            }
        }
    }

    /// Moves time on and does what has fallen due; every entry point begins here.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let expired = self.interests.expire(self.now);
        self.settle_if(expired);
        if self.pace.take_due(self.now) {
            self.settle();
        }
        if let Some(interest) = self.interests.renewal(self.now) {
            self.announce(Audience::AllMembers, interest);
        }
    }

    /// Lets a change take effect, at once or together with what else comes soon.
    fn settle_if(&mut self, changed: bool) {
        if changed && self.pace.changed(self.now) {
            self.settle();
        }
    }

    /// Publishes what changed: the table first, so that it is there before what the announcement brings.
    fn settle(&mut self) {
        let version = self.table.version().saturating_add(1);
        self.table = Arc::new(Table::of(version, self.interests.snapshot()));
        let table = Arc::clone(&self.table);
        self.outputs.push_back(Output::Table(table));
        while let Some(interest) = self.interests.next_change(self.now) {
            self.announce(Audience::AllMembers, interest);
        }
    }

    fn announce(&mut self, to: Audience, interest: Interest) {
        self.outputs.push_back(Output::Announce { to, interest });
    }

    fn on_member_up(&mut self, node: NodeId) {
        if node == self.own {
            return;
        }
        for interest in self.interests.member_up(self.now, node) {
            self.announce(Audience::Member(node), interest);
        }
    }

    fn on_member_down(&mut self, node: NodeId) {
        let changed = self.interests.member_down(&node);
        self.settle_if(changed);
    }

    fn on_interest(&mut self, from: NodeId, interest: Interest) {
        let heard = if from == self.own {
            Err(Offence::OwnIdentity)
        } else {
            self.interests.hear(self.now, from, interest)
        };
        match heard {
            Ok(changed) => self.settle_if(changed),
            Err(offence) => self.outputs.push_back(Output::Misbehaved {
                peer: from,
                offence,
            }),
        }
    }
}

impl Machine for PubSub {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::MemberUp { node } => self.on_member_up(node),
            Input::MemberDown { node } => self.on_member_down(node),
            Input::Interest { from, message } => self.on_interest(from, message),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.outputs.is_empty() {
            return Some(self.now);
        }
        let timers = self.interests.next_timeout();
        timers.into_iter().chain(self.pace.due()).min()
    }
}
