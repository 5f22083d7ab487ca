//! An overlay as a graph, and what is measured of it.

mod spectrum;

use std::collections::VecDeque;

use macula_wire::Random;

use crate::statistics::{Sample, number, share};

/// Nodes by number, and their edges. Removed nodes keep their number and have no edge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Graph {
    /// The neighbours of each node; `None` where there is no node.
    nodes: Vec<Option<Vec<u32>>>,
}

/// How far floods came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Depth {
    /// The last hop of the deepest flood.
    pub(crate) max: f64,
    /// The mean of the last hops.
    pub(crate) mean: f64,
}

/// Of how many sources the floods of [`Graph::depth`] are measured at most.
const SOURCES: usize = 100;

impl Graph {
    /// The graph of what each node calls its neighbours; `None` stands for a number without a node.
    ///
    /// Only what both ends say is an edge. The second result says how many nodes name a neighbour that does not name
    /// them.
    pub(crate) fn new(claims: Vec<Option<Vec<u32>>>) -> (Self, usize) {
        let mut claims = claims;
        for list in claims.iter_mut().flatten() {
            list.sort_unstable();
            list.dedup();
        }
        let names = |from: u32, to: u32| {
            let list = at(&claims, from);
            list.is_some_and(|list| list.binary_search(&to).is_ok())
        };
        let mut one_sided = 0_usize;
        let mut nodes = Vec::with_capacity(claims.len());
        for (node, list) in (0_u32..).zip(&claims) {
            let both = list.as_ref().map(|list| {
                let both: Vec<u32> = list.iter().copied().filter(|to| names(*to, node)).collect();
                one_sided = one_sided.saturating_add(usize::from(both.len() != list.len()));
                both
            });
            nodes.push(both);
        }
        (Self { nodes }, one_sided)
    }

    /// The graph of `edges` between `count` nodes.
    #[cfg(test)]
    pub(crate) fn of_edges(count: usize, edges: &[(u32, u32)]) -> Self {
        let mut claims = vec![Some(Vec::new()); count];
        for (a, b) in edges {
            for (from, to) in [(a, b), (b, a)] {
                claims[*from as usize].as_mut().unwrap().push(*to);
            }
        }
        Self::new(claims).0
    }

    /// A random graph in which each of `count` nodes has `degree` neighbours, or all others if there are no more.
    ///
    /// It starts as a ring in which each node is tied to its nearest, and every edge then swaps an end with another
    /// ten times over, which keeps all degrees.
    pub(crate) fn random_regular(count: usize, degree: usize, random: &mut Random) -> Self {
        if count <= degree.saturating_add(1) {
            let others = |node: usize| (0..count).filter(move |to| *to != node).filter_map(index);
            let nodes = (0..count)
                .map(|node| Some(others(node).collect()))
                .collect();
            return Self { nodes };
        }
        let mut edges = Vec::new();
        for node in 0..count {
            for step in 1..=degree.div_euclid(2) {
                let other = node.saturating_add(step).checked_rem(count).unwrap_or(0);
                edges.extend(index(node).zip(index(other)));
            }
        }
        let mut nodes = vec![Vec::with_capacity(degree); count];
        for (a, b) in &edges {
            tie(&mut nodes, *a, *b);
        }
        for _ in 0..edges.len().saturating_mul(10) {
            swap_ends(&mut nodes, &mut edges, random);
        }
        let mut graph = Self {
            nodes: nodes.into_iter().map(Some).collect(),
        };
        graph
            .nodes
            .iter_mut()
            .flatten()
            .for_each(|list| list.sort_unstable());
        graph
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// The neighbours of a node.
    pub(crate) fn neighbours(&self, node: u32) -> &[u32] {
        at(&self.nodes, node).map_or(&[], Vec::as_slice)
    }

    /// The nodes there are.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        let there = (0_u32..).zip(&self.nodes);
        there.filter_map(|(node, list)| list.as_ref().map(|_| node))
    }

    /// Which share of the nodes has exactly `degree` neighbours, or all others if there are no more.
    pub(crate) fn degree_exact(&self, degree: usize) -> f64 {
        let wanted = degree.min(self.len().saturating_sub(1));
        let lists = self.nodes.iter().flatten();
        share(
            lists.filter(|list| list.len() == wanted).count(),
            self.len(),
        )
    }

