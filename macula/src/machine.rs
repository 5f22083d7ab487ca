//! The composed node: membership, interest and offers as one machine.
//!
//! This is the only place that knows who talks to whom. It holds no protocol of its own, so a simulated network runs
//! whole nodes by it.

mod boundary;
mod member;

pub use boundary::{NodeInput, NodeOutput};
pub use member::MemberEvent;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_pubsub::PubSub;
use macula_rpc::Rpc;
use macula_swim::{Class, Offence, RecordError, Swim};
use macula_wire::message::{Body, Tag};
use macula_wire::{Epoch, ErrorCode, Instant, Machine, NodeId};

use self::member::Audience;
use crate::MembershipCounts;

/// Up to how many members everybody tells everybody all that it knows when a link comes up.
const FULL_MESH: usize = 64;
/// Why the link of a member that said goodbye is closed.
const HAS_LEFT: &str = "it has left";

/// The machines of one node, and the rules by which the outputs of each become inputs of the others.
#[derive(Debug)]
pub struct NodeMachine {
    /// The latest time that any of the machines was told; an earlier one counts as this.
    now: Instant,
    swim: Swim,
    pubsub: PubSub,
    rpc: Rpc,
    /// The members that a link is up to, and the run at its other end.
    links: BTreeMap<NodeId, Epoch>,
    audience: Audience,
    /// How often a peer brought more accusations than it may.
    accusations_refused: u64,
    outputs: VecDeque<NodeOutput>,
}

impl NodeMachine {
    /// Composes a node of its machines.
    #[must_use]
    pub fn new(swim: Swim, pubsub: PubSub, rpc: Rpc) -> Self {
        Self {
            now: Instant::ZERO,
            swim,
            pubsub,
            rpc,
            links: BTreeMap::new(),
            audience: Audience::default(),
            accusations_refused: 0,
            outputs: VecDeque::new(),
        }
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

    /// What membership has counted.
    #[must_use]
    pub fn membership(&self) -> MembershipCounts {
        let stats = self.swim.stats();
        MembershipCounts {
            health: u64::from(self.swim.health()),
            neighbours: u64::try_from(self.swim.neighbours().count()).unwrap_or(u64::MAX),
            probes: stats.probes,
            probes_failed: stats.probes_failed,
            probes_indirect: stats.probes_indirect,
            suspicions: stats.suspicions,
            suspicions_cleared: self.audience.cleared,
            refutations: stats.refutations,
            accusations_refused: self.accusations_refused,
            stalls: stats.stalls,
            differences: stats.differences,
            records_refused: stats.refused_records,
            members_refused: stats.refused_full,
        }
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
        }
        Ok(())
    }

    /// The versions of the tables of routes and of providers in which everything so far has its effect.
    #[must_use]
    pub fn versions(&self) -> (u64, u64) {
        (self.pubsub.version(), self.rpc.version())
    }

