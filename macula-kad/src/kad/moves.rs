//! Members that came and went, and what they have to do with records.

use std::time::Duration;

use macula_wire::NodeId;

use super::Kad;
use crate::distance::{Distance, Place};
use crate::timer::Timer;

/// How long further moves are waited for, so that records are looked through once for all of them.
const TOGETHER: Duration = Duration::from_millis(50);

/// Where nodes stand that came or went since records were last looked through.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(super) came: Vec<Place>,
    pub(super) went: Vec<Place>,
}

impl Moves {
    /// Whether any of them is, or was, among the closest to a place, the farthest of which is `reach` away; if that is
    /// not known, it may be.
    pub(super) fn concern(&self, place: Place, reach: Option<Distance>) -> bool {
        let within = |moved: &Place| reach.is_none_or(|reach| place.to(*moved) <= reach);
        self.came.iter().chain(&self.went).any(within)
    }
}

impl Kad {
    /// A node came that may be among the closest to some records.
    pub(super) fn came(&mut self, node: &NodeId) {
        self.moves.came.push(Place::of_node(node));
        self.timers.arm(Timer::Moves, self.now + TOGETHER);
    }

    /// Whether there is anything that depends on who is closest.
    pub(super) fn has_records(&self) -> bool {
        self.kept().0 > 0 || !self.owns.is_empty() || !self.watchings.is_empty()
    }

    /// A node went that may have been among the closest to some records.
    pub(super) fn went(&mut self, node: &NodeId) {
        self.moves.went.push(Place::of_node(node));
        self.timers.arm(Timer::Moves, self.now + TOGETHER);
    }

    /// Looks through everything that has to do with who is closest.
    pub(super) fn on_moves(&mut self) {
        let moves = std::mem::take(&mut self.moves);
        self.replicate_after(&moves);
        self.tell_after(&moves);
        self.watch_after(&moves);
    }
}
