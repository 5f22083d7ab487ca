//! Messages to nodes with and without a link, and links that are not needed any more.

use macula_wire::message::Contact;
use macula_wire::{Body, EdgeToken, NodeId};

use super::timer::Timer;
use super::{Output, Overlay};
use crate::Class;

impl Overlay {
    /// Sends a message if there is a link.
    pub(super) fn tell(&mut self, to: NodeId, body: impl Into<Body>) {
        if self.links.contains(&to) {
            let (class, body) = (Class::Reliable, body.into());
            self.output(Output::Send { to, class, body });
        }
    }

    /// Sends a message, as soon as there is a link and as long as the exchange lasts that it belongs to.
    pub(super) fn post(&mut self, to: &Contact, token: EdgeToken, body: impl Into<Body>) {
        if self.links.contains(&to.node) {
            self.tell(to.node, body);
            return;
        }
        if !self.has_room_to_wait() {
            return;
        }
        let waiting = self.outbox.entry(to.node).or_default();
        waiting.push((token, body.into()));
        if waiting.len() == 1 {
            self.output(Output::Connect {
                node: to.node,
                addresses: to.addresses.clone(),
            });
        }
    }

    /// Whether one more message may wait for a link.
    pub(super) fn has_room_to_wait(&self) -> bool {
        let waiting: usize = self.outbox.values().map(Vec::len).sum();
        waiting < self.config.max_outbox
    }

    /// Takes back what waits for a link on behalf of an exchange.
    pub(super) fn unpost(&mut self, to: NodeId, token: EdgeToken) {
        if let Some(waiting) = self.outbox.get_mut(&to) {
            waiting.retain(|(of, _)| *of != token);
            if waiting.is_empty() {
                self.outbox.remove(&to);
            }
        }
    }

    /// Lets the link to a node go after a while, unless it is needed then.
    pub(super) fn linger(&mut self, node: NodeId) {
        self.after(Timer::Release(node), self.config.release_after);
    }

    pub(super) fn on_release(&mut self, node: NodeId) {
        let wanted = self.edges.contains_key(&node)
            || self.is_engaged(node)
            || self.bridge.as_ref().is_some_and(|peer| peer.node == node);
        if !wanted {
            self.outbox.remove(&node);
        }
        if self.links.contains(&node) && !wanted {
            self.output(Output::Release { node });
        }
    }
}
