//! Plugs routing into the simulated network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_kad::{Checked, Input, Kad, MemberSnapshot, Outcome, Output};
use macula_testkit::{Class, Context, Host, LinkChange, Net, NodeIndex, StubVerifier};
use macula_wire::message::{Contact, KadFound};
use macula_wire::{Body, Instant, Machine, NodeId, RealmName};

/// A network of nodes that run routing alone.
pub(crate) type Mesh = Net<Nodes>;

/// How long a node takes to join.
const JOIN: Duration = Duration::from_secs(2);

/// One machine a node.
pub(crate) struct Nodes {
    pub(crate) realm: RealmName,
    verifier: StubVerifier,
    /// Lookups that ended, and who made them.
    pub(crate) outcomes: Vec<(NodeIndex, Outcome)>,
    /// Whether a link has to be dialled before anything is sent by it.
    pub(crate) dials: bool,
    /// What waits for its link.
    waiting: BTreeMap<(NodeIndex, NodeId), Vec<Body>>,
    pub(crate) liars: Liars,
    /// When each node joined.
    joined: BTreeMap<NodeIndex, Instant>,
    /// Every node once, so that a contact takes memory once.
    contacts: Vec<Arc<Contact>>,
}

/// Nodes that name only each other.
#[derive(Debug, Default)]
pub(crate) struct Liars {
    nodes: BTreeSet<NodeIndex>,
    all: MemberSnapshot,
}

impl Liars {
    pub(crate) fn new(nodes: impl IntoIterator<Item = (NodeIndex, NodeId)>) -> Self {
        let nodes: BTreeMap<NodeIndex, NodeId> = nodes.into_iter().collect();
        Self {
            all: MemberSnapshot::new(nodes.values().map(|node| contact(*node))),
            nodes: nodes.into_keys().collect(),
        }
    }

    /// What a liar says in place of an answer; `None` for the honest.
    fn answer(&self, node: NodeIndex, body: &Body) -> Option<Body> {
        let Body::KadFind(find) = body else {
            return None;
        };
        self.nodes.contains(&node).then(|| {
            KadFound {
                request: find.request,
                contacts: self.all.closest(&find.key, 20),
                records: Vec::new(),
                more: false,
            }
            .into()
        })
    }

    pub(crate) fn contains(&self, node: NodeIndex) -> bool {
        self.nodes.contains(&node)
    }
}

impl Nodes {
    pub(crate) fn new(realm: RealmName) -> Self {
        Self {
            realm,
            verifier: StubVerifier::new(),
            outcomes: Vec::new(),
            dials: false,
            waiting: BTreeMap::new(),
            liars: Liars::default(),
            joined: BTreeMap::new(),
            contacts: Vec::new(),
        }
    }

    /// A node begins to join.
    pub(crate) fn joins(&mut self, node: NodeIndex, now: Instant) {
        self.joined.insert(node, now);
    }

    /// Whether a node had had time to join by `at`.
    pub(crate) fn is_settled(&self, node: NodeIndex, at: Instant) -> bool {
        let joined = self.joined.get(&node);
        joined.is_none_or(|joined| *joined + JOIN <= at)
    }

    /// The one contact of a node.
    fn contact(&mut self, context: &Context<'_>, node: NodeId) -> Arc<Contact> {
        let index = context.peer().map_or(0, NodeIndex::get);
        while self.contacts.len() <= index {
            let next = context.id_of(NodeIndex::new(self.contacts.len()));
            self.contacts.push(contact(next.unwrap_or(node)));
        }
        let known = self.contacts.get(index).map(Arc::clone);
        known
            .filter(|known| known.node == node)
            .unwrap_or_else(|| contact(node))
    }

    fn send(&mut self, context: &mut Context<'_>, to: NodeId, body: Body) {
        if !self.dials {
            context.post(to, body);
            return;
        }
        let (node, target) = (context.node(), context.index_of(to));
        if target.is_some_and(|target| context.is_linked(target)) {
            context.send(to, Class::Reliable, body);
        } else {
            self.waiting.entry((node, to)).or_default().push(body);
            context.dial(to);
        }
    }
}

impl Host for Nodes {
    type Machine = Kad;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut Kad, output: Output) {
        match output {
            Output::Send { to, body } => self.send(context, to.node, body),
            Output::Found(outcome) => self.outcomes.push((context.node(), outcome)),
            Output::Changed { .. } | Output::Watching { .. } | _ => {}
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Kad,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        if let Some(lie) = self.liars.answer(context.node(), &body) {
            self.send(context, from, lie);
            return;
        }
        let body = Checked::new(&self.realm, body, &self.verifier);
        let from = self.contact(context, from);
        machine.handle_input(context.now(), Input::Message { from, body });
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        _: &mut Kad,
        peer: NodeId,
        change: LinkChange,
    ) {
        let waiting = self.waiting.remove(&(context.node(), peer));
        if change == LinkChange::Up {
            for body in waiting.into_iter().flatten() {
                context.send(peer, Class::Reliable, body);
            }
        }
    }
}

/// A node without addresses; the simulated network sends by id.
pub(crate) fn contact(node: NodeId) -> Arc<Contact> {
    let addresses = Vec::new();
    Arc::new(Contact { node, addresses })
}
