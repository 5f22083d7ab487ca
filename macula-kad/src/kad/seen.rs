//! What is known of the records under watched keys, by those that tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{KadChanges, RecordKind, SignedRoutingRecord};
use macula_wire::{Key, NodeId, RecordId};

use super::{Kad, Output};
use crate::Refusal;
use crate::distance::{key_of, record_id};
use crate::timer::Timer;

/// How long a holder that left something out is not asked anew again.
const RETRY: Duration = Duration::from_secs(1);

/// A record that is known by a watch.
#[derive(Debug)]
pub(super) struct Seen {
    record: Arc<SignedRoutingRecord>,
    /// Who has it; this node itself is not named.
    holders: Holders,
    /// Whether this node keeps it.
    here: bool,
    /// Whether the caller was told that it holds.
    shown: bool,
}

/// The nodes that have a record. They are few, and there are as many of these as records: a tree would take room for eleven
/// at once.
#[derive(Clone, Debug, Default)]
struct Holders(Vec<NodeId>);

impl Holders {
    fn insert(&mut self, node: NodeId) {
        if let Err(place) = self.0.binary_search(&node) {
            self.0.reserve_exact(1);
            self.0.insert(place, node);
        }
    }

    /// Whether it was one of them.
    fn remove(&mut self, node: &NodeId) -> bool {
        let found = self.0.binary_search(node);
        found.is_ok_and(|place| self.0.remove(place) == *node)
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const fn len(&self) -> usize {
        self.0.len()
    }
}

/// The records that are known by one watch; of each owner as many as it may have at a node, and as many withdrawn ones.
#[derive(Debug, Default)]
pub(super) struct AllSeen {
    records: BTreeMap<RecordId, Seen>,
    /// How many each owner has, and how many of it are withdrawn.
    owners: BTreeMap<NodeId, (usize, usize)>,
}

impl AllSeen {
    /// Whether there is room for a record. A withdrawal that there is no room for takes out what it withdraws.
    fn admit(&self, id: RecordId, record: &SignedRoutingRecord, limit: usize) -> bool {
        let is_known = self
            .records
            .get(&id)
            .is_some_and(|seen| seen.record.record.withdrawn == record.record.withdrawn);
        let (live, withdrawn) = self
            .owners
            .get(&record.record.owner)
            .copied()
            .unwrap_or_default();
        let count = if record.record.withdrawn {
            withdrawn
        } else {
            live
        };
        is_known || count < limit || (record.record.withdrawn && self.records.contains_key(&id))
    }

    /// Takes in what `from` told, or what is kept here.
    fn take(&mut self, id: RecordId, record: &Arc<SignedRoutingRecord>, from: Option<&NodeId>) {
        let inner = &record.record;
        let (mut holders, mut here, mut shown) = (Holders::default(), false, false);
        if let Some(before) = self.records.get(&id) {
            let known = &before.record.record;
            if known.sequence > inner.sequence {
                return;
            }
            if known.sequence == inner.sequence {
                (holders, here) = (before.holders.clone(), before.here);
            }
            // What it says is new: it is shown again. What is withdrawn says nothing.
            shown = before.shown && (known.content == inner.content || inner.withdrawn);
        }
        match from {
            Some(from) => {
                holders.insert(*from);
            }
            None => here = true,
        }
        self.remove(&id);
        let count = self.owners.entry(inner.owner).or_default();
        let count = if inner.withdrawn {
            &mut count.1
        } else {
            &mut count.0
        };
        *count = count.saturating_add(1);
        let seen = Seen {
            record: Arc::clone(record),
            holders,
            here,
            shown,
        };
        self.records.insert(id, seen);
    }

    fn remove(&mut self, id: &RecordId) {
        let Some(seen) = self.records.remove(id) else {
            return;
        };
        let record = &seen.record.record;
        if let Some(count) = self.owners.get_mut(&record.owner) {
            let part = if record.withdrawn {
                &mut count.1
            } else {
                &mut count.0
            };
            *part = part.saturating_sub(1);
            if *count == (0, 0) {
                self.owners.remove(&record.owner);
            }
        }
    }

    /// Every record.
    pub(super) fn records(&self) -> impl Iterator<Item = (RecordId, &SignedRoutingRecord)> {
        let records = self.records.iter();
        records.map(|(id, seen)| (*id, &*seen.record))
    }

    /// A node tells no more. What others have not named yet may hold none the less, and expires if not.
    pub(super) fn leave(&mut self, node: &NodeId) {
        for seen in self.records.values_mut() {
            if seen.holders.len() > 1 {
                seen.holders.remove(node);
            }
        }
    }

