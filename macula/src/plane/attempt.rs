//! One attempt of a call: at a function of this process, or by the link to whoever knows one.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use macula_rpc::{Admission, CallInput, Entry, Provider, Registrant};
use macula_transport::{FrameReceiver, FrameSender, LinkError};
use macula_wire::message::{
    Body, CallCancel, CallMode, CallPart, CallResult, CancelMode, Failure, Message, StreamKind,
    Together,
};
use macula_wire::{CallId, DecodeError, ErrorCode};

use super::Plane;
use super::counters::add;
use super::invoke;
use super::links::Attached;
use super::outgoing::{Outgoing, nobody};
use super::tally::Counted;
use crate::Error;
use crate::call::{NodeReply, Reply};

/// An attempt at who is on this node.
pub(super) struct Here {
    pub(super) to: Provider,
    pub(super) attempt: u32,
    pub(super) admission: Arc<Admission>,
    /// How much time is left, in milliseconds.
    pub(super) deadline_ms: u32,
    /// The call for a client; a function takes it as it is.
    pub(super) frame: Bytes,
}

/// Runs one attempt to its end, by a function of this process or a client of this node. Dropping the future takes the call
/// back there.
pub(super) async fn here(plane: Arc<Plane>, outgoing: Arc<Outgoing>, here: Here) -> CallInput {
    let Here {
        to,
        attempt,
        admission,
        deadline_ms,
        frame,
    } = here;
    let entry = match enter(&plane, to, &admission) {
        Ok(entry) => entry,
        Err(failure) => {
            let answer = Err(failure);
            return CallInput::Answer { attempt, answer };
        }
    };
    match to {
        Provider::Local(key) => {
            let mut request = outgoing.request.clone();
            request.deadline_ms = deadline_ms;
            let work = invoke::Work {
                key,
                via: outgoing.via,
                request,
                deadline: outgoing.deadline,
                flow: outgoing.flow.clone(),
                cancelled: outgoing.cancelled.clone(),
                held: (admission, entry),
            };
            let answer = invoke::run(&plane, work).await;
            CallInput::Answer { attempt, answer }
        }
        Provider::Session(session, registration) => {
            let tally = plane
                .services
                .tally(Registrant::Session(session, registration))
                .unwrap_or_default();
            let session = macula_pubsub::SessionId::new(session.get());
            let attached = plane.links.session(session);
            let mut counted = tally.begin();
            let input = by_link(plane, attached, outgoing, frame, attempt).await;
            count(&mut counted, &input);
            drop(entry);
            input
        }
        Provider::Member(_) => CallInput::NotSent { attempt },
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
fn enter(plane: &Plane, to: Provider, admission: &Admission) -> Result<Entry, Failure> {
    let providers = plane.providers.load();
    let slots = providers.slots(to).ok_or_else(nobody)?;
    admission.enter(plane.clock.now(), slots)
}

/// Sends the call by the link to whoever knows who serves it, and waits for the answer. Dropping the future takes it back
/// there.
pub(super) async fn by_link(
    plane: Arc<Plane>,
    attached: Option<Arc<Attached>>,
    outgoing: Arc<Outgoing>,
    frame: Bytes,
    attempt: u32,
) -> CallInput {
    let Some(attached) = attached else {
        return CallInput::NotSent { attempt };
    };
    let _busy = attached.busy();
    let waiting = plane.watch_link(&attached);
    let (call, mode) = (outgoing.request.call, outgoing.request.mode);
    // Where the caller has nothing more to say, its side ends with the call itself, and takes no word of its own later.
    let is_all = mode != CallMode::Stream && outgoing.cancelled.is_never();
    let begun = tokio::select! {
        biased;
        begun = begin(&attached, frame, is_all) => begun,
        () = waiting.lost() => return CallInput::NotSent { attempt },
    };
    let Ok((mut sender, mut receiver)) = begun else {
        return CallInput::NotSent { attempt };
    };
    let answered = if is_all {
        tokio::select! {
            biased;
            answered = answer(&plane, &mut receiver, &outgoing, call) => answered.ok(),
            () = waiting.lost() => None,
        }
    } else {
        // Apart, because what few calls need would be moved about with each.
        let talking = async {
            tokio::select! {
                biased;
                answered = answer(&plane, &mut receiver, &outgoing, call) => answered.ok(),
                never = give(&mut sender, &outgoing, call, mode) => match never {},
                () = waiting.lost() => None,
            }
        };
        Box::pin(talking).await
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
                let part = Reply::new(part.content, part.payload);
                outgoing.flow.progress(part).await;
            }
            Body::RpcReply(reply) if reply.call == call => {
                let result = match reply.failure {
                    Some(failure) => Err(Error::from(*failure)),
                    None => Ok(Reply::new(reply.content, reply.payload)),
                };
                let node = reply.node;
                Box::pin(outgoing.flow.reply(NodeReply { node, result })).await;
            }
            // Who was not asked cannot answer.
            _ => add(&plane.counters.answers_ignored, 1),
        }
    }
    Err(LinkError::Protocol(DecodeError::UnexpectedEnd))
}

/// Takes the end of the stream, which mostly came with what was last read: the peer need not be told to stop.
pub(super) fn end(receiver: &mut FrameReceiver) {
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
    let cancelled = &outgoing.cancelled;
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
