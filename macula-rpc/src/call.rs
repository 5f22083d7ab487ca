//! One outgoing call, from the choice of a provider to its one end.

mod choice;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{CallId, ErrorCode, Instant, Machine, Procedure, Random};

use crate::{CallConfig, Candidate, Provider};
use choice::Choice;

/// One outgoing call.
///
/// It puts out exactly one [`CallOutput::Done`], by the deadline at the latest, and nothing after that. At most one
/// provider has the call at a time, and none gets it twice. The next one gets it only where that is safe: the one
/// before declined it or never received it, or the caller said that running twice does no harm.
#[derive(Debug)]
pub struct Call {
    request: CallRequest,
    now: Instant,
    choice: Choice,
    attempts_left: u32,
    attempt: u32,
    state: State,
    refusals: Refusals,
    outputs: VecDeque<CallOutput>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// `to` has the call, or is about to get it.
    Waiting {
        to: Provider,
    },
    /// `to` was told to stop, and the caller waits for it.
    Stopping {
        to: Provider,
    },
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
    /// A call to one of `candidates`, as [`ProviderTable::candidates`](crate::ProviderTable::candidates) has them.
    ///
    /// Without a candidate, or past the deadline, it ends at once.
    #[must_use]
    pub fn new(
        config: CallConfig,
        request: CallRequest,
        candidates: Vec<Candidate>,
        random: Random,
        now: Instant,
    ) -> Self {
        let unknown = candidates.is_empty();
        let mut call = Self {
            request,
            now,
            choice: Choice::new(candidates, random),
            attempts_left: config.max_attempts.max(1),
            attempt: 0,
            state: State::Done,
            refusals: Refusals::default(),
            outputs: VecDeque::new(),
        };
        if unknown {
            let detail = "nobody serves the procedure";
            call.fail(Failure::new(ErrorCode::NO_SUCH_PROCEDURE, detail));
        } else if call.request.deadline <= now {
            call.fail(out_of_time());
        } else {
            call.try_next();
        }
        call
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &CallRequest {
        &self.request
    }

    /// Who has the call; `None` once it has ended.
    #[must_use]
    pub const fn callee(&self) -> Option<Provider> {
        match self.state {
            State::Waiting { to } | State::Stopping { to } => Some(to),
            State::Done => None,
        }
    }

    /// Whether it has ended. Its [`CallOutput::Done`] may still wait.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.now < self.request.deadline {
            return;
        }
        match self.state {
            State::Waiting { to } => {
                self.abandon(to, CancelMode::KillNoWait);
                self.fail(out_of_time());
            }
            State::Stopping { .. } => self.fail(out_of_time()),
            State::Done => {}
        }
    }

    fn on_answer(&mut self, answer: Result<CallResult, Failure>) {
        match answer {
            Ok(result) if result.call == self.request.id => self.finish(Ok(result)),
            Ok(_) => self.on_foreign_result(),
            Err(failure) => self.on_failure(failure),
        }
    }

    /// The callee answered another call than it was sent.
    fn on_foreign_result(&mut self) {
        if let Some(to) = self.callee() {
            self.abandon(to, CancelMode::KillNoWait);
        }
        let detail = "the provider answered another call";
        self.fail(Failure::new(ErrorCode::PROTOCOL_VIOLATION, detail));
    }

    fn on_failure(&mut self, failure: Failure) {
        if matches!(self.state, State::Stopping { .. }) {
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
        if matches!(self.state, State::Stopping { .. }) {
            self.fail(canceled());
            return;
        }
        if self.request.idempotent {
            self.refusals.lost = Some(failure);
            self.try_next();
        } else {
            self.fail(failure);
        }
    }

    /// The callee has not run the call, and will not.
    fn on_refusal(&mut self, failure: Failure) {
        if matches!(self.state, State::Stopping { .. }) {
            self.fail(canceled());
            return;
        }
        let last = self.refusals.last.as_ref();
        self.refusals.mixed |= last.is_some_and(|last| last.code != failure.code);
        self.refusals.last = Some(failure);
        self.try_next();
    }

    fn on_cancel(&mut self, mode: CancelMode) {
        match (self.state, mode) {
            (State::Waiting { to }, CancelMode::Kill) => {
                self.abandon(to, mode);
                self.state = State::Stopping { to };
            }
            (State::Waiting { to }, CancelMode::Skip | CancelMode::KillNoWait) => {
                self.abandon(to, mode);
                self.fail(canceled());
            }
            (State::Stopping { .. }, CancelMode::Skip | CancelMode::KillNoWait) => {
                self.fail(canceled());
            }
            (State::Stopping { .. }, CancelMode::Kill) | (State::Done, _) => {}
        }
    }

    /// Sends the call to the next provider; without one, ends it.
    fn try_next(&mut self) {
        let next = match self.attempts_left.checked_sub(1) {
            Some(left) => {
                self.attempts_left = left;
                self.choice.next()
            }
            None => None,
        };
        let Some(to) = next else {
            let failure = self.refusals.verdict();
            self.fail(failure);
            return;
        };
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Waiting { to };
        self.outputs.push_back(CallOutput::Send {
            to,
            attempt: self.attempt,
            deadline_ms: millis_between(self.now, self.request.deadline),
        });
    }

    fn abandon(&mut self, to: Provider, mode: CancelMode) {
        self.outputs.push_back(CallOutput::Abandon { to, mode });
    }

    fn fail(&mut self, failure: Failure) {
        self.finish(Err(failure));
    }

    fn finish(&mut self, end: Result<CallResult, Failure>) {
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
            CallInput::Answer(answer) => self.on_answer(answer),
            CallInput::Cancel(mode) => self.on_cancel(mode),
            CallInput::Lost => {
                let detail = "the provider was lost during the call";
                self.on_loss(Failure::new(ErrorCode::CALLEE_LOST, detail));
            }
            CallInput::NotSent => {
                let detail = "the provider could not be reached";
                self.on_refusal(Failure::new(ErrorCode::UNREACHABLE, detail));
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
        (!self.is_done()).then_some(self.request.deadline)
    }
}

/// What is called, and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CallRequest {
    /// Names the call; the same at every provider that it is sent to.
    pub id: CallId,
    /// What is called.
    pub procedure: Procedure,
    /// When it ends at the latest.
    pub deadline: Instant,
    /// Whether running it twice does no harm, so that another provider may get it when one is lost.
    pub idempotent: bool,
}

