//! Making one call: its state machine, driven by the task that waits for the result.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use macula_rpc::{
    Admission, Call, CallConfig, CallInput, CallOutput, CallRequest, Candidates, Provider, Scope,
};
use macula_wire::message::{CallMode, CallResult, CancelMode, Failure, RpcCall};
use macula_wire::{EncodeError, ErrorCode, Instant, Machine, NodeId};

use super::Plane;
use super::attempt;
use super::counters::add;
use crate::call::{Cancelled, Flow};

/// A call that is to be made, by this node or on behalf of a client of it, or that came from another member.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// What is sent, but for the time that is left.
    pub(crate) request: Box<RpcCall>,
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

/// An attempt until its end. Dropping it takes the call back there.
type Begun = Pin<Box<dyn Future<Output = CallInput> + Send>>;

/// A provider that has the call.
struct Running {
    number: u32,
    attempt: Begun,
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
                    CallOutput::Send {
                        to,
                        attempt,
                        deadline_ms,
                    } => self.send(to, attempt, deadline_ms),
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

    fn send(&mut self, to: Provider, number: u32, deadline_ms: u32) {
        let begun = match to {
            Provider::Member(node) => self.begin_there(node, number, deadline_ms),
            Provider::Local(_) | Provider::Session(..) => self.begin_here(to, number, deadline_ms),
        };
        let attempt = begun.unwrap_or_else(|failure| {
            let answer = Err(failure);
            let attempt = number;
            Box::pin(std::future::ready(CallInput::Answer { attempt, answer }))
        });
        self.running.push(Running { number, attempt });
    }

    fn begin_there(
        &mut self,
        node: NodeId,
        attempt: u32,
        deadline_ms: u32,
    ) -> Result<Begun, Failure> {
        let frame = self.frame(deadline_ms)?;
        let (plane, outgoing) = (Arc::clone(self.plane), Arc::clone(&self.outgoing));
        let attached = plane.uplink.clone().or_else(|| plane.links.member(&node));
        if attached.is_some() || !outgoing.is_dialled {
            let sent = attempt::by_link(plane, attached, outgoing, frame, attempt);
            return Ok(Box::pin(sent));
        }
        Ok(Box::pin(async move {
            let attached = plane.reach(node).await;
            attempt::by_link(plane, attached, outgoing, frame, attempt).await
        }))
    }

    fn begin_here(
        &mut self,
        to: Provider,
        attempt: u32,
        deadline_ms: u32,
    ) -> Result<Begun, Failure> {
        let admission = self.admission()?;
        let frame = match to {
            Provider::Session(..) => self.frame(deadline_ms)?,
            Provider::Local(_) | Provider::Member(_) => Bytes::new(),
        };
        let (plane, outgoing) = (Arc::clone(self.plane), Arc::clone(&self.outgoing));
        let here = attempt::Here {
            to,
            attempt,
            admission,
            deadline_ms,
            frame,
        };
        Ok(Box::pin(attempt::here(plane, outgoing, here)))
    }

    /// The call as it is sent with so much time left.
    fn frame(&mut self, deadline_ms: u32) -> Result<Bytes, Failure> {
        // Mostly nobody else has it yet.
        let frame = if let Some(outgoing) = Arc::get_mut(&mut self.outgoing) {
            outgoing.request.deadline_ms = deadline_ms;
            outgoing.request.to_frame()
        } else {
            let mut request = self.outgoing.request.clone();
            request.deadline_ms = deadline_ms;
            request.to_frame()
        };
        let refused =
            |error: EncodeError| Failure::new(ErrorCode::INVALID_ARGUMENT, &error.to_string());
        frame.map(Bytes::from).map_err(refused)
    }

    /// A call enters this node once, and then one registration after the other.
    fn admission(&mut self) -> Result<Arc<Admission>, Failure> {
        if let Some(admission) = &self.admission {
            return Ok(Arc::clone(admission));
        }
        let (now, asked) = (self.plane.clock.now(), &self.outgoing.request);
        let invocations = &self.plane.invocations;
        let deadline = self.outgoing.deadline;
        let admission = invocations.admit(now, asked.caller, asked.call, deadline)?;
        let admission = Arc::new(admission);
        self.admission = Some(Arc::clone(&admission));
        Ok(admission)
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
