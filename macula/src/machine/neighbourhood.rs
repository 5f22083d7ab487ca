//! What packets that are forwarded need to know of the realm around a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_kad::{Goal, LookupOptions, Outcome, position};
use macula_swim::State;
use macula_wire::message::{RecordContent, RecordKind};
use macula_wire::{Instant, NodeId};

use super::{NodeMachine, NodeOutput};

/// The least time between two of them, so that a storm of news makes 20 a second.
const PERIOD: Duration = Duration::from_millis(50);

/// Who is a neighbour of whom in the overlay, and who may be gone, as far as a node knows. Immutable: a new one replaces
/// it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Neighbourhood {
    /// The neighbours that each neighbour of this node told of.
    pub told: BTreeMap<NodeId, Vec<NodeId>>,
    /// The peers, and the neighbours of neighbours, that are suspected, or dead.
    pub suspected: BTreeSet<NodeId>,
}

impl Neighbourhood {
    /// The neighbours that `node` told of; none if it is no neighbour.
    #[must_use]
    pub fn of(&self, node: &NodeId) -> &[NodeId] {
        self.told.get(node).map_or(&[], Vec::as_slice)
    }
}

/// When the neighbourhood was put out, and whether it may have changed since.
#[derive(Debug, Default)]
pub(super) struct Telling {
    told: Arc<Neighbourhood>,
    is_stale: bool,
    next: Instant,
}

impl Telling {
    /// Something happened that the neighbourhood may depend on.
    pub(super) const fn touch(&mut self) {
        self.is_stale = true;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.is_stale.then_some(self.next)
    }
}

impl NodeMachine {
    /// Puts the neighbourhood out if it has changed, and if the last time was long enough ago.
    pub(super) fn tell_neighbourhood(&mut self, now: Instant) {
        if self.telling.due().is_none_or(|due| due > now) {
            return;
        }
        self.telling.is_stale = false;
        self.telling.next = now + PERIOD;
        let neighbourhood = self.neighbourhood();
        if neighbourhood != *self.telling.told {
            self.telling.told = Arc::new(neighbourhood);
            let told = Arc::clone(&self.telling.told);
            self.outputs.push_back(NodeOutput::Neighbourhood(told));
        }
    }

    /// Asks for the record of a node, which says where it can be dialled and who its neighbours are.
    /// [`NodeOutput::Described`] tells it, if it is found. [`settle`](Self::settle) has to follow.
    pub fn look_up_node(&mut self, now: Instant, node: NodeId) {
        let now = self.advance(now);
        let goal = Goal::Records {
            key: position(&node),
            kind: RecordKind::Node,
            all: false,
        };
        if let Err(error) = self.kad.lookup(now, goal, LookupOptions::default()) {
            tracing::debug!(node = %node.short(), %error, "not looked up");
        }
    }

    pub(super) fn on_found(&mut self, outcome: Outcome) {
        for record in &outcome.records {
            if matches!(record.record.content, RecordContent::Node(_)) {
                let described = NodeOutput::Described(Arc::clone(record));
                self.outputs.push_back(described);
            }
        }
        self.outputs.push_back(NodeOutput::Found(outcome));
    }

    fn neighbourhood(&self) -> Neighbourhood {
        let neighbours = self.overlay.neighbours();
        let told: BTreeMap<NodeId, Vec<NodeId>> = neighbours
            .map(|node| (node, self.overlay.neighbours_of(&node).collect()))
            .collect();
        let doubted = |node: &&NodeId| {
            let state = self.swim.member(node).map(macula_swim::Member::state);
            matches!(state, Some(State::Suspect | State::Dead))
        };
        let known = self.links.keys().chain(told.values().flatten());
        let suspected = known.filter(doubted).copied().collect();
        Neighbourhood { told, suspected }
    }
}
