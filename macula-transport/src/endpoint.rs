//! The QUIC endpoint of a node: one UDP port for links that are dialled and links that are accepted.

mod accept;
mod congestion;
mod connection;
mod dial;
mod forward;
mod limit;
mod registry;
mod settings;
mod socket;

pub(crate) use connection::QuicConnection;
pub use forward::{ForwardedPacket, ForwardedPackets, MAX_FORWARDED_PACKET};
pub(crate) use settings::{endpoint_config, transport_config};

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use macula_wire::{ErrorCode, NodeId, RealmName};
use quinn::{Runtime, TokioRuntime};
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::config::{Config, Hello};
use crate::credentials::Credentials;
use crate::error::{BindError, LinkError};
use crate::link::{Link, LinkParts, LinkReceiver, Terms};
use crate::stats::EndpointStats;
use crate::stream::number;
use crate::task::TaskSet;
use crate::tls::{self, Failures};
use forward::Forwarding;
use limit::Limits;
use registry::Registry;
use socket::Socket;

/// How many bytes the kernel is asked to keep for the socket, each way. It may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// A UDP port with QUIC on it, in one realm or in several.
///
/// Clones share the port. When the last one is dropped, nothing more is accepted and dialled; live links go on. The port
/// is given back when they have ended, or by [`close`](Self::close).
#[derive(Clone)]
pub struct Endpoint {
    owner: Arc<Owner>,
}

/// Ends the accepting task with the last handle.
struct Owner(Arc<Inner>);

/// What the handles and the tasks of an endpoint share.
struct Inner {
    quinn: quinn::Endpoint,
    socket: Arc<Socket>,
    local: SocketAddr,
    config: Arc<Config>,
    transport: Arc<quinn::TransportConfig>,
    forwarded_transport: Arc<quinn::TransportConfig>,
    forwarded_server: Arc<quinn::ServerConfig>,
    forwarding: Arc<Forwarding>,
    hello: Hello,
    realms: Vec<Arc<dyn Credentials>>,
    limits: Arc<Limits>,
    failures: Arc<Failures>,
    links: Arc<Registry>,
    tasks: TaskSet,
    clock: Clock,
    stop: Notify,
    retries: AtomicU64,
    http: AtomicU64,
}

