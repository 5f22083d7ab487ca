//! What the buffer is told: links, acknowledgements, and what receivers lack.

use std::time::Duration;

use macula_wire::DeliveryId;
use macula_wire::Instant;
use macula_wire::message::{EventAck, Priority, Resend};

use super::channel::Retry;
use super::{Outcome, Reach, Replay, ReplayOffence, ReplayOutput, Timer};
use crate::Destination;

/// The shortest time after which an event is handed over again.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(1);

impl<T: Clone> Replay<T> {
    pub(super) fn on_up(&mut self, to: Destination) {
        if let Some(Reach::Down(until)) = self.reach.insert(to, Reach::Up) {
            self.timers.remove(&(until, Timer::Lease(to)));
        }
        for class in Priority::ALL {
            if let Some(channel) = self.channels.get_mut(&(to, *class)) {
                channel.rewind();
                self.tell_ready(to, *class);
            }
        }
    }

    pub(super) fn on_down(&mut self, to: Destination) {
        if let Some(Reach::Down(_)) = self.reach.get(&to) {
            return;
        }
        if self.owes_nothing(to) {
            return self.forget(to);
        }
        let until = self.now + self.config.lease;
        self.reach.insert(to, Reach::Down(until));
        self.timers.insert((until, Timer::Lease(to)));
    }

    pub(super) fn on_lease_over(&mut self, to: Destination, at: Instant) {
        if matches!(self.reach.get(&to), Some(Reach::Down(until)) if *until == at) {
            self.on_gone(to);
        }
    }

    /// What was meant for it goes to others of its groups. The rest waits for the lease, in case that it comes back.
    pub(super) fn on_lost(&mut self, to: Destination) {
        let classes = Priority::ALL.iter();
        let channels = classes.filter_map(|class| self.channels.get(&(to, *class)));
        let entries: Vec<u64> = channels
            .flat_map(|channel| &channel.owed)
            .copied()
            .collect();
        for first in entries {
            let group = self
                .entries
                .get(&first)
                .and_then(|entry| entry.group.as_ref());
            if group.is_some_and(|group| group.candidates.iter().any(|one| *one != to)) {
                self.count_attempt(to, first);
                self.pass_to_another(first, to, Some(Outcome::Gone));
            }
        }
    }

    pub(super) fn on_gone(&mut self, to: Destination) {
        if let Some(Reach::Down(until)) = self.reach.remove(&to) {
            self.timers.remove(&(until, Timer::Lease(to)));
        }
        self.strike_out(to);
        self.count_attempts(to);
        for class in Priority::ALL {
            if let Some(channel) = self.channels.get_mut(&(to, *class)) {
                // Nothing is sent there from here on, though events of groups may be looked at again.
                channel.told = true;
                self.settle(to, *class, 0, u64::MAX, Outcome::Gone);
            }
        }
        self.forget(to);
    }

    /// What was sent to it for its groups may have been handed over there, though it does not say so any more.
    fn count_attempts(&mut self, to: Destination) {
        for class in Priority::ALL {
            let channel = self.channels.get(&(to, *class));
            let sent: Vec<u64> = channel.map_or_else(Vec::new, |channel| {
                channel.owed.range(..=channel.cursor).copied().collect()
            });
            for first in sent {
                self.count_attempt(to, first);
            }
        }
    }

    fn count_attempt(&mut self, to: Destination, first: u64) {
        let Some(entry) = self.entries.get_mut(&first) else {
            return;
        };
        let channel = self.channels.get(&(to, entry.class));
        let is_sent = channel.is_some_and(|channel| channel.cursor >= first);
        if entry.group.is_some() && is_sent {
            entry.attempt = entry.attempt.saturating_add(1);
        }
    }

