//! Running a call by a function of this process.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use macula_realm::Tenant;
use macula_rpc::{Admission, Entry, RegistrationKey};
use macula_transport::is_beginning;
use macula_wire::message::{CallMode, CallResult, Failure, RpcCall};
use macula_wire::{ContentType, ErrorCode, NodeId};
use tokio::time::Instant;

use super::Plane;
use super::dispatch::MAX_DEADLINE;
use super::outgoing::nobody;
use super::tally::Tally;
use crate::call::{Cancelled, Flow, Handler, Invocation, Serving, serving_at};

/// What is said of a function that panicked.
const PANICKED: &str = "the function that serves the procedure panicked";

/// A procedure that this process serves.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) handler: Handler,
    pub(crate) tally: Arc<Tally>,
}

/// A call that a function is to run.
pub(super) struct Work {
    pub(super) key: RegistrationKey,
    pub(super) via: Option<NodeId>,
    pub(super) request: RpcCall,
    pub(super) flow: Flow,
    pub(super) cancelled: Cancelled,
    /// The slots that it has as long as it runs.
    pub(super) held: (Arc<Admission>, Option<Entry>),
}

/// Runs the call. With the mode *cast* it returns as soon as the function has begun.
pub(super) async fn run(plane: &Arc<Plane>, work: Work) -> Result<CallResult, Failure> {
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

async fn carry_out(
    plane: &Arc<Plane>,
    registration: &Registration,
    work: Work,
) -> Result<CallResult, Failure> {
    let Work {
        via,
        request,
        flow,
        mut cancelled,
        held: _held,
        ..
    } = work;
    let left = Duration::from_millis(u64::from(request.deadline_ms)).min(MAX_DEADLINE);
    let (call, depth) = (request.call, request.depth);
    let deadline = plane.clock.now() + left;
    let invocation = invocation(plane, request, via, left, flow);
    // A panic of the application ends this call and nothing else. What the function shares with others is its own to
    // keep sound.
    let handler = registration.handler.clone();
    let mut counted = registration.tally.begin();
    let function = async move { handler.run(invocation).await };
    let run = AssertUnwindSafe(serving_at(Serving { deadline, depth }, function)).catch_unwind();
    let run = begun(&registration.tally, run);
    let answered = tokio::select! {
        biased;
        answered = run => answered,
        () = cancelled.killed() => return Err(canceled()),
        () = tokio::time::sleep(left) => return Err(too_slow()),
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

/// Runs a function, in the place of whoever reads the link only if it has shown that it does not hold that up.
async fn begun<T>(tally: &Tally, run: impl Future<Output = T>) -> T {
    let mut run = pin!(run);
    let mut is_begun = false;
    poll_fn(|context| {
        if is_begun {
            return run.as_mut().poll(context);
        }
        if is_beginning(context) && !tally.is_quick() {
            return Poll::Pending;
        }
        is_begun = true;
        let now = Instant::now();
        let polled = run.as_mut().poll(context);
        tally.has_begun(now.elapsed());
        polled
    })
    .await
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