    /// What is left without `gone`.
    pub(crate) fn without(&self, gone: &[u32]) -> Self {
        let mut nodes = self.nodes.clone();
        for node in gone {
            if let Some(list) = usize::try_from(*node).ok().and_then(|at| nodes.get_mut(at)) {
                *list = None;
            }
        }
        Self::new(nodes).0
    }

    /// Which share of the nodes the largest connected part has: what a flood from any node of it reaches.
    pub(crate) fn largest_part(&self) -> f64 {
        let mut seen = vec![false; self.nodes.len()];
        let mut largest = 0;
        for node in self.nodes() {
            let (reached, _) = self.flood(node, &mut seen);
            largest = largest.max(reached);
        }
        share(largest, self.len())
    }

    /// The last hops of floods from up to [`SOURCES`] nodes, evenly spread; `None` without nodes.
    pub(crate) fn depth(&self) -> Option<Depth> {
        let step = self.len().div_ceil(SOURCES).max(1);
        let sources = self.nodes().step_by(step);
        let hops: Sample = sources
            .map(|source| {
                let mut seen = vec![false; self.nodes.len()];
                number(self.flood(source, &mut seen).1)
            })
            .collect();
        Some(Depth {
            max: hops.max()?,
            mean: hops.mean()?,
        })
    }

    /// How many nodes that were not `seen` a flood from `source` reaches, and with how many hops.
    fn flood(&self, source: u32, seen: &mut [bool]) -> (usize, usize) {
        let mut queue = VecDeque::new();
        let (mut reached, mut last) = (0_usize, 0);
        let mut visit = |node: u32, hop: usize, queue: &mut VecDeque<(u32, usize)>| {
            let mark = usize::try_from(node).ok().and_then(|at| seen.get_mut(at));
            if let Some(mark) = mark.filter(|mark| !**mark) {
                *mark = true;
                reached = reached.saturating_add(1);
                last = hop;
                queue.push_back((node, hop));
            }
        };
        visit(source, 0, &mut queue);
        while let Some((node, hop)) = queue.pop_front() {
            for next in self.neighbours(node) {
                visit(*next, hop.saturating_add(1), &mut queue);
            }
        }
        (reached, last)
    }
}

fn at<T>(list: &[Option<T>], node: u32) -> Option<&T> {
    let place = usize::try_from(node).ok()?;
    list.get(place)?.as_ref()
}

fn index(node: usize) -> Option<u32> {
    u32::try_from(node).ok()
}

fn list_mut(nodes: &mut [Vec<u32>], node: u32) -> Option<&mut Vec<u32>> {
    nodes.get_mut(usize::try_from(node).ok()?)
}

fn tie(nodes: &mut [Vec<u32>], a: u32, b: u32) {
    for (from, to) in [(a, b), (b, a)] {
        if let Some(list) = list_mut(nodes, from) {
            list.push(to);
        }
    }
}

fn untie(nodes: &mut [Vec<u32>], a: u32, b: u32) {
    for (from, to) in [(a, b), (b, a)] {
        if let Some(list) = list_mut(nodes, from) {
            list.retain(|other| *other != to);
        }
    }
}

/// Makes of two random edges a-b and c-d the edges a-d and c-b, unless one of these is there or no edge at all.
fn swap_ends(nodes: &mut [Vec<u32>], edges: &mut [(u32, u32)], random: &mut Random) {
    let (one, two) = (random.index(edges.len()), random.index(edges.len()));
    let turn = random.below(2) == 1;
    let (Some(&(a, b)), Some(&(x, y))) = (edges.get(one), edges.get(two)) else {
        return;
    };
    let (c, d) = if turn { (y, x) } else { (x, y) };
    let tied = |from: u32, to: u32| {
        let list = usize::try_from(from).ok().and_then(|at| nodes.get(at));
        list.is_some_and(|list| list.contains(&to))
    };
    if a == d || c == b || a == c || b == d || tied(a, d) || tied(c, b) {
        return;
    }
    untie(nodes, a, b);
    untie(nodes, c, d);
    tie(nodes, a, d);
    tie(nodes, c, b);
    for (place, edge) in [(one, (a, d)), (two, (c, b))] {
        if let Some(slot) = edges.get_mut(place) {
            *slot = edge;
        }
    }
}

#[cfg(test)]
mod tests;
