//! What becomes of events, and who is told.

use macula_wire::DeliveryId;
use macula_wire::message::Priority;

use super::{Destination, Entry, Outcome, Replay, ReplayOutput, Timer, Upstream};
use crate::ids::Ids;

impl<T: Clone> Replay<T> {
    /// Whatever of `low..=high` is owed to a destination has come to its end there.
    pub(super) fn settle(
        &mut self,
        to: Destination,
        class: Priority,
        low: u64,
        high: u64,
        outcome: Outcome,
    ) {
        let Some(channel) = self.channels.get(&(to, class)) else {
            return;
        };
        if low > high {
            return;
        }
        let before = channel.owed.range(..low).next_back();
        let within = channel.owed.range(low..=high);
        let found: Vec<u64> = before.into_iter().chain(within).copied().collect();
        for first in found {
            self.settle_entry(first, to, low, high, outcome);
        }
    }

    fn settle_entry(&mut self, first: u64, to: Destination, low: u64, high: u64, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&first) else {
            return;
        };
        let is_over = matches!(outcome, Outcome::Acked | Outcome::Expired);
        if entry.group.is_some() && !is_over {
            // It is one event, and may lie before those that are settled.
            if low <= first && first <= high {
                self.pass_to_another(first, to, Some(outcome));
            }
            return;
        }
        let Some(owed) = entry.owed.get_mut(&to) else {
            return;
        };
        let taken = owed.remove(low, high);
        if taken.is_empty() {
            return;
        }
        let class = entry.class;
        if owed.is_empty() {
            entry.owed.remove(&to);
            if let Some(channel) = self.channels.get_mut(&(to, entry.class)) {
                channel.owed.remove(&first);
            }
            if let Some(group) = &entry.group {
                self.picker.settled(&group.name, to);
            }
        }
        for (low, high) in taken.ranges() {
            self.drop_retries(to, class, low, high);
        }
        self.conclude(first, &taken, outcome);
    }

    /// Counts what has ended at one destination, and tells what has ended at all.
    fn conclude(&mut self, first: u64, taken: &Ids, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&first) else {
            return;
        };
        let mut dead = Vec::new();
        for (low, high) in taken.ranges() {
            let (low, high) = (low.saturating_sub(first), high.saturating_sub(first));
            if outcome == Outcome::Acked && entry.upstream.is_some() {
                entry.acked.add(low, high);
            }
            if outcome == Outcome::Rejected && entry.upstream.is_none() {
                dead.extend((low..=high).map(|at| (entry.payload.clone(), at)));
            }
            if let Some((id, at)) = entry.receipts
                && let Some(sheet) = self.receipts.get_mut(&id)
            {
                let place = |offset| at.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
                sheet.count(place(low), place(high), outcome);
            }
        }
        let receipts = entry.receipts;
        let ended = entry.ended(first, taken);
        let upstream = entry.upstream;
        let is_over = entry.owed.is_empty();
        for (payload, at) in dead {
            let offset = u32::try_from(at).unwrap_or(u32::MAX);
            self.outputs
                .push_back(ReplayOutput::Dead { payload, offset });
        }
        if let Some((id, _)) = receipts {
            self.complete(id);
        }
        if let Some(upstream) = upstream {
            for (low, high, acked) in ended {
                let outcome = if acked { Outcome::Acked } else { outcome };
                self.tell_upstream(upstream, low, high, outcome);
            }
        }
        if is_over {
            self.release(first);
        }
    }

    pub(super) fn tell_upstream(&mut self, up: Upstream, low: u64, high: u64, outcome: Outcome) {
        let first = up.first.get();
        self.outputs.push_back(ReplayOutput::Settled {
            peer: up.peer,
            class: up.class,
            run: up.run,
            first: DeliveryId::new(first.saturating_add(low)),
            last: DeliveryId::new(first.saturating_add(high)),
            outcome,
        });
    }

    fn release(&mut self, first: u64) -> Option<Entry<T>> {
        let entry = self.entries.remove(&first)?;
        if let Some(at) = entry.expires {
            self.timers.remove(&(at, Timer::Expire(first)));
        }
        let events = entry.events();
        let room = self.room_mut(entry.custody);
        room.events = room.events.saturating_sub(events);
        room.bytes = room.bytes.saturating_sub(entry.bytes);
        Some(entry)
    }

    pub(super) fn on_expired(&mut self, first: u64) {
        let Some(entry) = self.entries.get(&first) else {
            return;
        };
        let to: Vec<Destination> = entry.owed.keys().copied().collect();
        for to in to {
            self.settle_entry(first, to, 0, u64::MAX, Outcome::Expired);
        }
    }

    /// Gives the event of a group to another one, under an id of its own; `because` tells why the first one has not taken
    /// it. It ends if there is no other, or it was tried as often as it may be.
    pub(super) fn pass_to_another(
        &mut self,
        first: u64,
        from: Destination,
        because: Option<Outcome>,
    ) {
        let Some(entry) = self.entries.get_mut(&first) else {
            return;
        };
        let class = entry.class;
        if entry.owed.remove(&from).is_none() {
            return;
        }
        if let Some(channel) = self.channels.get_mut(&(from, class)) {
            channel.owed.remove(&first);
        }
        self.drop_retries(from, class, first, first);
        let Some(entry) = self.entries.get_mut(&first) else {
            return;
        };
        let Some(mut group) = entry.group.clone() else {
            return;
        };
        self.picker.settled(&group.name, from);
        let attempt = entry.attempt;
        let is_spent = group.max_deliver > 0 && attempt >= group.max_deliver;
        let others = group.candidates.iter().any(|one| *one != from);
        if because.is_some() && others {
            // Whoever is gone or cannot take it is not asked again.
            group.candidates.retain(|one| *one != from);
        }
        let is_gone = because.is_some() && !others;
        let rejected = because == Some(Outcome::Rejected);
        let chosen = if is_spent || is_gone || rejected {
            None
        } else {
            self.pick(&group)
        };
        let (Some(to), Some(next)) = (chosen, self.next.checked_add(1)) else {
            let outcome = match because {
                Some(outcome) if !is_spent => outcome,
                _ => Outcome::Rejected,
            };
            return self.conclude(first, &Ids::row(first, first), outcome);
        };
        let id = self.next;
        self.next = next;
        if let Some(mut entry) = self.release(first) {
            entry.group = Some(group);
            entry.owed.insert(to, Ids::row(id, id));
            self.insert(id, entry);
            self.owe(to, class, id);
        }
    }
}

impl<T> Entry<T> {
    /// What of `taken` is owed to nobody any more, by place, and whether somebody acknowledged it.
    fn ended(&self, first: u64, taken: &Ids) -> Vec<(u64, u64, bool)> {
        if self.upstream.is_none() {
            return Vec::new();
        }
        let mut ended = taken.clone();
        for open in self.owed.values() {
            for (low, high) in open.ranges() {
                ended.remove(low, high);
            }
        }
        let mut parts = Vec::new();
        for (low, high) in ended.ranges() {
            let (low, high) = (low.saturating_sub(first), high.saturating_sub(first));
            let mut rest = Ids::row(low, high);
            for (low, high) in self.acked.ranges() {
                let acked = rest.remove(low, high);
                parts.extend(acked.ranges().map(|(low, high)| (low, high, true)));
            }
            parts.extend(rest.ranges().map(|(low, high)| (low, high, false)));
        }
        parts
    }
}
