//! Requests that are under way.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, KadFind, RecordKind, RecordVersion};
use macula_wire::{Body, Instant, Key, NodeId, RecordId, RequestId};

use super::{Kad, QueryId};
use crate::bucket::Failed;
use crate::distance::Distance;
use crate::timer::Timer;

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

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) to: Arc<Contact>,
    pub(crate) purpose: Purpose,
    pub(crate) sent: Instant,
    pub(crate) late: bool,
}

impl Kad {
    /// Asks a node for what it knows near a key.
    pub(super) fn find(
        &mut self,
        to: Arc<Contact>,
        key: Key,
        kind: Option<RecordKind>,
        purpose: Purpose,
    ) {
        self.request(to, purpose, |request| KadFind { request, key, kind }.into());
    }

    pub(super) fn request(
        &mut self,
        to: Arc<Contact>,
        purpose: Purpose,
        body: impl FnOnce(RequestId) -> Body,
    ) {
        self.next_request = self.next_request.saturating_add(1);
        let request = RequestId::new(self.next_request);
        let pending = Pending {
            to: Arc::clone(&to),
            purpose,
            sent: self.now,
            late: false,
        };
        let patience = self.patience(&to.node);
        self.after(Timer::Late(request), patience);
        self.pending.insert(request, pending);
        self.stats.requests = self.stats.requests.saturating_add(1);
        self.send(to, body(request));
    }

    /// After how long an answer of a node is late.
    fn patience(&self, node: &NodeId) -> Duration {
        let (min, max) = self.config.patience;
        let own = self
            .table
            .get(node)
            .and_then(|entry| entry.rtt.late_after());
        let usual = own.or_else(|| self.rtt.late_after());
        usual.map_or_else(|| max.div_f64(2.0), |usual| usual.clamp(min, max))
    }

    /// Takes a request that `from` has answered out of those under way, if it is one that is answered so.
    pub(super) fn answered(
        &mut self,
        from: &NodeId,
        request: RequestId,
        fits: impl FnOnce(&Purpose) -> bool,
    ) -> Option<Pending> {
        let asked = self.pending.get(&request);
        if asked.is_none_or(|pending| pending.to.node != *from || !fits(&pending.purpose)) {
            self.stats.unasked = self.stats.unasked.saturating_add(1);
            return None;
        }
        let pending = self.pending.remove(&request)?;
        if pending.purpose == Purpose::Check {
            self.checks.remove(from);
        }
        self.timers.cancel(Timer::Late(request));
        self.timers.cancel(Timer::GiveUp(request));
        let took = self.now.saturating_since(pending.sent);
        self.table.sample(from, took);
        self.rtt.sample(took);
        Some(pending)
    }

    /// An answer takes longer than usual; the second time, the lookup goes on without it.
    pub(super) fn on_late(&mut self, request: RequestId) {
        let Some(pending) = self.pending.get_mut(&request) else {
            return;
        };
        let first = !std::mem::replace(&mut pending.late, true);
        let (to, purpose, sent) = (pending.to.node, pending.purpose.clone(), pending.sent);
        if first {
            let so_far = self.now.saturating_since(sent);
            self.after(Timer::Late(request), so_far.max(self.config.patience.0));
            self.stats.late = self.stats.late.saturating_add(1);
        } else {
            let end = sent + self.config.request_timeout;
            let soon = self.now + self.config.patience.0;
            self.timers.set(Timer::GiveUp(request), end.max(soon));
        }
        if let Purpose::Lookup {
            query,
            path,
            distance,
        } = purpose
        {
            if first {
                self.lookup_late(query, path, (&to, distance));
            } else {
                self.lookup_failed(query, path, (&to, distance));
            }
        }
    }

    /// No answer has come.
    pub(super) fn on_failed(&mut self, request: RequestId) {
        let Some(pending) = self.pending.remove(&request) else {
            return;
        };
        self.timers.cancel(Timer::Late(request));
        self.timers.cancel(Timer::GiveUp(request));
        self.stats.failed = self.stats.failed.saturating_add(1);
        let is_check = pending.purpose == Purpose::Check;
        if is_check {
            self.checks.remove(&pending.to.node);
        }
        let failed = self.table.fail(&pending.to.node, is_check, &self.config);
        if let Failed::Check(doubtful) = failed {
            self.check(doubtful);
        }
        match pending.purpose {
            Purpose::Lookup {
                query,
                path,
                distance,
            } => {
                self.lookup_failed(query, path, (&pending.to.node, distance));
            }
            Purpose::Store(ids) => self.store_failed(pending.to.node, &ids),
            Purpose::Watch(key, kind) => self.watch_failed(&pending.to.node, (key, kind)),
            Purpose::Check | Purpose::Digest(_) => {}
        }
    }

    /// Everything that a node was asked has failed.
    pub(super) fn on_unreachable(&mut self, node: &NodeId) {
        let asked = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.to.node == *node);
        let asked: Vec<RequestId> = asked.map(|(request, _)| *request).collect();
        for request in asked {
            self.on_failed(request);
        }
    }
}
