//! The overlay: a graph of links that is exactly k-regular without a centre, as a state machine without I/O.
//!
//! [`Overlay`] chooses the neighbours of a node. Every node has the same even number of them, k, and each edge is known
//! to both of its ends.
//!
//! - **Join.** A newcomer sends k/2 walks through the overlay. Where a walk ends, an edge a - b becomes a - new - b.
//! - **Leave.** The ends that a leaving node has left over become edges among themselves. After a crash its former
//!   neighbours do this, from the lists of neighbours that neighbours tell each other.
//! - **Repair.** A node that lacks two edges enters an edge as a newcomer does. Nodes that lack one find each other by
//!   walks that leave marks.
//! - **Flip.** Now and then a path a - b - c - d is exchanged for a - c, b - d with b - c kept. Half of the edges of a
//!   node may be chosen for nearness by this; the others stay random, for the sake of short ways everywhere.
//!
//! Each exchange runs under a token, locks what it changes, and ends by a time-out if by nothing else. An edge exists
//! only while both ends say so: neighbours ask each other, and an edge that one end does not hold is dropped and
//! replaced. So whatever becomes of an exchange, what is left over is a lack of edges, which is mended.
//!
//! # Trust
//!
//! Members of a realm are trusted to forward walks and to end them by chance; one that does not can choose the
//! neighbours of who walks through it, as far as those take part. A member can cost another an edge that it takes part
//! in, or, while that other lacks one edge, the one to whom it names as the origin of a walk; both are replaced. What a peer sends can lock at most
//! [`Config::max_deals`] exchanges, for [`Config::deal_timeout`] each, and every table that it can fill has a bound.
//!
//! # Examples
//!
//! ```
//! use macula_swim::Overlay;
//! use macula_swim::overlay::{Config, Input, Output};
//! use macula_testkit::node_id;
//! use macula_wire::{Instant, Machine, Random};
//!
//! let now = Instant::from_millis(1);
//! let address = "192.0.2.1:4433".parse()?;
//! let mut overlay = Overlay::new(Config::default(), node_id(0), vec![address], Random::new(7), now);
//!
//! // Join through a contact: first a link to it is wanted, then a walk begins there.
//! overlay.join(now, node_id(1), vec!["192.0.2.2:4433".parse()?])?;
//! assert!(matches!(overlay.poll_output(), Some(Output::Connect { node, .. }) if node == node_id(1)));
//! overlay.handle_input(now, Input::LinkUp { peer: node_id(1) });
//! assert!(matches!(overlay.poll_output(), Some(Output::Send { to, .. }) if to == node_id(1)));
//! assert_eq!(overlay.neighbours().count(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod config;
mod crash;
mod deal;
mod drive;
mod edges;
mod event;
mod exchange;
mod flip;
mod known;
mod offer;
mod repair;
mod send;
mod timer;
mod view;
mod walk;

pub use config::{Config, degree_for};
pub use event::{Input, JoinError, Offence, Output, Stats};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use macula_wire::message::Contact;
use macula_wire::{Body, EdgeToken, Instant, NodeId, Random};

use admission::Admission;
use config::legal_degree;
use deal::{Deals, Early, Edge, Mate};
use timer::{Timer, Timers};
use view::{Paces, View};

/// The place of one node in the overlay of its realm.
///
/// See the [module](self) for what it does and [`Config`] for its limits.
pub struct Overlay {
    config: Config,
    own: Contact,
    random: Random,
    now: Instant,
    degree: usize,
    members: usize,
    edges: BTreeMap<NodeId, Edge>,
    deals: Deals,
    links: BTreeSet<NodeId>,
    rtts: BTreeMap<NodeId, Duration>,
    /// What waits for a link.
    outbox: BTreeMap<NodeId, Vec<(EdgeToken, Body)>>,
    timers: Timers,
    view: View,
    early: VecDeque<Early>,
    mates: VecDeque<Mate>,
    paces: Paces,
    admission: Admission,
    contacts: VecDeque<Contact>,
    /// Through whom edges are to be sought next, so that a split heals.
    bridge: Option<Contact>,
    last_bridge: Option<Instant>,
    /// When one that is back was last dialled for it.
    last_dial: Option<Instant>,
    last_checked: Option<NodeId>,
    /// How long walks of this node have taken.
    walk_time: Option<Duration>,
    /// How many times in a row walks came to nothing.
    failures: u32,
    /// Whether one did since walks were begun last.
    has_failed: bool,
    /// Until when repair is left to others.
    patient_until: Option<Instant>,
    has_left: bool,
    stats: Stats,
    outputs: VecDeque<Output>,
}

