//! A service as its application holds it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use macula_rpc::RegisterOptions;

use super::{Number, ServiceOptions, fresh_id};
use crate::call::{CallFailure, Handler, Invocation, Reply};
use crate::plane::Plane;
use crate::{Client, Error, Node, Served};

/// One instance of a service: procedures that belong together, and that are described together to whoever asks by
/// `$svc.ping`, `$svc.info` and `$svc.stats`. Cloning shares it.
///
/// It is found as long as something is registered in it. Dropping it ends no registration.
#[derive(Clone)]
pub struct Service(Arc<Held>);

struct Held {
    about: ServiceOptions,
    id: String,
    host: Host,
}

/// Where it runs.
enum Host {
    Node(Node, Number),
    Client(Client),
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Host::Node(node, number) = &self.host {
            node.plane().services.close(*number);
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.0.about.name)
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.about.name
    }

    /// The id of this instance, 16 hexadecimal digits: it is asked alone by `$svc.info.NAME.ID`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Serves procedures as a part of the service; otherwise as [`Node::register`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Node::register`] or [`Client::register`]; of a client also
    /// [`QUOTA_EXCEEDED`](macula_wire::ErrorCode::QUOTA_EXCEEDED) beyond 16 services, or 256 of its node.
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
        let handler = Handler::new(function);
        match &self.0.host {
            Host::Node(node, number) => {
                node.register_in(Some(*number), procedure, options, handler)
                    .await
            }
            Host::Client(client) => {
                let about = Some((self.0.id.as_str(), &self.0.about));
                client.register_in(about, procedure, options, handler).await
            }
        }
    }
}

impl Node {
    /// Describes a service, whose procedures are registered by [`Service::register`].
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](macula_wire::ErrorCode::INVALID_NAME) and
    /// [`INVALID_ARGUMENT`](macula_wire::ErrorCode::INVALID_ARGUMENT) for what is over a limit of [`ServiceOptions`],
    /// [`QUOTA_EXCEEDED`](macula_wire::ErrorCode::QUOTA_EXCEEDED) beyond 256 services of a node.
    pub fn service(&self, options: ServiceOptions) -> Result<Service, Error> {
        let plane: &Plane = self.plane();
        let (number, id) = plane.services.open(plane, options.clone())?;
        Ok(Service(Arc::new(Held {
            about: options,
            id,
            host: Host::Node(self.clone(), number),
        })))
    }
}

impl Client {
    /// Describes a service, whose procedures are registered by [`Service::register`]. The member tells of it.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](macula_wire::ErrorCode::INVALID_NAME) and
    /// [`INVALID_ARGUMENT`](macula_wire::ErrorCode::INVALID_ARGUMENT) for what is over a limit of [`ServiceOptions`].
    pub fn service(&self, options: ServiceOptions) -> Result<Service, Error> {
        options.check()?;
        let id = fresh_id(self.plane());
        Ok(Service(Arc::new(Held {
            about: options,
            id,
            host: Host::Client(self.clone()),
        })))
    }
}
