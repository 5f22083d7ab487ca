//! The machine: subscriptions of this node, interest of the others, and the tables made of both.

mod boundary;
mod heard;
mod view;

pub use boundary::{Input, Output};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_wire::limit::MAX_GROUPS;
use macula_wire::message::GroupInterest;
use macula_wire::{Instant, Machine, NodeId, Pace, Pattern, SubscriptionId, Topic};

use crate::groups::Groups;
use crate::interest::{Change, Interests};
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
    groups: Groups,
    /// The groups of those subscriptions that are of one.
    grouped: BTreeMap<Subscriber, Arc<str>>,
    subscriptions: BTreeMap<Subscriber, Pattern>,
    sessions: BTreeMap<SessionId, usize>,
    /// How many publishers declared a topic.
    publications: BTreeMap<Topic, u32>,
    /// How often the set of declared topics changed.
    declarations: u64,
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
    pub fn new(config: Config, own: NodeId, now: Instant) -> Self {
        let interests = Interests::new(&config);
        let groups = Groups::new(&config);
        let pace = Pace::new(config.settle);
        Self {
            config,
            own,
            now,
            interests,
            groups,
            grouped: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            sessions: BTreeMap::new(),
            publications: BTreeMap::new(),
            declarations: 0,
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
        self.admit(authority, who, subscriber, &pattern)?;
        let changed = self.interests.add(&pattern, subscriber.destination());
        self.subscriptions.insert(subscriber, pattern);
        self.settle_if(changed);
        Ok(())
    }

    /// Adds a subscription that shares the events with the others of a group: one of them gets each. Otherwise as
    /// [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    ///
    /// [`SubscribeError`], among them [`PolicyConflict`](SubscribeError::PolicyConflict) if the group has another balance on
    /// this node. Nothing has changed then.
    pub fn subscribe_shared(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        subscriber: Subscriber,
        pattern: Pattern,
        group: &GroupInterest,
    ) -> Result<(), SubscribeError> {
        self.advance(now);
        let name: Arc<str> = group.name.as_str().into();
        if self
            .groups
            .balance(&name)
            .is_some_and(|balance| balance != group.balance)
        {
            return Err(SubscribeError::PolicyConflict);
        }
        let others = self.groups.of(&pattern);
        if others.len() >= MAX_GROUPS && others.iter().all(|other| *other.name != *name) {
            return Err(SubscribeError::TooManyGroups { limit: MAX_GROUPS });
        }
        self.admit(authority, who, subscriber, &pattern)?;
        let to = subscriber.destination();
        self.groups.add(&pattern, &name, group.balance, to);
        self.grouped.insert(subscriber, name);
        self.subscriptions.insert(subscriber, pattern);
        self.settle_if(self.groups.has_changed());
        Ok(())
    }

    /// Checks a subscription, and counts it for its session.
    fn admit(
        &mut self,
        authority: &impl Authority,
        who: &Principal,
        subscriber: Subscriber,
        pattern: &Pattern,
    ) -> Result<(), SubscribeError> {
        match authority.check(who, Action::Subscribe, pattern.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(SubscribeError::Denied),
            Verdict::Unknown => return Err(SubscribeError::Undecided),
        }
        self.check_room(subscriber, pattern)?;
        if let Subscriber::Session(session, _) = subscriber {
            let count = self.sessions.entry(session).or_insert(0);
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    /// What a subscriber wanted is not wanted any more. Whether it makes a difference.
    fn take_back(&mut self, subscriber: Subscriber, pattern: &Pattern) -> bool {
        let to = subscriber.destination();
        match self.grouped.remove(&subscriber) {
            Some(name) => {
                self.groups.remove(pattern, &name, to);
                self.groups.has_changed()
            }
            None => self.interests.remove(pattern, to),
        }
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
        let changed = self.take_back(subscriber, &pattern);
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
                changed |= self.take_back(*subscriber, &pattern);
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
        self.declarations = self.declarations.saturating_add(1);
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
        self.declarations = self.declarations.saturating_add(1);
        let mut changed = false;
        for key in [WatchKey::of_topic(topic), WatchKey::Wildcard] {
            let Some(count) = self.watched.get_mut(&key) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.watched.remove(&key);
                self.groups.forget_key(&key);
                changed |= self.interests.forget_key(&key) | self.groups.has_changed();
                self.outputs.push_back(Output::Unwatch { key });
            }
        }
        self.settle_if(changed);
        Ok(())
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
        if self.pace.take_due(self.now) {
            self.settle();
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
        if self.groups.has_changed() {
            let groups = Arc::new(self.groups.take_table());
            self.outputs.push_back(Output::Groups(groups));
        }
        while let Some(change) = self.interests.next_change() {
            let (pattern, each) = match change {
                Change::Announce(pattern) => (pattern, true),
                Change::Withdraw(pattern) => (pattern, false),
            };
            self.announce(pattern, each);
        }
        while let Some(pattern) = self.groups.next_touched() {
            let each = self.interests.is_own(&pattern);
            self.announce(pattern, each);
        }
    }
}

impl Machine for PubSub {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Wanted { node, pattern } => self.on_wanted(node, pattern),
            Input::Unwanted { node, pattern } => self.on_unwanted(node, &pattern),
            Input::Shared {
                node,
                pattern,
                groups,
            } => self.on_shared(node, &pattern, &groups),
            Input::MemberDown { node } => self.on_member_down(node),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            self.pace.due()
        } else {
            Some(self.now)
        }
    }
}
