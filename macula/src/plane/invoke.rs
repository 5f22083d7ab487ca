//! Running a call by a function of this process.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use macula_realm::Tenant;
use macula_rpc::RegistrationKey;
use macula_transport::is_beginning;
use macula_wire::message::{CallMode, CallResult, Failure, RpcCall};
use macula_wire::{ContentType, ErrorCode, Instant, NodeId};

use super::Plane;
use super::dispatch::MAX_DEADLINE;
use super::outgoing::nobody;
use super::tally::Tally;
use crate::call::{
    Answer, CallFailure, Cancelled, Flow, Handler, Invocation, Reply, Serving, serving_at,
};

/// What is said of a function that panicked.
const PANICKED: &str = "the function that serves the procedure panicked";

/// A procedure that this process serves.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) handler: Handler,
    pub(crate) tally: Arc<Tally>,
}

/// A call that a function is to run.
pub(super) struct Work<H> {
    pub(super) key: RegistrationKey,
    pub(super) via: Option<NodeId>,
    pub(super) request: Box<RpcCall>,
    pub(super) deadline: Instant,
    pub(super) flow: Flow,
    pub(super) cancelled: Cancelled,
    /// The slots that it has as long as it runs.
    pub(super) held: H,
}

/// Runs the call. With the mode *cast* it returns as soon as the function has begun.
pub(super) async fn run<H: Send + 'static>(
    plane: &Arc<Plane>,
    work: Work<H>,
) -> Result<CallResult, Failure> {
    let registration = {
        let registrations = plane.registrations.read();
        let registrations = registrations.unwrap_or_else(PoisonError::into_inner);
        registrations.get(&work.key).cloned()
    };
    let registration = registration.ok_or_else(nobody)?;
    if work.request.mode != CallMode::Cast {
        return carry_out(plane, &registration, work).await;
    }
    let call = work.request.call;
    let shared = Arc::clone(plane);
    plane.serving.spawn("cast", async move {
        drop(carry_out(&shared, &registration, work).await);
    });
    Ok(CallResult {
        call,
        content: ContentType::Bytes,
        payload: Bytes::new(),
    })
}

async fn carry_out<H>(
    plane: &Plane,
    registration: &Registration,
    work: Work<H>,
) -> Result<CallResult, Failure> {
    let Work {
        via,
        request,
        deadline,
        flow,
        cancelled,
        held: _held,
        ..
    } = work;
    let left = Duration::from_millis(u64::from(request.deadline_ms)).min(MAX_DEADLINE);
    let (call, depth) = (request.call, request.depth);
    let mut counted = registration.tally.begin();
    let answered = {
        let serving = Serving { deadline, depth };
        let invocation = invocation(plane, *request, via, left, flow);
        let mut function = Function::new(registration, serving, invocation);
        tokio::select! {
            biased;
            answered = poll_fn(|context| function.poll(context)) => answered,
            () = cancelled.killed() => return Err(canceled()),
            // Made only when the function has to be waited for.
            () = async { tokio::time::sleep(left).await } => return Err(too_slow()),
        }
    };
    match &answered {
        Ok(Ok(_)) => counted.succeeded(),
        Ok(Err(failure)) => counted.failed(failure.0.code, &failure.0.detail),
        Err(_) => counted.failed(ErrorCode::INTERNAL, PANICKED),
    }
    drop(counted);
    match answered {
        Ok(Ok(reply)) if reply.payload.len() > plane.max_payload_len => Err(Failure::new(
            ErrorCode::PAYLOAD_TOO_LARGE,
            "the result is over the limit of the provider",
        )),
        Ok(Ok(reply)) => Ok(CallResult {
            call,
            content: reply.content,
            payload: reply.payload,
        }),
        Ok(Err(failure)) => Err(failure.into()),
        Err(_) => {
            plane.tasks.caught_panic("call");
            Err(Failure::new(ErrorCode::INTERNAL, PANICKED))
        }
    }
}

/// A function that runs a call, from before its first step.
struct Function<'a> {
    registration: &'a Registration,
    serving: Serving,
    /// What it is called with, until it is.
    invocation: Option<Invocation>,
    answer: Option<Answer>,
}

/// What became of a function: its answer, or what it panicked with.
type Ended = Result<Result<Reply, CallFailure>, Box<dyn Any + Send>>;

impl<'a> Function<'a> {
    const fn new(registration: &'a Registration, serving: Serving, invocation: Invocation) -> Self {
        Self {
            registration,
            serving,
            invocation: Some(invocation),
            answer: None,
        }
    }

    /// Goes on as far as it can; begins in the place of whoever reads the link only if the function has shown that it does
    /// not hold that up.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        if self.invocation.is_none() {
            return self.step(context);
        }
        let tally = &self.registration.tally;
        if is_beginning(context) && !tally.is_quick() {
            return Poll::Pending;
        }
        let now = tokio::time::Instant::now();
        let polled = self.step(context);
        tally.has_begun(now.elapsed());
        polled
    }

    /// A panic of the application ends this call and nothing else. What the function shares with others is its own to keep
    /// sound.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let Self {
            registration,
            serving,
            invocation,
            answer,
        } = self;
        let step = || {
            if let Some(invocation) = invocation.take() {
                *answer = Some(registration.handler.run(invocation));
            }
            match answer {
                Some(answer) => answer.as_mut().poll(context),
                None => Poll::Pending,
            }
        };
        match catch_unwind(AssertUnwindSafe(|| serving_at(*serving, step))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn canceled() -> Failure {
    Failure::new(ErrorCode::CANCELED, "the caller cancelled the call")
}

fn too_slow() -> Failure {
    let detail = "the provider did not finish in time";
    Failure::new(ErrorCode::DEADLINE_EXCEEDED, detail)
}

pub(super) fn invocation(
    plane: &Plane,
    request: RpcCall,
    via: Option<NodeId>,
    left: Duration,
    flow: Flow,
) -> Invocation {
    let tenant = request.tenant.as_deref();
    Invocation {
        call: request.call,
        procedure: request.procedure,
        realm: plane.realm.clone(),
        caller: request.caller,
        tenant: tenant.and_then(|tenant| Tenant::new(tenant).ok()),
        via,
        depth: request.depth,
        deadline: left,
        content: request.content,
        headers: request.headers,
        payload: request.payload,
        flow,
        max_payload_len: plane.max_payload_len,
    }
}
