//! Telling others what changes under the keys that they watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{
    Contact, KadAnswer, KadChanges, KadWatch, RecordKind, SignedRoutingRecord,
};
use macula_wire::{ErrorCode, Instant, Key, NodeId, RecordId};

use super::Kad;
use super::stage::{parts, worth};
use crate::distance::{key_of, record_id};
use crate::timer::Timer;

/// The longest lease of a watch.
const MAX_LEASE: Duration = Duration::from_secs(3_600);

/// Somebody who watches a key.
#[derive(Clone, Debug)]
struct Watcher {
    contact: Arc<Contact>,
    until: Instant,
    /// How many changes it was told of.
    version: u64,
}

/// Who watches what.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_key: BTreeMap<(Key, RecordKind), BTreeMap<NodeId, Watcher>>,
    by_node: BTreeMap<NodeId, BTreeSet<(Key, RecordKind)>>,
    ends: BTreeSet<(Instant, NodeId, Key, RecordKind)>,
    /// What changed in this turn under keys that are watched; of each record the latest version.
    news: BTreeMap<(Key, RecordKind), BTreeMap<RecordId, Arc<SignedRoutingRecord>>>,
}

impl Watchers {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn of(&self, node: &NodeId) -> usize {
        self.by_node.get(node).map_or(0, BTreeSet::len)
    }

    fn get(&self, node: &NodeId, at: (Key, RecordKind)) -> Option<&Watcher> {
        self.by_key.get(&at)?.get(node)
    }

    fn insert(&mut self, watcher: Watcher, at: (Key, RecordKind)) {
        let node = watcher.contact.node;
        self.remove(&node, at);
        self.ends.insert((watcher.until, node, at.0, at.1));
        self.by_node.entry(node).or_default().insert(at);
        self.by_key.entry(at).or_default().insert(node, watcher);
    }

    fn remove(&mut self, node: &NodeId, at: (Key, RecordKind)) {
        let Some(watchers) = self.by_key.get_mut(&at) else {
            return;
        };
        if let Some(watcher) = watchers.remove(node) {
            self.ends.remove(&(watcher.until, *node, at.0, at.1));
            if watchers.is_empty() {
                self.by_key.remove(&at);
            }
            if let Some(keys) = self.by_node.get_mut(node) {
                keys.remove(&at);
                if keys.is_empty() {
                    self.by_node.remove(node);
                }
            }
        }
    }

    /// A node is gone, and its watches with it.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        let keys = self.by_node.get(node).cloned();
        for at in keys.into_iter().flatten() {
            self.remove(node, at);
        }
    }

    /// Ends what nobody renewed by `now`.
    fn expire(&mut self, now: Instant) {
        while let Some((until, node, key, kind)) = self.ends.first().copied()
            && until <= now
        {
            self.remove(&node, (key, kind));
        }
    }
}

impl Kad {
    pub(super) fn on_watch(&mut self, from: &Arc<Contact>, watch: &KadWatch) {
        let at = (watch.key, watch.kind);
        let lease = Duration::from_millis(u64::from(watch.lease_ms)).min(MAX_LEASE);
        let known = self.watchers.get(&from.node, at).cloned();
        if lease.is_zero() {
            self.watchers.remove(&from.node, at);
            return self.answer_watch(from, watch, ErrorCode::OK);
        }
        let full = self.watchers.len() >= self.config.max_watches
            || self.watchers.of(&from.node) >= self.config.max_peer_watches;
        if known.is_none() && full {
            self.stats.refused_watches = self.stats.refused_watches.saturating_add(1);
            return self.answer_watch(from, watch, ErrorCode::QUOTA_EXCEEDED);
        }
        let version = known.map(|known| known.version);
        let is_told = version.is_some_and(|version| version == watch.version);
        let version = if is_told {
            version
        } else {
            version.map(|version| version.saturating_add(1))
        };
        let watcher = Watcher {
            contact: Arc::clone(from),
            until: self.now + lease,
            version: version.unwrap_or(1),
        };
        let version = watcher.version;
        self.watchers.insert(watcher, at);
        self.plan_watchers();
        self.answer_watch(from, watch, ErrorCode::OK);
        if !is_told {
            self.tell_all(from, at, version);
        }
    }

    fn answer_watch(&mut self, to: &Arc<Contact>, watch: &KadWatch, code: ErrorCode) {
        let (request, codes) = (watch.request, vec![code]);
        self.answer(Arc::clone(to), KadAnswer { request, codes });
    }

    /// Tells everything that is under a key.
    fn tell_all(&mut self, to: &Arc<Contact>, at: (Key, RecordKind), version: u64) {
        let records = self.store.under(at.0, at.1).map(Arc::clone);
        let records: Vec<_> = records.collect();
        self.allowances.charge(self.now, &to.node, worth(&records));
        let mut parts = parts(records);
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len().saturating_sub(1);
        for (index, records) in parts.into_iter().enumerate() {
            let changes = KadChanges {
                key: at.0,
                kind: at.1,
                version,
                full: index == 0,
                more: index < last,
                records,
            };
            self.send(Arc::clone(to), changes);
        }
    }

    /// A record is new here, or withdrawn.
    pub(super) fn on_kept(&mut self, record: &Arc<SignedRoutingRecord>) {
        let inner = &record.record;
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        let at = (key, inner.content.kind());
        self.see(at, record, None);
        if self.watchers.by_key.contains_key(&at) {
            let id = record_id(&inner.owner, &inner.content);
            let news = self.watchers.news.entry(at).or_default();
            news.insert(id, Arc::clone(record));
        }
    }

    /// Tells of what changed in this turn: those who watch a key hear of all that is new under it together.
    pub(super) fn tell_changes(&mut self) {
        for (at, records) in std::mem::take(&mut self.watchers.news) {
            let Some(watchers) = self.watchers.by_key.get_mut(&at) else {
                continue;
            };
            let parts = parts(records.into_values());
            let mut news = Vec::with_capacity(watchers.len().saturating_mul(parts.len()));
            for watcher in watchers.values_mut() {
                for part in &parts {
                    watcher.version = watcher.version.saturating_add(1);
                    let changes = KadChanges {
                        key: at.0,
                        kind: at.1,
                        version: watcher.version,
                        full: false,
                        more: false,
                        records: part.clone(),
                    };
                    news.push((Arc::clone(&watcher.contact), changes));
                }
            }
            for (to, changes) in news {
                self.send(to, changes);
            }
        }
    }

    fn plan_watchers(&mut self) {
        if let Some((until, ..)) = self.watchers.ends.first() {
            self.timers.set(Timer::Watchers, *until);
        }
    }

    pub(super) fn on_watchers(&mut self) {
        self.watchers.expire(self.now);
        self.plan_watchers();
    }

    /// How many watches of others this node serves.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watchers.len()
    }
}
