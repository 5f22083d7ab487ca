//! Making one call: its state machine, driven by the task that waits for the result.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_realm::{Action, Authority, DefaultRules, Verdict};
use macula_rpc::{Call, CallInput, CallOutput, CallRequest, Candidate, Provider, SessionKey};
use macula_transport::{FrameReceiver, LinkError};
use macula_wire::message::{Body, CallResult, Failure, Message, RpcCall, StreamKind};
use macula_wire::{
    CallId, DecodeError, ErrorCode, Instant, Machine, NodeId, Procedure, Random, limit,
};

use super::Plane;
use super::counters::add;
use super::dispatch;
use super::links::Attached;
use super::rights::denied;
use super::topic::too_large;
use crate::Error;
use crate::call::{CallOptions, Reply};

/// A call that is to be made, by this node or on behalf of a client of it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) caller: NodeId,
    pub(crate) request: RpcCall,
    pub(crate) deadline: Instant,
}

/// Makes the call and waits for its end. Dropping the future cancels the call.
pub(crate) async fn make(
    plane: &Arc<Plane>,
    outgoing: Outgoing,
    candidates: Vec<Candidate>,
) -> Result<CallResult, Failure> {
    let procedure = outgoing.request.procedure.clone();
    let mut request = CallRequest::new(outgoing.request.call, procedure, outgoing.deadline);
    request.idempotent = outgoing.request.idempotency.is_some();
    let mut call = Call::new(
        macula_rpc::CallConfig::default(),
        request,
        candidates,
        plane.random(),
        plane.clock.now(),
    );
    loop {
        match call.poll_output() {
            Some(CallOutput::Send { to, .. }) => {
                let input = until_due(plane, &mut call, attempt(plane, &outgoing, to)).await;
                if let Some(input) = input {
                    call.handle_input(plane.clock.now(), input);
                }
            }
            Some(CallOutput::Done(result)) => {
                if result.is_err() {
                    add(&plane.counters.calls_failed, 1);
                }
                return result;
            }
            // The stream of an attempt is reset when its future is dropped, and that is how a callee hears of it.
            Some(CallOutput::Abandon { .. }) => {}
            None => {
                plane.clock.sleep_until(call.poll_timeout()).await;
                call.handle_timeout(plane.clock.now());
            }
        }
    }
}

/// Runs an attempt until it ends or the call's own time has come; `None` then.
async fn until_due(
    plane: &Plane,
    call: &mut Call,
    attempt: impl Future<Output = CallInput>,
) -> Option<CallInput> {
    tokio::pin!(attempt);
    loop {
        tokio::select! {
            biased;
            input = &mut attempt => return Some(input),
            () = plane.clock.sleep_until(call.poll_timeout()) => {
                let now = plane.clock.now();
                call.handle_timeout(now);
                if call.poll_timeout().is_none_or(|at| at <= now) {
                    return None;
                }
            }
        }
    }
}

async fn attempt(plane: &Arc<Plane>, outgoing: &Outgoing, to: Provider) -> CallInput {
    let left = outgoing.deadline.saturating_since(plane.clock.now());
    let mut request = outgoing.request.clone();
    request.caller = outgoing.caller;
    request.deadline_ms = milliseconds(left);
    match to {
        Provider::Local(key) => {
            CallInput::Answer(dispatch::run_local(plane, key, None, request).await)
        }
        Provider::Session(session, _) => {
            let attached = plane
                .links
                .session(macula_pubsub::SessionId::new(session.get()));
            by_link(attached, request).await
        }
        Provider::Member(node) => {
            let attached = plane.uplink.clone().or_else(|| plane.links.member(&node));
            by_link(attached, request).await
        }
    }
}

/// Puts one question to the peer of a link; `None` if it could not be put or answered.
pub(crate) async fn ask(
    attached: &Arc<Attached>,
    request: RpcCall,
) -> Option<Result<CallResult, Failure>> {
    match by_link(Some(Arc::clone(attached)), request).await {
        CallInput::Answer(answer) => Some(answer),
        _ => None,
    }
}

