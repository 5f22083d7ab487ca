//! By whom packets of this node get near targets that it has no direct link to.

use std::time::Duration;

use macula_wire::NodeId;

use super::Forwarding;

impl Forwarding {
    /// The neighbours of `target` of which one has to be linked before packets find their way there (RTE-26): nobody if a
    /// link leads there already, or if no neighbour is known.
    pub(crate) fn missing_ways(&self, target: &NodeId) -> Vec<NodeId> {
        let topology = self.topology.load();
        if topology.leads_to(target, &self.via(&topology, target)) {
            return Vec::new();
        }
        let mut neighbours = self.neighbours(target);
        neighbours.retain(|node| node != target && !topology.is_linked(node));
        neighbours
    }

    /// Whether a link leads near `target`.
    pub(crate) fn has_way(&self, target: &NodeId) -> bool {
        let topology = self.topology.load();
        topology.leads_to(target, &self.via(&topology, target))
    }

    /// The peers that carried something for this node within the time `lately`.
    pub(crate) fn carriers(&self, lately: Duration) -> Vec<NodeId> {
        let now = self.plane.clock.now();
        let members = self.plane.links.members();
        let carriers = members.iter().filter(|attached| {
            let served = attached.passage.last_served();
            served.is_some_and(|at| now.saturating_since(at) <= lately)
        });
        carriers.map(|attached| attached.link.peer().node).collect()
    }
}