impl CallRequest {
    /// A call that must not run twice.
    #[must_use]
    pub const fn new(id: CallId, procedure: Procedure, deadline: Instant) -> Self {
        Self {
            id,
            procedure,
            deadline,
            idempotent: false,
        }
    }

    /// The same, and running it twice does no harm.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

/// What happened to the call. It is about the provider of the last [`CallOutput::Send`]; what an earlier one still says
/// must not be given.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum CallInput {
    /// The callee answered.
    Answer(Result<CallResult, Failure>),
    /// The caller no longer wants the result.
    Cancel(CancelMode),
    /// The stream or the link broke after something of the call had left this node: it may have run.
    Lost,
    /// Nothing of the call has left this node, and nothing will: it has not run.
    NotSent,
}

/// What the caller has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever owns the stream has to act on each"
)]
pub enum CallOutput {
    /// Tell the provider that the call is over for the caller, as `mode` says ([`CancelMode::Skip`]: nothing), and do not
    /// wait for it. Only [`CancelMode::Kill`] still wants the answer.
    Abandon {
        /// Who.
        to: Provider,
        /// How.
        mode: CancelMode,
    },
    /// The end of the call.
    Done(Result<CallResult, Failure>),
    /// Open a stream to the provider and send the call.
    Send {
        /// To whom.
        to: Provider,
        /// Counts the providers from 1.
        attempt: u32,
        /// How much time is left, in milliseconds; at least 1.
        deadline_ms: u32,
    },
}
