//! Serving and calling, as the application of a node does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use macula_realm::DefaultRules;
use macula_rpc::{RegisterOptions, Registrant, RegistrationKey};
use macula_wire::message::CallMode;
use macula_wire::{NodeId, Procedure};

use super::{Node, register_error};
use crate::call::{CallFailure, CallOptions, Calling, Handler, Invocation, Replies, Reply};
use crate::plane::invoke::Registration;
use crate::plane::tally::Tally;
use crate::services::{Endpoint, Number};
use crate::{Error, Served, served};

impl Node {
    /// Serves procedures by a function, until the registration is dropped: the one of this name, or with
    /// [`RegisterOptions::matching`] all that a prefix or a pattern covers.
    ///
    /// Calls run in tasks of their own, as many at a time as `options` allow. What the function does before it waits for the
    /// first time is done in the task that reads the caller's link, if its last 16 calls took at most 50 microseconds for
    /// that: work that keeps a thread busy or blocks it belongs into `spawn_blocking`. A panic of the function ends the call
    /// with [`INTERNAL`](macula_wire::ErrorCode::INTERNAL) and nothing else. Several registrations of one pattern share
    /// its calls by their policy, wherever they are. Calls that the function makes in its own task end with the call that
    /// it serves at the latest.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](macula_wire::ErrorCode::INVALID_NAME), [`DENIED`](macula_wire::ErrorCode::DENIED),
    /// [`QUOTA_EXCEEDED`](macula_wire::ErrorCode::QUOTA_EXCEEDED) beyond the limit of registrations,
    /// [`POLICY_CONFLICT`](macula_wire::ErrorCode::POLICY_CONFLICT) if it is known to be served by another policy,
    /// [`ALREADY_REGISTERED`](macula_wire::ErrorCode::ALREADY_REGISTERED) if it is known to be served by who is to be the
    /// only one. Such a conflict that shows later ends the registration, as [`Served::ended`] tells.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing stays registered.
    pub async fn register<F, A>(
        &self,
        procedure: &str,
        options: RegisterOptions,
        function: F,
    ) -> Result<Served, Error>
    where
        F: Fn(Invocation) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        self.register_in(None, procedure, options, Handler::new(function))
            .await
    }

    /// The same as a part of a service.
    pub(crate) async fn register_in(
        &self,
        service: Option<Number>,
        procedure: &str,
        options: RegisterOptions,
        handler: Handler,
    ) -> Result<Served, Error> {
        let pattern = served::pattern(self.realm(), procedure, options.matching)?;
        let key = RegistrationKey::new(self.0.next_key.fetch_add(1, Ordering::Relaxed));
        let tally = Arc::new(Tally::default());
        let registration = Registration {
            handler,
            tally: Arc::clone(&tally),
        };
        let plane = &self.0.plane;
        let endpoint = Endpoint::new(plane, pattern.clone(), &options, Arc::clone(&tally));
        self.registrations(|registrations| registrations.insert(key, registration));
        let node = self.clone();
        let release = Box::new(move || node.withdraw(key));
        let served = Served::new(pattern.clone(), tally, release);
        let principal = self.0.plane.own.clone();
        self.0
            .control
            .run(move |machine, now| {
                let registrant = Registrant::Local(key);
                machine.rpc_mut().register(
                    now,
                    &DefaultRules,
                    &principal,
                    registrant,
                    pattern,
                    options,
                )
            })
            .await?
            .map_err(register_error)?;
        self.registrations(|registrations| {
            // It may have ended by itself already.
            if registrations.contains_key(&key) {
                let registrant = Registrant::Local(key);
                let services = &self.0.plane.services;
                services.begin(plane, registrant, plane.node(), service, endpoint);
            }
        });
        Ok(served)
    }

    /// Ends a registration and waits until no more calls are taken for it.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](macula_wire::ErrorCode::SHUTTING_DOWN) if the node has stopped, which has ended it as well.
    pub async fn unregister(&self, served: Served) -> Result<(), Error> {
        drop(served);
        self.0.control.settled().await
    }

    fn withdraw(&self, key: RegistrationKey) {
        self.registrations(|registrations| registrations.remove(&key));
        self.0.plane.services.end(Registrant::Local(key));
        self.0.control.run_later(move |machine, now| {
            let registrant = Registrant::Local(key);
            if let Err(error) = machine.rpc_mut().unregister(now, registrant) {
                tracing::debug!(%error, "the registration had not begun, or has ended");
            }
        });
    }

    fn registrations<T>(
        &self,
        with: impl FnOnce(&mut std::collections::BTreeMap<RegistrationKey, Registration>) -> T,
    ) -> T {
        let registrations = self.0.plane.registrations.write();
        with(&mut registrations.unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls a procedure by name, wherever in the realm it is served.
    ///
    /// The first call of a procedure looks for those who serve it. From then on the node is told of them, and further
    /// calls look for nobody, until it was not called for ten minutes.
    ///
    /// The call runs at most once at each provider, and at one only, unless it has an idempotency key. The next provider
    /// gets it where the one before declined it or could not be reached; one that was lost is followed only if the call
    /// has an idempotency key.
    ///
    /// # Errors
    ///
    /// [`NO_SUCH_PROCEDURE`](macula_wire::ErrorCode::NO_SUCH_PROCEDURE) if nobody serves it,
    /// [`DEADLINE_EXCEEDED`](macula_wire::ErrorCode::DEADLINE_EXCEEDED) at the deadline,
    /// [`CALLEE_LOST`](macula_wire::ErrorCode::CALLEE_LOST) within 5 s after the provider vanished,
    /// [`BUSY`](macula_wire::ErrorCode::BUSY) if no provider has a free slot,
    /// [`NO_AVAILABLE_CALLEE`](macula_wire::ErrorCode::NO_AVAILABLE_CALLEE) if nobody takes it for several reasons,
    /// [`CANCELED`](macula_wire::ErrorCode::CANCELED) where it was taken back,
    /// [`HOP_LIMIT`](macula_wire::ErrorCode::HOP_LIMIT) if 32 calls led to it,
    /// [`PAYLOAD_TOO_LARGE`](macula_wire::ErrorCode::PAYLOAD_TOO_LARGE), [`DENIED`](macula_wire::ErrorCode::DENIED), and
    /// what the provider answers, [`APPLICATION`](macula_wire::ErrorCode::APPLICATION) for its own errors.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the call back; the provider may or may not have run it.
    pub async fn call(
        &self,
        procedure: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Reply, Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        self.0.plane.call(procedure, payload.into(), options).await
    }

    /// Calls a procedure and does not wait for what becomes of it: returns as soon as a provider has taken the call, which
    /// then runs it once, or not at all if it is lost.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) that come before a provider has taken it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the call may or may not run.
    pub async fn cast(
        &self,
        procedure: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<(), Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        self.0.plane.cast(procedure, payload.into(), options).await
    }

    /// Sends a message to one node: a [`cast`](Self::cast) to what serves `procedure` there. Returns when the node has taken
    /// it.
    ///
    /// # Errors
    ///
    /// Those of [`cast`](Self::cast), and [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) if there is no way to the
    /// node.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the message may or may not arrive.
    pub async fn send(
        &self,
        node: NodeId,
        procedure: &str,
        payload: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let options = CallOptions::default().to_node(node);
        self.cast(procedure, payload, options).await
    }

    /// Begins a call with parts: the function gets parts of the arguments as they are sent, and the caller parts of the
    /// result as they are made, each as fast as the other side takes them. The call ends by its deadline like every other.
    ///
    /// It goes to another provider only as long as no part has gone either way, and is never hedged.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) that show at once; the others come by [`Calling::result`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, no call is made.
    pub async fn open_call(
        &self,
        procedure: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Calling, Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        let plane = &self.0.plane;
        plane
            .begin_call(procedure, payload.into(), options, CallMode::Stream)
            .await
    }

    /// Calls every node that serves a procedure, each once, and gathers what they answer. With `most` over 0 it ends when so
    /// many have answered without an error.
    ///
    /// [`CallOptions::route`] and [`CallOptions::hedge_after`] do not count.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) that show at once; those of single nodes come with their answers.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, no call is made.
    pub async fn call_all(
        &self,
        procedure: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
        most: u32,
    ) -> Result<Replies, Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        let plane = &self.0.plane;
        plane
            .call_all(procedure, payload.into(), options, most)
            .await
    }
}
