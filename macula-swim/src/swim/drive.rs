//! What an entry point does first and last, and who is called for what falls due.

use macula_wire::{Instant, Machine};

use super::{Input, Output, Swim};
use crate::timer::Timer;

impl Swim {
    /// Moves time on and does what has fallen due; every entry point calls it first, and [`finish`](Self::finish) last.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if let Some(due) = self.timers.next()
            && self.config.stall_guard
            && self.now.saturating_since(due) > self.config.probe_timeout
        {
            self.on_stall();
        }
        while let Some(timer) = self.timers.pop_due(self.now) {
            tracing::trace!(?timer, "fires");
            self.fire(timer);
        }
    }

    /// Tells the neighbours what cannot wait, or a moment later if they were told something a moment ago.
    pub(super) fn finish(&mut self) {
        if !self.gossip.is_urgent() {
            return;
        }
        let next = self.last_flood.map(|last| last + self.config.flood_pause);
        match next.filter(|next| *next > self.now) {
            Some(next) => self.timers.arm(Timer::Flood, next),
            None => self.flood(false),
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Probe(probe) => self.on_probe_late(probe),
            Timer::Nack(probe) => self.on_relay_late(probe),
            Timer::Relay(probe) => self.end_relay(probe),
            Timer::Watch(node) => self.on_watch(node),
            Timer::Stranger(node) => self.on_stranger_late(node),
            Timer::Check(node) => self.on_check(node),
            Timer::Suspicion(node) => self.on_suspicion_over(node),
            Timer::Refute => self.refute(),
            Timer::Round => self.on_round(),
            // What is urgent still is flooded when everything that fell due is done.
            Timer::Flood => {}
            Timer::Gossip => self.on_gossip(),
            Timer::State => self.on_state_due(),
            Timer::Join(via) => self.on_join_late(via),
            Timer::Connect(node) => self.on_link_missing(node),
            Timer::Revive => self.on_revive(),
            Timer::Sync => self.on_sync(),
            Timer::Forget => self.on_forget(),
        }
    }
}

impl Machine for Swim {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        if self.has_left {
            return;
        }
        match input {
            Input::Message { from, body } => self.on_message(from, body),
            Input::LinkUp { peer } => self.on_link_up(peer),
            Input::LinkDown { peer } => self.on_link_down(peer),
            Input::Rtt { peer, rtt } => self.on_rtt(&peer, rtt),
            Input::NeighbourUp { peer } => self.on_neighbour_up(peer),
            Input::NeighbourDown { peer } => self.on_neighbour_down(peer),
        }
        self.finish();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.finish();
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
