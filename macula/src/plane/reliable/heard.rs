//! What is heard of members and of receivers: links, losses, and what they say of what they were sent.

use std::sync::Arc;

use macula_pubsub::{Destination, EstateInput, IntakeInput, ReplayInput};
use macula_wire::message::{Body, Roles};
use macula_wire::{Epoch, Instant, Machine, NodeId};

use super::{MAX_RUNS, Machines};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::links::Attached;

impl Plane {
    /// The link to a member is up, or another one than before.
    pub(crate) fn kept_link_up(self: &Arc<Self>, attached: &Attached) {
        let (peer, epoch) = (attached.link.peer().node, attached.link.epoch());
        let is_store = attached.link.peer().roles.contains(Roles::STORE);
        self.reliably(|machines, now| {
            machines.on_up(now, peer, epoch);
            if is_store {
                machines.told.on_up(now, peer);
            }
        });
    }

    /// The link to a member is lost.
    pub(crate) fn kept_link_down(self: &Arc<Self>, peer: NodeId) {
        let down = ReplayInput::Down(Destination::Member(peer));
        self.reliably(|machines, now| machines.replay.handle_input(now, down));
    }

    /// A member is thought dead.
    pub(crate) fn kept_member_lost(self: &Arc<Self>, peer: NodeId) {
        let lost = ReplayInput::Lost(Destination::Member(peer));
        self.reliably(|machines, now| {
            machines.heir.on_lost(now, peer);
            machines.replay.handle_input(now, lost);
        });
    }

    /// A member is there: one that was lost is no more.
    pub(crate) fn kept_member_back(self: &Arc<Self>, peer: NodeId) {
        self.reliably(|machines, now| machines.heir.on_up(now, peer));
    }

    /// A subscription or a client of this node has ended.
    pub(crate) fn kept_receiver_gone(self: &Arc<Self>, to: Destination) {
        // What its application has taken by now counts.
        let said = self.reliable.inbox.hear_all();
        self.reliably(|machines, now| {
            self.on_said(machines, now, said);
            machines.replay.handle_input(now, ReplayInput::Gone(to));
        });
    }

    /// Takes in what a receiver says of events that it was sent; `false` if `body` is about something else.
    pub(crate) fn kept_word(self: &Arc<Self>, from: Destination, body: &Body) -> bool {
        let input = match body {
            Body::EventAck(ack) => ReplayInput::Ack(from, ack.clone()),
            Body::Resend(resend) => {
                add(&self.counters.resends_served, 1);
                ReplayInput::Resend(from, resend.clone())
            }
            Body::Arrears(arrears) => {
                if let Destination::Member(peer) = from {
                    let told = EstateInput::Arrears(peer, arrears.clone());
                    self.reliably(|machines, now| machines.heir.estate.handle_input(now, told));
                }
                return true;
            }
            _ => return false,
        };
        self.reliably(|machines, now| machines.replay.handle_input(now, input));
        true
    }
}

impl Machines {
    fn on_up(&mut self, now: Instant, peer: NodeId, epoch: Epoch) {
        let to = Destination::Member(peer);
        let before = self.runs.insert(peer, epoch);
        if before.is_some_and(|before| before != epoch) {
            // Whoever was owed something there has ended with the former run.
            self.replay.handle_input(now, ReplayInput::Gone(to));
            let gone = EstateInput::Gone(peer);
            self.heir.estate.handle_input(now, gone);
        }
        self.heir.on_up(now, peer);
        if self.runs.len() > MAX_RUNS {
            let other = self.runs.keys().find(|other| **other != peer).copied();
            other.map(|other| self.runs.remove(&other));
        }
        self.replay.handle_input(now, ReplayInput::Up(to));
        self.intake.handle_input(now, IntakeInput::Up(peer));
    }
}
