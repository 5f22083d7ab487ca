//! One outgoing call, from the choice of a provider to its one end.

mod attempts;
mod boundary;
mod choice;
#[cfg(test)]
mod tests;

pub use boundary::{CallInput, CallOutput, CallRequest, Scope};

use std::collections::VecDeque;
use std::time::Duration;

use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{ErrorCode, Instant, Machine, Random};

use crate::{CallConfig, Candidates, Provider};
use attempts::{Attempt, Attempts};
use choice::Choice;

/// One outgoing call.
///
/// It puts out exactly one [`CallOutput::Done`], by the deadline at the latest, and nothing after that. No provider gets
/// it twice, and at most one has it at a time, unless it hedges. The next one gets it only where that is safe: the one
/// before declined it or never received it, or the caller said that running twice does no harm.
#[derive(Debug)]
pub struct Call {
    request: CallRequest,
    now: Instant,
    choice: Choice,
    attempts_left: u32,
    /// How many more than one may have the call at a time.
    hedges: u32,
    /// When another one gets the call as well.
    hedge_at: Option<Instant>,
    attempts: Attempts,
    state: State,
    refusals: Refusals,
    /// How many answers came from whoever does not have the call.
    ignored: u64,
    outputs: VecDeque<CallOutput>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Somebody has the call, or is about to get it.
    Waiting,
    /// Whoever has it was told to stop, and the caller waits for that.
    Stopping,
    Done,
}

/// Why the providers so far did not take the call.
#[derive(Debug, Default)]
struct Refusals {
    /// The last refusal.
    last: Option<Failure>,
    /// Whether the codes differed.
    mixed: bool,
    /// The failure that stands if one of them was lost with the call.
    lost: Option<Failure>,
}

impl Call {
    /// A call to one of `candidates`, as [`ProviderTable::find`](crate::ProviderTable::find) has them.
    ///
    /// Without a candidate, or past the deadline, it ends at once.
    #[must_use]
    pub fn new(
        config: CallConfig,
        request: CallRequest,
        candidates: Option<Candidates>,
        random: Random,
        now: Instant,
    ) -> Self {
        let known = candidates.filter(|candidates| !candidates.all().is_empty());
        let unknown = known.is_none();
        let candidates = known.unwrap_or_else(|| Candidates::none(&request.procedure));
        let hedges = if request.idempotent {
            config.max_hedges
        } else {
            0
        };
        let mut call = Self {
            request,
            now,
            choice: Choice::new(candidates, random),
            attempts_left: config.max_attempts.max(1),
            hedges,
            hedge_at: None,
            attempts: Attempts::default(),
            state: State::Waiting,
            refusals: Refusals::default(),
            ignored: 0,
            outputs: VecDeque::new(),
        };
        if unknown {
            let detail = "nobody serves the procedure";
            call.fail(Failure::new(ErrorCode::NO_SUCH_PROCEDURE, detail));
        } else if call.request.deadline <= now {
            call.fail(out_of_time());
        } else {
            call.go_on();
        }
        call
    }

