//! What can be seen of the buffer.

use macula_wire::message::Priority;

use super::{Custody, Replay};
use crate::Destination;
use crate::ids::Ids;

impl<T: Clone> Replay<T> {
    /// Whether there is room for anything more.
    #[must_use]
    pub const fn has_room(&self, custody: Custody) -> bool {
        let room = self.room(custody);
        let (max_events, max_bytes) = self.config.room(custody);
        room.events < max_events && room.bytes < max_bytes
    }

    /// How many events wait, and how many bytes they take.
    #[must_use]
    pub const fn used(&self, custody: Custody) -> (usize, usize) {
        let room = self.room(custody);
        (room.events, room.bytes)
    }

    /// How many events are not settled at a destination.
    #[must_use]
    pub fn owed_to(&self, to: Destination) -> u64 {
        let classes = Priority::ALL.iter();
        let channels = classes.filter_map(|class| self.channels.get(&(to, *class)));
        let entries = channels.flat_map(|channel| &channel.owed);
        let each = entries.filter_map(|first| self.entries.get(first)?.owed.get(&to));
        each.map(Ids::count).fold(0, u64::saturating_add)
    }
}
