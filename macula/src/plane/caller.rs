//! The calls that this node or client makes itself.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_rpc::{
    Candidates, Provider, RegisterError, Registrant, RegistrationKey, Scope, SessionKey,
};
use macula_transport::PeerIdentity;
use macula_wire::message::{CallMode, CallRoute, Failure, RpcCall};
use macula_wire::{CallId, ErrorCode, NodeId, Pattern, Procedure, Random, limit};
use tokio::sync::{mpsc, oneshot};

use super::counters::add;
use super::dispatch::too_deep;
use super::links::Attached;
use super::outgoing::{self, Outgoing, milliseconds};
use super::rights::{denied, principal};
use super::topic::check_len;
use super::{Plane, gather};
use crate::Error;
use crate::call::{
    CallOptions, Calling, Cancelled, Canceller, Flow, PartSender, Replies, Reply, Route, serving,
};
use crate::node::register_error;

/// How many answers of many wait for whoever asked.
const MAX_REPLIES: usize = 16;

/// A call that is ready to be made.
pub(super) struct Prepared {
    outgoing: Outgoing,
    candidates: Option<Candidates>,
}

impl Plane {
    /// Makes a call and waits for its end.
    pub(crate) async fn call(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
    ) -> Result<Reply, Error> {
        let prepared = self.prepare_call(procedure, payload, options, CallMode::Plain);
        let Prepared {
            outgoing,
            candidates,
        } = prepared.await?;
        let result = outgoing::make(self, Arc::new(outgoing), candidates).await?;
        Ok(Reply::new(result.content, result.payload))
    }

    /// Makes a call of which only is waited for that somebody has taken it.
    pub(crate) async fn cast(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
    ) -> Result<(), Error> {
        let prepared = self.prepare_call(procedure, payload, options, CallMode::Cast);
        let Prepared {
            outgoing,
            candidates,
        } = prepared.await?;
        outgoing::make(self, Arc::new(outgoing), candidates).await?;
        Ok(())
    }

    /// Begins a call with parts.
    pub(crate) async fn begin_call(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        mut options: CallOptions,
        mode: CallMode,
    ) -> Result<Calling, Error> {
        let canceller = options.canceller.take().unwrap_or_default();
        let prepared = self.prepare_call(procedure, payload, options, mode);
        let Prepared {
            mut outgoing,
            candidates,
        } = prepared.await?;
        let (flow, ends) = Flow::of(mode);
        let Some(progress) = ends.progress else {
            let detail = "a call with parts takes some";
            return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        };
        outgoing.flow = flow;
        outgoing.cancelled = canceller.listen();
        let (give, end) = oneshot::channel();
        let plane = Arc::clone(self);
        self.tasks.spawn("call", async move {
            let result = outgoing::make(&plane, Arc::new(outgoing), candidates).await;
            let reply = result.map(|result| Reply::new(result.content, result.payload));
            // Whoever called may have gone.
            drop(give.send(reply.map_err(Into::into)));
        });
        Ok(Calling {
            parts: ends.parts.map(|to| PartSender {
                to,
                max_payload_len: self.max_payload_len,
            }),
            progress,
            end,
            ended: None,
            canceller,
        })
    }

    /// Asks all who serve a procedure.
    pub(crate) async fn call_all(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        mut options: CallOptions,
        most: u32,
    ) -> Result<Replies, Error> {
        let canceller = options.canceller.take().unwrap_or_default();
        let prepared = self.prepare_call(procedure, payload, options, CallMode::Plain);
        let Prepared {
            mut outgoing,
            candidates,
        } = prepared.await?;
        let (give, replies) = mpsc::channel(MAX_REPLIES);
        outgoing.flow = Flow::of_many(give);
        outgoing.cancelled = canceller.listen();
        let (tell, end) = oneshot::channel();
        let plane = Arc::clone(self);
        self.tasks.spawn("calls", async move {
            let result = if plane.uplink.is_some() {
                outgoing.request.route = CallRoute::All(most);
                outgoing::make(&plane, Arc::new(outgoing), candidates).await
            } else {
                let mut cancelled = outgoing.cancelled.clone();
                tokio::select! {
                    result = gather::all(&plane, outgoing, candidates, most) => result,
                    _ = cancelled.next() => {
                        Err(Failure::new(ErrorCode::CANCELED, "the caller cancelled the call"))
                    }
                }
            };
            drop(tell.send(result.map(drop).map_err(Into::into)));
        });
        Ok(Replies {
            replies,
            end: Some(end),
            canceller,
        })
    }