    /// Moves what one machine put out to the others, until nothing moves. Outputs only go from membership to
    /// messaging and from there outwards, so this ends.
    pub fn settle(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(output) = self.swim.poll_output() {
            self.route_swim(now, output);
        }
        while let Some(output) = self.pubsub.poll_output() {
            self.route_pubsub(output);
        }
        while let Some(output) = self.rpc.poll_output() {
            self.route_rpc(output);
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn route_swim(&mut self, now: Instant, output: macula_swim::Output) {
        use macula_swim::Output;
        match output {
            Output::Send { to, class, body } => {
                self.outputs.push_back(NodeOutput::Send { to, class, body });
            }
            Output::Connect { node, addresses } => {
                self.outputs
                    .push_back(NodeOutput::Connect { node, addresses });
            }
            Output::Up { record, .. } => {
                let event = self.audience.up(record);
                self.member(event);
            }
            Output::Suspect { node } => {
                let event = self.audience.suspect(node);
                self.member(event);
            }
            Output::Down { node, epoch } => {
                let code = ErrorCode::UNREACHABLE;
                self.on_down(now, (node, epoch), code, "taken for dead");
                let event = self.audience.down(node);
                self.member(event);
            }
            Output::Left { node } => {
                // The record of a member that has left is its goodbye, so it tells which run has ended.
                let left = self.swim.member(&node);
                let epoch = left.map_or(Epoch::new(u64::MAX), |member| member.record().epoch);
                self.on_down(now, (node, epoch), ErrorCode::SHUTTING_DOWN, HAS_LEFT);
                let event = self.audience.left(node);
                self.member(event);
            }
            Output::Changed { record, .. } => {
                for event in self.audience.changed(&record) {
                    self.member(event);
                }
            }
            Output::Misbehaved { peer, offence } => {
                if offence == Offence::TooManyAccusations {
                    self.accusations_refused = self.accusations_refused.saturating_add(1);
                }
                self.misbehaved(peer, offence.to_string());
            }
            Output::Superseded { epoch } => {
                self.outputs.push_back(NodeOutput::Superseded { epoch });
            }
            _ => {}
        }
    }

    /// Tells a peer of this node, and asks it for all members: over every new link in a small realm, and in a large one
    /// where the peer is no member yet as far as this node knows. Membership asks once the link is up.
    fn introduce(&mut self, now: Instant, peer: NodeId) {
        let known = self.swim.member(&peer).map(macula_swim::Member::state);
        let is_small = self.swim.counts().present() <= FULL_MESH;
        let is_new = !known.is_some_and(macula_swim::State::is_present);
        if (is_small || is_new)
            && let Err(error) = self.swim.join(now, peer)
        {
            tracing::debug!(%error, "not joining by this peer");
        }
    }

    /// A run has ended. The link may be that of a later run, whose announcements must stay.
    fn on_down(
        &mut self,
        now: Instant,
        (node, epoch): (NodeId, Epoch),
        code: ErrorCode,
        detail: &'static str,
    ) {
        match self.links.get(&node) {
            Some(linked) if *linked > epoch => {}
            Some(_) => self.disconnect(node, code, detail),
            None => self.forget(now, node),
        }
    }

    /// Takes in a new link, unless the run at its other end has left: it was on its way then.
    fn on_link_up(&mut self, now: Instant, peer: NodeId, epoch: Epoch) {
        let known = self.swim.member(&peer);
        if known.is_some_and(|member| {
            member.state() == macula_swim::State::Left && member.record().epoch >= epoch
        }) {
            return self.disconnect(peer, ErrorCode::SHUTTING_DOWN, HAS_LEFT);
        }
        self.links.insert(peer, epoch);
        self.introduce(now, peer);
        self.swim
            .handle_input(now, macula_swim::Input::LinkUp { peer });
        self.pubsub
            .handle_input(now, macula_pubsub::Input::MemberUp { node: peer });
        self.rpc
            .handle_input(now, macula_rpc::Input::MemberUp { node: peer });
    }

    fn on_link_down(&mut self, now: Instant, peer: NodeId) {
        if self.links.remove(&peer).is_none() {
            return;
        }
        self.swim
            .handle_input(now, macula_swim::Input::LinkDown { peer });
        let present = |member: &macula_swim::Member| member.state().is_present();
        if !self.swim.member(&peer).is_some_and(present) {
            self.forget(now, peer);
        }
    }

    /// Neither membership nor a link speaks for the member any more.
    fn forget(&mut self, now: Instant, node: NodeId) {
        self.pubsub
            .handle_input(now, macula_pubsub::Input::MemberDown { node });
        self.rpc
            .handle_input(now, macula_rpc::Input::MemberDown { node });
        self.outputs.push_back(NodeOutput::Lost(node));
    }

    fn member(&mut self, event: MemberEvent) {
        self.outputs.push_back(NodeOutput::Member(event));
    }

    fn misbehaved(&mut self, peer: NodeId, offence: String) {
        self.outputs
            .push_back(NodeOutput::Misbehaved { peer, offence });
    }

    fn disconnect(&mut self, node: NodeId, code: ErrorCode, detail: &'static str) {
        self.outputs
            .push_back(NodeOutput::Disconnect { node, code, detail });
    }

    /// What the peer announces and what is known of it differ from here on. A new link begins with everything.
    fn misannounced(&mut self, peer: NodeId, offence: String) {
        self.misbehaved(peer, offence);
        let code = ErrorCode::PROTOCOL_VIOLATION;
        self.disconnect(peer, code, "an announcement broke the rules");
    }

    /// In a small realm an announcement goes to every member, so a watch needs no message: its answer is what all
    /// members announce anyway.
    fn route_pubsub(&mut self, output: macula_pubsub::Output) {
        use macula_pubsub::Output;
        match output {
            Output::Announce { to, interest } => {
                let to = match to {
                    macula_pubsub::Audience::AllMembers => None,
                    macula_pubsub::Audience::Member(node) => Some(node),
                };
                self.announce(to, &Body::from(interest));
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Table(table)),
            Output::Misbehaved { peer, offence } => self.misannounced(peer, offence.to_string()),
            _ => {}
        }
    }

    fn route_rpc(&mut self, output: macula_rpc::Output) {
        use macula_rpc::Output;
        match output {
            Output::Announce { to, offer } => {
                let to = match to {
                    macula_rpc::Audience::AllMembers => None,
                    macula_rpc::Audience::Member(node) => Some(node),
                };
                self.announce(to, &Body::from(offer));
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Providers(table)),
            Output::Misbehaved { peer, offence } => self.misannounced(peer, offence.to_string()),
            _ => {}
        }
    }

    fn announce(&mut self, to: Option<NodeId>, body: &Body) {
        let receivers: Vec<NodeId> = match to {
            Some(node) => vec![node],
            None => self.links.keys().copied().collect(),
        };
        for to in receivers {
            self.outputs.push_back(NodeOutput::Send {
                to,
                class: Class::Reliable,
                body: body.clone(),
            });
        }
    }
}

impl Machine for NodeMachine {
    type Input = NodeInput;
    type Output = NodeOutput;

    fn handle_input(&mut self, now: Instant, input: NodeInput) {
        let now = self.advance(now);
        match input {
            NodeInput::LinkUp { peer, epoch } => self.on_link_up(now, peer, epoch),
            NodeInput::LinkDown(peer) => self.on_link_down(now, peer),
            NodeInput::Message { from, body } => match body {
                Body::Interest(message) => {
                    self.pubsub
                        .handle_input(now, macula_pubsub::Input::Interest { from, message });
                }
                Body::Offer(message) => {
                    self.rpc
                        .handle_input(now, macula_rpc::Input::Offer { from, message });
                }
                body => self
                    .swim
                    .handle_input(now, macula_swim::Input::Message { from, body }),
            },
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.swim.handle_timeout(now);
        self.pubsub.handle_timeout(now);
        self.rpc.handle_timeout(now);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<NodeOutput> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.outputs.is_empty() {
            return Some(self.now);
        }
        [
            self.swim.poll_timeout(),
            self.pubsub.poll_timeout(),
            self.rpc.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
