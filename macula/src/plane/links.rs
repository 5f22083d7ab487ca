//! The links that are up, for everybody who sends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use macula_pubsub::SessionId;
use macula_transport::{Link, LinkId, OutFrame, Side};
use macula_wire::message::{Heartbeat, Message, Priority, Role};
use macula_wire::{ErrorCode, Instant, NodeId, RegistrationId, RequestId};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::early::Unordered;
use super::egress::Egress;
use super::forward::Passage;
use super::lookup::Lookup;
use super::vigil::Vigil;
use crate::Error;
use crate::testament::Testament;

/// How long a publisher waits for the events of a link that another one replaced.
const HELD: Duration = Duration::from_millis(250);
/// The least time between two questions whether a peer is there, in milliseconds.
const ASK_PAUSE_MS: u64 = 500;

/// A link and the state of sending by it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) link: Link,
    /// When it was attached.
    pub(crate) since: Instant,
    /// What is carried by the link for others.
    pub(crate) passage: Passage,
    begun: tokio::time::Instant,
    /// By which requests the client has registered what it serves.
    registrations: std::sync::Mutex<BTreeMap<RegistrationId, RequestId>>,
    /// Before when the peer is not asked again, in milliseconds after `begun`.
    ask_after: AtomicU64,
    /// The calls that run on the link, either way.
    calls: AtomicUsize,
    /// The calls of this side that wait for answers by it.
    pub(crate) vigil: Vigil,
    /// Whether another link crossed it.
    was_crossed: AtomicBool,
    /// Whether events wait until those on the link that this one replaced have arrived.
    held: watch::Sender<bool>,
    pub(crate) lookup: Lookup,
    egress: [Egress; 4],
    /// What of a client's subscriptions need no order.
    pub(crate) unordered: Unordered,
    /// What a client leaves behind.
    testaments: std::sync::Mutex<Vec<Testament>>,
}

impl Attached {
    pub(crate) fn new(link: Link, since: Instant) -> Self {
        Self {
            link,
            since,
            passage: Passage::default(),
            begun: tokio::time::Instant::now(),
            registrations: std::sync::Mutex::default(),
            ask_after: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            vigil: Vigil::default(),
            was_crossed: AtomicBool::new(false),
            held: watch::Sender::new(false),
            lookup: Lookup::default(),
            unordered: Unordered::default(),
            testaments: std::sync::Mutex::default(),
            egress: [
                Egress::new(Priority::Realtime),
                Egress::new(Priority::High),
                Egress::new(Priority::Normal),
                Egress::new(Priority::Bulk),
            ],
        }
    }

    /// Looks after what a client leaves behind.
    pub(crate) fn testaments<T>(&self, with: impl FnOnce(&mut Vec<Testament>) -> T) -> T {
        with(
            &mut self
                .testaments
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn egress(&self, priority: Priority) -> &Egress {
        let [realtime, high, normal, bulk] = &self.egress;
        match priority {
            Priority::Realtime => realtime,
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Bulk => bulk,
        }
    }

    pub(crate) fn each_egress(&self) -> impl Iterator<Item = &Egress> {
        self.egress.iter()
    }

    /// Whether it takes the place of a link to the same run of the peer that has not been given up by its dialler, and may be
    /// of use yet: one of the other kind, or one that crossed it.
    pub(crate) fn relieves(&self, old: &Self) -> bool {
        let same_run = old.link.epoch() == self.link.epoch();
        let other_kind = old.link.is_forwarded() != self.link.is_forwarded();
        same_run && (other_kind || old.link.side() != self.link.side())
    }

    /// Whether `surplus`, which is not to take the place of this link, crossed it: both sides dialled at the same time, and
    /// the peer may have used the other one meanwhile. Only once, so that a peer cannot have any number of links.
    pub(crate) fn was_crossed_by(&self, surplus: &Self) -> bool {
        let same_kind = self.link.is_forwarded() == surplus.link.is_forwarded();
        same_kind && self.relieves(surplus) && !self.was_crossed.swap(true, Ordering::AcqRel)
    }

    /// Whether nothing comes back from the peer, though it was asked whether it is there.
    pub(crate) fn is_silent(&self) -> bool {
        self.passage.is_silent(self.link.stats().packets_received)
    }

    /// Lets events go, which waited for those of another link.
    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    /// Whether events wait for those of another link.
    pub(crate) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Waits until events may go, at most 250 ms.
    pub(crate) async fn released(&self) {
        if self.is_held() {
            let mut held = self.held.subscribe();
            let released = held.wait_for(|held| !held);
            drop(tokio::time::timeout(HELD, released).await);
        }
    }

    /// Notes by which request a client has registered.
    pub(crate) fn registered(&self, registration: RegistrationId, request: RequestId) {
        self.registrations(|known| known.insert(registration, request));
    }

    /// A registration of the client is no more.
    pub(crate) fn unregistered(&self, registration: RegistrationId) -> Option<RequestId> {
        self.registrations(|known| known.remove(&registration))
    }

    /// Does something about a registration of the client, unless it has ended.
    pub(crate) fn while_registered(&self, registration: RegistrationId, act: impl FnOnce()) {
        self.registrations(|known| {
            if known.contains_key(&registration) {
                act();
            }
        });
    }

    /// Tells the client that a registration has ended by itself: by a second answer to its request.
    pub(crate) fn registration_ended(&self, registration: RegistrationId, why: &Error) {
        let Some(request) = self.unregistered(registration) else {
            return;
        };
        let report = Message::from(why.report(Some(request)));
        let pushed = OutFrame::message(&report).map(|frame| self.link.control().try_push(frame));
        if !matches!(pushed, Ok(Ok(()))) {
            let detail = "the client does not read its answers";
            self.link.close(ErrorCode::OVERLOADED, detail);
        }
    }

    fn registrations<T>(
        &self,
        with: impl FnOnce(&mut BTreeMap<RegistrationId, RequestId>) -> T,
    ) -> T {
        let known = self.registrations.lock();
        with(&mut known.unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the peer whether it is there, at most once in 500 ms: it acknowledges what it is sent.
    pub(crate) fn ask(&self) {
        let since = self.begun.elapsed().as_millis();
        let now = u64::try_from(since).unwrap_or(u64::MAX);
        let again = |asked: u64| (now >= asked).then(|| now.saturating_add(ASK_PAUSE_MS));
        let may = self
            .ask_after
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, again);
        if may.is_ok()
            && let Ok(frame) = OutFrame::message(&Message::from(Heartbeat {}))
            && let Err(error) = self.link.control().try_push(frame)
        {
            // What waits there already is acknowledged just as well.
            tracing::trace!(%error, "a link is not asked whether its peer is there");
        }
    }

    /// Counts a call that runs on the link, until what is returned is dropped.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        Busy(self)
    }

    /// How many calls run on the link.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }

    /// The number of the client's session, if the peer is a client.
    pub(crate) fn session(&self) -> Option<SessionId> {
        match self.link.role() {
            Role::Client => Some(SessionId::new(self.link.id().get())),
            Role::Member => None,
        }
    }
}

/// A call that runs on a link.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Attached);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What became of a new link to a member.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is the member's link now; the one it replaced, if any, is to be closed.
    Admitted { replaced: Option<Arc<Attached>> },
    /// The member's present link is the better one; the new one is to be closed.
    Surplus { present: Arc<Attached> },
}

/// One link for each member, one session for each client link.
#[derive(Debug, Default)]
pub(crate) struct Links {
    members: RwLock<BTreeMap<NodeId, Arc<Attached>>>,
    sessions: RwLock<BTreeMap<SessionId, Arc<Attached>>>,
    turns: Mutex<()>,
}

/// The right to say which link of a member is the present one.
///
/// Whoever has it tells the machine before giving it up, so that the machine hears of links in the order in which they
/// came and went.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _guard: MutexGuard<'a, ()>,
}

