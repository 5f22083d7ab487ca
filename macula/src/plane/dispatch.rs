//! Serving calls that come from elsewhere.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use macula_realm::Action;
use macula_rpc::{Candidate, Provider, RegistrationKey};
use macula_transport::{FrameReceiver, FrameSender};
use macula_wire::message::{Body, CallError, CallResult, Failure, Message, Role, RpcCall};
use macula_wire::{ContentType, ErrorCode, NodeId};

use super::Plane;
use super::counters::add;
use super::links::Attached;
use super::outgoing::{self, Outgoing};
use crate::call::{Handler, Invocation};
use crate::keep::{EARLIER, HISTORY, Wanted};
use crate::testament::{self, TESTAMENT};

/// How long a peer may take to send the first frame of a call stream.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest a relayed or served call may take, whatever its caller says.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3_600);

/// A procedure that this process serves.
#[derive(Clone, Debug)]
pub(crate) struct Registration(pub(crate) Handler);

/// Serves one call stream.
pub(crate) async fn serve(
    plane: Arc<Plane>,
    attached: Arc<Attached>,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let _busy = attached.busy();
    let request = match tokio::time::timeout(FIRST_FRAME_TIMEOUT, first(&mut receiver)).await {
        Ok(Some(request)) => request,
        Ok(None) => {
            add(&plane.counters.misbehaved, 1);
            return sender.reset(ErrorCode::PROTOCOL_VIOLATION);
        }
        Err(_) => return sender.reset(ErrorCode::DEADLINE_EXCEEDED),
    };
    add(&plane.counters.calls_received, 1);
    let call = request.call;
    let answer = tokio::select! {
        answer = answer(&plane, &attached, request) => answer,
        () = cancelled(&mut receiver, &mut sender) => return sender.reset(ErrorCode::CANCELED),
    };
    let body = match answer {
        Ok(mut result) => {
            result.call = call;
            Body::from(result)
        }
        Err(failure) => Body::from(CallError { call, failure }),
    };
    let bytes = Message::from(body).to_bytes().or_else(|error| {
        let failure = Failure::new(ErrorCode::INTERNAL, &error.to_string());
        Message::from(CallError { call, failure }).to_bytes()
    });
    if let Ok(bytes) = bytes
        && sender.send(Bytes::from(bytes)).await.is_ok()
    {
        sender.finish();
    }
}

async fn first(receiver: &mut FrameReceiver) -> Option<RpcCall> {
    let frame = receiver.next().await.ok()??;
    match Message::decode(&frame).ok()?.body {
        Body::RpcCall(request) => Some(request),
        _ => None,
    }
}

/// Waits until the caller takes the call back: by RPC_CANCEL, by a reset of its side, or by wanting no answer. That it
/// has nothing more to send is no cancellation.
async fn cancelled(receiver: &mut FrameReceiver, sender: &mut FrameSender) {
    loop {
        match receiver.next().await {
            Ok(Some(frame)) => {
                let message = Message::decode(&frame);
                if message.is_ok_and(|message| matches!(message.body, Body::RpcCancel(_))) {
                    return;
                }
            }
            Ok(None) => {
                sender.stopped().await;
                return;
            }
            Err(_) => return,
        }
    }
}

async fn answer(
    plane: &Arc<Plane>,
    attached: &Attached,
    request: RpcCall,
) -> Result<CallResult, Failure> {
    let peer = attached.link.peer();
    let procedure = request.procedure.clone();
    let from_client = attached.link.role() == Role::Client;
    if request.payload.len() > plane.max_payload_len {
        return Err(Failure::new(
            ErrorCode::PAYLOAD_TOO_LARGE,
            "the arguments are over this node's limit",
        ));
    }
    let is_for_members = procedure.as_str() == HISTORY;
    if is_for_members || from_client && procedure.as_str().starts_with("$sys.") {
        return answer_reserved(plane, attached, request).await;
    }
    let caller = if from_client {
        peer.node
    } else {
        request.caller
    };
    if from_client && !plane.allows(peer, Action::Call, procedure.as_str()) {
        add(&plane.counters.denied, 1);
        return Err(Failure::new(
            ErrorCode::DENIED,
            "the rights of this identity do not allow the call",
        ));
    }
    let left = Duration::from_millis(u64::from(request.deadline_ms)).min(MAX_DEADLINE);
    let deadline = plane.clock.now() + left;
    if from_client {
        plane
            .watch_procedure(&procedure, deadline)
            .await
            .map_err(|error| Failure::new(error.code(), error.detail()))?;
    }
    let candidates: Vec<Candidate> = {
        let providers = plane.providers.load();
        // A member's call is not passed on to a third.
        let found = if from_client {
            providers.candidates(&procedure)
        } else {
            providers.candidates_here(&procedure)
        };
        found.to_vec()
    };
    if let [
        Candidate {
            provider: Provider::Local(key),
            ..
        },
    ] = candidates.as_slice()
    {
        let key = *key;
        let via = (caller != peer.node).then_some(peer.node);
        let mut request = request;
        request.caller = caller;
        return run_local(plane, key, via, request).await;
    }
    let Some(hops) = request.hops.checked_sub(1) else {
        return Err(Failure::new(
            ErrorCode::HOP_LIMIT,
            "the call passed too many nodes",
        ));
    };
    add(&plane.counters.calls_relayed, 1);
    let outgoing = Outgoing {
        caller,
        deadline,
        request: RpcCall { hops, ..request },
    };
    outgoing::make(plane, outgoing, candidates).await
}

