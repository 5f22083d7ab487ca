//! What the network knows of one node.

use macula_wire::Instant;

use super::clock::Clock;
use super::event::Event;

/// The place of one node.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Whether a machine runs there.
    pub(super) runs: bool,
    pub(super) paused: bool,
    /// How often it was started.
    pub(super) life: u32,
    /// When the machine wants its time-out, in the network's time.
    pub(super) wanted: Option<Instant>,
    /// The moments for which a wake-up is in the queue, each before the one below it.
    ///
    /// A machine that wants its time-out later than the last of them gets none of its own: the earlier wake-up sees to
    /// it. So a deadline that moves with every message costs nothing, and wake-ups that came to nothing do not pile up.
    pub(super) wakes: Vec<Instant>,
    pub(super) clock: Clock,
    pub(super) region: usize,
    /// Messages that it sent, and their bytes with those of dials.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// What waits for it to go on.
    pub(super) held: Vec<Event>,
}
