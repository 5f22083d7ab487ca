//! Links within a process, with delays, losses and partitions, on tokio's clock.
//!
//! For tests of everything above the transport. A link of a [`Network`] goes through the same code as one over QUIC from
//! HANDSHAKE to CLOSE; only what lies below is simulated. With a paused clock, minutes pass in milliseconds; with one
//! seed, one thread and the same calls in the same order, everything happens at the same times again.
//!
//! What is simulated and how:
//!
//! - Streams are reliable and in order; each write arrives after a random delay. A partition holds them up, and they go
//!   on after it is healed. Resets and finishes travel as writes do; a stop takes effect at once.
//! - Datagrams may overtake each other, and are lost at random and while a partition stands.
//! - Flow control, and the number of streams, are bounded by the [`Config`] of the receiving side.
//! - A side that has heard nothing for [`Config::idle_timeout`] closes, as over QUIC, and the other side then hears
//!   nothing either. Keep-alive packets are not sent; an open path counts as heard.
//! - Bandwidth is unlimited.

mod lane;
mod pipe;
mod wire;

pub(crate) use pipe::{MemoryReader, MemoryWriter};
pub(crate) use wire::MemoryConnection;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use macula_wire::{NodeId, Random};
use tokio::time::timeout;

use self::lane::{Lane, Weather};
use self::wire::Wire;
use crate::config::{Config, Hello};
use crate::credentials::PeerIdentity;
use crate::error::LinkError;
use crate::link::{
    Carrier, Link, LinkId, LinkParts, LinkReceiver, Side, Terms, answer_hello, dial_hello,
    read_hello, refuse,
};
use crate::stream::{FrameReader, ReadHalf, WriteHalf};
use crate::task::TaskSet;

/// One side of a link, as it describes itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryPeer {
    /// Who it is; its roles bound what [`Hello::role`] may ask for.
    pub identity: PeerIdentity,
    /// What it says in HANDSHAKE.
    pub hello: Hello,
    /// Its limits and times.
    pub config: Arc<Config>,
}

impl MemoryPeer {
    /// A side with the default limits.
    #[must_use]
    pub fn new(identity: PeerIdentity, hello: Hello) -> Self {
        Self {
            identity,
            hello,
            config: Arc::default(),
        }
    }

    /// The same side with other limits.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }
}

/// Paths between nodes of one process. Clones share them.
///
/// Paths are open until they are closed; closing and opening concerns present and later links of the two nodes.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    weather: Arc<Mutex<Weather>>,
    state: Mutex<State>,
    tasks: TaskSet,
}

#[derive(Debug, Default)]
struct State {
    /// From and to, where packets do not pass.
    blocked: BTreeSet<(NodeId, NodeId)>,
    wires: Vec<Weak<Wire>>,
    /// The wires of links that are up, by the number of either side.
    links: BTreeMap<LinkId, Weak<Wire>>,
}

