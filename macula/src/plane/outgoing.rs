//! Making one call: its state machine, driven by the task that waits for the result.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use macula_rpc::{
    Admission, Call, CallConfig, CallInput, CallOutput, CallRequest, Candidates, Provider, Scope,
};
use macula_wire::message::{CallMode, CallResult, CancelMode, Failure, RpcCall};
use macula_wire::{ErrorCode, Instant, Machine, NodeId};

use super::Plane;
use super::attempt;
use super::counters::add;
use crate::call::{Cancelled, Flow};

/// A call that is to be made, by this node or on behalf of a client of it, or that came from another member.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// What is sent, but for the time that is left.
    pub(crate) request: RpcCall,
    /// The member that vouches for the caller, where that is a client of another node.
    pub(crate) via: Option<NodeId>,
    pub(crate) deadline: Instant,
    /// When another provider gets it as well.
    pub(crate) hedge_after: Option<Duration>,
    /// Which of the candidates may get it.
    pub(crate) scope: Scope,
    /// Whether a link is dialled to a callee that has none.
    pub(crate) is_dialled: bool,
    pub(crate) flow: Flow,
    pub(crate) cancelled: Cancelled,
}

/// A provider that has the call.
struct Running {
    number: u32,
    attempt: Pin<Box<dyn Future<Output = CallInput> + Send>>,
}

/// Makes the call and waits for its end. Dropping the future takes the call back without waiting.
pub(crate) async fn make(
    plane: &Arc<Plane>,
    outgoing: Arc<Outgoing>,
    candidates: Option<Candidates>,
) -> Result<CallResult, Failure> {
    let mut making = Making::new(plane, outgoing, candidates);
    let result = making.run().await;
    if result.is_err() {
        add(&plane.counters.calls_failed, 1);
    }
    add(&plane.counters.answers_ignored, making.call.ignored());
    result
}

struct Making<'a> {
    plane: &'a Arc<Plane>,
    outgoing: Arc<Outgoing>,
    call: Call,
    running: Vec<Running>,
    cancelled: Cancelled,
    /// That to this node, once somebody on it was to get the call.
    admission: Option<Arc<Admission>>,
}

impl<'a> Making<'a> {
    fn new(plane: &'a Arc<Plane>, outgoing: Arc<Outgoing>, candidates: Option<Candidates>) -> Self {
        let asked = &outgoing.request;
        let procedure = asked.procedure.clone();
        let mut request = CallRequest::new(asked.call, procedure, outgoing.deadline);
        request.idempotent = asked.idempotency.is_some();
        let hedges = outgoing.flow.is_empty() && asked.mode != CallMode::Cast;
        request.hedge_after = outgoing.hedge_after.filter(|_| hedges);
        request.scope = outgoing.scope.clone();
        request.zone.clone_from(&plane.own.zone);
        let request = request.keyed(asked.key.as_deref(), &asked.caller);
        let (random, now) = (plane.random(), plane.clock.now());
        let call = Call::new(CallConfig::default(), request, candidates, random, now);
        let cancelled = outgoing.cancelled.clone();
        Self {
            plane,
            outgoing,
            call,
            running: Vec::new(),
            cancelled,
            admission: None,
        }
    }

    async fn run(&mut self) -> Result<CallResult, Failure> {
        loop {
            while let Some(output) = self.call.poll_output() {
                match output {
                    CallOutput::Send { to, attempt, .. } => self.send(to, attempt),
                    CallOutput::Abandon { attempt, mode, .. } => self.abandon(attempt, mode),
                    CallOutput::Done(result) => return result,
                }
            }
            let due = self.call.poll_timeout();
            let input = tokio::select! {
                biased;
                input = next_of(&mut self.running) => Some(input),
                mode = self.cancelled.next() => Some(CallInput::Cancel(mode)),
                () = self.plane.clock.sleep_until(due) => None,
            };
            let now = self.plane.clock.now();
            if self.outgoing.flow.is_pinned() {
                self.call.pin();
            }
            match input {
                Some(input) => self.call.handle_input(now, input),
                None => self.call.handle_timeout(now),
            }
        }
    }

    fn send(&mut self, to: Provider, number: u32) {
        let admission = match self.admission(to) {
            Ok(admission) => admission,
            Err(failure) => {
                let answer = Err(failure);
                let input = CallInput::Answer {
                    attempt: number,
                    answer,
                };
                let attempt = Box::pin(std::future::ready(input));
                return self.running.push(Running { number, attempt });
            }
        };
        let (plane, outgoing) = (Arc::clone(self.plane), Arc::clone(&self.outgoing));
        let attempt = Box::pin(attempt::run(plane, outgoing, to, number, admission));
        self.running.push(Running { number, attempt });
    }

    /// A call enters this node once, and then one registration after the other.
    fn admission(&mut self, to: Provider) -> Result<Option<Arc<Admission>>, Failure> {
        if !to.is_here() {
            return Ok(None);
        }
        if self.admission.is_none() {
            let (now, asked) = (self.plane.clock.now(), &self.outgoing.request);
            let invocations = &self.plane.invocations;
            let deadline = self.outgoing.deadline;
            let admission = invocations.admit(now, asked.caller, asked.call, deadline)?;
            self.admission = Some(Arc::new(admission));
        }
        Ok(self.admission.clone())
    }

    fn abandon(&mut self, number: u32, mode: CancelMode) {
        // Whoever is to stop while the caller waits hears of it by himself, and still answers.
        if mode == CancelMode::Kill {
            return;
        }
        let Some(at) = self.running.iter().position(|one| one.number == number) else {
            return;
        };
        let running = self.running.swap_remove(at);
        // The stream of an attempt is reset when its future is dropped, and that is how a callee hears of it. One that is
        // to go on is driven to its end, of which nobody hears.
        if mode == CancelMode::Skip {
            let left = self
                .outgoing
                .deadline
                .saturating_since(self.plane.clock.now());
            self.plane.serving.spawn("skipped call", async move {
                drop(tokio::time::timeout(left, running.attempt).await);
            });
        }
    }
}

/// What happens next to one of those that have the call. Cancel safe.
async fn next_of(running: &mut Vec<Running>) -> CallInput {
    poll_fn(|context| {
        for (at, one) in running.iter_mut().enumerate() {
            if let Poll::Ready(input) = one.attempt.as_mut().poll(context) {
                running.swap_remove(at);
                return Poll::Ready(input);
            }
        }
        Poll::Pending
    })
    .await
}

/// A duration as the wire counts deadlines, saturating.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The failure of a call that nobody serves.
pub(crate) fn nobody() -> Failure {
    Failure::new(
        ErrorCode::NO_SUCH_PROCEDURE,
        "nobody serves the procedure any more",
    )
}
