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
use world::{Settings, World};

const ACCEPTS: Accepts = Accepts {
    flags: &["--list", "--json", "--netns"],
    numbers: &["--times", "--minutes", "--events"],
    names: Names::Many,
};

/// A story that processes have to play out.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    about: &'static str,
    network: Network,
    /// Whether applications of their own take part.
    has_players: bool,
    run: fn(&World) -> Result<Counts, Failure>,
}

/// What a scenario asks of the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Network {
    /// Loopback, with nothing in between.
    Plain,
    /// Something that can lose packets.
    Lossy,
    /// Something that can also delay, double and reorder them.
    Unruly,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "quickstart",
        about: "three nodes pass real readings, answer calls and leave",
        network: Network::Plain,
        has_players: false,
        run: quickstart::run,
    },
    Scenario {
        name: "kill-one",
        about: "a node is killed; the others notice, tell, and go on",
        network: Network::Plain,
        has_players: false,
        run: kill_one::run,
    },
    Scenario {
        name: "restart",
        about: "a node is killed and started again, at once and after its death was seen",
        network: Network::Plain,
        has_players: false,
        run: restart::run,
    },
    Scenario {
        name: "wrong-realm",
        about: "nodes and clients of other realms are refused, those of the right one are not",
        network: Network::Plain,
        has_players: false,
        run: wrong_realm::run,
    },
    Scenario {
        name: "slow-reader",
        about: "subscribers that do not keep up are told what they miss and disturb nobody",
        network: Network::Plain,
        has_players: false,
        run: slow_reader::run,
    },
    Scenario {
        name: "mesh-32",
        about: "thirty-two nodes; twenty are killed in turn, and every other notices in time",
        network: Network::Lossy,
        has_players: false,
        run: crowd::run,
    },
    Scenario {
        name: "kill-third",
        about: "five of sixteen are killed at once; the others agree and go on",
        network: Network::Lossy,
        has_players: false,
        run: kill_third::run,
    },
    Scenario {
        name: "frozen",
        about: "five of sixteen stand still; what the others serve and keep is still found",
        network: Network::Plain,
        has_players: false,
        run: frozen::run,
    },
    Scenario {
        name: "pause",
        about: "a node stands still for 3 s, which is no death, and for 30 s, which is noticed",
        network: Network::Lossy,
        has_players: false,
        run: pauses::run,
    },
    Scenario {
        name: "one-way",
        about: "nobody hears one node, and nobody else is doubted",
        network: Network::Lossy,
        has_players: false,
        run: one_way::run,
    },
    Scenario {
        name: "overlapping-partition",
        about: "pairs cannot reach each other, but all others reach both",
        network: Network::Lossy,
        has_players: false,
        run: overlapping::run,
    },
    Scenario {
        name: "reach",
        about: "two nodes cannot reach each other; others carry their packets, and one of those is killed",
        network: Network::Lossy,
        has_players: false,
        run: reach::run,
    },
    Scenario {
        name: "rolling-restart",
        about: "sixteen nodes restart in turn while two others exchange events",
        network: Network::Lossy,
        has_players: false,
        run: rolling::run,
    },
    Scenario {
        name: "seeds-gone",
        about: "the seed leaves for ever; new and old nodes still find the others",
        network: Network::Lossy,
        has_players: false,
        run: seeds_gone::run,
    },
    Scenario {
        name: "loss",
        about: "every tenth packet is lost and a node hardly runs; nobody dies",
        network: Network::Lossy,
        has_players: false,
        run: lossy::run,
    },
    Scenario {
        name: "disorder",
        about: "packets are late, doubled and reordered; events are not",
        network: Network::Unruly,
        has_players: false,
        run: disorder::run,
    },
    Scenario {
        name: "promises",
        about: "events and calls keep their promises under every fault in turn",
        network: Network::Unruly,
        has_players: true,
        run: promises::all,
    },
    Scenario {
        name: "promises-loss-1",
        about: "the same while one packet of a hundred is lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_1,
    },
    Scenario {
        name: "promises-loss-5",
        about: "the same while five of a hundred are lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_5,
    },
    Scenario {
        name: "promises-loss-15",
        about: "the same while fifteen of a hundred are lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_15,
    },
    Scenario {
        name: "promises-disorder",
        about: "the same while packets are late, doubled and overtaken",
        network: Network::Unruly,
        has_players: true,
        run: promises::disorder,
    },
    Scenario {
        name: "promises-kill-writer",
        about: "the same when an application that publishes is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_writer,
    },
    Scenario {
        name: "promises-kill-publisher",
        about: "the same when the node that publishes is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_publisher,
    },
    Scenario {
        name: "promises-kill-reader",
        about: "the same when applications that subscribe and serve are killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_reader,
    },
    Scenario {
        name: "promises-kill-subscriber",
        about: "the same when the node of a subscriber is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_subscriber,
    },
    Scenario {
        name: "promises-kill-relay",
        about: "the same when a node that carries packets of others is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_relay,
    },
    Scenario {
        name: "promises-partition",
        about: "the same when two halves cannot reach each other for 10 s",
        network: Network::Lossy,
        has_players: true,
        run: promises::partition,
    },
    Scenario {
        name: "promises-stall",
        about: "the same while a subscriber stands still and another one is slow",
        network: Network::Lossy,
        has_players: true,
        run: promises::stall,
    },
    Scenario {
        name: "promises-restart",
        about: "the same while nodes restart in turn",
        network: Network::Lossy,
        has_players: true,
        run: promises::restart,
    },
];

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
