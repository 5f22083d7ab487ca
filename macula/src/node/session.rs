//! What a client asks of its member on the control stream.

use std::sync::Arc;

use macula_pubsub::{SessionId, Subscriber};
use macula_realm::{DefaultRules, Principal, Zone};
use macula_rpc::{RegisterOptions, Registrant};
use macula_transport::OutFrame;
use macula_wire::message::{Ack, Body, Message, Register, Subscribe, Unregister, Unsubscribe};
use macula_wire::{ErrorCode, RequestId};

use super::control::Control;
use crate::Error;
use crate::plane::Plane;
use crate::plane::caller::session_key;
use crate::plane::counters::add;
use crate::plane::links::Attached;
use crate::plane::rights::{ClientRules, principal};
use crate::plane::tally::Tally;
use crate::services::Endpoint;

/// One client's link, seen from the member that it attached to.
#[derive(Debug)]
pub(crate) struct Session {
    plane: Arc<Plane>,
    control: Control,
    attached: Arc<Attached>,
    session: SessionId,
    principal: Principal,
}

impl Session {
    pub(crate) fn new(
        plane: Arc<Plane>,
        control: Control,
        attached: Arc<Attached>,
        session: SessionId,
    ) -> Self {
        let principal = principal(attached.link.peer());
        Self {
            plane,
            control,
            attached,
            session,
            principal,
        }
    }

    /// Carries out one request and answers it.
    pub(crate) async fn handle(&self, body: Body) {
        let (request, result) = match body {
            Body::Subscribe(request) => (request.request, self.subscribe(request).await),
            Body::Unsubscribe(request) => (request.request, self.unsubscribe(request).await),
            Body::Register(request) => (request.request, self.register(request).await),
            Body::Unregister(request) => (request.request, self.unregister(request).await),
            Body::Drain(_) | Body::Ack(_) | Body::Error(_) => return,
            other => {
                add(&self.plane.counters.misbehaved, 1);
                let detail = format!("{} is not for a client to send", other.kind().name());
                return self.report(None, &Error::new(ErrorCode::PROTOCOL_VIOLATION, detail));
            }
        };
        match result {
            Ok(()) => self.push(&Message::from(Ack { request })),
            Err(error) => {
                if error.code() == ErrorCode::DENIED {
                    add(&self.plane.counters.denied, 1);
                }
                self.report(Some(request), &error);
            }
        }
    }

    fn report(&self, request: Option<RequestId>, error: &Error) {
        self.push(&Message::from(error.report(request)));
    }

    /// A client that does not read its answers loses its link.
    fn push(&self, message: &Message) {
        let pushed =
            OutFrame::message(message).map(|frame| self.attached.link.control().try_push(frame));
        if !matches!(pushed, Ok(Ok(()))) {
            self.attached.link.close(
                ErrorCode::OVERLOADED,
                "the client does not read its answers",
            );
        }
    }

    async fn subscribe(&self, request: Subscribe) -> Result<(), Error> {
        let subscriber = Subscriber::Session(self.session, request.subscription);
        let principal = self.principal.clone();
        let unordered = request.early.then(|| request.pattern.clone());
        let subscription = request.subscription;
        self.control
            .run(move |machine, now| {
                let (who, pattern) = (&principal, request.pattern);
                let pubsub = machine.pubsub_mut();
                match &request.group {
                    None => pubsub.subscribe(now, &ClientRules, who, subscriber, pattern),
                    Some(group) => {
                        pubsub.subscribe_shared(now, &ClientRules, who, subscriber, pattern, group)
                    }
                }
            })
            .await?
            .map_err(super::subscribe_error)?;
        if let Some(pattern) = unordered {
            self.attached.unordered.add(subscription, pattern);
        }
        Ok(())
    }

    async fn unsubscribe(&self, request: Unsubscribe) -> Result<(), Error> {
        self.attached.unordered.remove(request.subscription);
        let subscriber = Subscriber::Session(self.session, request.subscription);
        self.control
            .run(move |machine, now| machine.pubsub_mut().unsubscribe(now, subscriber))
            .await?
            .map_err(|error| Error::caused(error.code(), error.to_string(), error))
    }

    async fn register(&self, request: Register) -> Result<(), Error> {
        let registration = request.registration;
        // Should it end at once, the client hears of that in place of the answer.
        self.attached.registered(registration, request.request);
        let registrant = Registrant::Session(session_key(self.session), request.registration);
        let principal = self.principal.clone();
        let mut options = RegisterOptions::default();
        options.concurrency = request.concurrency;
        options.weight = request.weight;
        options.invoke = request.invoke;
        options.takeover = request.takeover;
        // Its letters were checked when the message was read.
        options.zone = request.zone.and_then(|zone| Zone::new(&zone).ok());
        let tally = Arc::<Tally>::default();
        let endpoint = Endpoint::new(&self.plane, request.pattern.clone(), &options, tally);
        self.control
            .run(move |machine, now| {
                machine.rpc_mut().register(
                    now,
                    &DefaultRules,
                    &principal,
                    registrant,
                    request.pattern,
                    options,
                )
            })
            .await
            .and_then(|done| done.map_err(super::register_error))
            .inspect_err(|_| {
                self.attached.unregistered(registration);
                let services = &self.plane.services;
                services.refused(session_key(self.session), registration);
            })?;
        self.attached.while_registered(registration, || {
            let (plane, provider) = (&self.plane, self.principal.node);
            plane
                .services
                .begin(plane, registrant, provider, None, endpoint);
        });
        Ok(())
    }

    async fn unregister(&self, request: Unregister) -> Result<(), Error> {
        self.attached.unregistered(request.registration);
        let registrant = Registrant::Session(session_key(self.session), request.registration);
        self.plane.services.end(registrant);
        self.control
            .run(move |machine, now| machine.rpc_mut().unregister(now, registrant))
            .await?
            .map_err(|error| Error::caused(error.code(), error.to_string(), error))
    }

    /// Forgets everything that the client asked for.
    pub(crate) async fn end(self) {
        let session = self.session;
        self.plane.services.end_session(session_key(session));
        let forgotten = self
            .control
            .run(move |machine, now| {
                machine.pubsub_mut().drop_session(now, session);
                machine.rpc_mut().drop_session(now, session_key(session));
            })
            .await;
        if let Err(error) = forgotten {
            tracing::debug!(%error, "the node stopped before its client did");
        }
    }
}
