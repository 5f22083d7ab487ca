//! `test-mesh`: scenarios with real node processes.

mod binary;
mod child;
mod counts;
mod crowd;
mod disorder;
mod fleet;
mod frozen;
mod guard;
mod history;
mod journal;
mod kill_one;
mod kill_third;
mod line;
mod lossy;
mod net;
mod node;
mod one_way;
mod overlapping;
mod pauses;
mod promises;
mod quickstart;
mod reach;
mod restart;
mod rolling;
mod scenarios;
mod seeds_gone;
mod signal;
mod slow_reader;
mod spread;
mod subscriber;
mod until;
mod world;
mod wrong_realm;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::clock::{Watch, human};
use crate::failure::Failure;
use crate::options::{Accepts, Names, Options};
use counts::Counts;
use scenarios::{Network, SCENARIOS, Scenario};
use world::{Settings, World};

const ACCEPTS: Accepts = Accepts {
    flags: &["--list", "--json", "--netns"],
    numbers: &["--times", "--minutes", "--events"],
    names: Names::Many,
};

/// What scenarios start.
#[derive(Debug)]
struct Programs {
    command: PathBuf,
    /// Where one of the scenarios has players.
    players: Option<PathBuf>,
}

impl Programs {
    fn find(scenarios: &[Scenario]) -> Result<Self, Failure> {
        let has_players = scenarios.iter().any(|scenario| scenario.has_players);
        let players = has_players.then(|| binary::PLAYER.find()).transpose()?;
        let command = binary::COMMAND.find()?;
        Ok(Self { command, players })
    }
}

/// All runs of one scenario.
#[derive(Debug)]
struct Row {
    name: &'static str,
    passed: u64,
    failed: u64,
    slowest: Duration,
    /// The greatest of each number over all runs.
    counts: Counts,
}

/// Runs the scenarios that `arguments` name, or all, one after the other.
///
/// # Errors
///
/// When one of them fails, when the command cannot be built, and for a name that is not known.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::read(ACCEPTS, arguments)?;
    if options.has("--list") {
        for scenario in SCENARIOS {
            println!("{:22} {}", scenario.name, scenario.about);
        }
        return Ok(());
    }
    let settings = Settings {
        net: if options.has("--netns") {
            net::Kind::Spaces
        } else {
            net::Kind::Proxy
        },
        minutes: options.number("--minutes"),
        events: options.number("--events"),
    };
    let chosen = choose(options.names(), settings.net)?;
    let times = options.number("--times").unwrap_or(1);
    if times == 0 {
        return Err(Failure::usage("--times takes a number from 1 on"));
    }
    let programs = Programs::find(&chosen)?;
    let mut rows: Vec<Row> = chosen
        .iter()
        .map(|scenario| Row::new(scenario.name))
        .collect();
    for round in 1..=times {
        for (scenario, row) in chosen.iter().zip(&mut rows) {
            if times > 1 {
                eprintln!("== {} ({round} of {times})", scenario.name);
            } else {
                eprintln!("== {}: {}", scenario.name, scenario.about);
            }
            play(scenario, &programs, settings, row, options.has("--json"));
        }
    }
    if !options.has("--json") {
        print!("\n{}", table(&rows));
    }
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.failed > 0)
        .map(|row| row.name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("failed: {}", failed.join(", "))))
}

/// Whether scenarios can run with `--netns` here.
pub(crate) fn has_namespaces() -> bool {
    net::has_namespaces()
}

/// The scenarios of these names, or all; those that have no use for namespaces are left out there.
fn choose(names: &[String], net: net::Kind) -> Result<Vec<Scenario>, Failure> {
    let unknown = |name: &&String| !SCENARIOS.iter().any(|known| known.name == name.as_str());
    if let Some(name) = names.iter().find(unknown) {
        return Err(Failure::usage(format!(
            "no scenario `{name}`; --list shows all"
        )));
    }
    let fits = |known: &&Scenario| net == net::Kind::Proxy || known.network == Network::Lossy;
    let unfit = |known: &&Scenario| names.iter().any(|name| name == known.name) && !fits(known);
    if let Some(scenario) = SCENARIOS.iter().find(unfit) {
        let name = scenario.name;
        return Err(Failure::usage(format!("{name} does not run with --netns")));
    }
    let wanted = |known: &&Scenario| {
        fits(known) && (names.is_empty() || names.iter().any(|name| name == known.name))
    };
    Ok(SCENARIOS.iter().filter(wanted).copied().collect())
}

