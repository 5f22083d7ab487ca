//! The overlay alone: nodes that run its machine, and the graph that comes of it.

pub(crate) mod churn;
pub(crate) mod join;
pub(crate) mod kill;
mod node;

use std::time::Duration;

use macula_swim::overlay::Input;
use macula_testkit::NodeIndex;
use macula_wire::Machine;

use crate::degree::degree_for;
use crate::graph::Graph;
use crate::progress::Progress;
use crate::report::Figures;
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::number;
use node::{Mesh, Nodes};

/// A run of the overlay.
type Run<'a> = crate::run::Run<'a, Nodes>;

/// How long after a crash those who had to do with the node are told: about what membership takes for a verdict.
const VERDICT: Duration = Duration::from_secs(5);
/// How long an exchange of edges that is under way may take.
const MEND: Duration = Duration::from_secs(10);
/// How long the start may take.
const START: Duration = Duration::from_secs(120);
/// How often it is asked whether the graph is complete.
const STEP: Duration = Duration::from_millis(250);

/// All nodes join at once through the first; says how long it took until all degrees were right, if they became so
/// within `limit`.
fn joined<'a>(
    settings: &'a Settings,
    progress: &'a Progress,
    limit: Duration,
) -> Result<(Run<'a>, Option<Duration>), Fault> {
    let mut run = Run::new(settings, progress, Nodes::default())?;
    let contact = node::add(&mut run.net, settings.nodes);
    run.begins();
    progress.says(format!("{} nodes join through one", settings.nodes));
    for _ in 1..settings.nodes {
        let newcomer = node::add(&mut run.net, settings.nodes);
        node::join(&mut run.net, newcomer, contact);
    }
    let took = settled(&mut run, limit)?;
    Ok((run, took))
}

/// The same, where nothing can be measured before the overlay is complete.
fn complete<'a>(settings: &'a Settings, progress: &'a Progress) -> Result<Run<'a>, Fault> {
    let (run, took) = joined(settings, progress, START)?;
    took.map(|_| run).ok_or_else(|| {
        let limit = START.as_secs();
        format!("the overlay was not complete within {limit} s")
    })
}

/// Runs until every node has its degree; says how long that took, or that it did not happen.
fn settled(run: &mut Run<'_>, limit: Duration) -> Result<Option<Duration>, Fault> {
    let (degree, progress) = (degree_for(run.settings.nodes), run.progress);
    run.wait(limit, STEP, |net| {
        let overlays = net.running().filter_map(|node| net.machine(node));
        let (mut right, mut all) = (0_usize, 0_usize);
        for overlay in overlays {
            all = all.saturating_add(1);
            right = right.saturating_add(usize::from(overlay.neighbours().count() >= degree));
        }
        progress.reached(number(right), number(all));
        let whole = || {
            let (graph, one_sided) = graph(net);
            one_sided == 0 && (graph.degree_exact(degree) - 1.0).abs() < f64::EPSILON
        };
        (right == all || all <= degree.saturating_add(1)) && whole()
    })
}

/// Goes on until a minute has passed since the start, so that the graph is measured after its first exchanges of edges.
fn stay(run: &mut Run<'_>) -> Result<(), Fault> {
    while run.simulated() < 60.0 {
        run.run_for(Duration::from_secs(1))?;
        run.progress.reached(run.simulated(), 60.0);
    }
    settled(run, MEND).map(|_| ())
}

/// The graph of the running nodes, and how many of them name a neighbour that does not name them.
fn graph(net: &Mesh) -> (Graph, usize) {
    let claims = net.nodes().map(|node| {
        let overlay = net.machine(node).filter(|overlay| !overlay.has_left())?;
        let neighbours = overlay.neighbours().filter_map(|id| net.find(id));
        Some(
            neighbours
                .filter_map(|node| u32::try_from(node.get()).ok())
                .collect(),
        )
    });
    Graph::new(claims.collect())
}

/// Tells all who have to do with the nodes of `gone` that they are.
fn tell_gone(run: &mut Run<'_>, gone: &[NodeIndex]) {
    let dead: std::collections::BTreeSet<_> =
        gone.iter().filter_map(|node| run.net.id(*node)).collect();
    let running: Vec<NodeIndex> = run.net.running().collect();
    for node in running {
        run.net.with(node, |overlay, now| {
            let known = overlay.neighbours().chain(overlay.passive());
            let known: std::collections::BTreeSet<_> =
                known.filter(|id| dead.contains(id)).collect();
            for peer in known {
                overlay.handle_input(now, Input::Gone { peer });
            }
        });
    }
}

/// What the graph is like.
fn measures(run: &Run<'_>, figures: &mut Figures) {
    let (settings, graph) = (run.settings, graph(&run.net).0);
    figures.count("offences", run.net.host().offences);
    let degree = degree_for(settings.nodes);
    figures.count("degree", degree);
    figures.add("degree_exact", graph.degree_exact(degree));
    figures.add("connected", graph.largest_part());
    figures.add("lambda2", graph.lambda2());
    figures.add("lambda2_bound", settings.lambda2_bound());
    let depth = graph.depth();
    figures.add("ldh", depth.map(|depth| depth.max));
    figures.add("ldh_mean", depth.map(|depth| depth.mean));
}
