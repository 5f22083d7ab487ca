//! Attaching to a member.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use macula_pubsub::PubSub;
use macula_realm::{NodeIdentity, Principal, TrustBundle};
use macula_rpc::Rpc;
use macula_transport::{
    Clock, Config, Endpoint, Hello, Link, LinkEvent, LinkReceiver, entropy, unix,
};
use macula_wire::message::{Body, Role, StreamKind};
use macula_wire::{Epoch, ErrorCode, NodeId, limit};

use super::requests::Requests;
use super::{Attachment, Client, Machines};
use crate::credentials::{RealmCredentials, peer_identity};
use crate::event::ClosedReason;
use crate::node::start::AGENT;
use crate::plane::dispatch;
use crate::plane::ingress::Ingress;
use crate::plane::links::Attached;
use crate::plane::prove::Prover;
use crate::plane::rights::principal;
use crate::plane::{Owner, Plane};
use crate::{Error, NodeDirectory};

/// How often drops that the member was not told of yet are looked for.
const TELL_DROPS_PERIOD: Duration = Duration::from_millis(200);

/// A client that is not attached yet.
#[derive(Debug, Default)]
pub struct ClientBuilder {
    identity: Option<NodeIdentity>,
    trust: Option<TrustBundle>,
    expected: Option<NodeId>,
    transport: Config,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The certificate and key of the client; its roles have to allow `client`.
    #[must_use]
    pub fn identity(mut self, identity: NodeIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whom the client trusts: the roots of its realm.
    #[must_use]
    pub fn trust(mut self, trust: TrustBundle) -> Self {
        self.trust = Some(trust);
        self
    }

    /// The node that has to answer; by default any member of the realm may.
    #[must_use]
    pub const fn expect(mut self, node: NodeId) -> Self {
        self.expected = Some(node);
        self
    }

    /// Limits and times of the link.
    #[must_use]
    pub fn transport(mut self, config: Config) -> Self {
        self.transport = config;
        self
    }

    /// Attaches to the member at `address`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_ARGUMENT`] if identity or trust is missing, [`ErrorCode::UNREACHABLE`] if nothing
    /// answers, [`ErrorCode::UNAUTHENTICATED`] or [`ErrorCode::DENIED`] if the identity is not accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, no link stays.
    pub async fn connect(self, address: SocketAddr) -> Result<Client, Error> {
        let invalid = |detail: &str| Error::new(ErrorCode::INVALID_ARGUMENT, detail);
        let identity = self
            .identity
            .ok_or_else(|| invalid("a client needs an identity"))?;
        let trust = self
            .trust
            .ok_or_else(|| invalid("a client needs a trust bundle"))?;
        let clock = Clock::new();
        let hello = hello(Epoch::new(clock.unix_ms()));
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let credentials = Arc::new(RealmCredentials::new(&identity, trust.clone()));
        let epoch = hello.epoch;
        let (endpoint, _incoming) =
            Endpoint::bind(any, self.transport, hello, vec![credentials])
                .map_err(|error| Error::new(ErrorCode::INTERNAL, error.to_string()))?;
        let (link, receiver) = endpoint.dial(trust.realm(), address, self.expected).await?;
        let certificate = identity.certificate();
        let own = certificate.principal();
        let prover = Prover::new(trust.realm().clone(), None, Some(identity.signer()));
        attach(own, epoch, clock, prover, (link, receiver), Some(endpoint))
    }
}

fn hello(epoch: Epoch) -> Hello {
    let mut hello = Hello::new(Role::Client, epoch);
    hello.agent = AGENT.into();
    hello
}

/// Attaches over the Unix socket of a node's directory.
pub(crate) async fn local(directory: &NodeDirectory) -> Result<Client, Error> {
    let clock = Clock::new();
    let epoch = Epoch::new(clock.unix_ms());
    let path = directory.socket_path();
    let certificate = directory
        .certificate()
        .map_err(|error| Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error))?;
    let node = peer_identity(&certificate);
    let connected = unix::connect(&path, node, Config::default(), hello(epoch)).await;
    let (link, receiver) = connected.map_err(|error| {
        Error::caused(
            ErrorCode::UNREACHABLE,
            format!(
                "no node answers at {}: start it with `macula node run --dir {}`",
                path.display(),
                directory.path().display()
            ),
            error,
        )
    })?;
    let own = principal(link.peer());
    let prover = Prover::new(link.peer().realm.clone(), None, None);
    attach(own, epoch, clock, prover, (link, receiver), None)
}