impl Endpoint {
    /// Listens on `listen`; port 0 takes any that is free. Has to be called within a tokio runtime.
    ///
    /// `hello` is what this side says of itself, `realms` what it presents and demands in each of its realms.
    /// Dropping [`Incoming`] makes an endpoint that only dials.
    ///
    /// # Errors
    ///
    /// [`BindError`]; nothing is left behind.
    pub fn bind(
        listen: SocketAddr,
        config: Config,
        hello: Hello,
        realms: Vec<Arc<dyn Credentials>>,
    ) -> Result<(Self, Incoming), BindError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        settings::check(&config)?;
        for credentials in &realms {
            let terms = terms(&hello, &config, &**credentials);
            if !terms.can_be_said() {
                return Err(BindError::Config { setting: "hello" });
            }
        }
        let failures = Arc::new(Failures::default());
        let tls = tls::server(&realms, config.web(), &failures)?;
        let (socket, local) = bind(listen)?;
        let socket = TokioRuntime
            .wrap_udp_socket(socket)
            .map_err(|source| failed(listen, source))?;
        let names = realms.iter().map(|realm| realm.realm().clone()).collect();
        let forwarding = Forwarding::new(local, names, &config);
        let server = settings::server_config(&config, tls);
        let forwarded_server = settings::forwarded_server_config(&config, &server);
        let socket = Arc::new(Socket::new(socket, Arc::clone(&forwarding)));
        let quinn = quinn::Endpoint::new_with_abstract_socket(
            endpoint_config(&config),
            Some(server),
            Arc::<Socket>::clone(&socket),
            Arc::new(TokioRuntime),
        )
        .map_err(|source| failed(listen, source))?;
        let (sender, links) = mpsc::channel(config.max_waiting_links.max(1));
        let inner = Arc::new(Inner {
            quinn,
            socket,
            local,
            transport: transport_config(&config),
            forwarded_transport: settings::forwarded_transport_config(&config),
            forwarded_server,
            forwarding,
            limits: Limits::new(&config),
            config: Arc::new(config),
            hello,
            realms,
            failures,
            links: Arc::default(),
            tasks: TaskSet::on(runtime),
            clock: Clock::new(),
            stop: Notify::new(),
            retries: AtomicU64::new(0),
            http: AtomicU64::new(0),
        });
        inner
            .tasks
            .spawn("accept", accept::run(Arc::clone(&inner), sender));
        let owner = Arc::new(Owner(inner));
        Ok((Self { owner }, Incoming { links }))
    }

    /// Dials `address` in `realm` over UDP. The link is up when this returns: both certificates were accepted, and HANDSHAKE
    /// was answered. `expected` pins the node; without it any node of the realm will do.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; nothing is left of the attempt.
    ///
    /// # Cancel safety
    ///
    /// Safe: a link that nobody was given is closed.
    pub async fn dial(
        &self,
        realm: &RealmName,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<(Link, LinkReceiver), LinkError> {
        dial::dial(&self.owner.0, realm, address, expected).await
    }

    /// Dials `node` in `realm` by packets that other nodes carry, for when no address of it works. The application has to
    /// carry what comes out of [`forwarded`](Self::forwarded) to `node`, and to [`deliver`](Self::deliver) what comes back.
    ///
    /// The link is as secure as any: those who carry its packets can drop them, not read or change them. Only `node` is
    /// accepted. Packets are [`MAX_FORWARDED_PACKET`] bytes at most, whatever
    /// [`Config::mtu_upper_bound`] is.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; nothing is left of the attempt. [`LinkError::NoPath`] if nothing comes back within
    /// [`Config::handshake_timeout`], or if there are connections to [`Config::max_forwarded_nodes`].
    ///
    /// # Cancel safety
    ///
    /// Safe: a link that nobody was given is closed.
    pub async fn dial_forwarded(
        &self,
        realm: &RealmName,
        node: NodeId,
    ) -> Result<(Link, LinkReceiver), LinkError> {
        dial::dial_forwarded(&self.owner.0, realm, node).await
    }

    /// The packets that have to be carried to other nodes, for one reader; `None` if it was taken before. Until it is taken,
    /// packets wait and are dropped beyond [`Config::max_forwarded_packets`].
    #[must_use]
    pub fn forwarded(&self) -> Option<ForwardedPackets> {
        self.owner.0.forwarding.take_reader()
    }

    /// Takes in a packet that was carried from `from`: one that its endpoint gave out as a [`ForwardedPacket`] for this
    /// node. Never waits; what is not taken is dropped and counted in [`EndpointStats::forwarded_receive_dropped`].
    ///
    /// `from` need not be proven. Answers are forwarded to it, and a link comes about only with the node that has its key.
    /// No packet can do harm that one over UDP could not, so the application need not look into it.
    pub fn deliver(&self, realm: &RealmName, from: NodeId, packet: Bytes) {
        self.owner.0.forwarding.deliver(realm, from, packet);
    }

    /// The address that is listened on, with its port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.owner.0.local
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        let inner = &self.owner.0;
        let (connections, handshakes_pending) = inner.limits.counts();
        let mut stats = EndpointStats {
            connections,
            handshakes_pending,
            links: inner.links.len(),
            links_total: inner.links.total(),
            http_total: inner.http.load(Ordering::Relaxed),
            retries_sent: inner.retries.load(Ordering::Relaxed),
            refused_by_limit: inner.limits.refused(),
            auth_failures: inner.failures.snapshot(),
            panics: inner.tasks.panics(),
            tasks: inner.tasks.len(),
            ..EndpointStats::default()
        };
        inner.forwarding.measure(&mut stats);
        stats
    }

    /// Accepts and dials nothing more, closes every link as [`Link::close`] does, and waits until all have ended or
    /// twice [`Config::drain_timeout`] has passed. No task of the endpoint is left then, [`ForwardedPackets`] end, and the
    /// port is free, whoever has handles of the endpoint and of its links;
    /// who carries packets has to go on until then, or peers learn of the end by their idle time-out.
    ///
    /// # Cancel safety
    ///
    /// The links are told to close; a future dropped early leaves the rest undone, and the call may be made again.
    pub async fn close(&self, code: ErrorCode, detail: &str) {
        let inner = &self.owner.0;
        inner.stop_accepting();
        inner.links.close_all(code, detail);
        let drain = inner.config.drain_timeout;
        if tokio::time::timeout(drain, inner.links.empty())
            .await
            .is_err()
        {
            tracing::warn!("links were cut off at the end of the drain time");
        }
        inner.quinn.close(number(code), detail.as_bytes());
        if tokio::time::timeout(drain, inner.quinn.wait_idle())
            .await
            .is_err()
        {
            tracing::debug!("connections were not acknowledged to be closed");
        }
        inner.forwarding.end();
        inner.tasks.shutdown().await;
        inner.socket.release();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.owner.0.local)
            .finish_non_exhaustive()
    }
}

