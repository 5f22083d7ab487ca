//! A target that cannot be dialled is reached by a link to one of its neighbours.

use std::collections::BTreeSet;
use std::time::Duration;

use macula::{FindOptions, Node, Query};

use super::gate::Gate;
use super::{Dead, eager, hidden, is_linked_by};
use crate::mesh::{Realm, until, within};

/// Members that the origin can dial after a while.
const NEAR: usize = 7;
/// Members that nobody can dial. The contact of the origin has four neighbours in a realm of this size, so to one of
/// these it does not lead.
const FAR: usize = 5;

/// The members that `node` has direct links to.
fn direct(node: &Node) -> BTreeSet<String> {
    let peers = node.peers().into_iter();
    let direct = peers.filter(|peer| peer.path.starts_with("quic "));
    direct.map(|peer| peer.node).collect()
}

/// The neighbours of `target`, as its record says.
async fn neighbours(origin: &Node, target: &Node) -> BTreeSet<String> {
    let query = Query::Node(target.node_id());
    let found = within(origin.find(&query, FindOptions::default())).await;
    let records = found.unwrap().records.into_iter();
    records
        .filter_map(|record| record.neighbours)
        .flatten()
        .collect()
}

/// Whether packets for `target` go by a neighbour of it; or, if the origin can dial none of them, whether they arrive.
async fn goes_by_a_neighbour(origin: &Node, target: &Node, near: &BTreeSet<String>) -> bool {
    let neighbours = neighbours(origin, target).await;
    let trace = within(origin.trace(target.node_id())).await.unwrap();
    let first = trace.hops.get(1).map(|hop| hop.node.as_str());
    let is_by = first.is_some_and(|first| neighbours.contains(first));
    trace.reached && (neighbours.is_disjoint(near) || (is_by && trace.hops.len() == 3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_origin_links_to_a_neighbour_of_a_target_that_accepts_no_link_from_it() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let (mut gates, mut near) = (Vec::new(), Vec::<Node>::new());
    for _ in 0..NEAR {
        let gate = Gate::new().await;
        let node = hidden(&realm, gate.address).await;
        gate.lead(node.local_addr()).await;
        for other in &near {
            within(node.connect(other.local_addr())).await.unwrap();
        }
        gates.push(gate);
        near.push(node);
    }
    // It looks for direct paths to members that it has links to by no other means than the one under test.
    let mut seldom = eager();
    seldom.min_retry = Duration::from_secs(3_600);
    seldom.max_retry = seldom.min_retry;
    let origin = realm.builder().advertise(dead.address()).forwarding(seldom);
    let origin = within(origin.start()).await.unwrap();
    within(origin.connect(near[0].local_addr())).await.unwrap();
    until(async || {
        near[1..]
            .iter()
            .all(|node| is_linked_by(&origin, node, "forwarded"))
    })
    .await;
    assert_eq!(direct(&origin).len(), 1);
    gates.iter().for_each(|gate| gate.open_for(&origin));
    let mut far = Vec::new();
    for _ in 0..FAR {
        let node = hidden(&realm, dead.address()).await;
        for other in &near {
            within(node.connect(other.local_addr())).await.unwrap();
        }
        far.push(node);
    }
    let known: BTreeSet<String> = near.iter().map(|node| node.node_id().to_string()).collect();
    for target in &far {
        let opened = within(origin.open(target.node_id())).await.unwrap();
        assert_eq!(opened.path, "forwarded");
        until(async || goes_by_a_neighbour(&origin, target, &known).await).await;
    }
    let direct = direct(&origin);
    assert!(direct.len() > 1 && direct.is_subset(&known), "{direct:?}");
}