/// Plays one scenario once, and tells how it went.
fn play(
    scenario: &Scenario,
    programs: &Programs,
    settings: Settings,
    row: &mut Row,
    as_json: bool,
) {
    let watch = Watch::start();
    let result = in_a_world(scenario, programs, settings);
    let took = watch.elapsed();
    row.slowest = row.slowest.max(took);
    match &result {
        Ok(counts) => {
            row.passed = row.passed.saturating_add(1);
            row.counts.keep_greatest(counts);
            eprintln!(
                "== {} passed after {}: {counts}",
                scenario.name,
                human(took)
            );
        }
        Err(failure) => {
            row.failed = row.failed.saturating_add(1);
            eprintln!(
                "== {} FAILED after {}: {failure}",
                scenario.name,
                human(took)
            );
        }
    }
    if as_json {
        let line = json!({
            "scenario": scenario.name,
            "ok": result.is_ok(),
            "seconds": counts::seconds(took),
            "counted": result.as_ref().map(Counts::object).unwrap_or_default(),
            "failure": result.as_ref().err().map(ToString::to_string),
        });
        println!("{line}");
    }
}

/// A scenario that panics has failed; whatever happens, its processes end here.
fn in_a_world(
    scenario: &Scenario,
    programs: &Programs,
    settings: Settings,
) -> Result<Counts, Failure> {
    let world = World::new(scenario.name, &programs.command, settings)?;
    let world = world.with_players(programs.players.as_deref());
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(&world)))
        .unwrap_or_else(|_panic| Err(Failure::failed("the scenario panicked")));
    if result.is_err() {
        world.report();
    }
    result
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            passed: 0,
            failed: 0,
            slowest: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    fn result(&self) -> String {
        match (self.passed, self.failed) {
            (1, 0) => "passed".to_owned(),
            (0, 1) => "FAILED".to_owned(),
            (passed, 0) => format!("passed {passed} times"),
            (passed, failed) => {
                format!("FAILED {failed} of {}", passed.saturating_add(failed))
            }
        }
    }
}

/// One line a scenario: result, seconds of the slowest run, what was counted.
fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:22}  {:16}  {:>7}  counted\n",
        "scenario", "result", "seconds"
    );
    for row in rows {
        text.push_str(&format!(
            "{:22}  {:16}  {:>7.1}  {}\n",
            row.name,
            row.result(),
            row.slowest.as_secs_f64(),
            row.counts
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn scenarios_are_chosen_by_name_in_the_order_of_the_table() {
        let all = choose(&[], net::Kind::Proxy).unwrap();
        assert_eq!(all.len(), SCENARIOS.len());
        let two = choose(&names(&["restart", "quickstart"]), net::Kind::Proxy).unwrap();
        let found: Vec<&str> = two.iter().map(|scenario| scenario.name).collect();
        assert_eq!(found, ["quickstart", "restart"]);
    }

    #[test]
    fn namespaces_are_for_scenarios_that_lose_packets() {
        let all = choose(&[], net::Kind::Spaces).unwrap();
        assert!(all.iter().all(|known| known.network == Network::Lossy));
        let refused = choose(&names(&["disorder"]), net::Kind::Spaces);
        assert!(matches!(refused, Err(Failure::Usage(_))));
        assert!(choose(&names(&["loss"]), net::Kind::Spaces).is_ok());
    }

    #[test]
    fn what_is_not_known_is_refused_before_anything_is_built() {
        assert!(matches!(
            run(&names(&["quickstar"])),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            run(&names(&["--times", "0"])),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(run(&names(&["--fast"])), Err(Failure::Usage(_))));
        assert!(run(&names(&["--list"])).is_ok());
    }

    #[test]
    fn the_table_tells_what_failed_and_how_often() {
        let mut row = Row::new("restart");
        row.passed = 1;
        assert_eq!(row.result(), "passed");
        row.passed = 19;
        assert_eq!(row.result(), "passed 19 times");
        row.failed = 1;
        row.counts = Counts::default().with("events", 7);
        let table = table(&[row]);
        assert!(table.contains("FAILED 1 of 20"), "{table}");
        assert!(table.contains("events=7"), "{table}");
    }
}
