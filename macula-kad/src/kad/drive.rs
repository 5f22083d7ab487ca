//! Time, and the order in which things are done.

use macula_wire::{Instant, Machine};

use super::{Input, Kad, Output};
use crate::timer::Timer;

impl Kad {
    /// Moves time on and does what has fallen due; every entry point begins here.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Late(request) => self.on_late(request),
                Timer::GiveUp(request) => self.on_failed(request),
                Timer::Deadline(query) => self.finish(query, false),
                Timer::Refresh => self.on_refresh(),
            }
        }
    }
}

impl Machine for Kad {
    type Input = Input;
    type Output = Output;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Message { from, body } => self.on_message(from, body),
            Input::Contact(contact) => self.hear(contact),
            Input::Member(contact) => {
                if contact.node != self.own {
                    self.members.insert(contact);
                }
            }
            Input::MemberGone(node) => {
                self.members.remove(&node);
                self.table.remove(&node);
                self.on_unreachable(&node);
            }
            Input::Unreachable(node) => self.on_unreachable(&node),
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
