//! `overlay-kill`: a share of the nodes is killed at once.

use std::time::Duration;

use macula_testkit::NodeIndex;

use crate::graph::Graph;
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::{Sample, number};

use super::{Run, VERDICT, complete, graph, measures, settled, stay, tell_gone};

/// How long the repair may take after the verdicts.
const LIMIT: Duration = Duration::from_secs(120);
/// How many draws of whom to kill `reached_live` is the mean of.
const DRAWS: usize = 20;

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = complete(settings, progress)?;
    let mut figures = Figures::default();
    figures.add("killed", settings.kill);
    let whole = graph(&run.net).0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the nodes"
    )]
    let count = (settings.kill * number(settings.nodes)).round() as usize;
    let victims = run.some(count);
    reached(&mut run, &whole, &victims, &mut figures);
    progress.says("killing and repairing");
    for victim in &victims {
        run.net.kill(*victim);
    }
    run.run_for(VERDICT)?;
    tell_gone(&mut run, &victims);
    let took = settled(&mut run, LIMIT)?;
    figures.add(
        "repair_s",
        took.map(|took| (VERDICT.saturating_add(took)).as_secs_f64()),
    );
    stay(&mut run)?;
    figures.add("reached_live_repaired", graph(&run.net).0.largest_part());
    measures(&run, &mut figures);
    Ok(run.finish(figures))
}

/// What floods reach right after a kill: that of `victims`, and of others that might have been.
fn reached(run: &mut Run<'_>, whole: &Graph, victims: &[NodeIndex], figures: &mut Figures) {
    let parts: Sample = (0..DRAWS)
        .map(|draw| {
            let draw = if draw == 0 {
                victims.to_vec()
            } else {
                run.some(victims.len())
            };
            let gone: Vec<u32> = draw
                .iter()
                .filter_map(|node| u32::try_from(node.get()).ok())
                .collect();
            whole.without(&gone).largest_part()
        })
        .collect();
    figures.add("reached_live", parts.mean());
    figures.add("reached_live_min", parts.quantile(0.0));
}
