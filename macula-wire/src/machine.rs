//! What every protocol core is: a state machine that is told the time.

use crate::Instant;

/// A protocol as a state machine: events and time go in, work for the caller comes out.
///
/// # Laws
///
/// 1. After the output is drained, [`poll_timeout`](Self::poll_timeout) lies in the future; while output waits, it
///    lies in the past or is now.
/// 2. [`handle_timeout`](Self::handle_timeout) before that time changes nothing.
/// 3. A `now` before an earlier `now` counts as the earlier one.
/// 4. One event causes a bounded amount of output.
/// 5. Draining late neither loses nor reorders output.
/// 6. Equal seeds and equal events cause equal output.
///
/// The test kit of the workspace checks them for each machine on random sequences of events.
pub trait Machine {
    /// Something that happened outside.
    type Input;
    /// Something the caller has to do.
    type Output;

    /// Takes in what happened at `now`. A mistake of a peer is an output, so this cannot fail.
    fn handle_input(&mut self, now: Instant, input: Self::Input);

    /// Does what has fallen due by `now`.
    fn handle_timeout(&mut self, now: Instant);

    /// Hands out the oldest piece of work that waits.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next; `None` if nothing is going to fall due.
    fn poll_timeout(&self) -> Option<Instant>;
}