impl Network {
    /// A network without delays and losses. Has to be called within a tokio runtime.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let weather = Weather {
            random: Random::new(seed),
            min_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            loss_per_mille: 0,
        };
        Self {
            shared: Arc::new(Shared {
                weather: Arc::new(Mutex::new(weather)),
                state: Mutex::default(),
                tasks: TaskSet::new(),
            }),
        }
    }

    /// Delays what is sent from here on by a time in `delay`, each time within it as likely as any other.
    ///
    /// tokio's timers count in milliseconds, so less than that makes no difference.
    pub fn set_delay(&self, delay: RangeInclusive<Duration>) {
        let mut weather = self.weather();
        weather.min_delay = *delay.start();
        weather.max_delay = *delay.end().max(delay.start());
    }

    /// Loses `per_mille` of 1,000 datagrams from here on; over 1,000 counts as 1,000. Streams lose nothing.
    pub fn set_loss(&self, per_mille: u16) {
        self.weather().loss_per_mille = u64::from(per_mille);
    }

    /// Lets nothing pass between `a` and `b`.
    pub fn partition(&self, a: NodeId, b: NodeId) {
        self.set_open(a, b, false);
        self.set_open(b, a, false);
    }

    /// Lets packets pass from `from` to `to`, and none back.
    pub fn one_way(&self, from: NodeId, to: NodeId) {
        self.set_open(from, to, true);
        self.set_open(to, from, false);
    }

    /// Lets everything pass between `a` and `b` again.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        self.set_open(a, b, true);
        self.set_open(b, a, true);
    }

    /// Ends `link` on both sides at once, as if the path and its memory were gone. Other links stay.
    pub fn cut(&self, link: &Link) {
        let wire = self.state().links.get(&link.id()).and_then(Weak::upgrade);
        if let Some(wire) = wire {
            wire.cut();
        }
    }

    /// Makes a link that `dialler` dialled and `acceptor` accepted, and gives the parts of both, in this order.
    ///
    /// # Errors
    ///
    /// Those of HANDSHAKE as the dialler sees them: [`LinkError::Refused`] if the acceptor declines, and
    /// [`LinkError::TimedOut`] after [`Config::hello_timeout`] of the dialler, for instance during a partition.
    ///
    /// # Cancel safety
    ///
    /// Safe: the link that was being made is closed.
    pub async fn link(
        &self,
        dialler: MemoryPeer,
        acceptor: MemoryPeer,
    ) -> Result<((Link, LinkReceiver), (Link, LinkReceiver)), LinkError> {
        let (wire, sides) = self.wire(&dialler, &acceptor);
        let limit = dialler.config.hello_timeout;
        let tasks = &self.shared.tasks;
        let made = timeout(limit, hello(sides, &dialler, &acceptor, tasks)).await;
        let made = made.unwrap_or(Err(LinkError::TimedOut {
            during: "HANDSHAKE",
        }));
        match made {
            Ok((one, other)) => {
                let mut state = self.state();
                state.links.retain(|_, wire| wire.strong_count() > 0);
                for id in [one.0.id(), other.0.id()] {
                    state.links.insert(id, Arc::downgrade(&wire));
                }
                Ok((one, other))
            }
            Err(error) => {
                wire.cut();
                Err(error)
            }
        }
    }

    /// A link whose HANDSHAKE is still to come.
    fn wire(
        &self,
        dialler: &MemoryPeer,
        acceptor: &MemoryPeer,
    ) -> (Arc<Wire>, [MemoryConnection; 2]) {
        let (one, other) = (dialler.identity.node, acceptor.identity.node);
        let idle = dialler
            .config
            .idle_timeout
            .min(acceptor.config.idle_timeout);
        let mut state = self.state();
        let lane = |receiver: &Config, from, to| {
            let open = !state.blocked.contains(&(from, to));
            Arc::new(Lane::new(receiver, Arc::clone(&self.shared.weather), open))
        };
        let lanes = [
            lane(&dialler.config, other, one),
            lane(&acceptor.config, one, other),
        ];
        let wire = Wire::new([one, other], lanes, idle);
        state.wires.retain(|wire| wire.strong_count() > 0);
        state.wires.push(Arc::downgrade(&wire));
        drop(state);
        let watch = Arc::clone(&wire).watch();
        self.shared.tasks.spawn("memory link", watch);
        let sides = [0, 1].map(|side| MemoryConnection::new(Arc::clone(&wire), side));
        (wire, sides)
    }

    fn set_open(&self, from: NodeId, to: NodeId, open: bool) {
        let mut state = self.state();
        if open {
            state.blocked.remove(&(from, to));
        } else {
            state.blocked.insert((from, to));
        }
        for wire in state.wires.iter().filter_map(Weak::upgrade) {
            let [first, second] = wire.sides;
            if (from, to) == (first, second) {
                wire.set_open(1, open);
            } else if (from, to) == (second, first) {
                wire.set_open(0, open);
            }
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        let weather = self.shared.weather.lock();
        weather.unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both sides of HANDSHAKE.
async fn hello(
    [dialling, accepting]: [MemoryConnection; 2],
    dialler: &MemoryPeer,
    acceptor: &MemoryPeer,
    tasks: &TaskSet,
) -> Result<((Link, LinkReceiver), (Link, LinkReceiver)), LinkError> {
    let dial = dial(Carrier::Memory(dialling), dialler, acceptor, tasks.clone());
    let accept = accept(Carrier::Memory(accepting), acceptor, dialler, tasks.clone());
    let (dialled, accepted) = tokio::join!(dial, accept);
    // The dialler knows best why there is no link.
    Ok((dialled?, accepted?))
}

async fn dial(
    carrier: Carrier,
    own: &MemoryPeer,
    peer: &MemoryPeer,
    tasks: TaskSet,
) -> Result<(Link, LinkReceiver), LinkError> {
    let (mut write, read) = carrier.open_bi().await?;
    let mut read = FrameReader::new(read, own.config.max_frame_len);
    let agreed = dial_hello(&terms(own), &mut write, &mut read, peer.identity.node).await?;
    Ok(Link::start(LinkParts {
        carrier,
        write,
        read,
        peer: peer.identity.clone(),
        agreed,
        side: Side::Dialler,
        local: false,
        config: Arc::clone(&own.config),
        tasks,
        permit: None,
    }))
}

async fn accept(
    carrier: Carrier,
    own: &MemoryPeer,
    peer: &MemoryPeer,
    tasks: TaskSet,
) -> Result<(Link, LinkReceiver), LinkError> {
    let (mut write, read) = control(&carrier).await?;
    let mut read = FrameReader::new(read, own.config.max_frame_len);
    let terms = terms(own);
    let agreed = read_hello(&terms, &mut read, &peer.identity, peer.identity.roles).await;
    let agreed = match agreed {
        Ok(agreed) => agreed,
        Err(error) => {
            if let LinkError::Refused { code, detail } = &error {
                refuse(&mut write, *code, detail).await;
            }
            return Err(error);
        }
    };
    answer_hello(&terms, &mut write, &agreed).await?;
    Ok(Link::start(LinkParts {
        carrier,
        write,
        read,
        peer: peer.identity.clone(),
        agreed,
        side: Side::Acceptor,
        local: false,
        config: Arc::clone(&own.config),
        tasks,
        permit: None,
    }))
}

/// The control stream, which the dialler opens first.
async fn control(carrier: &Carrier) -> Result<(WriteHalf, ReadHalf), LinkError> {
    loop {
        if let crate::link::Accepted::Bi(write, read) = carrier.accept().await? {
            return Ok((write, read));
        }
    }
}

fn terms(own: &MemoryPeer) -> Terms<'_> {
    Terms {
        hello: &own.hello,
        realm: &own.identity.realm,
        node: own.identity.node,
        max_frame_len: own.config.max_frame_len,
    }
}