async fn by_link(attached: Option<Arc<Attached>>, request: RpcCall) -> CallInput {
    let Some(attached) = attached else {
        return CallInput::NotSent;
    };
    let _busy = attached.busy();
    let call = request.call;
    let bytes = match Message::from(request).to_bytes() {
        Ok(bytes) => bytes,
        Err(error) => {
            return CallInput::Answer(Err(Failure::new(
                ErrorCode::INVALID_ARGUMENT,
                &error.to_string(),
            )));
        }
    };
    let Ok((mut sender, mut receiver)) = attached.link.open(StreamKind::Call).await else {
        return CallInput::NotSent;
    };
    if sender.send(Bytes::from(bytes)).await.is_err() {
        return CallInput::NotSent;
    }
    // The sending side stays open: its end would say that the caller has gone.
    let input = match answer(&mut receiver, call).await {
        Ok(answer) => CallInput::Answer(answer),
        Err(_) => CallInput::Lost,
    };
    sender.finish();
    input
}

async fn answer(
    receiver: &mut FrameReceiver,
    call: CallId,
) -> Result<Result<CallResult, Failure>, LinkError> {
    while let Some(frame) = receiver.next().await? {
        match Message::decode(&frame).map_err(LinkError::Protocol)?.body {
            Body::RpcResult(result) if result.call == call => return Ok(Ok(result)),
            Body::RpcError(error) if error.call == call => return Ok(Err(error.failure)),
            _ => {}
        }
    }
    Err(LinkError::Protocol(DecodeError::UnexpectedEnd))
}

/// A duration as the wire counts deadlines, saturating.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl Plane {
    /// Makes a call of this node or client.
    pub(crate) async fn call(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
    ) -> Result<Reply, Error> {
        if payload.len() > self.max_payload_len {
            return Err(too_large(payload.len(), self.max_payload_len));
        }
        let allowed =
            DefaultRules.check(&self.own, Action::Call, procedure.as_str()) == Verdict::Allow;
        if !allowed && self.uplink.is_none() {
            add(&self.counters.denied, 1);
            return Err(denied("call", procedure.as_str()));
        }
        add(&self.counters.calls_made, 1);
        let deadline = self.clock.now() + options.deadline;
        self.watch_procedure(&procedure, deadline).await?;
        let candidates = self.candidates(&procedure);
        let outgoing = Outgoing {
            caller: self.node(),
            deadline,
            request: RpcCall {
                call: self.call_id(),
                hops: HOPS,
                caller: self.node(),
                procedure,
                deadline_ms: milliseconds(options.deadline),
                idempotency: options.idempotency_key,
                content: options.content,
                headers: options.headers,
                payload,
            },
        };
        let result = make(self, outgoing, candidates).await?;
        Ok(Reply::new(result.content, result.payload))
    }

    /// Who may be asked to run `procedure`.
    pub(crate) fn candidates(&self, procedure: &Procedure) -> Vec<Candidate> {
        if let Some(uplink) = &self.uplink {
            return vec![Candidate {
                provider: Provider::Member(uplink.link.peer().node),
                weight: 1,
            }];
        }
        self.providers.load().candidates(procedure).to_vec()
    }

    /// Whether a provider can be asked at present.
    pub(crate) fn can_ask(&self, provider: &Provider) -> bool {
        match provider {
            Provider::Local(_) | Provider::Session(..) => true,
            Provider::Member(node) => self.links.member(node).is_some(),
        }
    }

    /// A fresh call id.
    pub(crate) fn call_id(&self) -> CallId {
        let mut bytes = [0; macula_wire::CALL_ID_LEN];
        self.with_random(|random| random.fill(&mut bytes));
        CallId::from_bytes(bytes)
    }

    /// A generator for one short-lived machine.
    pub(crate) fn random(&self) -> Random {
        self.with_random(Random::fork)
    }
}

/// The hop limit of calls that start here.
pub(crate) const HOPS: u8 = limit::DEFAULT_HOPS;

/// The key of a client's session among providers.
pub(crate) fn session_key(session: macula_pubsub::SessionId) -> SessionKey {
    SessionKey::new(session.get())
}
