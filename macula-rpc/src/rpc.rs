//! The machine: registrations of this node, offers of the others, and the tables made of both.

mod boundary;
mod watching;

pub use boundary::{Input, Output};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_wire::{Instant, Machine, NodeId, Pace, Pattern, Procedure, RegistrationId};

use crate::offers::{Change, Offers, Own};
use crate::{
    Config, Offer, OfferKey, Provider, ProviderTable, RegisterError, RegisterOptions, Registrant,
    SessionKey, Slots, UnregisterError,
};

/// The control plane of calls: it knows who serves what, tells the others, and publishes [`ProviderTable`]s.
///
/// Calls themselves never pass through it; see [`Call`](crate::Call) and [`Invocations`](crate::Invocations).
#[derive(Debug)]
pub struct Rpc {
    config: Config,
    own: NodeId,
    now: Instant,
    offers: Offers,
    registrations: BTreeMap<Registrant, Pattern>,
    /// When the machine was made.
    started: Instant,
    sessions: BTreeMap<SessionKey, usize>,
    slots: Arc<BTreeMap<Provider, Slots>>,
    /// How many callers watch a procedure.
    called: BTreeMap<Procedure, u32>,
    /// For how many procedures that are called, and patterns that are served, a key is watched.
    watched: BTreeMap<OfferKey, u32>,
    table: Arc<ProviderTable>,
    /// When what changed since the last table takes effect.
    pace: Pace,
    outputs: VecDeque<Output>,
}

impl Rpc {
    /// A node `own` without registrations that knows of no other member.
    #[must_use]
    pub fn new(config: Config, own: NodeId, now: Instant) -> Self {
        let offers = Offers::new(&config, own);
        let pace = Pace::new(config.settle);
        Self {
            config,
            own,
            now,
            offers,
            registrations: BTreeMap::new(),
            started: now,
            sessions: BTreeMap::new(),
            slots: Arc::default(),
            called: BTreeMap::new(),
            watched: BTreeMap::new(),
            table: Arc::default(),
            pace,
            outputs: VecDeque::new(),
        }
    }

    /// Adds a registration of somebody on this node. It takes effect with table [`version`](Self::version).
    ///
    /// Several registrants may serve one pattern by one policy; they share its calls. With a takeover the others end.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: no right to it, an id in use, another policy, or a limit. Nothing has changed then.
    pub fn register(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        registrant: Registrant,
        pattern: Pattern,
        options: RegisterOptions,
    ) -> Result<(), RegisterError> {
        self.advance(now);
        match authority.check(who, Action::Register, pattern.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(RegisterError::Denied),
            Verdict::Unknown => return Err(RegisterError::Undecided),
        }
        self.check_room(registrant, &pattern)?;
        if options.takeover {
            self.end_all(&pattern, RegisterError::Taken);
        } else if let Some(conflict) = self.offers.conflict(&pattern, options.invoke) {
            return Err(conflict);
        }
        if let Registrant::Session(session, _) = registrant {
            let count = self.sessions.entry(session).or_insert(0);
            *count = count.saturating_add(1);
        }
        let max = self.config.max_concurrency;
        let concurrency = match options.concurrency {
            0 => max,
            wanted => wanted.min(max),
        };
        let provider = registrant.into();
        let slots = Slots::new(concurrency);
        Arc::make_mut(&mut self.slots).insert(provider, slots.clone());
        let offer = Offer {
            weight: options.weight,
            concurrency,
            invoke: options.invoke,
            zone: options.zone.or_else(|| self.config.zone.clone()),
            since_ms: self.wall_ms(),
            takeover: options.takeover,
        };
        if watching::is_compared(&pattern) && !self.offers.is_own(&pattern) {
            self.hold(OfferKey::of_pattern(&pattern));
        }
        let changed = self.offers.add(&pattern, provider, Own { offer, slots });
        self.registrations.insert(registrant, pattern);
        self.settle_if(changed);
        Ok(())
    }

