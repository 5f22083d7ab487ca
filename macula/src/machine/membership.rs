//! What membership and the overlay put out, and what links mean to them.

use std::sync::Arc;

use macula_swim::{Class, Offence, overlay};
use macula_wire::message::SignedRecord;
use macula_wire::{Body, Epoch, ErrorCode, Instant, Machine, NodeId};

use super::{MemberEvent, NodeMachine, NodeOutput, Wish};

/// Why the link of a member that said goodbye is closed.
const HAS_LEFT: &str = "it has left";

impl NodeMachine {
    pub(super) fn route_swim(&mut self, now: Instant, output: macula_swim::Output) {
        use macula_swim::Output;
        match output {
            Output::Send { to, class, body } => self.send(to, class, body),
            Output::Connect { node, addresses } => {
                self.outputs.push_back(NodeOutput::Connect {
                    node,
                    addresses,
                    wish: Wish::OfBoth,
                });
            }
            Output::Up { record, .. } => self.on_up(now, record),
            Output::Suspect { node } => {
                let event = self.audience.suspect(node);
                self.member(event);
            }
            Output::Down { node, epoch } => {
                let code = ErrorCode::UNREACHABLE;
                self.on_down(now, (node, epoch), code, "taken for dead");
                let event = self.audience.down(node, epoch);
                self.member(event);
            }
            Output::Left { node } => {
                // The record of a member that has left is its goodbye, so it tells which run has ended.
                let left = self.swim.member(&node);
                let epoch = left.map_or(Epoch::new(u64::MAX), macula_swim::Member::epoch);
                self.on_down(now, (node, epoch), ErrorCode::SHUTTING_DOWN, HAS_LEFT);
                let event = self.audience.left(node);
                self.member(event);
            }
            Output::Changed { record, .. } => {
                for event in self.audience.changed(&record) {
                    self.member(event);
                }
                self.make_known(now, &record);
                self.telling.touch();
            }
            Output::Misbehaved { peer, offence } => {
                if offence == Offence::TooManyAccusations {
                    let count = &mut self.counts.accusations_refused;
                    *count = count.saturating_add(1);
                }
                self.misbehaved(peer, offence.to_string());
            }
            Output::Superseded { epoch } => {
                self.outputs.push_back(NodeOutput::Superseded { epoch });
            }
            // Links that membership releases are left to the pool.
            _ => {}
        }
    }

    /// Carries out what the overlay wants: its neighbours watch each other in membership.
    pub(super) fn route_overlay(&mut self, now: Instant, output: overlay::Output) {
        use macula_swim::overlay::Output;
        match output {
            Output::Send { to, class, body } => {
                self.pool.used(&to);
                self.send(to, class, body);
            }
            Output::Connect { node, addresses } => {
                self.outputs.push_back(NodeOutput::Connect {
                    node,
                    addresses,
                    wish: Wish::OfBoth,
                });
            }
            Output::NeighbourUp { node: peer } => {
                self.swim
                    .handle_input(now, macula_swim::Input::NeighbourUp { peer });
                self.tell_neighbours(now);
            }
            Output::NeighbourDown { node: peer } => {
                self.swim
                    .handle_input(now, macula_swim::Input::NeighbourDown { peer });
                self.tell_neighbours(now);
            }
            Output::Misbehaved { peer, offence } => self.misbehaved(peer, offence.to_string()),
            // Links that the overlay releases are left to the pool.
            _ => {}
        }
    }

    pub(super) fn send(&mut self, to: NodeId, class: Class, body: Body) {
        let lane = class.into();
        self.outputs.push_back(NodeOutput::Send { to, lane, body });
    }

    fn tell_neighbours(&mut self, now: Instant) {
        self.telling.touch();
        let neighbours = self.overlay.neighbours().collect();
        self.outputs.push_back(NodeOutput::Neighbours(neighbours));
        self.describe(now);
    }

    /// A member is there. One that was thought dead may bring a second overlay along, from the other side of a split.
    fn on_up(&mut self, now: Instant, record: Arc<SignedRecord>) {
        let node = record.record.node;
        self.make_known(now, &record);
        if self.audience.was_dead(&record) {
            let addresses = record.record.addresses.clone();
            let bridge = overlay::Input::Bridge { node, addresses };
            self.overlay.handle_input(now, bridge);
        }
        let event = self.audience.up(record);
        self.member(event);
        self.resize(now);
    }

    fn make_known(&mut self, now: Instant, record: &SignedRecord) {
        let (node, addresses) = (record.record.node, record.record.addresses.clone());
        if node != self.own {
            let known = overlay::Input::Known { node, addresses };
            self.overlay.handle_input(now, known);
        }
        self.know_member(now, record);
    }

