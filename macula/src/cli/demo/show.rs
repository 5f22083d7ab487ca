//! The demo on the screen: bars on a terminal, lines elsewhere, objects for programs.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use super::super::duration::micros;
use super::super::exit::Failed;
use super::super::output::{Output, escaped};
use super::super::table::grouped;
use super::ledger::{Last, Ledger};
use super::mesh::Mesh;
use super::readings::City;
use super::replay::CallMade;

/// How often a node has a line of its own where there are no bars.
const LINE_PERIOD: Duration = Duration::from_millis(500);

/// What is shown while the year passes.
pub(crate) struct Show {
    output: Output,
    bars: Option<Bars>,
    drawn: Option<Instant>,
    told: Vec<u64>,
}

struct Bars {
    all: MultiProgress,
    nodes: Vec<ProgressBar>,
}

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    realm: &'a str,
    nodes: Vec<StartedNode>,
}

#[derive(Serialize)]
struct StartedNode {
    number: usize,
    node: String,
    listen: String,
    role: &'static str,
}

/// What has reached a node, the last of it in full.
#[derive(Serialize)]
struct Reached<'a> {
    event: &'static str,
    number: usize,
    city: City,
    at: &'a str,
    fahrenheit: f64,
    count: u64,
}

#[derive(Serialize)]
struct Called<'a> {
    event: &'static str,
    number: usize,
    procedure: &'a str,
    city: City,
    answer: Option<&'a str>,
    error: Option<&'a str>,
    latency_us: u64,
}

impl Show {
    /// Shows the nodes of `mesh`, each of which sees `total` readings pass at most.
    pub(crate) fn new(output: Output, mesh: &Mesh, total: usize) -> Self {
        let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let bars = (is_terminal && !output.is_json()).then(|| Bars::new(mesh, total));
        Self {
            output,
            bars,
            drawn: None,
            told: vec![0; mesh.nodes().len()],
        }
    }

    /// The mesh has formed.
    pub(crate) fn started(&self, mesh: &Mesh) -> Result<(), Failed> {
        let nodes = mesh
            .nodes()
            .iter()
            .enumerate()
            .map(|(number, node)| StartedNode {
                number,
                node: node.node_id().to_string(),
                listen: node.local_addr().to_string(),
                role: role(number),
            });
        let nodes: Vec<StartedNode> = nodes.collect();
        let realm = mesh
            .nodes()
            .first()
            .map_or("", |node| node.realm().as_str());
        if self.output.is_json() {
            return self.output.object(&Started {
                event: "started",
                realm,
                nodes,
            });
        }
        self.output.line(&format!(
            "realm {realm}: {} nodes have found each other",
            nodes.len()
        ))?;
        for node in nodes {
            let short = node.node.get(..16).unwrap_or_default();
            self.output.line(&format!(
                "node {}  {short}  {}  {}",
                node.number, node.listen, node.role
            ))?;
        }
        Ok(())
    }

    /// Draws how far every node is.
    pub(crate) fn draw(&mut self, ledger: &Ledger) -> Result<(), Failed> {
        let nodes = ledger.progress();
        if let Some(bars) = &self.bars {
            bars.draw(&nodes);
            return Ok(());
        }
        if self
            .drawn
            .is_some_and(|drawn| drawn.elapsed() < LINE_PERIOD)
        {
            return Ok(());
        }
        self.drawn = Some(Instant::now());
        for (number, ((received, last), told)) in nodes.into_iter().zip(&mut self.told).enumerate()
        {
            let Some(last) = last.filter(|_| received > *told) else {
                continue;
            };
            *told = received;
            let reached = Reached {
                event: if number < City::ALL.len() {
                    "sent"
                } else {
                    "received"
                },
                number,
                city: last.city,
                at: &last.at,
                fahrenheit: last.fahrenheit,
                count: received,
            };
            let verb = if number < City::ALL.len() { "->" } else { "<-" };
            self.output.either(&reached, || {
                format!("node {number} {verb} {}", described(received, &last))
            })?;
        }
        Ok(())
    }

    /// A call has ended.
    pub(crate) fn call(&self, made: &CallMade) -> Result<(), Failed> {
        let called = Called {
            event: "call",
            number: made.caller,
            procedure: made.procedure,
            city: made.city,
            answer: made.answer.as_deref().ok(),
            error: made.answer.as_ref().err().map(String::as_str),
            latency_us: made.latency_us,
        };
        let text = || {
            let (Ok(said) | Err(said)) = &made.answer;
            let (procedure, latency) = (made.procedure, micros(made.latency_us));
            format!(
                "node {} called {procedure}: {} in {latency}",
                made.caller,
                escaped(said)
            )
        };
        match &self.bars {
            Some(bars) => bars.all.suspend(|| self.output.either(&called, text)),
            None => self.output.either(&called, text),
        }
    }

    /// Takes what moves off the screen.
    pub(crate) fn end(&self) {
        if let Some(bars) = &self.bars {
            for bar in &bars.nodes {
                bar.finish();
            }
        }
    }
}

impl Bars {
    fn new(mesh: &Mesh, total: usize) -> Self {
        let all = MultiProgress::new();
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}");
        let style = style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let nodes = (0..mesh.nodes().len()).map(|number| {
            let is_publisher = number < City::ALL.len();
            let owed = if is_publisher { total / 2 } else { total };
            let bar = all.add(ProgressBar::new(owed));
            bar.set_style(style.clone());
            bar.set_prefix(format!("node {number} {:<9}", role(number)));
            bar
        });
        let nodes = nodes.collect();
        Self { all, nodes }
    }

    fn draw(&self, nodes: &[(u64, Option<Last>)]) {
        for (bar, (count, last)) in self.nodes.iter().zip(nodes) {
            bar.set_position(*count);
            bar.set_message(match last {
                Some(last) => described(*count, last),
                None => format!("{:>7}", grouped(*count)),
            });
        }
    }
}

fn described(count: u64, last: &Last) -> String {
    format!(
        "{:>7}  {:<13} {} {:>5.1} °F",
        grouped(count),
        last.city.name(),
        last.at,
        last.fahrenheit
    )
}

/// What a node of this number does.
pub(crate) fn role(number: usize) -> &'static str {
    if number < City::ALL.len() {
        "publishes"
    } else {
        "receives"
    }
}
