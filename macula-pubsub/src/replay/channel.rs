//! What is on its way to one destination in one class.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use macula_wire::Instant;

/// See the module. Ids are those of the first events of entries, but for `cursor` and `sent`.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Entries of which something is not settled there.
    pub(super) owed: BTreeSet<u64>,
    /// The last id that was sent; everything up to it is on its way or settled.
    pub(super) cursor: u64,
    /// The greatest id that was ever sent.
    pub(super) sent: u64,
    /// Whether the caller knows that there is something to send.
    pub(super) told: bool,
    /// Single events that are to be handed over once more, with the number of attempts before.
    pub(super) again: VecDeque<(u64, u32)>,
    /// What is handed over once more in a while, or was.
    pub(super) retries: BTreeMap<u64, Retry>,
    /// Where to go on when the time has come.
    pub(super) asked: Option<u64>,
    /// Before this a further RESEND has to wait.
    pub(super) paced_until: Instant,
}

impl Channel {
    /// Begins anew with all that is not settled.
    pub(super) fn rewind(&mut self) {
        if let Some(first) = self.owed.first() {
            self.cursor = self.cursor.min(first.saturating_sub(1));
        }
        self.asked = None;
        self.told = false;
    }

    /// Whether something waits to be sent.
    pub(super) fn has_more(&self) -> bool {
        let behind = (
            std::ops::Bound::Excluded(self.cursor),
            std::ops::Bound::Unbounded,
        );
        !self.again.is_empty() || self.owed.range(behind).next().is_some()
    }
}

/// How a destination stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    Up,
    /// What is owed waits until then.
    Down(Instant),
}

/// How often one event was handed over before, and when it is again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    pub(super) attempt: u32,
    pub(super) due: Option<Instant>,
    /// It counts as rejected instead if it was handed over so often; 0 for never.
    pub(super) max_deliver: u32,
}