    /// Tells of the number of members.
    fn resize(&mut self, now: Instant) {
        let members = self.swim.counts().present();
        self.overlay.set_members(now, members);
        self.pool.resize(now, members);
    }

    /// Tells a peer of this node, and asks it for all members: over every new link in a small realm, and in a large one
    /// where the peer is no member yet as far as this node knows. Membership asks once the link is up.
    fn introduce(&mut self, now: Instant, peer: NodeId) {
        let known = self.swim.member(&peer).map(macula_swim::Member::state);
        let is_small = self.swim.counts().present() <= self.pool.size();
        let is_new = !known.is_some_and(macula_swim::State::is_present);
        if (is_small || is_new)
            && let Err(error) = self.swim.join(now, peer)
        {
            tracing::debug!(%error, "not joining by this peer");
        }
    }

    /// A run has ended. The link may be that of a later run, whose interest and offers must stay.
    fn on_down(
        &mut self,
        now: Instant,
        (node, epoch): (NodeId, Epoch),
        code: ErrorCode,
        detail: &'static str,
    ) {
        self.overlay
            .handle_input(now, overlay::Input::Gone { peer: node });
        self.pool.gone(&node);
        self.resize(now);
        match self.links.get(&node) {
            Some(linked) if *linked > epoch => self.know_run(now, node),
            Some(_) => self.disconnect((node, epoch), code, detail),
            None => self.forget(now, node),
        }
    }

    /// Takes in a new link, unless the run at its other end has left: it was on its way then.
    pub(super) fn on_link_up(&mut self, now: Instant, peer: NodeId, epoch: Epoch) {
        let known = self.swim.member(&peer);
        if known.is_some_and(|member| {
            member.state() == macula_swim::State::Left && member.epoch() >= epoch
        }) {
            return self.disconnect((peer, epoch), ErrorCode::SHUTTING_DOWN, HAS_LEFT);
        }
        let replaced = self.links.insert(peer, epoch).is_some();
        self.telling.touch();
        self.introduce(now, peer);
        self.swim
            .handle_input(now, macula_swim::Input::LinkUp { peer });
        self.overlay
            .handle_input(now, overlay::Input::LinkUp { peer });
        if self.overlay.neighbours().next().is_none() {
            self.enter_overlay(now, peer);
        }
        self.link_routing(now, peer, replaced);
    }

    /// A node without neighbours walks into the overlay by whoever has a link to it.
    fn enter_overlay(&mut self, now: Instant, contact: NodeId) {
        let known = self.swim.member(&contact);
        let addresses = known.map_or_else(Vec::new, macula_swim::Member::addresses);
        if let Err(error) = self.overlay.join(now, contact, addresses) {
            tracing::debug!(%error, "not entering the overlay by this peer");
        }
    }

    pub(super) fn on_link_down(&mut self, now: Instant, peer: NodeId) {
        if self.links.remove(&peer).is_none() {
            return;
        }
        self.pool.lost(now, &peer);
        self.telling.touch();
        self.swim
            .handle_input(now, macula_swim::Input::LinkDown { peer });
        self.overlay
            .handle_input(now, overlay::Input::LinkDown { peer });
        self.kad
            .handle_input(now, macula_kad::Input::Unreachable(peer));
        let present = |member: &macula_swim::Member| member.state().is_present();
        if !self.swim.member(&peer).is_some_and(present) {
            self.forget(now, peer);
        }
    }

    /// Neither membership nor a link speaks for the member any more.
    fn forget(&mut self, now: Instant, node: NodeId) {
        self.kad
            .handle_input(now, macula_kad::Input::MemberGone(node));
        self.forget_messaging(now, node);
        self.outputs.push_back(NodeOutput::Lost(node));
    }

    pub(super) fn member(&mut self, event: MemberEvent) {
        self.telling.touch();
        self.outputs.push_back(NodeOutput::Member(event));
    }

    pub(super) fn misbehaved(&mut self, peer: NodeId, offence: String) {
        self.outputs
            .push_back(NodeOutput::Misbehaved { peer, offence });
    }

    /// Has the link to a run of a member closed.
    pub(super) fn disconnect(
        &mut self,
        (node, epoch): (NodeId, Epoch),
        code: ErrorCode,
        detail: &'static str,
    ) {
        self.outputs.push_back(NodeOutput::Disconnect {
            node,
            epoch,
            code,
            detail,
        });
    }
}
