//! One attempt of a call: at a function of this process, or by the link to whoever knows one.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use macula_rpc::{Admission, CallInput, Entry, Provider, Registrant};
use macula_transport::{FrameReceiver, FrameSender, LinkError};
use macula_wire::message::{
    Body, CallCancel, CallMode, CallPart, CallResult, CancelMode, Failure, Message, RpcCall,
    StreamKind, Together,
};
use macula_wire::{CallId, DecodeError, ErrorCode};

use super::Plane;
use super::counters::add;
use super::invoke;
use super::links::Attached;
use super::outgoing::{Outgoing, milliseconds, nobody};
use super::tally::Counted;
use crate::Error;
use crate::call::{NodeReply, Reply};

/// Runs one attempt to its end. Dropping the future takes the call back at this provider.
pub(super) async fn run(
    plane: Arc<Plane>,
    outgoing: Arc<Outgoing>,
    to: Provider,
    attempt: u32,
    admission: Option<Arc<Admission>>,
) -> CallInput {
    let left = outgoing.deadline.saturating_since(plane.clock.now());
    let mut request = outgoing.request.clone();
    request.deadline_ms = milliseconds(left);
    let entry = match enter(&plane, to, admission.as_deref()) {
        Ok(entry) => entry,
        Err(failure) => {
            let answer = Err(failure);
            return CallInput::Answer { attempt, answer };
        }
    };
    match (to, admission) {
        (Provider::Local(key), Some(admission)) => {
            let work = invoke::Work {
                key,
                via: outgoing.via,
                request,
                flow: outgoing.flow.clone(),
                cancelled: outgoing.cancelled.clone(),
                held: (admission, entry),
            };
            let answer = invoke::run(&plane, work).await;
            CallInput::Answer { attempt, answer }
        }
        (Provider::Session(session, registration), _) => {
            let tally = plane
                .services
                .tally(Registrant::Session(session, registration))
                .unwrap_or_default();
            let session = macula_pubsub::SessionId::new(session.get());
            let attached = plane.links.session(session);
            let mut counted = tally.begin();
            let input = by_link(&plane, attached, &outgoing, request, attempt).await;
            count(&mut counted, &input);
            input
        }
        (Provider::Member(node), _) => {
            let mut attached = plane.uplink.clone().or_else(|| plane.links.member(&node));
            if attached.is_none() && outgoing.is_dialled {
                attached = plane.reach(node).await;
            }
            by_link(&plane, attached, &outgoing, request, attempt).await
        }
        (Provider::Local(_), None) => CallInput::NotSent { attempt },
    }
}

/// Notes how a call ended that went to a client: all of its calls pass its member.
fn count(counted: &mut Counted<'_>, input: &CallInput) {
    match input {
        CallInput::Answer { answer: Ok(_), .. } => counted.succeeded(),
        CallInput::Answer {
            answer: Err(failure),
            ..
        } => counted.failed(failure.code, &failure.detail),
        _ => counted.failed(ErrorCode::CALLEE_LOST, "the link to the client was lost"),
    }
}

/// Takes a slot of a registration on this node.
fn enter(
    plane: &Plane,
    to: Provider,
    admission: Option<&Admission>,
) -> Result<Option<Entry>, Failure> {
    let Some(admission) = admission else {
        return Ok(None);
    };
    let providers = plane.providers.load();
    let slots = providers.slots(to).ok_or_else(nobody)?;
    admission.enter(plane.clock.now(), slots).map(Some)
}

async fn by_link(
    plane: &Arc<Plane>,
    attached: Option<Arc<Attached>>,
    outgoing: &Outgoing,
    request: RpcCall,
    attempt: u32,
) -> CallInput {
    let Some(attached) = attached else {
        return CallInput::NotSent { attempt };
    };
    let _busy = attached.busy();
    let waiting = plane.watch_link(&attached);
    let (call, mode) = (request.call, request.mode);
    let bytes = match Message::from(request).to_bytes() {
        Ok(bytes) => bytes,
        Err(error) => {
            let failure = Failure::new(ErrorCode::INVALID_ARGUMENT, &error.to_string());
            let answer = Err(failure);
            return CallInput::Answer { attempt, answer };
        }
    };
    // Where the caller has nothing more to say, its side ends with the call itself, and takes no word of its own later.
    let is_all = mode != CallMode::Stream && outgoing.cancelled.is_never();
    let begun = tokio::select! {
        biased;
        begun = begin(&attached, Bytes::from(bytes), is_all) => begun,
        () = waiting.lost() => return CallInput::NotSent { attempt },
    };
    let Ok((mut sender, mut receiver)) = begun else {
        return CallInput::NotSent { attempt };
    };
    let answered = if is_all {
        tokio::select! {
            biased;
            answered = answer(plane, &mut receiver, outgoing, call) => answered.ok(),
            () = waiting.lost() => None,
        }
    } else {
        tokio::select! {
            biased;
            answered = answer(plane, &mut receiver, outgoing, call) => answered.ok(),
            never = give(&mut sender, outgoing, call, mode) => match never {},
            () = waiting.lost() => None,
        }
    };
    match answered {
        Some(answer) => {
            sender.finish();
            CallInput::Answer { attempt, answer }
        }
        None => CallInput::Lost { attempt },
    }
}

