//! Carrying out one event after the other.

use macula_wire::{Instant, Machine};

use super::counters::count;
use super::event::{Event, Sent};
use super::host::Action;
use super::link::Pair;
use super::{Class, Context, Failure, FailureCause, Host, LinkChange, Net, NodeIndex};

impl<H: Host> Net<H> {
    /// Carries out the next event, if there is one by `at`.
    pub(super) fn step_before(&mut self, at: Instant) -> Result<bool, Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Some((due, event)) = self.queue.pop_by(at) else {
            return Ok(false);
        };
        self.now = self.now.max(due);
        self.steps = self.steps.saturating_add(1);
        if self.steps > self.config.max_steps {
            let max = self.config.max_steps;
            self.fail(FailureCause::Steps { max });
        } else {
            self.carry_out(event);
        }
        self.failure.clone().map_or(Ok(true), Err)
    }

    pub(super) fn failure(&self, cause: FailureCause) -> Failure {
        Failure {
            seed: self.seed,
            at: self.now,
            cause,
        }
    }

    /// Stops the run; the first cause counts.
    pub(super) fn fail(&mut self, cause: FailureCause) {
        if self.failure.is_none() {
            self.failure = Some(self.failure(cause));
        }
    }

    fn carry_out(&mut self, event: Event) {
        let place = event.place().and_then(|node| self.slots.get_mut(node.0));
        if let Some(slot) = place.filter(|slot| slot.paused) {
            slot.held.push(event);
            return;
        }
        self.digest.number(self.now.as_nanos());
        for number in event.trace() {
            self.digest.number(number);
        }
        match event {
            Event::Wake { node } => self.on_wake(node),
            Event::Datagram {
                link,
                from,
                to,
                number,
                sent,
            } => self.on_datagram(link, from, to, number, sent),
            Event::Message {
                link,
                from,
                to,
                sent,
            } => self.on_stream(link, from, to, sent),
            Event::Flush { link, from, to } => self.on_flush(link, from, to),
            Event::Dialled { link, from, to } => self.on_dialled(link, from, to),
            Event::Idle { link, pair, since } => self.on_idle(link, pair, since),
            Event::Down { node, life, peer } => self.on_down(node, life, peer),
        }
    }

    fn on_wake(&mut self, node: NodeIndex) {
        if let Some(slot) = self.slots.get_mut(node.0) {
            slot.wake = None;
        }
        let now = self.now;
        self.touch(node, |_, _, machine| machine.handle_timeout(now));
    }

    fn on_datagram(&mut self, link: u64, from: NodeIndex, to: NodeIndex, number: u64, sent: Sent) {
        if self.links.is_blocked(from, to) {
            count(&mut self.counters.blocked);
            return;
        }
        let Some(current) = self.links.same_mut(Pair::new(from, to), link) else {
            return;
        };
        let direction = current.directions.entry(from).or_default();
        if number < direction.arrived {
            count(&mut self.counters.datagrams_overtaken);
        }
        direction.arrived = direction.arrived.max(number);
        if self.machine(to).is_some() {
            count(&mut self.counters.datagrams_delivered);
            self.hand_over(from, to, Class::Datagram, sent);
        }
    }

    fn on_stream(&mut self, link: u64, from: NodeIndex, to: NodeIndex, sent: Sent) {
        let blocked = self.links.is_blocked(from, to);
        let Some(current) = self.links.same_mut(Pair::new(from, to), link) else {
            count(&mut self.counters.messages_broken);
            return;
        };
        let direction = current.directions.entry(from).or_default();
        if blocked || !direction.held.is_empty() {
            direction.held.push(sent);
            count(&mut self.counters.blocked);
        } else {
            self.hand_over_message(from, to, sent);
        }
    }

    fn on_flush(&mut self, link: u64, from: NodeIndex, to: NodeIndex) {
        let pair = Pair::new(from, to);
        if self.links.is_blocked(from, to) {
            return;
        }
        let Some(current) = self.links.same_mut(pair, link) else {
            return;
        };
        let held = std::mem::take(&mut current.directions.entry(from).or_default().held);
        for sent in held {
            if self.links.same_mut(pair, link).is_some() {
                self.hand_over_message(from, to, sent);
            } else {
                count(&mut self.counters.messages_broken);
            }
        }
    }

    fn hand_over_message(&mut self, from: NodeIndex, to: NodeIndex, sent: Sent) {
        if self.machine(to).is_some() {
            count(&mut self.counters.messages_delivered);
            self.hand_over(from, to, Class::Reliable, sent);
        } else {
            count(&mut self.counters.messages_broken);
        }
    }

    fn hand_over(&mut self, from: NodeIndex, to: NodeIndex, class: Class, sent: Sent) {
        let Some(peer) = self.id(from) else {
            return;
        };
        self.touch(to, |host, context, machine| {
            host.on_message(context, machine, peer, class, sent.body);
        });
    }

    fn on_dialled(&mut self, link: u64, from: NodeIndex, to: NodeIndex) {
        let pair = Pair::new(from, to);
        let reachable = !self.is_silent(pair);
        let Some(current) = self.links.same_mut(pair, link) else {
            return;
        };
        if !reachable {
            self.links.remove(pair);
            count(&mut self.counters.dials_failed);
            return;
        }
        current.up = true;
        count(&mut self.counters.links_up);
        for (node, other) in [(to, from), (from, to)] {
            if let Some(peer) = self.id(other) {
                self.touch(node, |host, context, machine| {
                    host.on_link(context, machine, peer, LinkChange::Up);
                });
            }
        }
    }

    fn on_idle(&mut self, link: u64, pair: Pair, since: Instant) {
        let idle = self.links.same_mut(pair, link);
        if idle.is_some_and(|link| link.silent_since == Some(since)) {
            self.drop_link(pair);
        }
    }

    fn on_down(&mut self, node: NodeIndex, life: u64, peer: NodeIndex) {
        let alive = self
            .slots
            .get(node.0)
            .is_some_and(|slot| slot.life == life && slot.machine.is_some());
        if let Some(peer) = self.id(peer).filter(|_| alive) {
            self.touch(node, |host, context, machine| {
                host.on_link(context, machine, peer, LinkChange::Down);
            });
        }
    }

    /// Lets `call` act on the machine of a node, drains it, and carries out what came of it.
    pub(super) fn touch(
        &mut self,
        node: NodeIndex,
        call: impl FnOnce(&mut H, &mut Context<'_>, &mut H::Machine),
    ) {
        let Some(slot) = self.slots.get_mut(node.0) else {
            return;
        };
        let Some(mut machine) = slot.machine.take() else {
            return;
        };
        let mut actions = std::mem::take(&mut self.actions);
        let mut context = Context {
            now: self.now,
            node,
            id: slot.id,
            actions: &mut actions,
        };
        call(&mut self.host, &mut context, &mut machine);
        let mut left = self.config.max_outputs;
        while let Some(output) = machine.poll_output() {
            self.host.on_output(&mut context, &mut machine, output);
            left = left.saturating_sub(1);
            if left == 0 {
                let max = self.config.max_outputs;
                self.failure = self.failure.take().or_else(|| {
                    let cause = FailureCause::Outputs { node, max };
                    Some(Failure {
                        seed: self.seed,
                        at: self.now,
                        cause,
                    })
                });
                break;
            }
        }
        let wanted = machine.poll_timeout();
        slot.machine = Some(machine);
        if let Some(at) = wanted.filter(|at| *at <= self.now) {
            self.fail(FailureCause::NotInFuture { node, at });
        }
        self.rearm(node);
        for action in actions.drain(..) {
            match action {
                Action::Send { to, class, body } => self.send(node, to, class, *body),
                Action::Dial { to } => self.start_dial(node, to),
                Action::Close { to } => {
                    if let Some(peer) = self.find(to) {
                        self.drop_link(Pair::new(node, peer));
                    }
                }
                Action::Fail { text } => self.fail(FailureCause::Host { node, text }),
            }
        }
        self.actions = actions;
    }

    /// Schedules the time-out that the machine of a node asks for.
    pub(super) fn rearm(&mut self, node: NodeIndex) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(node.0) else {
            return;
        };
        let wanted = slot.machine.as_ref().and_then(Machine::poll_timeout);
        if let Some(key) = slot.wake {
            if Some(key.0) == wanted && !slot.paused {
                return;
            }
            self.queue.remove(key);
            slot.wake = None;
        }
        if let Some(at) = wanted.filter(|_| !slot.paused) {
            slot.wake = Some(self.queue.push(at.max(now), Event::Wake { node }));
        }
    }
}
