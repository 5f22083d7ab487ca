//! What a graph is worth.

use macula_wire::Random;

/// Prints how far a flood gets, in how many steps, and the second eigenvalue beside the best that there can be.
pub(crate) fn print(graph: &[Vec<u32>]) {
    let mut deepest = 0;
    let mut sum = 0;
    let mut least = usize::MAX;
    let mut random = Random::new(9);
    for _ in 0..50 {
        let (count, last) = reached(graph, random.index(graph.len()));
        deepest = deepest.max(last);
        sum += last;
        least = least.min(count);
    }
    let k = graph.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let bound = 2.0 * (k - 1.0).sqrt();
    let lambda = lambda2(graph);
    println!(
        "  reached {:.5}, last hop mean {:.2} max {deepest}, lambda2 {lambda:.3} = {:.3} of the bound",
        least as f64 / graph.len() as f64,
        f64::from(sum as u32) / 50.0,
        lambda / bound
    );
}

/// How many nodes can be reached from one, and in how many steps.
fn reached(graph: &[Vec<u32>], from: usize) -> (usize, usize) {
    let mut depth = vec![u32::MAX; graph.len()];
    depth[from] = 0;
    let mut queue = std::collections::VecDeque::from([from]);
    let (mut count, mut last) = (0, 0);
    while let Some(at) = queue.pop_front() {
        count += 1;
        last = depth[at];
        for next in &graph[at] {
            if depth[*next as usize] == u32::MAX {
                depth[*next as usize] = depth[at] + 1;
                queue.push_back(*next as usize);
            }
        }
    }
    (count, last as usize)
}

/// The second eigenvalue.
fn lambda2(graph: &[Vec<u32>]) -> f64 {
    // Power iteration on A + kI without the constant vector, so that the most negative eigenvalue does not interfere.
    let n = graph.len();
    let k = graph.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let mut random = Random::new(5);
    let mut x: Vec<f64> = (0..n)
        .map(|_| random.below(1_000_000) as f64 / 1e6 - 0.5)
        .collect();
    let mut value = 0.0;
    for _ in 0..600 {
        let mean = x.iter().sum::<f64>() / n as f64;
        x.iter_mut().for_each(|v| *v -= mean);
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.iter_mut().for_each(|v| *v /= norm);
        let y: Vec<f64> = (0..n)
            .map(|at| graph[at].iter().map(|to| x[*to as usize]).sum::<f64>() + k * x[at])
            .collect();
        value = x.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>() - k;
        x = y;
    }
    value
}
