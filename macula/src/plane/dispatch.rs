//! Serving calls that come from elsewhere.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use macula_realm::{Action, Authority, Verdict, Zone};
use macula_rpc::{Candidate, Candidates, Provider, Scope};
use macula_transport::{FrameReceiver, FrameSender};
use macula_wire::message::{
    Body, CallError, CallResult, CallRoute, Failure, Message, Role, RpcCall,
};
use macula_wire::{CallId, ContentType, ErrorCode, limit};

use super::counters::add;
use super::links::Attached;
use super::outgoing::{self, Outgoing, nobody};
use super::rights::{ClientRules, principal};
use super::talk::{self, Talk};
use super::{Plane, alone, attempt, gather, invoke};
use crate::call::{Canceller, Flow};
use crate::keep::{EARLIER, HISTORY, Wanted};
use crate::services::{self, SERVICE};
use crate::system;
use crate::testament::{self, TESTAMENT};

/// How long a peer may take to send the first frame of a call stream.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest a relayed or served call may take, whatever its caller says.
pub(super) const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3_600);

/// Serves one call stream.
pub(crate) async fn serve(
    plane: Arc<Plane>,
    attached: Arc<Attached>,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let _busy = attached.busy();
    // It mostly came with the stream, and then nothing has to be waited for.
    let request = match first(&mut receiver).now_or_never() {
        Some(request) => Ok(request),
        None => {
            Box::pin(tokio::time::timeout(
                FIRST_FRAME_TIMEOUT,
                first(&mut receiver),
            ))
            .await
        }
    };
    let request = match request {
        Ok(Some(request)) => request,
        Ok(None) => {
            add(&plane.counters.misbehaved, 1);
            return sender.reset(ErrorCode::PROTOCOL_VIOLATION);
        }
        Err(_) => return sender.reset(ErrorCode::DEADLINE_EXCEEDED),
    };
    add(&plane.counters.calls_received, 1);
    let (call, mode) = (request.call, request.mode);
    let many = matches!(request.route, CallRoute::All(_)) && attached.link.role() == Role::Client;
    let (talk, flow) = Talk::new(call, mode, many);
    let canceller = Canceller::new();
    let answer = pin!(answer(&plane, &attached, request, flow, &canceller));
    let answer = match talk::hold(&mut sender, &mut receiver, talk, &canceller, answer).await {
        Ok(answer) => answer,
        Err(code) => {
            if code == ErrorCode::PROTOCOL_VIOLATION {
                add(&plane.counters.misbehaved, 1);
            }
            return sender.reset(code);
        }
    };
    end(&mut sender, call, answer).await;
    attempt::end(&mut receiver);
}