    /// A full statement is over: what it did not name it does not have. Answers with what nobody has any more.
    fn end_statement(&mut self, from: &NodeId, named: &BTreeSet<RecordId>) -> Vec<RecordId> {
        let mut gone = Vec::new();
        for (id, seen) in &mut self.records {
            if !named.contains(id) && seen.holders.remove(from) && seen.holders.is_empty() {
                gone.push(*id);
            }
        }
        gone
    }
}

impl Kad {
    pub(super) fn on_changes(&mut self, from: &NodeId, changes: &KadChanges, forged: &[usize]) {
        let at = (changes.key, changes.kind);
        let Some(holder) = self
            .watchings
            .get_mut(&at)
            .and_then(|watching| watching.holders.get_mut(from))
        else {
            self.stats.unasked = self.stats.unasked.saturating_add(1);
            return;
        };
        let expected = holder.version.saturating_add(1);
        if changes.full {
            holder.stating = Some(BTreeSet::new());
            holder.version = changes.version;
        } else if holder.stating.is_some() && changes.version == holder.version {
            // A further part.
        } else if changes.version == expected {
            holder.version = changes.version;
        } else {
            // Something is missing: everything is asked for anew, but no more often than once in a while.
            let is_asked = std::mem::take(&mut holder.version) == 0;
            holder.stating = None;
            if is_asked || self.now.saturating_since(holder.asked) < RETRY {
                self.timers.arm(Timer::Watch(at.0, at.1), self.now + RETRY);
                return;
            }
            holder.asked = self.now;
            let contact = Arc::clone(&holder.contact);
            let lease = self.config.watch_lease;
            self.ask_to_tell(contact, at, 0, lease);
            return;
        }
        for (index, record) in changes.records.iter().enumerate() {
            let fits = !forged.contains(&index);
            match if fits {
                self.fits(record, at)
            } else {
                Err(Refusal::Forged)
            } {
                Ok(id) => {
                    self.see(at, record, Some(from));
                    self.name_in_statement(from, at, id);
                }
                Err(refusal) => self.stats.refused(refusal),
            }
        }
        if !changes.more {
            self.end_statement(from, at);
        }
    }

    /// Whether a record is one that was asked for.
    pub(super) fn fits(
        &self,
        record: &SignedRoutingRecord,
        at: (Key, RecordKind),
    ) -> Result<RecordId, Refusal> {
        let inner = &record.record;
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        if (key, inner.content.kind()) != at {
            return Err(Refusal::Misplaced);
        }
        self.store.judge(inner, self.wall_ms())?;
        Ok(record_id(&inner.owner, &inner.content))
    }

    /// A full statement is over: what it did not name is not there.
    fn end_statement(&mut self, from: &NodeId, at: (Key, RecordKind)) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let Some(holder) = watching.holders.get_mut(from) else {
            return;
        };
        let Some(named) = holder.stating.take() else {
            return;
        };
        holder.stated = true;
        let gone = watching.seen.end_statement(from, &named);
        for id in gone {
            self.refresh_seen(at, id);
        }
        self.know_if_told(at);
    }

    /// A record that is known of a holder's statement.
    fn name_in_statement(&mut self, from: &NodeId, at: (Key, RecordKind), id: RecordId) {
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let is_known = watching.seen.records.contains_key(&id);
        let holder = watching.holders.get_mut(from).filter(|_| is_known);
        if let Some(named) = holder.and_then(|holder| holder.stating.as_mut()) {
            named.insert(id);
        }
    }

    /// A record under a watched key was told by `from`, or is kept here.
    pub(super) fn see(
        &mut self,
        at: (Key, RecordKind),
        record: &Arc<SignedRoutingRecord>,
        from: Option<&NodeId>,
    ) {
        let limit = self.config.max_owner_records;
        let Some(watching) = self.watchings.get_mut(&at) else {
            return;
        };
        let inner = &record.record;
        let id = record_id(&inner.owner, &inner.content);
        if !watching.seen.admit(id, record, limit) {
            return self.stats.refused(Refusal::OverQuota);
        }
        if let Some(before) = watching.seen.records.get(&id) {
            self.known.remove((at, id), &before.record);
        }
        watching.seen.take(id, record, from);
        if let Some(after) = watching.seen.records.get(&id) {
            self.known.insert((at, id), &after.record);
        }
        self.plan_ends();
        self.refresh_seen(at, id);
    }

    /// Tells the caller whether a record holds, if that has changed.
    fn refresh_seen(&mut self, at: (Key, RecordKind), id: RecordId) {
        let wall = self.wall_ms();
        let Some(seen) = self
            .watchings
            .get(&at)
            .and_then(|watching| watching.seen.records.get(&id))
        else {
            return;
        };
        let record = Arc::clone(&seen.record);
        let inner = &record.record;
        let is_known = seen.here || !seen.holders.is_empty();
        // A withdrawal is remembered, so that who is behind does not bring back what was withdrawn.
        let stays = inner.expires_ms > wall && (is_known || inner.withdrawn);
        let holds = stays && !inner.withdrawn && self.counts(inner);
        let was_shown = seen.shown;
        if let Some(watching) = self.watchings.get_mut(&at) {
            if !stays {
                watching.seen.remove(&id);
                self.known.remove((at, id), &record);
            } else if let Some(seen) = watching.seen.records.get_mut(&id) {
                seen.shown = holds;
            }
        }
        if holds != was_shown {
            let (key, present) = (at.0, holds);
            self.outputs.push_back(Output::Changed {
                key,
                record,
                present,
            });
        }
    }

    /// A member came or went, or has begun another run: some of what was seen of it may hold now, or no more.
    pub(super) fn look_again(&mut self, owner: &NodeId) {
        for (at, id) in self.known.of(owner) {
            self.refresh_seen(at, id);
        }
    }

    /// Time passed, or the wall clock was set: some of what was seen may have expired.
    pub(super) fn end_seen(&mut self) {
        for (at, id) in self.known.ended(self.wall_ms()) {
            self.refresh_seen(at, id);
        }
        self.plan_ends();
    }

    fn plan_ends(&mut self) {
        match self.known.next_end() {
            Some(end) => self.timers.set(Timer::Seen, self.when(end)),
            None => self.timers.cancel(Timer::Seen),
        }
    }

    /// A watch ends; what it knows is not known any more.
    pub(super) fn forget_seen(&mut self, at: (Key, RecordKind), seen: &AllSeen) {
        for (id, record) in seen.records() {
            self.known.remove((at, id), record);
        }
        self.plan_ends();
    }
}