/// Answers a reserved name, after the rights that it asks for.
async fn answer_reserved(
    plane: &Plane,
    attached: &Attached,
    request: RpcCall,
) -> Result<CallResult, Failure> {
    let name = request.procedure.as_str();
    if name == TESTAMENT {
        testament::take(plane, attached, &request)
            .map_err(|error| Failure::new(error.code(), error.detail()))?;
        return Ok(CallResult {
            call: request.call,
            content: ContentType::Bytes,
            payload: Bytes::new(),
        });
    }
    if name == HISTORY || name == EARLIER {
        // Nobody is told of events that it may not subscribe to.
        let peer = attached.link.peer();
        let may = Wanted::read(&request.headers)
            .is_some_and(|(pattern, _)| plane.allows(peer, Action::Subscribe, pattern.as_str()));
        if !may {
            add(&plane.counters.denied, 1);
            return Err(Failure::new(
                ErrorCode::DENIED,
                "the rights of this identity do not allow the subscription",
            ));
        }
    }
    answer_system(plane, request).await
}

/// Answers a client's question about this node.
async fn answer_system(plane: &Plane, request: RpcCall) -> Result<CallResult, Failure> {
    let call = request.call;
    let Some(system) = plane.system.get() else {
        return Err(Failure::new(
            ErrorCode::NO_SUCH_PROCEDURE,
            "this process answers no questions about itself",
        ));
    };
    let left = Duration::from_millis(u64::from(request.deadline_ms));
    let reply = system
        .run(invocation(request, None, left))
        .await
        .map_err(Failure::from)?;
    Ok(CallResult {
        call,
        content: reply.content,
        payload: reply.payload,
    })
}

fn invocation(request: RpcCall, via: Option<NodeId>, left: Duration) -> Invocation {
    Invocation {
        call: request.call,
        procedure: request.procedure,
        caller: request.caller,
        via,
        deadline: left,
        content: request.content,
        headers: request.headers,
        payload: request.payload,
    }
}

/// Runs a call by a registration of this process.
pub(crate) async fn run_local(
    plane: &Arc<Plane>,
    key: RegistrationKey,
    via: Option<NodeId>,
    request: RpcCall,
) -> Result<CallResult, Failure> {
    let gone = || {
        Failure::new(
            ErrorCode::NO_SUCH_PROCEDURE,
            "nobody serves the procedure any more",
        )
    };
    let registration = {
        let registrations = plane
            .registrations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        registrations.get(&key).cloned()
    };
    let Some(registration) = registration else {
        return Err(gone());
    };
    let now = plane.clock.now();
    let left = Duration::from_millis(u64::from(request.deadline_ms)).min(MAX_DEADLINE);
    let call = request.call;
    let slots = plane
        .providers
        .load()
        .slots(Provider::Local(key))
        .cloned()
        .ok_or_else(gone)?;
    let _admission = plane
        .invocations
        .admit(now, request.caller, call, &slots, now + left)?;
    let invocation = invocation(request, via, left);
    // A panic of the application ends this call and nothing else. What the function shares with others is its own to
    // keep sound.
    let run = AssertUnwindSafe(async move { registration.0.run(invocation).await });
    let answered = tokio::time::timeout(left, run.catch_unwind()).await;
    match answered {
        Ok(Ok(Ok(reply))) if reply.payload.len() > plane.max_payload_len => Err(Failure::new(
            ErrorCode::PAYLOAD_TOO_LARGE,
            "the result is over the limit of the provider",
        )),
        Ok(Ok(Ok(reply))) => Ok(CallResult {
            call,
            content: reply.content,
            payload: reply.payload,
        }),
        Ok(Ok(Err(failure))) => Err(failure.into()),
        Ok(Err(_)) => {
            plane.tasks.caught_panic("call");
            Err(Failure::new(
                ErrorCode::INTERNAL,
                "the function that serves the procedure panicked",
            ))
        }
        Err(_) => Err(Failure::new(
            ErrorCode::DEADLINE_EXCEEDED,
            "the provider did not finish in time",
        )),
    }
}
