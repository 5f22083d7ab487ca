//! The composed node: membership, the overlay, routing, interest and offers as one machine.
//!
//! This is the only place that knows who talks to whom. It holds no protocol of its own, so a simulated network runs
//! whole nodes by it.

mod boundary;
mod counts;
mod member;
mod membership;
mod messaging;
mod neighbourhood;
mod pool;
mod routing;
mod waiting;

pub use boundary::{
    Lane, NodeInput, NodeOutput, Watched, Wish, is_of_forwarding, is_of_overlay, is_of_routing,
};
pub use member::MemberEvent;
pub use neighbourhood::Neighbourhood;
pub use pool::TreeNeeds;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_kad::Kad;
use macula_pubsub::PubSub;
use macula_rpc::Rpc;
use macula_swim::{Overlay, RecordError, Swim, overlay};
use macula_wire::message::{Body, RecordKind, SwimGossip, Tag, Update};
use macula_wire::{Epoch, Instant, Key, Machine, NodeId};

use self::counts::Counts;
use self::member::Audience;
use self::neighbourhood::Telling;
use self::pool::Pool;
use self::routing::OwnNode;
use self::waiting::Waiting;

/// The machines of one node, and the rules by which the outputs of each become inputs of the others.
#[derive(Debug)]
pub struct NodeMachine {
    /// The latest time that any of the machines was told; an earlier one counts as this.
    now: Instant,
    own: NodeId,
    swim: Swim,
    overlay: Overlay,
    pubsub: PubSub,
    rpc: Rpc,
    kad: Kad,
    /// What is watched, by where the records are kept that are about it.
    watched: BTreeMap<(Key, RecordKind), Watched>,
    /// Messages of routing for which there is no link yet.
    waiting: Waiting,
    own_node: OwnNode,
    counts: Counts,
    /// The members that a link is up to, and the run at its other end.
    links: BTreeMap<NodeId, Epoch>,
    pool: Pool,
    audience: Audience,
    telling: Telling,
    outputs: VecDeque<NodeOutput>,
}

impl NodeMachine {
    /// The most links of a node that keeps one to every member, unless [`with_link_pool`](Self::with_link_pool) says
    /// otherwise.
    pub const LINK_POOL: usize = 64;

    /// Composes a node of its machines.
    #[must_use]
    pub fn new(swim: Swim, overlay: Overlay, pubsub: PubSub, rpc: Rpc, mut kad: Kad) -> Self {
        let record = &swim.own_record().record;
        let own = record.node;
        // What an earlier run announced has lower numbers, by which others tell it apart.
        kad.number_from(record.epoch.get());
        // Membership tells all members: whoever is not told is none.
        kad.begin_with(Arc::default());
        let mut machine = Self {
            now: Instant::ZERO,
            own,
            swim,
            overlay,
            pubsub,
            rpc,
            kad,
            watched: BTreeMap::new(),
            waiting: Waiting::default(),
            own_node: OwnNode::default(),
            counts: Counts::default(),
            links: BTreeMap::new(),
            pool: Pool::new(Self::LINK_POOL),
            audience: Audience::default(),
            telling: Telling::default(),
            outputs: VecDeque::new(),
        };
        machine.describe(Instant::ZERO);
        machine
    }

    /// The same with another size of the link pool: up to it everybody has a link to everybody, above it links that
    /// nobody needs are closed. It should be that of membership, `link_pool` of its `Config`.
    #[must_use]
    pub fn with_link_pool(mut self, size: usize) -> Self {
        self.pool = Pool::new(size);
        self
    }

    /// The same where events that more than so many members want go along trees: links to all of these are not needed then.
    /// Without it links to all are. It comes after [`with_link_pool`](Self::with_link_pool).
    #[must_use]
    pub const fn with_direct_members(mut self, most: usize) -> Self {
        self.pool.set_direct(most);
        self
    }

    /// Membership.
    #[must_use]
    pub const fn swim(&self) -> &Swim {
        &self.swim
    }

    /// Membership, for commands. [`settle`](Self::settle) has to follow.
    pub const fn swim_mut(&mut self) -> &mut Swim {
        &mut self.swim
    }

    /// The overlay: who is a neighbour of whom.
    #[must_use]
    pub const fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Interest in events.
    #[must_use]
    pub const fn pubsub(&self) -> &PubSub {
        &self.pubsub
    }

    /// Interest in events, for commands. [`settle`](Self::settle) has to follow.
    pub const fn pubsub_mut(&mut self) -> &mut PubSub {
        &mut self.pubsub
    }

    /// Offers of procedures.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Offers of procedures, for commands. [`settle`](Self::settle) has to follow.
    pub const fn rpc_mut(&mut self) -> &mut Rpc {
        &mut self.rpc
    }

    /// Routing: who keeps and watches what.
    #[must_use]
    pub const fn kad(&self) -> &Kad {
        &self.kad
    }

    /// Routing, for commands. [`settle`](Self::settle) has to follow.
    pub const fn kad_mut(&mut self) -> &mut Kad {
        &mut self.kad
    }

