//! Lookups that are under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, KadFound, RecordKind, SignedRoutingRecord};
use macula_wire::{Instant, Key, NodeId, RecordId};

use super::request::Purpose;
use super::{Goal, Kad, LookupOptions, Outcome, Output, QueryId};
use crate::closest::{Nearest, Placed, Told};
use crate::distance::{Distance, Place, position, record_id};
use crate::lookup::{Lookup, Plan};
use crate::timer::Timer;
use crate::{QueryError, Refusal};

/// The most records that one lookup gathers; further ones are left out.
const MAX_FOUND: usize = 4_096;

/// Who wants a lookup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asker {
    /// The caller.
    Caller(Goal),
    /// The first lookup of this node's own position.
    Join,
    /// The upkeep of the table.
    Refresh,
    /// Records of this node under this key, to be told to the closest.
    Publish(Key),
    /// A watch, to be told of by the closest.
    Watch(Key, RecordKind),
}

/// A lookup under way.
#[derive(Debug)]
pub(crate) struct Query {
    asker: Asker,
    lookup: Lookup,
    started: Instant,
    /// Of each record that was found the latest.
    records: BTreeMap<RecordId, Arc<SignedRoutingRecord>>,
}

impl Kad {
    /// Begins a lookup. It ends with [`Output::Found`], after [`Config::query_timeout`](crate::Config::query_timeout)
    /// at the latest, whatever others do.
    ///
    /// # Errors
    ///
    /// [`QueryError::TooMany`] if as many are under way as may be.
    pub fn lookup(
        &mut self,
        now: Instant,
        goal: Goal,
        options: LookupOptions,
    ) -> Result<QueryId, QueryError> {
        self.advance(now);
        let limit = self.config.max_queries;
        if self.queries.len() >= limit {
            return Err(QueryError::TooMany { limit });
        }
        let target = match goal {
            Goal::Closest(key) => key,
            Goal::Node(node) => position(&node),
            Goal::Records { key, .. } => key,
        };
        let need = self.config.k;
        let id = self.start(Asker::Caller(goal), target, need, options);
        self.flush();
        Ok(id)
    }

    pub(super) fn start(
        &mut self,
        asker: Asker,
        target: Key,
        need: usize,
        options: LookupOptions,
    ) -> QueryId {
        let paths = options.paths.clamp(1, self.config.k);
        let own = self.table.place();
        let mut nearest = Nearest::new(&target, self.config.k, [own, own]);
        if options.seeded {
            self.members.offer(&mut nearest);
        }
        if !nearest.is_full() {
            self.table.offer(&mut nearest);
        }
        let plan = Plan {
            target,
            need,
            alpha: self.config.alpha.div_ceil(paths).max(1),
            alpha_max: self.config.alpha_max.div_ceil(paths).max(1),
        };
        self.next_query = self.next_query.saturating_add(1);
        let id = QueryId(self.next_query);
        let query = Query {
            asker,
            lookup: Lookup::new(plan, paths, nearest.into_found()),
            started: self.now,
            records: BTreeMap::new(),
        };
        self.stats.queries = self.stats.queries.saturating_add(1);
        self.queries.insert(id, query);
        self.after(Timer::Deadline(id), self.config.query_timeout);
        if let Asker::Caller(Goal::Records { key, kind, all }) = asker {
            let here: Vec<_> = self.store.under(key, kind).map(Arc::clone).collect();
            here.iter().for_each(|record| self.take_record(id, record));
            if !all && self.queries.get(&id).is_some_and(Query::has_records) {
                self.finish(id, true);
                return id;
            }
        }
        self.go_on(id);
        id
    }

    /// Asks whoever is next, or ends the lookup.
    fn go_on(&mut self, id: QueryId) {
        let now = self.now;
        while let Some(query) = self.queries.get_mut(&id) {
            let (target, kind) = (*query.lookup.target(), query.kind());
            let Some((path, distance, contact)) = query.lookup.next(now) else {
                if query.lookup.is_done() {
                    self.finish(id, true);
                }
                return;
            };
            let place = Place::of(&target).at(distance);
            let purpose = Purpose::Lookup {
                query: id,
                path,
                distance,
            };
            self.find(Placed { place, contact }, target, kind, purpose);
        }
    }

