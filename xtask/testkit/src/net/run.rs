//! Carrying out one event after the other.

use macula_wire::{Instant, Machine};

use super::counters::count;
use super::event::Event;
use super::link::LinkRef;
use super::parcel::ParcelId;
use super::{Class, Context, Failure, FailureCause, Host, LinkChange, Net, NodeIndex};

impl<H: Host> Net<H> {
    /// Carries out the next event, if there is one by `at`.
    pub(super) fn step_before(&mut self, at: Instant) -> Result<bool, Failure> {
        if let Some(failure) = &self.fabric.failure {
            return Err(failure.clone());
        }
        loop {
            let Some((due, event)) = self.fabric.queue.pop_by(at) else {
                return Ok(false);
            };
            self.fabric.now = self.fabric.now.max(due);
            if let Event::Wake { node } = event
                && !self.fabric.wakes(node)
            {
                continue;
            }
            self.carry_out(event);
            return match &self.fabric.failure {
                Some(failure) => Err(failure.clone()),
                None => Ok(true),
            };
        }
    }

    fn carry_out(&mut self, event: Event) {
        let place = event.place().and_then(|node| self.fabric.place_mut(node));
        if let Some(place) = place.filter(|place| place.paused) {
            place.held.push(event);
            return;
        }
        self.fabric.events = self.fabric.events.saturating_add(1);
        let max = self.fabric.config.max_steps;
        if self.fabric.events > max {
            self.fabric.fail(FailureCause::Steps { max });
            return;
        }
        self.fabric.note(&event);
        match event {
            Event::Wake { node } => {
                self.touch(node, None, |_, context, machine| {
                    machine.handle_timeout(context.now());
                });
            }
            Event::Datagram {
                link,
                from,
                to,
                number,
                parcel,
            } => {
                if self.fabric.datagram_arrives(link, from, to, number, parcel) {
                    self.hand_over(from, to, Class::Datagram, parcel);
                }
            }
            Event::Message {
                link,
                from,
                to,
                parcel,
            } => {
                if self.fabric.message_arrives(link, from, to, parcel) {
                    self.hand_over(from, to, Class::Reliable, parcel);
                }
            }
            Event::Posted { from, to, parcel } => {
                if self.fabric.posted_arrives(from, to, parcel) {
                    self.hand_over(from, to, Class::Reliable, parcel);
                }
            }
            Event::Flush { link, from, to } => self.on_flush(link, from, to),
            Event::Dialled { link, from, to } => {
                if self.fabric.dial_ends(link, from, to) {
                    self.tell(to, from, LinkChange::Up);
                    self.tell(from, to, LinkChange::Up);
                }
            }
            Event::Idle { link, since, .. } => {
                let idle = self.fabric.links.get(link);
                if idle.is_some_and(|link| link.silent_since == Some(since)) {
                    self.fabric.drop_link(link);
                }
            }
            Event::Down { node, life, peer } => {
                if self
                    .fabric
                    .place(node)
                    .is_some_and(|place| place.life == life)
                {
                    self.tell(node, peer, LinkChange::Down);
                }
            }
            Event::Pause { schedule } => self.fabric.turn(schedule, true),
            Event::Resume { schedule } => self.fabric.turn(schedule, false),
        }
    }

    fn on_flush(&mut self, link: LinkRef, from: NodeIndex, to: NodeIndex) {
        if self.fabric.links.is_blocked(from, to) {
            return;
        }
        let Some(current) = self.fabric.links.get_mut(link) else {
            return;
        };
        for parcel in current.way(from).take_held() {
            // Nothing waits any more, so each goes through, unless the link ends in between.
            if self.fabric.message_arrives(link, from, to, parcel) {
                self.hand_over(from, to, Class::Reliable, parcel);
            }
        }
    }

    fn hand_over(&mut self, from: NodeIndex, to: NodeIndex, class: Class, parcel: ParcelId) {
        let (Some(body), Some(peer)) = (self.fabric.parcels.take(parcel), self.fabric.id(from))
        else {
            return;
        };
        self.touch(to, Some(from), |host, context, machine| {
            host.on_message(context, machine, peer, class, body);
        });
    }