    /// Gives a registration of this node another share of the calls; with 0 it drains.
    ///
    /// # Errors
    ///
    /// [`UnregisterError::Unknown`] if there is none under this id.
    pub fn set_weight(
        &mut self,
        now: Instant,
        registrant: Registrant,
        weight: u32,
    ) -> Result<(), UnregisterError> {
        self.advance(now);
        let unknown = UnregisterError::Unknown;
        let pattern = self.registrations.get(&registrant).ok_or(unknown)?.clone();
        let provider = Provider::from(registrant);
        let mut found = self.offers.own_of(&pattern);
        let (_, own) = found
            .find(|(other, _)| **other == provider)
            .ok_or(unknown)?;
        let mut own = own.clone();
        own.offer.weight = weight;
        drop(found);
        let changed = self.offers.add(&pattern, provider, own);
        self.settle_if(changed);
        Ok(())
    }

    /// Ends a registration of this node. Calls that run go on.
    ///
    /// # Errors
    ///
    /// [`UnregisterError::Unknown`] if there is none under this id.
    pub fn unregister(
        &mut self,
        now: Instant,
        registrant: Registrant,
    ) -> Result<(), UnregisterError> {
        self.advance(now);
        let changed = self
            .end_registration(registrant)
            .ok_or(UnregisterError::Unknown)?;
        if let Registrant::Session(session, _) = registrant {
            self.leave_session(session);
        }
        self.settle_if(changed);
        Ok(())
    }

    /// Ends every registration of a client whose link is gone, and says how many that were.
    pub fn drop_session(&mut self, now: Instant, session: SessionKey) -> usize {
        self.advance(now);
        let first = Registrant::Session(session, RegistrationId::new(0));
        let last = Registrant::Session(session, RegistrationId::new(u64::MAX));
        let gone: Vec<Registrant> = self
            .registrations
            .range(first..=last)
            .map(|(registrant, _)| *registrant)
            .collect();
        let mut changed = false;
        for registrant in &gone {
            changed |= self.end_registration(*registrant).unwrap_or(false);
        }
        self.sessions.remove(&session);
        self.settle_if(changed);
        gone.len()
    }

    /// The latest table. Its [`Output::Table`] may still wait.
    #[must_use]
    pub const fn table(&self) -> &Arc<ProviderTable> {
        &self.table
    }

    /// The version of the table in which every change made so far has its effect. It has been put out, or it will be
    /// within [`Config::settle`].
    #[must_use]
    pub fn version(&self) -> u64 {
        let pending = u64::from(self.pace.due().is_some());
        self.table.version().saturating_add(pending)
    }

    /// How many registrations there are on this node, but for those of the names by which services describe themselves.
    #[must_use]
    pub fn registrations(&self) -> usize {
        let all = self.registrations.values();
        all.filter(|one| watching::is_compared(one)).count()
    }

    /// What `member` offers of what is watched, ascending.
    pub fn offers_of(&self, member: &NodeId) -> impl Iterator<Item = (&Pattern, &Offer)> {
        self.offers.of(member)
    }

    /// The other members that offer something that is watched, ascending.
    pub fn offering(&self) -> impl Iterator<Item = &NodeId> {
        self.offers.members()
    }

    /// The other members that serve what is called from here, in no order; one may come several times.
    pub fn asked(&self) -> impl Iterator<Item = NodeId> {
        let found = self
            .called
            .keys()
            .filter_map(|called| self.table.find(called));
        let all = found.flat_map(|candidates| candidates.all());
        all.filter_map(|candidate| match candidate.provider {
            Provider::Member(node) => Some(node),
            Provider::Local(_) | Provider::Session(..) => None,
        })
    }

    /// How many patterns other members offer, each counted for each of them.
    #[must_use]
    pub const fn offers(&self) -> usize {
        self.offers.count()
    }

    /// How often an offer of another member was refused because of [`Config::max_offers`] or
    /// [`Config::max_procedures`]; it gets no calls from here.
    #[must_use]
    pub const fn offers_refused(&self) -> u64 {
        self.offers.refused()
    }