    /// Replaces the application's marks on this node. [`settle`](Self::settle) has to follow.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if they are over a limit or this node has left. Nothing is changed then.
    pub fn set_tags(&mut self, now: Instant, tags: Vec<Tag>) -> Result<(), RecordError> {
        let now = self.advance(now);
        let before = Arc::clone(self.swim.own_record());
        self.swim.set_tags(now, tags)?;
        let own = Arc::clone(self.swim.own_record());
        if before.record.tags != own.record.tags {
            self.member(MemberEvent::Tags(own));
            self.describe(now);
        }
        Ok(())
    }

    /// Gives up the edges of the overlay to its neighbours, before [`leave`](Self::leave). It is done when
    /// [`NodeOutput::Neighbours`] names nobody, or after a second. [`settle`](Self::settle) has to follow.
    pub fn leave_overlay(&mut self, now: Instant) {
        let now = self.advance(now);
        self.overlay.leave(now);
    }

    /// Says goodbye to the members, and to peers that this node had no time to know as members: they know it. This run is
    /// over then. [`settle`](Self::settle) has to follow.
    pub fn leave(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.swim.has_left() {
            return;
        }
        self.swim.leave(now);
        let own = self.swim.own_record();
        let known = |peer: &NodeId| {
            let member = self.swim.member(peer);
            member.is_some_and(|member| member.state().is_present())
        };
        for peer in self.links.keys().filter(|peer| !known(peer)) {
            let updates = vec![Update::Record(Arc::clone(own))];
            self.outputs.push_back(NodeOutput::Send {
                to: *peer,
                lane: Lane::Control,
                body: SwimGossip { updates }.into(),
            });
        }
    }

    /// The versions of the tables of routes and of providers in which everything so far has its effect.
    #[must_use]
    pub fn versions(&self) -> (u64, u64) {
        (self.pubsub.version(), self.rpc.version())
    }

    /// Moves what one machine put out to the others, until nothing moves. Membership and the overlay tell each other
    /// who is there and who is a neighbour, which neither answers with the like; routing tells interest and offers of
    /// others, and they tell it of this node only. So this ends.
    pub fn settle(&mut self, now: Instant) {
        let now = self.advance(now);
        loop {
            if let Some(output) = self.swim.poll_output() {
                self.route_swim(now, output);
            } else if let Some(output) = self.overlay.poll_output() {
                self.route_overlay(now, output);
            } else if self.route_messaging(now) {
            } else if let Some(output) = self.kad.poll_output() {
                self.route_kad(now, output);
            } else {
                break;
            }
        }
        self.look_for_needs(now);
        self.tell_neighbourhood(now);
    }

    /// When the first of the machines wants its time-out.
    fn due(&self) -> Option<Instant> {
        let timeouts = [
            self.swim.poll_timeout(),
            self.overlay.poll_timeout(),
            self.pool.due(),
            self.telling.due(),
            self.pubsub.poll_timeout(),
            self.rpc.poll_timeout(),
            self.routing_due(),
        ];
        timeouts.into_iter().flatten().min()
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

impl Machine for NodeMachine {
    type Input = NodeInput;
    type Output = NodeOutput;

    fn handle_input(&mut self, now: Instant, input: NodeInput) {
        let now = self.advance(now);
        // The input concerns one machine; for the others it is no less late.
        if self.due().is_some_and(|due| due <= now) {
            self.handle_timeout(now);
        }
        match input {
            NodeInput::LinkUp { peer, epoch } => self.on_link_up(now, peer, epoch),
            NodeInput::LinkDown(peer) => self.on_link_down(now, peer),
            NodeInput::Message { from, body } => match body {
                // The peer needs the link, whether this node does or not.
                Body::Heartbeat(_) => self.pool.used(&from),
                body if is_of_overlay(&body) => {
                    self.pool.used(&from);
                    self.telling.touch();
                    let message = overlay::Input::Message { from, body };
                    self.overlay.handle_input(now, message);
                }
                body => self
                    .swim
                    .handle_input(now, macula_swim::Input::Message { from, body }),
            },
            NodeInput::Routing { from, body } => self.on_routing(now, from, body),
            NodeInput::Unreachable(node) => self.on_unreachable(now, node),
            NodeInput::WallClock(wall_ms) => {
                self.kad
                    .handle_input(now, macula_kad::Input::WallClock(wall_ms));
            }
            NodeInput::Rtt { peer, rtt } => {
                self.swim
                    .handle_input(now, macula_swim::Input::Rtt { peer, rtt });
                self.overlay
                    .handle_input(now, overlay::Input::Rtt { peer, rtt });
            }
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.swim.handle_timeout(now);
        self.overlay.handle_timeout(now);
        if self.pool.take_due(now) {
            self.tend_links(now);
        }
        self.pubsub.handle_timeout(now);
        self.rpc.handle_timeout(now);
        self.kad.handle_timeout(now);
        self.tend_waiting(now);
        self.describe_if_due(now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<NodeOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            self.due()
        } else {
            Some(self.now)
        }
    }
}