fn attach(
    own: Principal,
    epoch: Epoch,
    clock: Clock,
    prover: Prover,
    (link, receiver): (Link, LinkReceiver),
    endpoint: Option<Endpoint>,
) -> Result<Client, Error> {
    let random =
        entropy().map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
    let realm = link.peer().realm.clone();
    let uplink = Arc::new(Attached::new(link, clock.now()));
    let max_payload_len = uplink
        .link
        .max_frame_len()
        .saturating_sub(64 << 10)
        .min(limit::FORMAT_MAX_PAYLOAD_LEN);
    let own = Owner {
        principal: own,
        realm,
        epoch,
        max_payload_len,
        replay: macula_pubsub::ReplayConfig::default(),
        run: macula_wire::ChannelRun::new(epoch.get()),
        log: None,
        uplink: Some(Arc::clone(&uplink)),
    };
    let plane = Arc::new(Plane::new(own, clock, prover, random));
    let now = clock.now();
    let machines = Machines {
        pubsub: PubSub::new(macula_pubsub::Config::default(), plane.node(), now),
        rpc: Rpc::new(macula_rpc::Config::default(), plane.node(), now),
    };
    let requests = Arc::new(Requests::default());
    let reading = run(
        Arc::clone(&plane),
        Arc::clone(&uplink),
        Arc::clone(&requests),
        receiver,
        endpoint,
    );
    plane.tasks.spawn("uplink", reading);
    let keeping = Arc::clone(&plane).keep_reliable();
    plane.tasks.spawn("kept events", keeping);
    plane
        .tasks
        .spawn("drops", tell_drops(Arc::clone(&plane), Arc::clone(&uplink)));
    Ok(Client(Arc::new(Attachment {
        plane,
        uplink,
        requests,
        machines: Mutex::new(machines),
        next_key: AtomicU64::new(1),
    })))
}

/// Reads the link until it closes; then everything that waits for it ends.
async fn run(
    plane: Arc<Plane>,
    uplink: Arc<Attached>,
    requests: Arc<Requests>,
    mut receiver: LinkReceiver,
    endpoint: Option<Endpoint>,
) {
    let reason = loop {
        match receiver.next().await {
            LinkEvent::Control(message) if plane.publish_answered(&message.body) => {}
            LinkEvent::Control(message) => control(&plane, &requests, message.body),
            LinkEvent::Events(priority, stream) => {
                let ingress = Ingress::new(Arc::clone(&plane), Arc::clone(&uplink), priority);
                plane.tasks.spawn("ingress", ingress.run(stream));
            }
            LinkEvent::Stream(StreamKind::Call, sender, stream) => {
                let serving =
                    dispatch::serve(Arc::clone(&plane), Arc::clone(&uplink), sender, stream);
                plane.serving.spawn("serve", serving);
            }
            LinkEvent::Stream(_, mut sender, _) => sender.reset(ErrorCode::UNSUPPORTED_FEATURE),
            LinkEvent::Closed(reason) => break reason,
            _ => {}
        }
    };
    requests.fail(&reason);
    plane.forget_asked();
    {
        let queues = plane
            .queues
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let lost = || ClosedReason::LinkLost(super::lost(&reason));
        queues.values().for_each(|queue| queue.close(lost()));
    }
    if let Some(endpoint) = endpoint {
        endpoint.close(ErrorCode::OK, "").await;
    }
}

fn control(plane: &Plane, requests: &Requests, body: Body) {
    match body {
        Body::Ack(ack) => {
            requests.answer(ack.request, Ok(()));
        }
        Body::Error(report) => match report.request {
            Some(request) => {
                let why = Error::new(report.code, report.detail.clone());
                // A second answer to a request that registered something says that it has ended.
                if !requests.answer(request, Err(report))
                    && let Some(key) = requests.ended(request)
                {
                    plane.end_registration(key, why);
                }
            }
            None => {
                tracing::warn!(code = %report.code, detail = report.detail, "the node reports an error");
            }
        },
        _ => {}
    }
}

async fn tell_drops(plane: Arc<Plane>, uplink: Arc<Attached>) {
    let mut ticks = tokio::time::interval(TELL_DROPS_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while uplink.link.close_reason().is_none() {
        ticks.tick().await;
        plane.tell_drops();
    }
}
