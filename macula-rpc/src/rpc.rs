//! The machine: registrations of this node, offers of the others, and the tables made of both.

mod boundary;

pub use boundary::{Input, Output};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_wire::{Instant, Machine, NodeId, Pace, Procedure, RegistrationId};

use crate::offers::{Change, Offers};
use crate::{
    Config, Provider, ProviderTable, RegisterError, RegisterOptions, Registrant, SessionKey, Slots,
    UnregisterError, UnwatchError, WatchError,
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
    registrations: BTreeMap<Registrant, Procedure>,
    sessions: BTreeMap<SessionKey, usize>,
    slots: Arc<BTreeMap<Provider, Slots>>,
    /// How many callers watch a procedure.
    watched: BTreeMap<Procedure, u32>,
    table: Arc<ProviderTable>,
    /// When what changed since the last table takes effect.
    pace: Pace,
    outputs: VecDeque<Output>,
}

impl Rpc {
    /// A node `own` without registrations that knows of no other member.
    #[must_use]
    pub fn new(config: Config, own: NodeId, now: Instant) -> Self {
        let offers = Offers::new(&config);
        let pace = Pace::new(config.settle);
        Self {
            config,
            own,
            now,
            offers,
            registrations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            slots: Arc::default(),
            watched: BTreeMap::new(),
            table: Arc::default(),
            pace,
            outputs: VecDeque::new(),
        }
    }

    /// Adds a registration of somebody on this node. It takes effect with table [`version`](Self::version).
    ///
    /// Several registrants may provide one procedure; they share its calls.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: no right to it, an id in use, or a limit. Nothing has changed then.
    pub fn register(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        registrant: Registrant,
        procedure: Procedure,
        options: RegisterOptions,
    ) -> Result<(), RegisterError> {
        self.advance(now);
        match authority.check(who, Action::Register, procedure.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(RegisterError::Denied),
            Verdict::Unknown => return Err(RegisterError::Undecided),
        }
        self.check_room(registrant, &procedure)?;
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
        Arc::make_mut(&mut self.slots).insert(provider, Slots::new(concurrency));
        let changed = self.offers.add(&procedure, provider, options.weight);
        self.registrations.insert(registrant, procedure);
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

    /// Says that somebody on this node is going to call `procedure`; each watch is ended by [`unwatch`](Self::unwatch).
    ///
    /// The first one looks for providers ([`Output::Watch`]).
    ///
    /// # Errors
    ///
    /// [`WatchError`]: no right to call, or a limit. Nothing has changed then.
    pub fn watch(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        procedure: &Procedure,
    ) -> Result<(), WatchError> {
        self.advance(now);
        match authority.check(who, Action::Call, procedure.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(WatchError::Denied),
            Verdict::Unknown => return Err(WatchError::Undecided),
        }
        if let Some(count) = self.watched.get_mut(procedure) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        let limit = self.config.max_watched;
        if self.watched.len() >= limit {
            return Err(WatchError::TooManyProcedures { limit });
        }
        self.watched.insert(procedure.clone(), 1);
        self.outputs.push_back(Output::Watch {
            procedure: procedure.clone(),
        });
        Ok(())
    }

    /// Ends one [`watch`](Self::watch) of `procedure`.
    ///
    /// # Errors
    ///
    /// [`UnwatchError::Unknown`] if nobody watches it.
    pub fn unwatch(&mut self, now: Instant, procedure: &Procedure) -> Result<(), UnwatchError> {
        self.advance(now);
        let count = self
            .watched
            .get_mut(procedure)
            .ok_or(UnwatchError::Unknown)?;
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.watched.remove(procedure);
            let changed = self.offers.forget_procedure(procedure);
            self.settle_if(changed);
            self.outputs.push_back(Output::Unwatch {
                procedure: procedure.clone(),
            });
        }
        Ok(())
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

    /// How many registrations there are on this node.
    #[must_use]
    pub fn registrations(&self) -> usize {
        self.registrations.len()
    }

    /// What `member` offers of what is watched, ascending, with the weights.
    pub fn offers_of(&self, member: &NodeId) -> impl Iterator<Item = (&Procedure, &u32)> {
        self.offers.of(member)
    }

    /// The other members that offer something that is watched, ascending.
    pub fn offering(&self) -> impl Iterator<Item = &NodeId> {
        self.offers.members()
    }

    /// How many procedures other members offer, each counted for each of them.
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

    fn check_room(
        &self,
        registrant: Registrant,
        procedure: &Procedure,
    ) -> Result<(), RegisterError> {
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
        if self.offers.own_procedures() >= limit && !self.offers.is_own(procedure) {
            return Err(RegisterError::TooManyProcedures { limit });
        }
        Ok(())
    }

    /// Whether the table changed by it; `None` if there is no such registration.
    fn end_registration(&mut self, registrant: Registrant) -> Option<bool> {
        let procedure = self.registrations.remove(&registrant)?;
        let provider = registrant.into();
        Arc::make_mut(&mut self.slots).remove(&provider);
        Some(self.offers.remove(&procedure, provider))
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
        let version = self.table.version().saturating_add(1);
        let slots = Arc::clone(&self.slots);
        self.table = Arc::new(ProviderTable::of(version, self.offers.snapshot(), slots));
        let table = Arc::clone(&self.table);
        self.outputs.push_back(Output::Table(table));
        while let Some(change) = self.offers.next_change() {
            self.outputs.push_back(match change {
                Change::Announce(procedure, weight) => Output::Announce { procedure, weight },
                Change::Withdraw(procedure) => Output::Withdraw { procedure },
            });
        }
    }

    fn on_offered(&mut self, node: NodeId, procedure: &Procedure, weight: u32) {
        if node == self.own || !self.watched.contains_key(procedure) {
            return;
        }
        let changed = self.offers.offer(node, procedure, weight);
        self.settle_if(changed);
    }

    fn on_unoffered(&mut self, node: NodeId, procedure: &Procedure) {
        let changed = self.offers.unoffer(node, procedure);
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
                procedure,
                weight,
            } => self.on_offered(node, &procedure, weight),
            Input::Unoffered { node, procedure } => self.on_unoffered(node, &procedure),
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
