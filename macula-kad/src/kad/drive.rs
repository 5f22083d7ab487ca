//! Time, and the order in which things are done.

use std::sync::Arc;

use macula_wire::message::Contact;
use macula_wire::{Instant, Machine, NodeId};

use super::{Input, Kad, Output};
use crate::closest::Placed;
use crate::timer::Timer;

impl Kad {
    /// Moves time on and does what has fallen due; every entry point begins here.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.next_due() {
            match timer {
                Timer::Request(request) => self.on_due(request),
                Timer::Deadline(query) => self.finish(query, false),
                Timer::Refresh => self.on_refresh(),
                Timer::Renew(id) => self.on_renew(id),
                Timer::Tell => self.on_tell(),
                Timer::Moves => self.on_moves(),
                Timer::Replicate => self.on_replicate(),
                Timer::Expire => self.on_expire(),
                Timer::Watchers => self.on_watchers(),
                Timer::Watch(key, kind) => self.tend_watch((key, kind)),
                Timer::Ready(key, kind) => self.on_ready((key, kind)),
                Timer::Seen => self.end_seen(),
            }
        }
        self.flush();
    }

    /// What falls due next, if it is due: of one moment requests first, and then the others in their order.
    fn next_due(&mut self) -> Option<Timer> {
        let other = self.timers.next();
        let request = self.requests.pop_due(self.now, other);
        request
            .map(Timer::Request)
            .or_else(|| self.timers.pop_due(self.now))
    }
}

impl Kad {
    /// A node can be asked, and what failed before may succeed now.
    fn on_contact(&mut self, contact: Arc<Contact>) {
        let node = contact.node;
        self.hear(Placed::new(contact));
        self.retry_stores(&node);
        self.retry_watches(&node);
    }

    /// A member is there, or has other addresses.
    fn on_member(&mut self, contact: Arc<Contact>) {
        let node = contact.node;
        if node != self.own && self.members.insert(contact) {
            self.came(&node);
            self.look_again(&node);
        }
    }

    /// A member is dead or has left.
    fn on_member_gone(&mut self, node: &NodeId) {
        self.table.remove(node, &self.config);
        self.watchers.forget(node);
        self.runs.remove(node);
        self.on_unreachable(node);
        // It may be back before anybody looks at who is closest.
        self.forget_told(node);
        if self.members.remove(node) {
            self.went(node);
            self.look_again(node);
        }
    }

    /// The wall clock was set: what has expired by it is over, and the rest expires at another time.
    fn on_wall_clock(&mut self, wall_ms: u64) {
        self.wall = (self.now, wall_ms);
        self.on_expire();
        self.end_seen();
    }
}

impl Machine for Kad {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Message { from, body } => self.on_message(from, body),
            Input::Contact(contact) => self.on_contact(contact),
            Input::Member(contact) => self.on_member(contact),
            Input::MemberGone(node) => self.on_member_gone(&node),
            Input::Run { node, since } => self.on_run(node, since),
            Input::Unreachable(node) => self.on_unreachable(&node),
            Input::WallClock(wall_ms) => self.on_wall_clock(wall_ms),
        }
        self.flush();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            let (request, other) = (self.requests.next(), self.timers.next());
            request.into_iter().chain(other).min()
        } else {
            Some(self.now)
        }
    }
}