impl Overlay {
    /// A node without neighbours. `addresses` is where others can dial it, best first, at most 8.
    #[must_use]
    pub fn new(
        config: Config,
        node: NodeId,
        addresses: Vec<SocketAddr>,
        random: Random,
        now: Instant,
    ) -> Self {
        let mut overlay = Self {
            own: peer(node, addresses),
            random,
            now,
            degree: legal_degree(config.degree),
            members: config.assumed_members,
            edges: BTreeMap::new(),
            deals: Deals::new(),
            links: BTreeSet::new(),
            rtts: BTreeMap::new(),
            outbox: BTreeMap::new(),
            timers: Timers::default(),
            view: View::default(),
            early: VecDeque::new(),
            mates: VecDeque::new(),
            paces: Paces::new(),
            admission: Admission::new(config.min_window),
            contacts: VecDeque::new(),
            bridge: None,
            last_bridge: None,
            last_dial: None,
            last_checked: None,
            walk_time: None,
            failures: 0,
            has_failed: false,
            patient_until: None,
            has_left: false,
            stats: Stats::default(),
            outputs: VecDeque::new(),
            config,
        };
        for (timer, period) in [
            (Timer::Check, overlay.config.check_period),
            (Timer::Flip, overlay.config.flip_period),
            (Timer::Shuffle, overlay.config.shuffle_period),
            (Timer::Lost, overlay.config.lost_period),
        ] {
            // Nodes that start together should not act in step.
            let first = overlay.within(period);
            overlay.after(timer, first);
        }
        overlay
    }

    /// Joins the overlay through a node that is in it, or that is to be its second node. May be called for several.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if this node has left or `contact` is itself. The state is unchanged.
    pub fn join(
        &mut self,
        now: Instant,
        contact: NodeId,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), JoinError> {
        self.advance(now);
        if self.has_left {
            return Err(JoinError::Left);
        }
        if contact == self.own.node {
            return Err(JoinError::Own);
        }
        self.contacts.retain(|known| known.node != contact);
        self.contacts.push_back(peer(contact, addresses));
        while self.contacts.len() > self.config.max_contacts {
            self.contacts.pop_front();
        }
        if self.deals.is_empty() {
            self.failures = 0;
            self.repair();
        }
        Ok(())
    }

    /// Leaves the overlay: each two neighbours become neighbours of each other where they are not yet, and no new edge
    /// is taken. It is done when there are no [`neighbours`](Self::neighbours) any more, at the latest after
    /// [`Config::deal_timeout`]; keep the links until then.
    pub fn leave(&mut self, now: Instant) {
        self.advance(now);
        if !self.has_left {
            self.has_left = true;
            self.part_from_all();
        }
    }

    /// Replaces the addresses at which others can dial this node; at most 8 are told.
    pub fn set_addresses(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        self.advance(now);
        self.own = peer(self.own.node, addresses);
    }

    /// Sets how many neighbours a node has: even, 2 to 24; other values count as the nearest of these. All nodes of a
    /// realm should have the same number.
    pub fn set_degree(&mut self, now: Instant, degree: usize) {
        self.advance(now);
        let degree = legal_degree(degree);
        if degree != self.degree && !self.has_left {
            self.degree = degree;
            self.failures = 0;
            // All nodes hear of the new size at about the same time.
            let pause = self.within(self.config.deal_timeout);
            self.hasten(Timer::Repair, pause);
        }
    }

    /// Tells how many members the realm has: walks become as long as that needs, and the degree is
    /// [`degree_for`] it. It shrinks only when the members are a fifth fewer than where it grew.
    pub fn set_members(&mut self, now: Instant, members: usize) {
        self.members = members;
        let wanted = degree_for(members);
        let slack = members.saturating_add(members / 4);
        if wanted > self.degree || degree_for(slack) < self.degree {
            self.set_degree(now, wanted);
        }
    }

    /// The neighbours, ascending.
    pub fn neighbours(&self) -> impl Iterator<Item = NodeId> {
        self.edges.keys().copied()
    }

    /// The neighbours that a neighbour has told of, this node among them, as they were then.
    pub fn neighbours_of(&self, neighbour: &NodeId) -> impl Iterator<Item = NodeId> {
        let edge = self.edges.get(neighbour).into_iter();
        edge.flat_map(|edge| edge.list.iter().map(|peer| peer.node))
    }

    /// Whether a node is a neighbour.
    #[must_use]
    pub fn is_neighbour(&self, node: &NodeId) -> bool {
        self.edges.contains_key(node)
    }

    /// How many neighbours a node should have.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.degree
    }

    /// Whether there are as many neighbours as there should be, or as there are other nodes.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let full = self.edges.len() == self.degree;
        full || self.has_left || (self.deals.is_empty() && self.is_complete())
    }

    /// Nodes that are no neighbours and can be asked when neighbours are lost, in no order.
    pub fn passive(&self) -> impl Iterator<Item = NodeId> {
        self.view.peers().iter().map(|peer| peer.node)
    }

    /// Whether this node has left.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        self.has_left
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}

/// A node and as many of its addresses as a message may name.
fn peer(node: NodeId, mut addresses: Vec<SocketAddr>) -> Contact {
    addresses.truncate(macula_wire::limit::MAX_ADDRESSES);
    Contact { node, addresses }
}

// What all parts of the machine use.
impl Overlay {
    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn misbehaved(&mut self, peer: NodeId, offence: Offence) {
        self.output(Output::Misbehaved { peer, offence });
    }

    fn token(&mut self) -> EdgeToken {
        EdgeToken::new(self.random.next_u64())
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("node", &self.own.node)
            .field("degree", &self.degree)
            .field("neighbours", &self.edges.keys())
            .field("deals", &self.deals)
            .finish_non_exhaustive()
    }
}
