//! The stream of a call, on the side that serves it: what goes on while the answer is made.

use std::pin::{Pin, pin};

use bytes::Bytes;
use macula_transport::{FrameReceiver, FrameSender};
use macula_wire::message::{
    Body, CallMode, CallPart, CallProgress, CallReply, CallResult, CancelMode, Failure, Message,
    Together,
};
use macula_wire::{CallId, ContentType, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use crate::call::{Canceller, Ends, Flow, Giver, NodeReply, Reply, Taker};

/// How many answers of many wait for the stream to take them.
const MAX_REPLIES: usize = 16;

type Answer = Result<CallResult, Failure>;

/// What is said on a call's stream beside the call and its answer.
pub(super) struct Talk {
    call: CallId,
    mode: CallMode,
    ends: Ends,
    replies: Option<mpsc::Receiver<NodeReply>>,
}

impl Talk {
    /// For a call of this mode, and whether many answer it; with the flow for whoever serves it.
    pub(super) fn new(call: CallId, mode: CallMode, many: bool) -> (Self, Flow) {
        let (flow, ends, replies) = if many {
            let (give, take) = mpsc::channel(MAX_REPLIES);
            (Flow::of_many(give), Ends::default(), Some(take))
        } else {
            let (flow, ends) = Flow::of(mode);
            (flow, ends, None)
        };
        let talk = Self {
            call,
            mode,
            ends,
            replies,
        };
        (talk, flow)
    }
}

/// Waits for the answer, and meanwhile reads what the caller says and writes what comes before the answer.
///
/// # Errors
///
/// The code to reset the stream with, where nobody waits for the answer any more.
pub(super) async fn hold(
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    talk: Talk,
    canceller: &Canceller,
    mut answer: Pin<&mut impl Future<Output = Answer>>,
) -> Result<Answer, ErrorCode> {
    let is_quiet = talk.ends.progress.is_none() && talk.replies.is_none();
    if is_quiet {
        let call = (talk.call, talk.mode);
        return tokio::select! {
            biased;
            answer = &mut answer => Ok(answer),
            // Made only when the answer has to be waited for.
            code = async { Box::pin(gone(sender, receiver, call, canceller)).await } => Err(code),
        };
    }
    Box::pin(converse(sender, receiver, talk, canceller, answer)).await
}

/// The same for a call with something to say before the answer.
async fn converse(
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    talk: Talk,
    canceller: &Canceller,
    mut answer: Pin<&mut impl Future<Output = Answer>>,
) -> Result<Answer, ErrorCode> {
    let Talk {
        call,
        mode,
        ends,
        replies,
    } = talk;
    let (end, ended) = oneshot::channel();
    let mut writing = pin!(write(sender, call, ends.progress, replies, ended));
    let mut listening = pin!(listen(receiver, (call, mode), ends.parts, canceller));
    let mut is_finished = false;
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            heard = &mut listening, if !is_finished => match heard {
                Heard::Finished => is_finished = true,
                Heard::Over(code) => return Err(code),
            },
            // Nobody reads it any more.
            () = &mut writing => return Err(ErrorCode::CANCELED),
        }
    };
    // What was said before the answer leaves before it.
    if end.send(()).is_ok() {
        writing.await;
    }
    Ok(answer)
}

/// Waits until the caller takes the call back: by RPC_CANCEL, by a reset of its side, or by wanting no answer. That it
/// has nothing more to say is no cancellation.
async fn gone(
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    call: (CallId, CallMode),
    canceller: &Canceller,
) -> ErrorCode {
    match listen(receiver, call, None, canceller).await {
        Heard::Over(code) => code,
        Heard::Finished => {
            sender.stopped().await;
            ErrorCode::CANCELED
        }
    }
}

/// What the caller's side of the stream came to.
enum Heard {
    /// It has nothing more to say.
    Finished,
    /// It does not wait for the answer, or broke a rule.
    Over(ErrorCode),
}

