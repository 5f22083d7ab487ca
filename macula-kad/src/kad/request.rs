//! Requests that are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, KadFind, RecordKind, RecordVersion};
use macula_wire::{Body, Instant, Key, NodeId, RecordId, RequestId};

use super::{Kad, QueryId};
use crate::bucket::Failed;
use crate::closest::Placed;
use crate::distance::{Distance, Place};

/// What a request is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// A step of a lookup.
    Lookup {
        query: QueryId,
        path: usize,
        distance: Distance,
    },
    /// To see whether a contact is there.
    Check,
    /// To have records of this node or of others kept.
    Store(Arc<[RecordVersion]>),
    /// To name these records, ascending, which ought to be kept.
    Digest(Arc<[RecordId]>),
    /// To be told of a key, or no more.
    Watch(Key, RecordKind),
}

/// How an answer that is waited for is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wait {
    /// It is not late yet.
    InTime,
    /// It took longer than usual.
    Late,
    /// Nobody goes by it any more. It counts that it came, if it does.
    Given,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) to: Placed,
    pub(crate) purpose: Purpose,
    sent: Instant,
    wait: Wait,
    /// When it is looked after again.
    due: Instant,
}

/// The requests that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    last: u64,
    pending: BTreeMap<RequestId, Pending>,
    due: BTreeSet<(Instant, RequestId)>,
}

impl Requests {
    fn insert(&mut self, pending: Pending) -> RequestId {
        self.last = self.last.saturating_add(1);
        let request = RequestId::new(self.last);
        self.due.insert((pending.due, request));
        self.pending.insert(request, pending);
        request
    }

    fn remove(&mut self, request: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&request)?;
        self.due.remove(&(pending.due, request));
        Some(pending)
    }

    /// When the first of them is to be looked after.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The first that is to be looked after by `now`, if that is not after `other`.
    pub(crate) fn pop_due(&mut self, now: Instant, other: Option<Instant>) -> Option<RequestId> {
        let (at, request) = self.due.first().copied()?;
        let is_first = at <= now && other.is_none_or(|other| at <= other);
        is_first.then(|| self.due.pop_first()).flatten()?;
        Some(request)
    }

    /// Looks after a request, that [was due](Self::pop_due), again then.
    fn put_off(&mut self, request: RequestId, wait: Wait, due: Instant) {
        if let Some(pending) = self.pending.get_mut(&request) {
            (pending.wait, pending.due) = (wait, due);
            self.due.insert((due, request));
        }
    }

    /// Those that are under way to a node.
    pub(crate) fn to<'a>(
        &'a self,
        node: &'a NodeId,
    ) -> impl Iterator<Item = (RequestId, &'a Purpose)> {
        let all = self.pending.iter();
        all.filter(|(_, pending)| pending.to.contact.node == *node)
            .map(|(request, pending)| (*request, &pending.purpose))
    }
}

impl Kad {
    /// Asks a node for what it knows near a key.
    pub(super) fn find(
        &mut self,
        to: Placed,
        key: Key,
        kind: Option<RecordKind>,
        purpose: Purpose,
    ) {
        self.request_at(to, purpose, |request| KadFind { request, key, kind }.into());
    }

    pub(super) fn request(
        &mut self,
        to: Arc<Contact>,
        purpose: Purpose,
        body: impl FnOnce(RequestId) -> Body,
    ) {
        self.request_at(Placed::new(to), purpose, body);
    }

    fn request_at(&mut self, to: Placed, purpose: Purpose, body: impl FnOnce(RequestId) -> Body) {
        let contact = Arc::clone(&to.contact);
        let due = self.now + self.patience(to.place);
        let request = self.requests.insert(Pending {
            to,
            purpose,
            sent: self.now,
            wait: Wait::InTime,
            due,
        });
        self.stats.requests = self.stats.requests.saturating_add(1);
        self.send(contact, body(request));
    }