/// Opens the stream of a call and sends the call.
async fn begin(
    attached: &Attached,
    request: Bytes,
    is_all: bool,
) -> Result<(FrameSender, FrameReceiver), LinkError> {
    let (mut sender, receiver) = attached.link.open(StreamKind::Call).await?;
    sender.send(request).await?;
    if is_all {
        sender.finish();
    }
    Ok((sender, receiver))
}

/// Reads what the callee says, up to the answer.
async fn answer(
    plane: &Plane,
    receiver: &mut FrameReceiver,
    outgoing: &Outgoing,
    call: CallId,
) -> Result<Result<CallResult, Failure>, LinkError> {
    let mut expected = 0;
    while let Some(frame) = receiver.next().await? {
        match Message::decode(&frame).map_err(LinkError::Protocol)?.body {
            Body::RpcResult(result) if result.call == call => {
                end(receiver);
                return Ok(Ok(result));
            }
            Body::RpcError(error) if error.call == call => {
                end(receiver);
                return Ok(Err(error.failure));
            }
            Body::RpcProgress(part) if part.call == call => {
                if part.sequence != expected {
                    let detail = "a part of the result is out of order";
                    return Ok(Err(Failure::new(ErrorCode::PROTOCOL_VIOLATION, detail)));
                }
                expected = expected.saturating_add(1);
                // Whoever asked may have heard enough, and takes the call back by himself.
                outgoing
                    .flow
                    .progress(Reply::new(part.content, part.payload))
                    .await;
            }
            Body::RpcReply(reply) if reply.call == call => {
                let result = match reply.failure {
                    Some(failure) => Err(Error::from(*failure)),
                    None => Ok(Reply::new(reply.content, reply.payload)),
                };
                let node = reply.node;
                outgoing.flow.reply(NodeReply { node, result }).await;
            }
            // Who was not asked cannot answer.
            _ => add(&plane.counters.answers_ignored, 1),
        }
    }
    Err(LinkError::Protocol(DecodeError::UnexpectedEnd))
}

/// Takes the end of the stream, which mostly came with the answer: the callee need not be told to stop.
fn end(receiver: &mut FrameReceiver) {
    drop(receiver.next().now_or_never());
}

/// What cannot be.
enum Never {}

/// Tells the callee what the caller has to say: parts of the arguments, and that it is to stop.
async fn give(
    sender: &mut FrameSender,
    outgoing: &Outgoing,
    call: CallId,
    mode: CallMode,
) -> Never {
    let mut cancelled = outgoing.cancelled.clone();
    let mut sequence = 0;
    let mut is_open = mode == CallMode::Stream && outgoing.flow.has_parts();
    let mut together = Together::new();
    loop {
        let parts = tokio::select! {
            biased;
            () = cancelled.killed() => {
                let mode = CancelMode::Kill;
                send(sender, CallCancel { call, mode }).await;
                return std::future::pending().await;
            }
            parts = outgoing.flow.next_parts(), if is_open => parts,
        };
        is_open = !parts.is_empty();
        let mut add = |part: Reply, end| {
            let part = CallPart {
                call,
                sequence,
                end,
                content: part.content,
                payload: part.payload,
            };
            sequence = sequence.saturating_add(1);
            let added = together.push(part.into());
            debug_assert!(added.is_ok(), "a part over its limits: {added:?}");
            added.is_ok()
        };
        let is_whole = if is_open {
            parts.into_iter().all(|part| add(part, false))
        } else {
            add(Reply::bytes(Bytes::new()), true)
        };
        // A callee that wants no more of them has answered, or is lost: both show where its answer is awaited.
        is_open &= sender.send_pieces(&mut together.take()).await.is_ok() && is_whole;
    }
}

async fn send(sender: &mut FrameSender, body: impl Into<Body>) -> bool {
    match Message::from(body.into()).to_bytes() {
        Ok(bytes) => sender.send(Bytes::from(bytes)).await.is_ok(),
        Err(error) => {
            debug_assert!(false, "a message over its limits: {error}");
            false
        }
    }
}
