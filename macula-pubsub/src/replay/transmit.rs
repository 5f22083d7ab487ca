//! What is owed to a destination, and what goes there next.

use macula_wire::DeliveryId;
use macula_wire::message::Priority;

use super::channel::{Channel, Reach};
use super::{Replay, ReplayOutput, Timer, Transmit};
use crate::Destination;

impl<T: Clone> Replay<T> {
    /// Takes note that an entry is owed to a destination, which may be away.
    pub(super) fn owe(&mut self, to: Destination, class: Priority, first: u64) {
        if !self.reach.contains_key(&to) {
            let reach = match to {
                Destination::Local(_) | Destination::Session(_) => Reach::Up,
                Destination::Member(_) => {
                    let until = self.now + self.config.lease;
                    self.timers.insert((until, Timer::Lease(to)));
                    Reach::Down(until)
                }
            };
            self.reach.insert(to, reach);
        }
        let fresh = Channel {
            sent: self.before,
            ..Channel::default()
        };
        let channel = self.channels.entry((to, class)).or_insert(fresh);
        channel.owed.insert(first);
        self.tell_ready(to, class);
    }

    /// Tells once that a destination that can be reached has something to get.
    pub(super) fn tell_ready(&mut self, to: Destination, class: Priority) {
        let is_up = matches!(self.reach.get(&to), Some(Reach::Up));
        let Some(channel) = self.channels.get_mut(&(to, class)) else {
            return;
        };
        if is_up && !channel.told && channel.has_more() {
            channel.told = true;
            self.outputs.push_back(ReplayOutput::Ready(to, class));
        }
    }

    /// What a destination gets next; `None` if there is nothing, or it cannot be reached. Whoever takes something sends
    /// it: what is lost on the way is asked for by the receiver, or sent again with the next link.
    pub fn next(&mut self, to: Destination, class: Priority) -> Option<Transmit<T>> {
        if !matches!(self.reach.get(&to), Some(Reach::Up)) {
            return None;
        }
        let channel = self.channels.get_mut(&(to, class))?;
        let floor = channel.owed.first().copied();
        while let Some((id, attempt)) = channel.again.pop_front() {
            if let Some((first, entry)) = self.entries.range(..=id).next_back()
                && entry.owes(to, id)
            {
                let offset = u32::try_from(id.saturating_sub(*first)).unwrap_or(u32::MAX);
                return Some(Transmit {
                    prev: DeliveryId::new(id.saturating_sub(1)),
                    first: DeliveryId::new(id),
                    count: 1,
                    offset,
                    floor: DeliveryId::new(floor.unwrap_or(id).min(id)),
                    group: entry.group.as_ref().map(|group| group.name.clone()),
                    attempt: attempt.max(entry.attempt),
                    payload: entry.payload.clone(),
                });
            }
        }
        let behind = (
            std::ops::Bound::Excluded(channel.cursor),
            std::ops::Bound::Unbounded,
        );
        let Some(first) = channel.owed.range(behind).next().copied() else {
            channel.told = false;
            return None;
        };
        let entry = self.entries.get(&first)?;
        let prev = channel.cursor;
        let last = first.saturating_add(entry.count).saturating_sub(1);
        channel.cursor = last;
        channel.sent = channel.sent.max(last);
        Some(Transmit {
            prev: DeliveryId::new(prev),
            first: DeliveryId::new(first),
            count: u32::try_from(entry.count).unwrap_or(u32::MAX),
            offset: 0,
            floor: DeliveryId::new(floor.unwrap_or(first).min(first)),
            group: entry.group.as_ref().map(|group| group.name.clone()),
            attempt: entry.attempt,
            payload: entry.payload.clone(),
        })
    }
}