    /// No other provider gets the call from here on: a part of its arguments has left for the one that has it, or a part
    /// of the result has come.
    pub const fn pin(&mut self) {
        self.attempts_left = 0;
        self.hedges = 0;
        self.hedge_at = None;
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &CallRequest {
        &self.request
    }

    /// Who has the call, the first of them where it hedges; `None` once it has ended.
    #[must_use]
    pub fn callee(&self) -> Option<Provider> {
        self.attempts.first().map(|attempt| attempt.to)
    }

    /// Whether it has ended. Its [`CallOutput::Done`] may still wait.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many answers were ignored because whoever gave them does not have the call.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.is_done() {
            return;
        }
        if self.now >= self.request.deadline {
            self.fail(out_of_time());
        } else if self.hedge_at.is_some_and(|at| at <= self.now) {
            self.hedge_at = None;
            self.hedges = self.hedges.saturating_sub(1);
            // The first one goes on whether there is another or not.
            self.send_next();
        }
    }

    fn on_answer(&mut self, attempt: u32, answer: Result<CallResult, Failure>) {
        let Some(ended) = self.attempts.remove(attempt) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        match answer {
            Ok(result) if result.call == self.request.id => self.finish(Ok(result)),
            Ok(_) => self.on_foreign_result(&ended),
            Err(failure) => self.on_failure(failure),
        }
    }

    /// The callee answered another call than it was sent.
    fn on_foreign_result(&mut self, by: &Attempt) {
        self.abandon(by.number, by.to, CancelMode::KillNoWait);
        let detail = "the provider answered another call";
        self.fail(Failure::new(ErrorCode::PROTOCOL_VIOLATION, detail));
    }

    fn on_failure(&mut self, failure: Failure) {
        if self.state == State::Stopping {
            self.fail(failure);
        } else if failure.code == ErrorCode::CALLEE_LOST {
            self.on_loss(failure);
        } else if was_declined(failure.code) {
            self.on_refusal(failure);
        } else {
            self.fail(failure);
        }
    }

    /// The callee is gone, and may have run the call.
    fn on_loss(&mut self, failure: Failure) {
        if self.state == State::Stopping {
            self.fail(canceled());
        } else if self.request.idempotent {
            self.refusals.lost = Some(failure);
            self.go_on();
        } else {
            self.fail(failure);
        }
    }

    /// The callee has not run the call, and will not.
    fn on_refusal(&mut self, failure: Failure) {
        if self.state == State::Stopping {
            self.fail(canceled());
            return;
        }
        let last = self.refusals.last.as_ref();
        self.refusals.mixed |= last.is_some_and(|last| last.code != failure.code);
        self.refusals.last = Some(failure);
        self.go_on();
    }

    fn on_cancel(&mut self, mode: CancelMode) {
        match (self.state, mode) {
            (State::Waiting, CancelMode::Kill) => {
                self.abandon_all(mode);
                self.hedge_at = None;
                self.state = State::Stopping;
            }
            (State::Waiting, CancelMode::Skip | CancelMode::KillNoWait) => {
                self.abandon_all(mode);
                self.attempts.clear();
                self.fail(canceled());
            }
            (State::Stopping, CancelMode::Skip | CancelMode::KillNoWait) => {
                self.fail(canceled());
            }
            (State::Stopping, CancelMode::Kill) | (State::Done, _) => {}
        }
    }

    /// Waits for whoever else has the call, or sends it to the next provider; without one, ends it.
    fn go_on(&mut self) {
        if self.attempts.first().is_some() || self.send_next() {
            return;
        }
        let failure = self.refusals.verdict();
        self.fail(failure);
    }

    /// Sends the call to the next provider; whether there is one.
    fn send_next(&mut self) -> bool {
        let Some(left) = self.attempts_left.checked_sub(1) else {
            return false;
        };
        let Some(candidate) = self.choice.next(&self.request) else {
            return false;
        };
        let to = candidate.provider;
        // Calls to those on this node are counted where they are admitted.
        let slot = (!to.is_here()).then(|| candidate.slots.take()).flatten();
        self.attempts_left = left;
        let attempt = self.attempts.add(to, slot);
        self.outputs.push_back(CallOutput::Send {
            to,
            attempt,
            deadline_ms: millis_between(self.now, self.request.deadline),
        });
        if let Some(after) = self.request.hedge_after.filter(|_| self.hedges > 0)
            && self.choice.has_more(&self.request)
        {
            self.hedge_at = Some(self.now + after.max(Duration::from_millis(1)));
        }
        true
    }

    fn abandon(&mut self, attempt: u32, to: Provider, mode: CancelMode) {
        self.outputs
            .push_back(CallOutput::Abandon { to, attempt, mode });
    }

    fn abandon_all(&mut self, mode: CancelMode) {
        let all = self.attempts.iter().map(|one| (one.number, one.to));
        self.outputs
            .extend(all.map(|(attempt, to)| CallOutput::Abandon { to, attempt, mode }));
    }

    fn fail(&mut self, failure: Failure) {
        self.finish(Err(failure));
    }

    fn finish(&mut self, end: Result<CallResult, Failure>) {
        // Whoever was told to stop need not be told again.
        if self.state == State::Waiting {
            self.abandon_all(CancelMode::KillNoWait);
        }
        self.attempts.clear();
        self.hedge_at = None;
        self.state = State::Done;
        self.outputs.push_back(CallOutput::Done(end));
    }
}

impl Refusals {
    /// The failure of a call that nobody took.
    fn verdict(&mut self) -> Failure {
        if let Some(lost) = self.lost.take() {
            return lost;
        }
        match self.last.take() {
            Some(last) if !self.mixed => last,
            _ => Failure::new(
                ErrorCode::NO_AVAILABLE_CALLEE,
                "no provider takes the call at present",
            ),
        }
    }
}

/// Whether a provider that answers so has not run the call.
fn was_declined(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::BUSY
            | ErrorCode::DRAINING
            | ErrorCode::NO_AVAILABLE_CALLEE
            | ErrorCode::NO_SUCH_PROCEDURE
            | ErrorCode::SHUTTING_DOWN
            | ErrorCode::UNAVAILABLE
            | ErrorCode::UNREACHABLE
    )
}

fn out_of_time() -> Failure {
    let detail = "no answer came before the deadline";
    Failure::new(ErrorCode::DEADLINE_EXCEEDED, detail)
}

fn canceled() -> Failure {
    Failure::new(ErrorCode::CANCELED, "the caller cancelled the call")
}

/// The time from `now` to `deadline` in milliseconds, rounded up, so that a call that is sent has at least one.
fn millis_between(now: Instant, deadline: Instant) -> u32 {
    let nanos = deadline.saturating_since(now).as_nanos();
    u32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl Machine for Call {
    type Input = CallInput;
    type Output = CallOutput;

    /// Ignores everything once the call has ended.
    fn handle_input(&mut self, now: Instant, input: CallInput) {
        self.advance(now);
        if self.is_done() {
            return;
        }
        match input {
            CallInput::Answer { attempt, answer } => self.on_answer(attempt, answer),
            CallInput::Cancel(mode) => self.on_cancel(mode),
            CallInput::Lost { attempt } => {
                if self.attempts.remove(attempt).is_some() {
                    let detail = "the provider was lost during the call";
                    self.on_loss(Failure::new(ErrorCode::CALLEE_LOST, detail));
                }
            }
            CallInput::NotSent { attempt } => {
                if self.attempts.remove(attempt).is_some() {
                    let detail = "the provider could not be reached";
                    self.on_refusal(Failure::new(ErrorCode::UNREACHABLE, detail));
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<CallOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.outputs.is_empty() {
            return Some(self.now);
        }
        if self.is_done() {
            return None;
        }
        let deadline = self.request.deadline;
        Some(self.hedge_at.map_or(deadline, |at| at.min(deadline)))
    }
}