    /// Checks what the caller asks for, and finds those who may be asked.
    async fn prepare_call(
        &self,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
        mode: CallMode,
    ) -> Result<Prepared, Error> {
        check_len(payload.len(), self.max_payload_len)?;
        if self.uplink.is_none() && !may_call(&self.own, procedure.as_str()) {
            add(&self.counters.denied, 1);
            return Err(denied("call", procedure.as_str()));
        }
        add(&self.counters.calls_made, 1);
        let mut outgoing = self.outgoing(procedure, payload, options, mode)?;
        let procedure = outgoing.request.procedure.clone();
        let candidates = match (&self.uplink, std::mem::take(&mut outgoing.request.route)) {
            (Some(uplink), route) => {
                outgoing.request.route = route;
                let hedge = outgoing.hedge_after.take().map_or(0, milliseconds);
                outgoing.request.hedge_ms = hedge;
                outgoing.scope = Scope::Any;
                let member = Provider::Member(uplink.link.peer().node);
                Some(Candidates::only(self.node(), member, &procedure))
            }
            (None, CallRoute::Node(node)) => self.only(node, &procedure, &mut outgoing),
            (None, _) => {
                if !self.is_provided(&procedure) {
                    // Apart, because what is seldom waited for would be moved about with each call.
                    Box::pin(self.watch_procedure(&procedure, outgoing.deadline)).await?;
                }
                self.providers.load().find(&procedure).cloned()
            }
        };
        Ok(Prepared {
            outgoing,
            candidates,
        })
    }

    fn outgoing(
        &self,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
        mode: CallMode,
    ) -> Result<Outgoing, Error> {
        let mut deadline = self.clock.now() + options.deadline;
        let mut request = Box::new(RpcCall::new(self.call_id(), self.node(), procedure, 0));
        if let Some(served) = serving() {
            deadline = deadline.min(served.deadline);
            request.depth = served.depth.saturating_add(1);
            if request.depth >= limit::MAX_CALL_DEPTH {
                return Err(too_deep().into());
            }
        }
        if options.hedge_after.is_some() && options.idempotency_key.is_none() {
            let detail = "only a call with an idempotency key may be hedged: it may run twice";
            return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        }
        let scope = match &options.route {
            Route::Zone(zone) => Scope::Zone(zone.clone()),
            Route::Any | Route::Node(_) => Scope::Any,
        };
        request.route = match options.route {
            Route::Any => CallRoute::Any,
            Route::Node(node) => CallRoute::Node(node),
            Route::Zone(zone) => CallRoute::Zone(zone.to_string()),
        };
        request.tenant = self.own.tenant.as_ref().map(ToString::to_string);
        request.mode = mode;
        request.idempotency = options.idempotency_key;
        request.key = options.key;
        request.content = options.content;
        request.headers = options.headers;
        request.payload = payload;
        let listen = |canceller: Canceller| canceller.listen();
        Ok(Outgoing {
            request,
            via: None,
            deadline,
            hedge_after: options.hedge_after,
            scope,
            is_dialled: false,
            flow: Flow::default(),
            cancelled: options.canceller.map_or_else(Cancelled::default, listen),
        })
    }

    /// One node alone, this one or another, whether it is known to serve the procedure or not.
    pub(crate) fn only(
        &self,
        node: NodeId,
        procedure: &Procedure,
        outgoing: &mut Outgoing,
    ) -> Option<Candidates> {
        if node == self.node() {
            outgoing.scope = Scope::Here;
            let found = self.providers.load().find(procedure).cloned();
            return found.filter(|found| !found.here().is_empty());
        }
        outgoing.scope = Scope::Any;
        outgoing.is_dialled = true;
        Some(Candidates::only(
            self.node(),
            Provider::Member(node),
            procedure,
        ))
    }

    /// A registration of this node has ended by itself: whoever made it is told.
    pub(crate) fn registration_ended(&self, registrant: Registrant, why: RegisterError) {
        let why = register_error(why);
        tracing::warn!(?registrant, %why, "a registration has ended");
        match registrant {
            Registrant::Local(key) => self.end_registration(key, why),
            Registrant::Session(session, registration) => {
                let session = macula_pubsub::SessionId::new(session.get());
                if let Some(attached) = self.links.session(session) {
                    attached.registration_ended(registration, &why);
                }
            }
        }
        // Last: what begins to be told of does so only while it is known above.
        self.services.end(registrant);
    }

    /// Forgets a function of this process, and tells its owner why.
    pub(crate) fn end_registration(&self, key: RegistrationKey, why: Error) {
        let mut registrations = self
            .registrations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(registration) = registrations.remove(&key) {
            registration.tally.end(why);
        }
    }

    /// A link to a member, dialled if there is none. `None` if nothing works.
    pub(crate) async fn reach(&self, node: NodeId) -> Option<Arc<Attached>> {
        let reacher = self.reacher.get()?;
        if let Err(error) = reacher.reach(node).await {
            tracing::debug!(node = %node.short(), %error, "cannot be reached for a call");
        }
        self.links.member(&node)
    }

    /// Whether the rules let `peer` call `name`.
    pub(crate) fn may_call(&self, peer: &PeerIdentity, name: &str) -> bool {
        may_call(&principal(peer), name)
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

/// The rules of the realm, but that everybody may ask services what they are, and members what is there; they answer by the
/// rules.
fn may_call(who: &Principal, name: &str) -> bool {
    let of_services = || Pattern::new(name).is_ok_and(|name| name.is_of_services());
    name.starts_with('$') && of_services()
        || crate::system::is_open(name)
        || DefaultRules.check(who, Action::Call, name) == Verdict::Allow
}

/// The key of a client's session among providers.
pub(crate) fn session_key(session: macula_pubsub::SessionId) -> SessionKey {
    SessionKey::new(session.get())
}
