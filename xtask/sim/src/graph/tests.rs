//! Graphs of which the measures are known.

use super::*;

fn complete(count: u32) -> Graph {
    let edges: Vec<_> = (0..count)
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .collect();
    Graph::of_edges(count as usize, &edges)
}

fn ring(count: u32) -> Graph {
    let edges: Vec<_> = (1..count)
        .zip(0..)
        .chain([(0, count.saturating_sub(1))])
        .collect();
    Graph::of_edges(count as usize, &edges)
}

fn petersen() -> Graph {
    let outer = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)];
    let spokes = [(0, 5), (1, 6), (2, 7), (3, 8), (4, 9)];
    let star = [(5, 7), (7, 9), (9, 6), (6, 8), (8, 5)];
    let edges = [outer, spokes, star].concat();
    Graph::of_edges(10, &edges)
}

#[track_caller]
fn close(found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
}

#[test]
fn eigenvalues_are_those_of_the_books() {
    close(complete(10).lambda2(), -1.0);
    close(petersen().lambda2(), 1.0);
    close(
        ring(40).lambda2(),
        2.0 * (std::f64::consts::TAU / 40.0).cos(),
    );
    assert_eq!(complete(1).lambda2(), None);
    // Two parts: the degree is an eigenvalue twice.
    let apart = Graph::of_edges(6, &[(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]);
    close(apart.lambda2(), 2.0);
}

#[test]
fn depths_are_the_farthest_distances() {
    let depth = |graph: &Graph| graph.depth().unwrap().max;
    assert!((depth(&complete(9)) - 1.0).abs() < f64::EPSILON);
    assert!((depth(&ring(40)) - 20.0).abs() < f64::EPSILON);
    assert!((depth(&petersen()) - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_random_regular_graph_is_regular_connected_and_nearly_optimal() {
    let graph = Graph::random_regular(1_000, 8, &mut Random::new(1));
    assert_eq!(graph.len(), 1_000);
    assert!((graph.degree_exact(8) - 1.0).abs() < f64::EPSILON);
    assert!((graph.largest_part() - 1.0).abs() < f64::EPSILON);
    let bound = 2.0 * 7.0_f64.sqrt();
    let lambda2 = graph.lambda2().unwrap();
    assert!((0.95 * bound..1.05 * bound).contains(&lambda2), "{lambda2}");
    assert!(graph.depth().unwrap().max <= 6.0);
    let again = Graph::random_regular(1_000, 8, &mut Random::new(1));
    assert_eq!(graph, again);
    let small = Graph::random_regular(5, 4, &mut Random::new(1));
    assert_eq!(small, complete(5));
}

#[test]
fn only_what_both_ends_say_is_an_edge() {
    let claims = vec![Some(vec![1, 2]), Some(vec![0]), Some(vec![]), None];
    let (graph, one_sided) = Graph::new(claims);
    assert_eq!(one_sided, 1);
    assert_eq!(graph.neighbours(0), [1]);
    assert_eq!(graph.neighbours(3), [] as [u32; 0]);
    assert_eq!(graph.len(), 3);
    assert!((graph.degree_exact(1) - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn what_falls_apart_is_reached_no_more() {
    let graph = ring(10);
    assert!((graph.largest_part() - 1.0).abs() < f64::EPSILON);
    let cut = graph.without(&[0, 4]);
    assert_eq!(cut.len(), 8);
    assert!((cut.largest_part() - 5.0 / 8.0).abs() < 1e-9);
    assert_eq!(cut.neighbours(1), [2]);
}
