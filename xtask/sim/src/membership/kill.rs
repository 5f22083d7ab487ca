//! `membership-kill`: the steady load, and then one node after the other is killed.

use std::time::Duration;

use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::{Sample, number};

use super::watch::Killed;
use super::{Run, STEP, start};

/// How long the load is measured.
const STEADY: Duration = Duration::from_secs(20);
/// The longest pause between a verdict that has spread and the next kill.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a kill may take to be known to 99 %.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = start::start(settings, progress)?;
    let mut figures = Figures::default();
    run.run_for(Duration::from_secs(3))?;
    progress.says("measuring the load");
    run.measure(STEADY, |_| Ok(()))?
        .figures(number(settings.nodes), &mut figures);
    let mut kills = Vec::new();
    for sample in 0..settings.samples {
        progress.says(format!(
            "kill {} of {}",
            sample.saturating_add(1),
            settings.samples
        ));
        progress.reached(number(sample), number(settings.samples));
        kills.extend(kill_one(&mut run)?);
    }
    let of = |measure: fn(&Killed) -> Option<f64>| kills.iter().filter_map(measure).collect();
    let suspects: Sample = of(Killed::first_suspect);
    let verdicts: Sample = of(Killed::first_dead);
    let spreads: Sample = of(Killed::spread);
    figures.count("kills", kills.len());
    figures.add("first_suspect_s.mean", suspects.mean());
    figures.add("first_suspect_s.p99", suspects.quantile(0.99));
    figures.add("first_dead_s.p50", verdicts.quantile(0.5));
    figures.add("first_dead_s.p99", verdicts.quantile(0.99));
    figures.add("spread99_s", spreads.mean());
    figures.add("spread99_max_s", spreads.max());
    let detections: Sample = run.net.host().watch.detections().collect();
    figures.add("detect_s.mean", detections.mean());
    figures.add("detect_s.p50", detections.quantile(0.5));
    figures.add("detect_s.p95", detections.quantile(0.95));
    figures.add("detect_s.p99", detections.quantile(0.99));
    figures.add("detect_s.max", detections.max());
    let counts = run.net.host().watch.counts();
    figures.count("false_dead", counts.false_dead);
    figures.count("false_dead_subjects", counts.false_dead_subjects);
    Ok(run.finish(figures))
}

/// Kills a node at a random time and waits until 99 % know.
fn kill_one(run: &mut Run<'_>) -> Result<Option<Killed>, Fault> {
    let pause = run.within(PAUSE);
    run.run_for(pause)?;
    let Some(victim) = run.some(1).pop() else {
        return Ok(None);
    };
    let (now, live) = (run.net.now(), run.net.running().count().saturating_sub(1));
    run.net.host_mut().watch.kill(now, victim, live);
    run.net.kill(victim);
    let spread = run.wait(LIMIT, STEP, |net| net.host().watch.has_spread())?;
    if spread.is_none() {
        return Err(format!(
            "{victim} was killed, and 99 % do not know after {} s",
            LIMIT.as_secs()
        ));
    }
    let mut random = run.random.fork();
    for (a, b) in run.net.host_mut().mend(victim, &mut random) {
        run.net.dial(a, b);
    }
    Ok(run.net.host().watch.killed().copied())
}
