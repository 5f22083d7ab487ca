//! What routing puts out, and what membership and links mean to it.

use std::sync::Arc;
use std::time::Duration;

use macula_kad::{Checked, Input};
use macula_wire::message::{Contact, NodeContent, RecordContent, SignedRecord};
use macula_wire::{Body, Instant, Machine, NodeId, limit};

use super::{Lane, NodeMachine, NodeOutput, Wish};

/// How long at least this node's record holds what it says, so that many changes make one.
const RECORD_PERIOD: Duration = Duration::from_secs(1);

/// The record by which other nodes find this one.
#[derive(Debug, Default)]
pub(super) struct OwnNode {
    content: Option<NodeContent>,
    /// When it may be published again.
    next: Option<Instant>,
    /// When it is to be looked at.
    due: Option<Instant>,
}

impl NodeMachine {
    pub(super) fn route_kad(&mut self, now: Instant, output: macula_kad::Output) {
        use macula_kad::Output;
        match output {
            Output::Send { to, body } => self.send_routing(now, &to, body),
            Output::Changed {
                record, present, ..
            } if record.record.owner != self.own => self.on_changed(now, &record, present),
            Output::Watching { key, kind } => self.on_watching(key, kind),
            Output::Found(outcome) => self.on_found(outcome),
            // What this node announced it knows.
            _ => {}
        }
    }

    /// Sends a message by the link to its receiver, or asks for one and lets the message wait.
    fn send_routing(&mut self, now: Instant, to: &Contact, body: Body) {
        let node = to.node;
        if self.links.contains_key(&node) {
            self.pool.used(&node);
            let lane = Lane::Lookup;
            self.outputs.push_back(NodeOutput::Send {
                to: node,
                lane,
                body,
            });
            return;
        }
        let member = self.swim.member(&node);
        let known = member.map(macula_swim::Member::addresses);
        let known = known.filter(|addresses| !addresses.is_empty());
        let addresses = known.unwrap_or_else(|| to.addresses.clone());
        if addresses.is_empty() {
            self.waiting.dropped = self.waiting.dropped.saturating_add(1);
            return self.kad.handle_input(now, Input::Unreachable(node));
        }
        if self.waiting.push(now, node, body) {
            self.outputs.push_back(NodeOutput::Connect {
                node,
                addresses,
                wish: Wish::OfThis,
            });
        }
    }

    /// A message of routing from a member.
    pub(super) fn on_routing(&mut self, now: Instant, from: NodeId, body: Checked) {
        self.pool.used(&from);
        let from = self.contact(from);
        self.kad.handle_input(now, Input::Message { from, body });
    }

    /// A node and where it can be reached, as far as membership says.
    fn contact(&self, node: NodeId) -> Arc<Contact> {
        let member = self.swim.member(&node);
        let addresses = member.map_or_else(Vec::new, macula_swim::Member::addresses);
        Arc::new(Contact { node, addresses })
    }

    /// A member is there, or says something new of itself. What an earlier run of it wanted and offered is over.
    pub(super) fn know_member(&mut self, now: Instant, record: &SignedRecord) {
        let (node, addresses) = (record.record.node, record.record.addresses.clone());
        if node == self.own {
            return self.describe(now);
        }
        self.know_run(now, node);
        let contact = Arc::new(Contact { node, addresses });
        self.kad.handle_input(now, Input::Member(contact));
    }

    /// Tells routing which run of a node is the present one: that of the link, or the one that membership knows.
    pub(super) fn know_run(&mut self, now: Instant, node: NodeId) {
        let linked = self.links.get(&node).copied();
        let member = self
            .swim
            .member(&node)
            .filter(|member| member.state().is_present());
        let known = member.map(macula_swim::Member::epoch);
        if let Some(epoch) = linked.max(known) {
            let since = epoch.get();
            self.kad.handle_input(now, Input::Run { node, since });
        }
    }

    /// A link is up: what waited for it leaves, and what was lost with the one before is asked for again.
    pub(super) fn link_routing(&mut self, now: Instant, peer: NodeId, replaced: bool) {
        if replaced {
            self.kad.handle_input(now, Input::Unreachable(peer));
        }
        self.know_run(now, peer);
        for body in self.waiting.take(&peer) {
            let lane = Lane::Lookup;
            self.outputs.push_back(NodeOutput::Send {
                to: peer,
                lane,
                body,
            });
        }
        let contact = self.contact(peer);
        self.kad.handle_input(now, Input::Contact(contact));
    }

    /// No address of a node answers.
    pub(super) fn on_unreachable(&mut self, now: Instant, node: NodeId) {
        if !self.links.contains_key(&node) {
            self.waiting.fail(&node);
            self.kad.handle_input(now, Input::Unreachable(node));
        }
    }

    /// Gives up on links that did not come up.
    pub(super) fn tend_waiting(&mut self, now: Instant) {
        for node in self.waiting.overdue(now) {
            self.on_unreachable(now, node);
        }
    }

    /// Publishes where this node can be reached, if that has changed, at once or a little later.
    pub(super) fn describe(&mut self, now: Instant) {
        if let Some(next) = self.own_node.next.filter(|next| *next > now) {
            self.own_node.due = Some(next);
            return;
        }
        self.own_node.due = None;
        let record = &self.swim.own_record().record;
        let neighbours = self.overlay.neighbours().take(limit::MAX_NEIGHBOURS);
        let content = NodeContent {
            addresses: record.addresses.clone(),
            tags: record.tags.clone(),
            neighbours: neighbours.collect(),
        };
        if self.own_node.content.as_ref() == Some(&content) {
            return;
        }
        self.own_node.content = Some(content.clone());
        self.own_node.next = Some(now + RECORD_PERIOD);
        let published = self.kad.publish(now, RecordContent::Node(content));
        let failed = u64::from(published.is_err());
        self.counts.unpublished = self.counts.unpublished.saturating_add(failed);
    }

    pub(super) fn describe_if_due(&mut self, now: Instant) {
        if self.own_node.due.is_some_and(|due| due <= now) {
            self.describe(now);
        }
    }

    /// When something of this is due.
    pub(super) fn routing_due(&self) -> Option<Instant> {
        let dues = [
            self.kad.poll_timeout(),
            self.waiting.due(),
            self.own_node.due,
        ];
        dues.into_iter().flatten().min()
    }
}