    /// No event of a group is passed to it any more.
    fn strike_out(&mut self, to: Destination) {
        let groups = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.group.as_mut());
        for group in groups {
            group.candidates.retain(|one| *one != to);
        }
    }

    /// Forgets a destination to which nothing is owed.
    fn forget(&mut self, to: Destination) {
        self.reach.remove(&to);
        for class in Priority::ALL {
            self.channels.remove(&(to, *class));
        }
    }

    fn owes_nothing(&self, to: Destination) -> bool {
        let mut classes = Priority::ALL.iter();
        classes.all(|class| {
            let channel = self.channels.get(&(to, *class));
            channel.is_none_or(|channel| channel.owed.is_empty())
        })
    }

    pub(super) fn on_ack(&mut self, to: Destination, ack: &EventAck) {
        // What is said of another numbering, or by whom nothing was sent, is late at best.
        let Some(channel) = self.channels.get(&(to, ack.class)) else {
            return;
        };
        if ack.run != self.run {
            return;
        }
        let sent = channel.sent;
        let settled = ack.acked.last().map_or(ack.upto, |range| range.last);
        let refused = ack
            .refused
            .last()
            .map_or(settled, |refusal| refusal.range.last);
        if settled.get() > sent || refused.get() > sent {
            let offence = ReplayOffence::AckBeyond;
            return self
                .outputs
                .push_back(ReplayOutput::Misbehaved(to, offence));
        }
        for refusal in &ack.refused {
            let (first, last) = (refusal.range.first.get(), refusal.range.last.get());
            self.settle(to, ack.class, first, last, refusal.cause.into());
        }
        self.settle(to, ack.class, 0, ack.upto.get(), Outcome::Acked);
        for range in &ack.acked {
            let (first, last) = (range.first.get(), range.last.get());
            self.settle(to, ack.class, first, last, Outcome::Acked);
        }
    }

    pub(super) fn on_resend(&mut self, to: Destination, resend: &Resend) {
        let Some(channel) = self.channels.get_mut(&(to, resend.class)) else {
            return;
        };
        if resend.run != self.run {
            return;
        }
        if resend.after.get() > channel.sent {
            let offence = ReplayOffence::ResendBeyond;
            return self
                .outputs
                .push_back(ReplayOutput::Misbehaved(to, offence));
        }
        channel.asked = Some(resend.after.get());
        if channel.paced_until > self.now {
            let due = (channel.paced_until, Timer::Resend(to, resend.class));
            self.timers.insert(due);
            return;
        }
        self.on_resend_due(to, resend.class);
    }

    /// Goes on where the receiver said.
    pub(super) fn on_resend_due(&mut self, to: Destination, class: Priority) {
        let Some(channel) = self.channels.get_mut(&(to, class)) else {
            return;
        };
        let Some(after) = channel.asked.take() else {
            return;
        };
        channel.paced_until = self.now + self.config.resend_pace;
        channel.cursor = after.min(channel.sent);
        self.tell_ready(to, class);
    }

    pub(super) fn on_settled(
        &mut self,
        to: Destination,
        first: DeliveryId,
        last: DeliveryId,
        outcome: Outcome,
    ) {
        // Ids that follow each other may be of several classes.
        for class in Priority::ALL {
            self.settle(to, *class, first.get(), last.get(), outcome);
        }
    }

    pub(super) fn on_retry(
        &mut self,
        to: Destination,
        id: DeliveryId,
        delay: Duration,
        max_deliver: u32,
    ) {
        let id = id.get();
        let Some((_, entry)) = self.entries.range(..=id).next_back() else {
            return;
        };
        let (class, attempt) = (entry.class, entry.attempt);
        if !entry.owes(to, id) {
            return;
        }
        let Some(channel) = self.channels.get_mut(&(to, class)) else {
            return;
        };
        let due = self.now + delay.max(MIN_RETRY_DELAY);
        let fresh = Retry {
            attempt,
            ..Retry::default()
        };
        let retry = channel.retries.entry(id).or_insert(fresh);
        retry.max_deliver = max_deliver;
        if let Some(before) = retry.due.replace(due) {
            self.timers.remove(&(before, Timer::Again(to, class, id)));
        }
        self.timers.insert((due, Timer::Again(to, class, id)));
    }

    /// An event is handed over once more: to the same, or to another of its group.
    pub(super) fn on_again(&mut self, to: Destination, class: Priority, id: u64) {
        let Some(channel) = self.channels.get_mut(&(to, class)) else {
            return;
        };
        let Some(retry) = channel.retries.get_mut(&id) else {
            return;
        };
        retry.due = None;
        retry.attempt = retry.attempt.saturating_add(1);
        let retry = *retry;
        if retry.max_deliver > 0 && retry.attempt >= retry.max_deliver {
            return self.settle(to, class, id, id, Outcome::Rejected);
        }
        let Some((first, entry)) = self.entries.range_mut(..=id).next_back() else {
            return;
        };
        if entry.group.is_some() {
            entry.attempt = entry.attempt.max(retry.attempt);
            let first = *first;
            return self.pass_to_another(first, to, None);
        }
        channel.again.push_back((id, retry.attempt));
        self.tell_ready(to, class);
    }

    /// What is settled at a destination is not handed over again there.
    pub(super) fn drop_retries(&mut self, to: Destination, class: Priority, low: u64, high: u64) {
        let Some(channel) = self.channels.get_mut(&(to, class)) else {
            return;
        };
        while let Some((id, retry)) = channel.retries.range(low..=high).next() {
            let (id, due) = (*id, retry.due);
            channel.retries.remove(&id);
            if let Some(due) = due {
                self.timers.remove(&(due, Timer::Again(to, class, id)));
            }
        }
    }
}
