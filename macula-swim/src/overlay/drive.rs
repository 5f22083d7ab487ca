//! What an entry point does first, and who is called for what comes in and what falls due.

use macula_wire::{Body, Instant, Machine, NodeId};

use super::timer::Timer;
use super::{Input, Offence, Output, Overlay, peer};

impl Overlay {
    /// Moves time on and does what has fallen due; every entry point calls it first.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            tracing::trace!(?timer, "fires");
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Deal(token) => self.on_deal_late(token),
            Timer::Repair => self.repair(),
            Timer::Mate => self.on_mates(),
            Timer::Lists => self.tell_lists(),
            Timer::Admit => self.on_admit(),
            Timer::Check => self.on_check(),
            Timer::Flip => self.on_flip_due(),
            Timer::Shuffle => self.on_shuffle(),
            Timer::Lost => self.on_lost_due(),
            Timer::Bridge => self.on_bridge_due(),
            Timer::Release(node) => self.on_release(node),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other message belongs to another protocol"
    )]
    fn on_message(&mut self, from: NodeId, body: Body) {
        if from == self.own.node || !self.links.contains(&from) {
            return;
        }
        self.note_life(from);
        match body {
            Body::OverlayWalk(walk) => self.on_walk(from, walk),
            Body::OverlayOffer(offer) => self.on_offer(from, offer),
            Body::OverlayMove(order) => self.on_move(from, order),
            Body::OverlayAnswer(answer) => self.on_answer(from, &answer),
            Body::OverlayEdge(edge) => self.on_edge(from, edge),
            Body::OverlayFlip(flip) => self.on_flip(from, flip),
            Body::OverlayPeers(peers) => self.on_peers(from, peers),
            other => {
                tracing::trace!(kind = other.kind().name(), "not a message of the overlay");
                self.misbehaved(from, Offence::NotOverlay);
            }
        }
    }
}

impl Machine for Overlay {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Message { from, body } => self.on_message(from, body),
            Input::LinkUp { peer } => self.on_link_up(peer),
            Input::LinkDown { peer } => self.on_link_down(peer),
            Input::Known { node, addresses } => self.on_known(&peer(node, addresses)),
            Input::Gone { peer } => self.on_gone(peer),
            Input::Rtt { peer, rtt } => self.on_rtt(peer, rtt),
            Input::Bridge { node, addresses } => self.on_bridge(peer(node, addresses)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            self.timers.next()
        } else {
            Some(self.now)
        }
    }
}