    fn check_room(&self, registrant: Registrant, pattern: &Pattern) -> Result<(), RegisterError> {
        if self.registrations.contains_key(&registrant) {
            return Err(RegisterError::Exists);
        }
        let limit = self.config.max_registrations;
        if self.registrations.len() >= limit {
            return Err(RegisterError::TooManyRegistrations { limit });
        }
        if let Registrant::Session(session, _) = registrant {
            let limit = self.config.max_session_registrations;
            if self.sessions.get(&session).is_some_and(|had| *had >= limit) {
                return Err(RegisterError::SessionFull { limit });
            }
        }
        let limit = self.config.max_procedures;
        if self.offers.own_patterns() >= limit && !self.offers.is_own(pattern) {
            return Err(RegisterError::TooManyProcedures { limit });
        }
        Ok(())
    }

    /// Whether the table changed by it; `None` if there is no such registration.
    fn end_registration(&mut self, registrant: Registrant) -> Option<bool> {
        let pattern = self.registrations.remove(&registrant)?;
        let provider = registrant.into();
        Arc::make_mut(&mut self.slots).remove(&provider);
        let mut changed = self.offers.remove(&pattern, provider);
        if watching::is_compared(&pattern) && !self.offers.is_own(&pattern) {
            changed |= self.let_go(OfferKey::of_pattern(&pattern));
        }
        Some(changed)
    }

    /// Ends every registration of a pattern on this node, and tells why.
    fn end_all(&mut self, pattern: &Pattern, why: RegisterError) -> bool {
        let own = self.offers.own_of(pattern);
        let registrants: Vec<Registrant> = own
            .filter_map(|(provider, _)| Registrant::try_from(*provider).ok())
            .collect();
        let mut changed = false;
        for registrant in registrants {
            changed |= self.end_registration(registrant).unwrap_or(false);
            if let Registrant::Session(session, _) = registrant {
                self.leave_session(session);
            }
            self.outputs.push_back(Output::Ended { registrant, why });
        }
        changed
    }

    /// The wall clock, in milliseconds since 1970.
    fn wall_ms(&self) -> u64 {
        let since = self.now.saturating_since(self.started).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.config.started_ms.saturating_add(since)
    }

    fn leave_session(&mut self, session: SessionKey) {
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
        while let Some((pattern, why)) = self.offers.next_ousted() {
            self.end_all(&pattern, why);
        }
        let version = self.table.version().saturating_add(1);
        let slots = Arc::clone(&self.slots);
        let (providers, wild) = self.offers.snapshot();
        self.table = Arc::new(ProviderTable::of(version, providers, wild, slots));
        let table = Arc::clone(&self.table);
        self.outputs.push_back(Output::Table(table));
        while let Some(change) = self.offers.next_change() {
            self.outputs.push_back(match change {
                Change::Announce(pattern, offer) => Output::Announce { pattern, offer },
                Change::Withdraw(pattern) => Output::Withdraw { pattern },
            });
        }
    }

    fn on_offered(&mut self, node: NodeId, pattern: &Pattern, offer: Offer) {
        let is_watched = self.watched.contains_key(&OfferKey::of_pattern(pattern));
        if node == self.own || !is_watched || watching::is_alien(pattern, &offer) {
            return;
        }
        let changed = self.offers.offer(node, pattern, offer);
        self.settle_if(changed);
    }

    fn on_unoffered(&mut self, node: NodeId, pattern: &Pattern) {
        let changed = self.offers.unoffer(node, pattern);
        self.settle_if(changed);
    }

    fn on_member_down(&mut self, node: NodeId) {
        let changed = self.offers.forget(node);
        self.settle_if(changed);
    }
}

impl Machine for Rpc {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Offered {
                node,
                pattern,
                offer,
            } => self.on_offered(node, &pattern, offer),
            Input::Unoffered { node, pattern } => self.on_unoffered(node, &pattern),
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
