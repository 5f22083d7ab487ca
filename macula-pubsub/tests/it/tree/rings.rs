//! Who is whose neighbour.

use std::collections::{BTreeMap, BTreeSet};

use macula_pubsub::Rings;
use macula_testkit::node_id;
use macula_wire::NodeId;

fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(node_id).collect()
}

/// The neighbours by a naive reading of the rule: sort each ring and look beside.
fn naive(members: &[NodeId], node: NodeId, rings: usize, absent: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let mut found = BTreeSet::new();
    for ring in 0..rings {
        let place = |node: &NodeId| (node.as_bytes()[ring * 8..ring * 8 + 8].to_vec(), *node);
        let mut order: Vec<NodeId> = members
            .iter()
            .filter(|other| !absent.contains(other) && **other != node)
            .copied()
            .collect();
        order.sort_by_key(place);
        let at = order
            .iter()
            .filter(|other| place(other) < place(&node))
            .count();
        let count = order.len();
        found.insert(order[at % count]);
        found.insert(order[(at + count - 1) % count]);
    }
    found.into_iter().collect()
}

#[test]
fn neighbours_are_those_of_the_rule() {
    for (count, rings) in [(17, 2), (30, 2), (31, 3), (300, 3), (301, 4), (700, 4)] {
        let members = nodes(count);
        let drawn = Rings::new(members.iter().rev().copied());
        assert_eq!((drawn.len(), drawn.degree()), (count, rings * 2));
        let absent: BTreeSet<NodeId> = members.iter().step_by(3).copied().collect();
        let none = BTreeSet::new();
        for at in [0, 1, count / 2, count - 1, count, count + 1] {
            let node = node_id(at);
            let all = drawn.neighbours(&node, |_| false);
            assert_eq!(all, naive(&members, node, rings, &none), "{count} {at}");
            let some = drawn.neighbours(&node, |other| absent.contains(other));
            assert_eq!(some, naive(&members, node, rings, &absent), "{count} {at}");
        }
    }
}

#[test]
fn all_are_neighbours_where_there_are_few() {
    for count in 0..=5 {
        let drawn = Rings::new(nodes(count));
        for at in 0..count {
            let others: Vec<NodeId> = {
                let mut all = nodes(count);
                all.retain(|other| *other != node_id(at));
                all.sort_unstable();
                all
            };
            assert_eq!(drawn.neighbours(&node_id(at), |_| false), others);
        }
    }
}

#[test]
fn neighbours_are_so_both_ways_and_nobody_is_cut_off() {
    let members = nodes(500);
    let drawn = Rings::new(members.iter().copied());
    let edges: BTreeMap<NodeId, Vec<NodeId>> = members
        .iter()
        .map(|node| (*node, drawn.neighbours(node, |_| false)))
        .collect();
    for (node, neighbours) in &edges {
        assert!(neighbours.len() <= drawn.degree());
        for neighbour in neighbours {
            assert!(edges[neighbour].contains(node));
        }
    }
    let mut reached = BTreeSet::from([members[0]]);
    let mut todo = vec![members[0]];
    while let Some(node) = todo.pop() {
        for next in &edges[&node] {
            if reached.insert(*next) {
                todo.push(*next);
            }
        }
    }
    assert_eq!(reached.len(), members.len());
}