/// The links that peers dialled, for one reader. When it is dropped, connections are refused.
#[derive(Debug)]
pub struct Incoming {
    links: mpsc::Receiver<(Link, LinkReceiver)>,
}

impl Incoming {
    /// The next link that is up; `None` when the endpoint has stopped.
    ///
    /// # Cancel safety
    ///
    /// Safe: no link is lost.
    pub async fn accept(&mut self) -> Option<(Link, LinkReceiver)> {
        self.links.recv().await
    }
}

impl Inner {
    fn credentials(&self, realm: &RealmName) -> Option<&Arc<dyn Credentials>> {
        self.realms
            .iter()
            .find(|credentials| credentials.realm() == realm)
    }

    fn labelled(&self, label: &str) -> Option<&Arc<dyn Credentials>> {
        self.realms
            .iter()
            .find(|credentials| credentials.label() == label)
    }

    fn terms<'a>(&'a self, credentials: &'a dyn Credentials) -> Terms<'a> {
        terms(&self.hello, &self.config, credentials)
    }

    /// Starts a link that is counted until its connection ends.
    fn start(&self, mut parts: LinkParts, permit: Box<dyn Send>) -> (Link, LinkReceiver) {
        let registration = self.links.reserve();
        let key = registration.key();
        parts.permit = Some(Box::new((registration, permit)));
        let (link, receiver) = Link::start(parts);
        self.links.enter(key, &link);
        (link, receiver)
    }

    fn stop_accepting(&self) {
        self.quinn.set_server_config(None);
        self.stop.notify_one();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop_accepting();
    }
}

fn terms<'a>(hello: &'a Hello, config: &Config, credentials: &'a dyn Credentials) -> Terms<'a> {
    Terms {
        hello,
        realm: credentials.realm(),
        node: credentials.node(),
        max_frame_len: config.max_frame_len,
    }
}

pub(crate) fn bind(listen: SocketAddr) -> Result<(UdpSocket, SocketAddr), BindError> {
    let failed = |source| failed(listen, source);
    let socket = UdpSocket::bind(listen).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    let state = quinn::udp::UdpSocketState::new((&socket).into()).map_err(failed)?;
    // Less is no failure: a burst of packets is lost sooner then.
    drop(state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER));
    drop(state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER));
    Ok((socket, local))
}

fn failed(address: SocketAddr, source: io::Error) -> BindError {
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::AddressInUse { address }
    } else {
        BindError::Io { address, source }
    }
}
