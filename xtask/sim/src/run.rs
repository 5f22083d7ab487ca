//! One run: a simulated network, and what every scenario does with it.

use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

use macula_testkit::{Chance, Coding, Conditions, Config, Host, Net, NodeIndex};
use macula_wire::{Instant, Random};

use crate::load::Load;
use crate::machine::{self, Watch};
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::{Links, Settings};

/// A network, and what is measured of it.
pub(crate) struct Run<'a, H: Host> {
    pub(crate) net: Net<H>,
    pub(crate) settings: &'a Settings,
    pub(crate) progress: &'a Progress,
    /// Chance of the scenario itself: whom to kill, and when.
    pub(crate) random: Random,
    total: Watch,
    /// When the start was over: in real time, in virtual time, in events.
    started: (Watch, Instant, u64),
    /// Real time of the first minute of virtual time after the start.
    minute: Option<f64>,
}

impl<'a, H: Host> Run<'a, H> {
    /// An empty network.
    ///
    /// # Errors
    ///
    /// If the trace cannot be written.
    pub(crate) fn new(
        settings: &'a Settings,
        progress: &'a Progress,
        host: H,
    ) -> Result<Self, Fault> {
        let mut net = Net::new(network(settings), settings.seed, host);
        net.reserve(settings.nodes);
        if let Some(path) = &settings.trace {
            let file = File::create(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            net.set_trace(Box::new(BufWriter::new(file)));
        }
        progress.says(format!("starting {} nodes", settings.nodes));
        let watch = Watch::start();
        let started = (watch, net.now(), 0);
        Ok(Self {
            net,
            settings,
            progress,
            random: Random::new(settings.seed ^ 0x7363_656e_6172_696f),
            total: watch,
            started,
            minute: None,
        })
    }

    /// The start is over.
    pub(crate) fn begins(&mut self) {
        self.started = (Watch::start(), self.net.now(), self.net.events());
    }

    /// Simulated seconds since the start.
    pub(crate) fn simulated(&self) -> f64 {
        self.net
            .now()
            .saturating_since(self.started.1)
            .as_secs_f64()
    }

    /// Runs for `duration` of virtual time.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub(crate) fn run_for(&mut self, duration: Duration) -> Result<(), Fault> {
        let run = self.net.run_for(duration);
        let simulated = self.simulated();
        if simulated >= 60.0 && self.minute.is_none() {
            self.minute = Some(self.started.0.seconds() / simulated * 60.0);
        }
        run.map_err(|failure| failure.to_string())
    }

    /// Runs for up to `limit`, in steps of `step`, until `condition` holds; says how long that took, or that it was in
    /// vain.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub(crate) fn wait(
        &mut self,
        limit: Duration,
        step: Duration,
        mut condition: impl FnMut(&Net<H>) -> bool,
    ) -> Result<Option<Duration>, Fault> {
        let from = self.net.now();
        loop {
            let passed = self.net.now().saturating_since(from);
            if condition(&self.net) {
                return Ok(Some(passed));
            }
            if passed >= limit {
                return Ok(None);
            }
            self.run_for(step)?;
        }
    }

    /// Runs for `duration`, with `each` called after every second, and says what was sent meanwhile.
    ///
    /// # Errors
    ///
    /// If the network fails, or `each` does.
    pub(crate) fn measure(
        &mut self,
        duration: Duration,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<Load, Fault> {
        let before = Load::until_now(&self.net);
        let (begin, end) = (self.net.now(), self.net.now() + duration);
        while self.net.now() < end {
            let left = end.saturating_since(self.net.now());
            self.run_for(left.min(Duration::from_secs(1)))?;
            each(self)?;
            let passed = self.net.now().saturating_since(begin);
            self.progress
                .reached(passed.as_secs_f64(), duration.as_secs_f64());
        }
        Ok(Load::until_now(&self.net).since(before))
    }

    /// A random duration below `width`.
    pub(crate) fn within(&mut self, width: Duration) -> Duration {
        let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(nanos))
    }

    /// Up to `count` random nodes that run.
    pub(crate) fn some(&mut self, count: usize) -> Vec<NodeIndex> {
        let mut nodes: Vec<NodeIndex> = self.net.running().collect();
        self.random.shuffle(&mut nodes);
        nodes.truncate(count);
        nodes
    }

    /// A random share of the nodes that run.
    pub(crate) fn share(&mut self, share: f64) -> Vec<NodeIndex> {
        let running = self.net.running().count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a count"
        )]
        let count = (share * running as f64).round() as usize;
        self.some(count)
    }

    /// Ends the run: adds to `figures` what every run has.
    pub(crate) fn finish(self, mut figures: Figures) -> Outcome {
        let (watch, _, events_before) = self.started;
        let (simulated, wall) = (self.simulated(), watch.seconds());
        let events = self.net.events();
        figures.add("simulated_s", simulated);
        if figures.get("wall_s").is_none() {
            let minute = self.minute.unwrap_or(wall / simulated * 60.0);
            figures.add("wall_s", minute);
        }
        let after_start = events.saturating_sub(events_before) as f64;
        figures.add("events_per_s", after_start / wall);
        figures.add("total_s", self.total.seconds());
        figures.add("rss_mib", machine::peak_mib());
        Outcome {
            figures,
            events,
            trace_hash: self.net.trace_hash(),
        }
    }
}

/// What the network is like.
fn network(settings: &Settings) -> Config {
    let conditions = match settings.links {
        Links::Wan => Conditions::wan(),
        Links::Lan => Conditions::lan(),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a million"
    )]
    let lost = Chance::per_million((settings.loss * 1e6).round() as u32);
    let mut config = Config::default();
    config.conditions = conditions.with_loss(lost);
    config.coding = Coding::Typed;
    config.max_steps = u64::MAX;
    config
}