/// Says the last word.
async fn end(sender: &mut FrameSender, call: CallId, answer: Result<CallResult, Failure>) {
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

/// The call. Cancel safe.
async fn first(receiver: &mut FrameReceiver) -> Option<Box<RpcCall>> {
    let frame = receiver.next().await.ok()??;
    match Message::decode(&frame).ok()?.body {
        Body::RpcCall(request) => Some(request),
        _ => None,
    }
}

/// What the call comes to here.
async fn answer(
    plane: &Arc<Plane>,
    attached: &Attached,
    mut request: Box<RpcCall>,
    flow: Flow,
    canceller: &Canceller,
) -> Result<CallResult, Failure> {
    let peer = attached.link.peer();
    if request.payload.len() > plane.max_payload_len {
        return Err(Failure::new(
            ErrorCode::PAYLOAD_TOO_LARGE,
            "the arguments are over this node's limit",
        ));
    }
    if request.depth >= limit::MAX_CALL_DEPTH {
        return Err(too_deep());
    }
    let is_client = attached.link.role() == Role::Client;
    if is_client {
        request.caller = peer.node;
        request.tenant.clone_from(&peer.tenant);
    }
    if is_answered_here(plane, &request, is_client) {
        // Apart, as all that few calls need: it would be moved about with each of them.
        return Box::pin(answer_reserved(plane, attached, *request)).await;
    }
    let left = Duration::from_millis(u64::from(request.deadline_ms)).min(MAX_DEADLINE);
    let now = plane.clock.now();
    let deadline = now + left;
    let via = (request.caller != peer.node).then_some(peer.node);
    let only = (!is_client).then(|| alone::function(plane, &request.procedure));
    if let Some(function) = only.flatten() {
        let cancelled = canceller.listen();
        let call = alone::Call {
            request,
            via,
            deadline,
            flow,
            cancelled,
        };
        return alone::run(plane, now, call, function).await;
    }
    let outgoing = Outgoing {
        via,
        request,
        deadline,
        hedge_after: None,
        scope: Scope::Here,
        is_dialled: false,
        flow,
        cancelled: canceller.listen(),
    };
    if is_client {
        return Box::pin(for_client(plane, attached, outgoing)).await;
    }
    Box::pin(for_member(plane, outgoing)).await
}

/// Runs a call of another member by those who serve it here.
async fn for_member(plane: &Arc<Plane>, outgoing: Outgoing) -> Result<CallResult, Failure> {
    let candidates = plane
        .providers
        .load()
        .find(&outgoing.request.procedure)
        .cloned();
    let here = candidates.filter(|found| !found.here().is_empty());
    if here.is_none() {
        let (now, asked) = (plane.clock.now(), &outgoing.request);
        let deadline = outgoing.deadline;
        plane
            .invocations
            .refuse(now, asked.caller, asked.call, deadline);
        return Err(nobody());
    }
    let found = here.as_ref().map(Candidates::here).unwrap_or_default();
    let outgoing = passed_on(plane, outgoing, found)?;
    outgoing::make(plane, Arc::new(outgoing), here).await
}

/// Whether it is a question that this member answers itself: what clients ask their own member, and what members ask each
/// other, for their clients as well.
fn is_answered_here(plane: &Plane, request: &RpcCall, is_client: bool) -> bool {
    let name = request.procedure.as_str();
    if system::is_open(name) {
        let elsewhere = matches!(request.route, CallRoute::Node(node) if node != plane.node());
        return !(is_client && elsewhere);
    }
    name == HISTORY || is_client && name.starts_with("$sys.")
}

/// Makes a call for a client of this node, as the client wants it to be made.
async fn for_client(
    plane: &Arc<Plane>,
    attached: &Attached,
    mut outgoing: Outgoing,
) -> Result<CallResult, Failure> {
    let procedure = outgoing.request.procedure.clone();
    if !plane.may_call(attached.link.peer(), procedure.as_str()) {
        add(&plane.counters.denied, 1);
        return Err(Failure::new(
            ErrorCode::DENIED,
            "the rights of this identity do not allow the call",
        ));
    }
    let hedge_ms = std::mem::take(&mut outgoing.request.hedge_ms);
    let hedge = Duration::from_millis(u64::from(hedge_ms));
    outgoing.hedge_after = Some(hedge).filter(|after| !after.is_zero());
    let route = std::mem::take(&mut outgoing.request.route);
    let candidates = if let CallRoute::Node(node) = route {
        plane.only(node, &procedure, &mut outgoing)
    } else {
        plane
            .watch_procedure(&procedure, outgoing.deadline)
            .await
            .map_err(|error| Failure::new(error.code(), error.detail()))?;
        outgoing.scope = match &route {
            CallRoute::Zone(zone) => Zone::new(zone).map_or(Scope::Any, Scope::Zone),
            CallRoute::Any | CallRoute::Node(_) | CallRoute::All(_) => Scope::Any,
        };
        plane.providers.load().find(&procedure).cloned()
    };
    let found = candidates.as_ref().map(Candidates::all).unwrap_or_default();
    let outgoing = passed_on(plane, outgoing, found)?;
    match route {
        CallRoute::All(most) => gather::all(plane, outgoing, candidates, most).await,
        CallRoute::Any | CallRoute::Node(_) | CallRoute::Zone(_) => {
            outgoing::make(plane, Arc::new(outgoing), candidates).await
        }
    }
}

/// The call with one hop less, unless only functions of this very process may get it.
fn passed_on(
    plane: &Plane,
    mut outgoing: Outgoing,
    candidates: &[Candidate],
) -> Result<Outgoing, Failure> {
    let is_local = |one: &Candidate| matches!(one.provider, Provider::Local(_));
    if !candidates.is_empty() && candidates.iter().all(is_local) {
        return Ok(outgoing);
    }
    let Some(hops) = outgoing.request.hops.checked_sub(1) else {
        return Err(Failure::new(
            ErrorCode::HOP_LIMIT,
            "the call passed too many nodes",
        ));
    };
    outgoing.request.hops = hops;
    add(&plane.counters.calls_relayed, 1);
    Ok(outgoing)
}

pub(super) fn too_deep() -> Failure {
    Failure::new(
        ErrorCode::HOP_LIMIT,
        "too many calls led to this one, each made while the one before was served",
    )
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
    if name == SERVICE {
        services::declare(plane, attached, &request)
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
        let may = Wanted::read(&request.headers).is_some_and(|(pattern, _)| {
            let (who, name) = (principal(peer), pattern.as_str());
            ClientRules.check(&who, Action::Subscribe, name) == Verdict::Allow
        });
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
    let asked = invoke::invocation(plane, request, None, left, Flow::default());
    let reply = system.run(asked).await.map_err(Failure::from)?;
    Ok(CallResult {
        call,
        content: reply.content,
        payload: reply.payload,
    })
}