    /// Tells a node what became of its link to `other`.
    pub(super) fn tell(&mut self, node: NodeIndex, other: NodeIndex, change: LinkChange) {
        if let Some(peer) = self.fabric.id(other) {
            self.touch(node, Some(other), |host, context, machine| {
                host.on_link(context, machine, peer, change);
            });
        }
    }

    /// Lets `call` act on the machine of a node, and drains it.
    pub(super) fn touch(
        &mut self,
        node: NodeIndex,
        peer: Option<NodeIndex>,
        call: impl FnOnce(&mut H, &mut Context<'_>, &mut H::Machine),
    ) {
        let Some(machine) = self.machines.get_mut(node.get()).and_then(Option::as_mut) else {
            return;
        };
        let Some(id) = self.fabric.id(node) else {
            return;
        };
        let max = self.fabric.config.max_outputs;
        let mut context = Context {
            now: self.fabric.local_now(node),
            fabric: &mut self.fabric,
            node,
            id,
            peer,
        };
        call(&mut self.host, &mut context, machine);
        let mut left = max;
        while let Some(output) = machine.poll_output() {
            self.host.on_output(&mut context, machine, output);
            left = left.saturating_sub(1);
            if left == 0 {
                context.fabric.fail(FailureCause::Outputs { node, max });
                break;
            }
        }
        self.fabric.settle(node, machine.poll_timeout());
    }
}

impl super::fabric::Fabric {
    /// Whether a datagram gets to its receiver; takes it out if not.
    fn datagram_arrives(
        &mut self,
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
        number: u32,
        parcel: ParcelId,
    ) -> bool {
        let blocked = self.links.is_blocked(from, to);
        let current = self.links.get_mut(link).filter(|_| !blocked);
        if blocked {
            count(&mut self.counters.blocked);
        }
        let Some(current) = current else {
            self.parcels.take(parcel);
            return false;
        };
        let way = current.way(from);
        if number < way.arrived {
            count(&mut self.counters.datagrams_overtaken);
        }
        way.arrived = way.arrived.max(number);
        if !self.runs(to) {
            self.parcels.take(parcel);
            return false;
        }
        count(&mut self.counters.datagrams_delivered);
        true
    }

    /// Whether a message without a link gets to its receiver; takes it out if not.
    fn posted_arrives(&mut self, from: NodeIndex, to: NodeIndex, parcel: ParcelId) -> bool {
        let arrives = self.runs(to) && !self.links.is_blocked(from, to);
        if arrives {
            count(&mut self.counters.posted_delivered);
        } else {
            self.parcels.take(parcel);
        }
        arrives
    }

    /// Whether a message on a stream gets to its receiver now; lets it wait if the way is blocked, and takes it out if
    /// it is never going to get there.
    fn message_arrives(
        &mut self,
        link: LinkRef,
        from: NodeIndex,
        to: NodeIndex,
        parcel: ParcelId,
    ) -> bool {
        let blocked = self.links.is_blocked(from, to);
        if let Some(current) = self.links.get_mut(link) {
            let way = current.way(from);
            if blocked || way.holds() {
                way.hold(parcel);
                count(&mut self.counters.blocked);
                return false;
            }
            if self.runs(to) {
                count(&mut self.counters.messages_delivered);
                return true;
            }
        }
        count(&mut self.counters.messages_broken);
        self.parcels.take(parcel);
        false
    }

    /// Whether a dial leads to a link that is new to both ends.
    fn dial_ends(&mut self, link: LinkRef, from: NodeIndex, to: NodeIndex) -> bool {
        if self.links.get(link).is_none_or(|link| link.up) {
            return false;
        }
        if self.is_silent(super::link::Pair::new(from, to)) {
            self.links.remove(link);
            count(&mut self.counters.dials_failed);
            return false;
        }
        self.take_up(link)
    }
}