    /// After how long an answer of a node is late.
    fn patience(&self, place: Place) -> Duration {
        let (min, max) = self.config.patience;
        let own = self
            .table
            .get(place)
            .and_then(|entry| entry.rtt.late_after());
        let usual = own.or_else(|| self.rtt.late_after());
        usual.map_or_else(|| max.div_f64(2.0), |usual| usual.clamp(min, max))
    }

    /// Takes a request that `from` has answered out of those under way, if it is one that is answered so.
    pub(super) fn answered(
        &mut self,
        from: &Placed,
        request: RequestId,
        fits: impl FnOnce(&Purpose) -> bool,
    ) -> Option<Pending> {
        let asked = self.requests.pending.get(&request);
        if asked.is_none_or(|pending| pending.to.place != from.place || !fits(&pending.purpose)) {
            self.stats.unasked = self.stats.unasked.saturating_add(1);
            return None;
        }
        let pending = self.requests.remove(request)?;
        if pending.purpose == Purpose::Check {
            self.checks.remove(&from.contact.node);
        }
        let took = self.now.saturating_since(pending.sent);
        self.table.sample(from.place, took);
        self.rtt.sample(took);
        Some(pending)
    }

    /// An answer takes longer than usual; the second time, the lookup goes on without it, and the third it has failed.
    pub(super) fn on_due(&mut self, request: RequestId) {
        let (now, patience) = (self.now, self.config.patience.0);
        let Some(pending) = self.requests.pending.get(&request) else {
            return;
        };
        let (sent, wait) = (pending.sent, pending.wait);
        let step = pending.purpose.step();
        match wait {
            Wait::InTime => {
                let so_far = now.saturating_since(sent);
                let due = now + so_far.max(patience);
                self.requests.put_off(request, Wait::Late, due);
                self.stats.late = self.stats.late.saturating_add(1);
                if let Some((query, path, distance)) = step {
                    self.lookup_late(query, path, distance);
                }
            }
            Wait::Late => {
                let end = sent + self.config.request_timeout;
                let due = end.max(now + patience);
                self.requests.put_off(request, Wait::Given, due);
                if let Some((query, path, distance)) = step {
                    self.lookup_failed(query, path, distance);
                }
            }
            Wait::Given => self.on_failed(request),
        }
    }

    /// No answer has come.
    pub(super) fn on_failed(&mut self, request: RequestId) {
        let Some(pending) = self.requests.remove(request) else {
            return;
        };
        self.stats.failed = self.stats.failed.saturating_add(1);
        let (node, place) = (pending.to.contact.node, pending.to.place);
        let is_check = pending.purpose == Purpose::Check;
        if is_check {
            self.checks.remove(&node);
        }
        let failed = self.table.fail(place, is_check, &self.config);
        if let Failed::Check(doubtful) = failed {
            self.check(doubtful);
        }
        match pending.purpose {
            Purpose::Lookup {
                query,
                path,
                distance,
            } => self.lookup_failed(query, path, distance),
            Purpose::Store(ids) => self.store_failed(node, &ids),
            Purpose::Watch(key, kind) => self.watch_failed(&node, (key, kind)),
            Purpose::Check | Purpose::Digest(_) => {}
        }
    }

    /// Everything that a node was asked has failed.
    pub(super) fn on_unreachable(&mut self, node: &NodeId) {
        let asked = self.requests.to(node).map(|(request, _)| request);
        let asked: Vec<RequestId> = asked.collect();
        for request in asked {
            self.on_failed(request);
        }
    }
}

impl Purpose {
    /// The step of a lookup that it is, if it is one.
    const fn step(&self) -> Option<(QueryId, usize, Distance)> {
        match self {
            Self::Lookup {
                query,
                path,
                distance,
            } => Some((*query, *path, *distance)),
            Self::Check | Self::Store(_) | Self::Digest(_) | Self::Watch(..) => None,
        }
    }
}
