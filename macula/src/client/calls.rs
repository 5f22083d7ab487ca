//! Serving and calling through the member.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use macula_realm::DefaultRules;
use macula_rpc::{RegisterOptions, Registrant, RegistrationKey};
use macula_wire::message::{CallMode, Register, Unregister};
use macula_wire::{ContentType, ErrorCode, NodeId, Procedure, RegistrationId};

use super::{Client, lost};
use crate::call::{CallFailure, CallOptions, Calling, Handler, Invocation, Replies, Reply};
use crate::node::register_error;
use crate::plane::Plane;
use crate::plane::invoke::Registration;
use crate::plane::tally::Tally;
use crate::services::{Declaration, SERVICE, ServiceOptions};
use crate::{Error, Served, served};

impl Client {
    /// Serves procedures through the member, until the registration is dropped.
    ///
    /// # Errors
    ///
    /// As [`Node::register`](crate::Node::register), and [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) once the
    /// link is lost.
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

    pub(crate) fn plane(&self) -> &Plane {
        &self.0.plane
    }

    /// The same as a part of the service that is named by the id of its instance.
    pub(crate) async fn register_in(
        &self,
        service: Option<(&str, &ServiceOptions)>,
        procedure: &str,
        options: RegisterOptions,
        handler: Handler,
    ) -> Result<Served, Error> {
        let pattern = served::pattern(self.realm(), procedure, options.matching)?;
        let number = self.0.next_key.fetch_add(1, Ordering::Relaxed);
        let (key, registration) = (RegistrationKey::new(number), RegistrationId::new(number));
        let tally = Arc::new(Tally::default());
        let made = Registration {
            handler,
            tally: Arc::clone(&tally),
        };
        {
            let registrations = self.0.plane.registrations.write();
            let mut registrations = registrations.unwrap_or_else(PoisonError::into_inner);
            registrations.insert(key, made);
        }
        let client = self.clone();
        let release = Box::new(move || client.withdraw(key, registration));
        let served = Served::new(pattern.clone(), tally, release);
        {
            let mut machines = self.machines();
            let now = self.0.plane.clock.now();
            let who = self.0.plane.own.clone();
            let registrant = Registrant::Local(key);
            let (rules, pattern) = (&DefaultRules, pattern.clone());
            machines
                .rpc
                .register(now, rules, &who, registrant, pattern, options.clone())
                .map_err(register_error)?;
            self.settle(&mut machines);
        }
        if let Some((id, about)) = service {
            self.declare_service(number, id, about).await?;
        }
        self.request(|request| {
            self.0.requests.registers(request, key);
            Register {
                request,
                registration,
                pattern,
                concurrency: options.concurrency,
                weight: options.weight,
                invoke: options.invoke,
                zone: options.zone.as_ref().map(ToString::to_string),
                takeover: options.takeover,
            }
            .into()
        })
        .await?;
        Ok(served)
    }

    /// Tells the member to which service a registration will belong.
    async fn declare_service(
        &self,
        registration: u64,
        id: &str,
        about: &ServiceOptions,
    ) -> Result<(), Error> {
        let declaration = Declaration {
            registration,
            id: id.to_owned(),
            service: about.clone(),
        };
        let text = serde_json::to_vec(&declaration)
            .map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
        let options = CallOptions::default().content(ContentType::Json);
        self.call(SERVICE, text, options).await.map(drop)
    }

    /// Ends a registration and waits until the member sends no more calls for it.
    ///
    /// # Errors
    ///
    /// [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) once the link is lost, which has ended it as well.
    pub async fn unregister(&self, served: Served) -> Result<(), Error> {
        drop(served);
        self.settled().await
    }

    fn withdraw(&self, key: RegistrationKey, registration: RegistrationId) {
        {
            let registrations = self.0.plane.registrations.write();
            let mut registrations = registrations.unwrap_or_else(PoisonError::into_inner);
            registrations.remove(&key);
        }
        self.0.requests.unregisters(key);
        let mut machines = self.machines();
        let now = self.0.plane.clock.now();
        if machines.rpc.unregister(now, Registrant::Local(key)).is_ok() {
            self.settle(&mut machines);
        }
        drop(machines);
        self.0.requests.send_only(&self.0.uplink, |request| {
            Unregister {
                request,
                registration,
            }
            .into()
        });
    }

    fn called(&self, procedure: &str) -> Result<Procedure, Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        match self.0.uplink.link.close_reason() {
            Some(reason) => Err(lost(&reason)),
            None => Ok(procedure),
        }
    }

    /// Calls a procedure by name through the member; `$sys.*` are answered by the member about itself.
    ///
    /// # Errors
    ///
    /// As [`Node::call`](crate::Node::call), and [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) once the link is
    /// lost.
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
        let procedure = self.called(procedure)?;
        self.0.plane.call(procedure, payload.into(), options).await
    }

    /// Calls a procedure and does not wait for what becomes of it.
    ///
    /// # Errors
    ///
    /// As [`Node::cast`](crate::Node::cast), and [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) once the link is
    /// lost.
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
        let procedure = self.called(procedure)?;
        self.0.plane.cast(procedure, payload.into(), options).await
    }

    /// Sends a message to one node: a [`cast`](Self::cast) to what serves `procedure` there.
    ///
    /// # Errors
    ///
    /// As [`Node::send`](crate::Node::send).
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

    /// Begins a call with parts.
    ///
    /// # Errors
    ///
    /// As [`Node::open_call`](crate::Node::open_call).
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
        let procedure = self.called(procedure)?;
        let plane = &self.0.plane;
        plane
            .begin_call(procedure, payload.into(), options, CallMode::Stream)
            .await
    }

    /// Calls every node that serves a procedure, each once, and gathers what they answer.
    ///
    /// # Errors
    ///
    /// As [`Node::call_all`](crate::Node::call_all).
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
        let procedure = self.called(procedure)?;
        let plane = &self.0.plane;
        plane
            .call_all(procedure, payload.into(), options, most)
            .await
    }
}