/// Reads what the caller says, as fast as parts are taken.
async fn listen(
    receiver: &mut FrameReceiver,
    (call, mode): (CallId, CallMode),
    mut parts: Option<Giver>,
    canceller: &Canceller,
) -> Heard {
    let mut expected = 0;
    let mut is_open = mode == CallMode::Stream;
    loop {
        let body = match receiver.next().await {
            Ok(Some(frame)) => match Message::decode(&frame) {
                Ok(message) => message.body,
                Err(_) => return Heard::Over(ErrorCode::PROTOCOL_VIOLATION),
            },
            Ok(None) => return Heard::Finished,
            Err(_) => return Heard::Over(ErrorCode::CANCELED),
        };
        match body {
            Body::RpcCancel(cancel) if cancel.call == call => match cancel.mode {
                CancelMode::Skip => {}
                CancelMode::Kill => canceller.cancel(CancelMode::Kill),
                CancelMode::KillNoWait => return Heard::Over(ErrorCode::CANCELED),
            },
            Body::RpcPart(part) if part.call == call && is_open && part.sequence == expected => {
                expected = part.sequence.saturating_add(1);
                is_open = !part.end;
                take(&mut parts, part).await;
            }
            Body::RpcCancel(_) | Body::RpcPart(_) => {
                return Heard::Over(ErrorCode::PROTOCOL_VIOLATION);
            }
            _ => {}
        }
    }
}

/// Hands a part on. A function that takes no more of them goes on without.
async fn take(parts: &mut Option<Giver>, part: CallPart) {
    if part.end {
        *parts = None;
    }
    if let Some(taker) = parts
        && !taker.send(Reply::new(part.content, part.payload)).await
    {
        *parts = None;
    }
}

/// Writes what comes before the answer, until `ended` says that the answer is there and all is written. Returns early if
/// nobody reads it any more.
async fn write(
    sender: &mut FrameSender,
    call: CallId,
    mut progress: Option<Taker>,
    mut replies: Option<mpsc::Receiver<NodeReply>>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut sequence = 0;
    let mut is_ended = false;
    let mut together = Together::new();
    loop {
        let said: Vec<Body> = tokio::select! {
            biased;
            _ = &mut ended, if !is_ended => {
                is_ended = true;
                // Nothing more comes in; what waits goes out.
                progress.as_mut().map(Taker::close);
                replies.as_mut().map(mpsc::Receiver::close);
                continue;
            }
            Some(parts) = next_parts(&mut progress) => {
                let parts = parts.into_iter();
                parts.map(|part| progress_of(call, &mut sequence, part)).collect()
            }
            Some(reply) = next_reply(&mut replies) => vec![reply_of(call, reply)],
            _ = sender.stopped() => return,
            () = std::future::ready(()), if is_ended => return,
        };
        for body in said {
            if together.push(body).is_err() {
                debug_assert!(false, "a part over its limits");
                return;
            }
        }
        if sender.send_pieces(&mut together.take()).await.is_err() {
            return;
        }
    }
}

/// What is there of the result, once something is.
async fn next_parts(from: &mut Option<Taker>) -> Option<Vec<Reply>> {
    let parts = from.as_mut()?.recv_all().await;
    (!parts.is_empty()).then_some(parts)
}

async fn next_reply(from: &mut Option<mpsc::Receiver<NodeReply>>) -> Option<NodeReply> {
    from.as_mut()?.recv().await
}

fn progress_of(call: CallId, sequence: &mut u64, part: Reply) -> Body {
    let number = *sequence;
    *sequence = number.saturating_add(1);
    Body::from(CallProgress {
        call,
        sequence: number,
        content: part.content,
        payload: part.payload,
    })
}

fn reply_of(call: CallId, reply: NodeReply) -> Body {
    let (failure, content, payload) = match reply.result {
        Ok(reply) => (None, reply.content, reply.payload),
        Err(error) => {
            let failure = Box::new(Failure::from(&error));
            (Some(failure), ContentType::Bytes, Bytes::new())
        }
    };
    Body::from(CallReply {
        call,
        node: reply.node,
        failure,
        content,
        payload,
    })
}