    /// An answer to a step of a lookup.
    pub(super) fn lookup_answered(
        &mut self,
        (id, path): (QueryId, usize),
        (from, distance): (&NodeId, Distance),
        contacts: &[Told<'_>],
    ) {
        let now = self.now;
        let Some(query) = self.queries.get_mut(&id) else {
            return;
        };
        query.lookup.on_answer(now, path, distance, contacts);
        if query.is_satisfied(from) {
            self.finish(id, true);
        } else {
            self.go_on(id);
        }
    }

    pub(super) fn lookup_late(&mut self, id: QueryId, path: usize, asked: Distance) {
        let now = self.now;
        if let Some(query) = self.queries.get_mut(&id) {
            query.lookup.on_late(now, path, asked);
            self.go_on(id);
        }
    }

    pub(super) fn lookup_failed(&mut self, id: QueryId, path: usize, asked: Distance) {
        let now = self.now;
        if let Some(query) = self.queries.get_mut(&id) {
            query.lookup.on_failed(now, path, asked);
            self.go_on(id);
        }
    }

    /// Ends a lookup, and tells who wanted it.
    pub(super) fn finish(&mut self, id: QueryId, complete: bool) {
        let Some(mut query) = self.queries.remove(&id) else {
            return;
        };
        self.timers.cancel(Timer::Deadline(id));
        match query.asker {
            Asker::Caller(goal) => {
                // Some owners may have gone since their records were found.
                query.records.retain(|_, found| self.counts(&found.record));
                let outcome = query.into_outcome(id, goal, complete, self.now);
                self.outputs.push_back(Output::Found(outcome));
            }
            Asker::Publish(key) => self.tell_found(&key, &query.lookup.closest()),
            Asker::Watch(key, kind) => {
                self.watch_at((key, kind), &query.lookup.closest(), true);
            }
            Asker::Join => self.on_joined(),
            Asker::Refresh => self.on_refreshed(),
        }
    }
}

impl Kad {
    /// Records that an answer to a step of a lookup brought.
    pub(super) fn take_records(&mut self, id: QueryId, found: &KadFound, forged: &[usize]) {
        // An answer may come when the lookup is over; it was asked for all the same.
        let Some(asker) = self.queries.get(&id).map(|query| query.asker) else {
            return;
        };
        let wanted = match asker {
            Asker::Caller(Goal::Records { key, kind, .. }) => Some((key, kind)),
            Asker::Caller(Goal::Closest(_) | Goal::Node(_))
            | Asker::Join
            | Asker::Refresh
            | Asker::Publish(_)
            | Asker::Watch(..) => None,
        };
        for (index, record) in found.records.iter().enumerate() {
            let fits = match wanted {
                _ if forged.contains(&index) => Err(Refusal::Forged),
                Some(at) => self.fits(record, at).map(|_| ()),
                None => Err(Refusal::Misplaced),
            };
            match fits {
                Ok(()) => self.take_record(id, record),
                Err(refusal) => self.stats.refused(refusal),
            }
        }
    }

    /// A record was found. Offers of owners that are known to be gone, or of their earlier runs, do not count.
    fn take_record(&mut self, id: QueryId, record: &Arc<SignedRoutingRecord>) {
        let inner = &record.record;
        if !self.counts(inner) {
            return;
        }
        let record_id = record_id(&inner.owner, &inner.content);
        if let Some(query) = self.queries.get_mut(&id)
            && query.records.len() < MAX_FOUND
        {
            let known = query.records.entry(record_id);
            let known = known.or_insert_with(|| Arc::clone(record));
            if known.record.sequence < inner.sequence {
                *known = Arc::clone(record);
            }
        }
    }
}

impl Query {
    const fn kind(&self) -> Option<RecordKind> {
        if let Asker::Caller(Goal::Records { kind, .. }) = self.asker {
            return Some(kind);
        }
        None
    }

    /// Whether the answer of `from` was what was wanted.
    fn is_satisfied(&self, from: &NodeId) -> bool {
        let Asker::Caller(goal) = self.asker else {
            return false;
        };
        match goal {
            Goal::Closest(_) => false,
            Goal::Node(wanted) => wanted == *from,
            Goal::Records { all, .. } => !all && self.has_records(),
        }
    }

    fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    pub(super) const fn is_refresh(&self) -> bool {
        matches!(self.asker, Asker::Refresh)
    }

    fn into_outcome(self, query: QueryId, goal: Goal, complete: bool, now: Instant) -> Outcome {
        let best = self.lookup.best();
        let closest: Vec<Arc<Contact>> = self.lookup.closest();
        let started = self.started;
        let records = self.records.into_values();
        let live = records.filter(|record| !record.record.withdrawn);
        Outcome {
            query,
            goal,
            complete,
            closest,
            records: live.collect(),
            hops: best.map_or(0, |best| best.hops),
            closest_after: best.map_or(Duration::ZERO, |best| best.at.saturating_since(started)),
            took: now.saturating_since(started),
            requests: self.lookup.requests,
            late: self.lookup.late,
            steps: self.lookup.steps(),
        }
    }
}