impl Links {
    pub(crate) fn member(&self, node: &NodeId) -> Option<Arc<Attached>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(node).cloned()
    }

    pub(crate) fn session(&self, session: SessionId) -> Option<Arc<Attached>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&session).cloned()
    }

    pub(crate) fn members(&self) -> Vec<Arc<Attached>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.values().cloned().collect()
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Attached>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.values().cloned().collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Attached>> {
        let mut all = self.members();
        all.extend(self.sessions());
        all
    }

    /// Waits for the turn to change the links of members. Cancel safe.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn {
            _guard: self.turns.lock().await,
        }
    }

    /// Adds a client's link.
    pub(crate) fn admit_session(&self, session: SessionId, attached: Arc<Attached>) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session, attached);
    }

    /// Decides between a new link to a member and the one that may be there.
    ///
    /// A newer run of the peer wins. Within one run, a direct link is better than a forwarded one, unless nothing comes back
    /// by it. Of two of a kind, two
    /// nodes that dialled each other at the same time have to drop the same link: the one dialled by the smaller id stays.
    /// A second link from the same dialler replaces the first, which it has given up.
    pub(crate) fn admit_member(
        &self,
        _: &Turn<'_>,
        own: NodeId,
        attached: &Arc<Attached>,
    ) -> Admission {
        let peer = attached.link.peer().node;
        let present = self
            .member(&peer)
            .filter(|old| old.link.close_reason().is_none());
        if let Some(old) = &present {
            let (epoch, before) = (attached.link.epoch(), old.link.epoch());
            let preferred = if own < peer {
                Side::Dialler
            } else {
                Side::Acceptor
            };
            let same_side = attached.link.side() == old.link.side();
            let is_worse = match (old.link.is_forwarded(), attached.link.is_forwarded()) {
                (false, true) => !old.is_silent(),
                (true, false) => false,
                _ => !same_side && attached.link.side() != preferred,
            };
            if epoch < before || (epoch == before && is_worse) {
                let present = Arc::clone(old);
                return Admission::Surplus { present };
            }
        }
        if present
            .as_ref()
            .is_some_and(|old| attached.relieves(old) && !old.is_silent())
        {
            attached.held.send_replace(true);
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.insert(peer, Arc::clone(attached));
        Admission::Admitted { replaced: present }
    }

    /// Removes a member's link, if it is still this one. Whether it was.
    pub(crate) fn remove_member(&self, _: &Turn<'_>, node: &NodeId, link: LinkId) -> bool {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let present = members
            .get(node)
            .is_some_and(|attached| attached.link.id() == link);
        if present {
            members.remove(node);
        }
        present
    }

    pub(crate) fn remove_session(&self, session: SessionId) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session);
    }
}
