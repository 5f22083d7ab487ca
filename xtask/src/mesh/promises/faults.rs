//! What goes wrong, each with the proof that it did.

mod kept;

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::stage::{MEMBER, SIZE, Stage};
use crate::failure::Failure;
use crate::mesh::counts::Counts;
use crate::mesh::fleet::Fleet;
use crate::mesh::net::{self, Percent};
use crate::mesh::until::{Seen, lasting, until};
use crate::mesh::world::ensure;

/// The nodes between which no packet goes from the start where others carry them: a writer's and a reader's.
const FAR: [(usize, usize); 2] = [(1, 4), (4, 1)];
/// How long the two may take to be linked by others.
const LINK_LIMIT: Duration = Duration::from_secs(60);
/// The nodes on one side of a partition; on each side somebody publishes, subscribes, serves or calls.
const SIDE: [usize; 3] = [1, 2, 5];
const PARTITION: Duration = Duration::from_secs(10);
/// How long somebody stands still.
const STALL: Duration = Duration::from_secs(5);
const DEATH_LIMIT: Duration = Duration::from_secs(20);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// So many of a hundred packets are lost, in each direction.
    Loss(u8),
    /// Packets are late, doubled and overtaken.
    Disorder,
    /// SIGKILL of an application that publishes.
    KillWriter,
    /// SIGKILL of the node that publishes for it, and a start after its death was seen.
    KillPublisher,
    /// SIGKILL of an application that is a node and publishes with QoS 1, and a start at once.
    KillMember,
    /// The same, of one that keeps on disk what it published until everybody has it.
    KillDurable,
    /// SIGKILL of an application that is a node and publishes with QoS 1, while a node cannot be reached that is owed its
    /// events, and with a store that keeps them. It starts again when the store has sent what it owed.
    KillKept,
    /// SIGKILL of applications that subscribe, one of them in a group, and of one that serves.
    KillReader,
    /// SIGKILL of the node of a subscriber, and a start at once.
    KillSubscriber,
    /// SIGKILL of the node that carries the packets of two others.
    KillRelay,
    /// Two halves cannot reach each other for 10 s.
    Partition,
    /// A subscriber stands still, and another one is slow.
    Stall,
    /// All nodes but the seed restart in turn, by SIGTERM and by SIGKILL.
    Restart,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss(part) => write!(f, "{part} % of all packets are lost"),
            Self::Disorder => f.write_str("packets are late, doubled and overtaken"),
            Self::KillWriter => f.write_str("who publishes is killed"),
            Self::KillPublisher => f.write_str("the node of who publishes is killed"),
            Self::KillMember => f.write_str("who publishes as a node is killed"),
            Self::KillDurable => f.write_str("who publishes as a node, to disk, is killed"),
            Self::KillKept => f.write_str("who publishes as a node, with a store, is killed"),
            Self::KillReader => f.write_str("who subscribes and who serves are killed"),
            Self::KillSubscriber => f.write_str("the node of who subscribes is killed"),
            Self::KillRelay => f.write_str("who carries packets is killed"),
            Self::Partition => f.write_str("two halves cannot reach each other"),
            Self::Stall => f.write_str("who subscribes stands still"),
            Self::Restart => f.write_str("nodes restart in turn"),
        }
    }
}

impl Fault {
    /// What has to be so before the nodes start.
    ///
    /// # Errors
    ///
    /// When the network cannot do that.
    pub(super) fn prepare(self, fleet: &mut Fleet<'_>) -> Result<(), Failure> {
        if matches!(self, Self::KillRelay) {
            fleet.fault(FAR, net::Fault::cut())?;
        }
        if matches!(self, Self::KillKept) {
            kept::prepare(fleet)?;
        }
        Ok(())
    }

    /// Waits for what has to be so before events are owed: who cannot reach each other, even by others, owes nothing.
    ///
    /// # Errors
    ///
    /// When that does not come about.
    pub(super) fn wait(self, stage: &Stage<'_>) -> Result<(), Failure> {
        if matches!(self, Self::KillRelay) {
            until(LINK_LIMIT, "the two are linked by others", || linked(stage))?;
        }
        Ok(())
    }

    /// Lets it happen and mends it. Adds to `counts` what proves it.
    ///
    /// # Errors
    ///
    /// When it did not happen, and when nothing goes on meanwhile that should.
    pub(super) fn happen(self, stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
        match self {
            Self::Loss(part) => loss(stage, part, counts),
            Self::Disorder => disorder(stage, counts),
            Self::KillWriter => kill_players(stage, &["w1"], counts),
            Self::KillPublisher => kill_node(stage, 1, "publisher_back_s", true, counts),
            Self::KillMember | Self::KillDurable => {
                kill_node(stage, MEMBER, "member_back_s", false, counts)
            }
            Self::KillKept => kept::kill(stage, counts),
            Self::KillReader => kill_players(stage, &["r4", "g4", "s4"], counts),
            Self::KillSubscriber => kill_node(stage, 4, "subscriber_back_s", false, counts),
            Self::KillRelay => kill_relay(stage, counts),
            Self::Partition => partition(stage, counts),
            Self::Stall => stall(stage, counts),
            Self::Restart => restart(stage, counts),
        }
    }
}

/// Packets between all nodes meet with `fault` while a step is played. Returns what happened to them.
fn unruly(stage: &mut Stage<'_>, what: &str, fault: net::Fault) -> Result<net::Tally, Failure> {
    let pairs = stage.fleet.pairs();
    let before = stage.fleet.tally(pairs.iter().copied())?;
    stage.ledger.broken(what)?;
    stage.fleet.fault(pairs.iter().copied(), fault)?;
    stage.flow()?;
    stage
        .fleet
        .fault(pairs.iter().copied(), net::Fault::default())?;
    stage.ledger.mended(what)?;
    Ok(stage.fleet.tally(pairs)?.since(before))
}

fn loss(stage: &mut Stage<'_>, part: u8, counts: Counts) -> Result<Counts, Failure> {
    let tally = unruly(stage, "loss", net::Fault::loss(Percent::of(part)))?;
    let all = tally.lost.saturating_add(tally.passed);
    let found = tally.lost.saturating_mul(100).checked_div(all).unwrap_or(0);
    // Chance loses more or fewer. Namespaces do not count what passes.
    let is_right = tally.passed == 0 || found <= u64::from(part).saturating_mul(2);
    ensure(tally.lost > 0 && is_right, || {
        format!("{part} % of packets were to be lost: {tally:?}")
    })?;
    let name = match part {
        0..=1 => "lost_1",
        2..=5 => "lost_5",
        _ => "lost_15",
    };
    Ok(counts.with(name, tally.lost))
}

fn disorder(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let fault = net::Fault {
        delay: Duration::from_millis(5),
        twice: Percent::of(10),
        overtaken: Percent::of(20),
        ..net::Fault::default()
    };
    let tally = unruly(stage, "disorder", fault)?;
    ensure(tally.doubled > 0 && tally.overtaken > 0, || {
        format!("no packet was doubled or overtaken: {tally:?}")
    })?;
    Ok(counts
        .with("doubled", tally.doubled)
        .with("overtaken", tally.overtaken))
}

fn kill_players(stage: &mut Stage<'_>, names: &[&str], counts: Counts) -> Result<Counts, Failure> {
    for name in names {
        // The system tells that it ran until then.
        stage.kill_player(name)?;
        stage.flow()?;
    }
    let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Ok(counts.with("players_killed", count))
}

fn kill_node(
    stage: &mut Stage<'_>,
    number: usize,
    name: &'static str,
    is_seen: bool,
    counts: Counts,
) -> Result<Counts, Failure> {
    let run = stage.fleet.node(number)?.epoch;
    let dead = stage.fleet.node(number)?.id.clone();
    stage.kill_node(number)?;
    if is_seen {
        let watcher = stage.fleet.node(0)?;
        until(DEATH_LIMIT, "a killed node is seen dead", || {
            let members = watcher.members(stage.world)?;
            let mut found = members.iter().filter(|member| member.node == dead);
            let gone = found.all(|member| member.state == "dead");
            Ok(Seen::when(gone, || format!("{members:?}")))
        })?;
    }
    let back = stage.start_node(number)?;
    ensure(stage.fleet.node(number)?.epoch > run, || {
        "the node that came back goes on with its old run".to_owned()
    })?;
    stage.flow()?;
    Ok(counts.with_time(name, back))
}

fn kill_relay(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let lost = stage.fleet.tally(FAR)?.lost;
    ensure(lost > 0, || "the two nodes reach each other".to_owned())?;
    let (carrier, _took) = until(LINK_LIMIT, "somebody carries packets", || carrier(stage))?;
    stage.kill_node(carrier)?;
    let (now, took) = until(LINK_LIMIT, "somebody else carries packets", || {
        Ok(match self::carrier(stage)? {
            Seen::Yes(now) if now == carrier => Seen::NotYet("the killed one".to_owned()),
            seen @ (Seen::Yes(_) | Seen::NotYet(_)) => seen,
        })
    })?;
    stage.start_node(carrier)?;
    stage.flow()?;
    let number = |number| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(counts
        .with("carrier", number(carrier))
        .with("next_carrier", number(now))
        .with_time("carried_again_s", took))
}

/// Whether the two that cannot reach each other are linked by others.
fn linked(stage: &Stage<'_>) -> Result<Seen<()>, Failure> {
    for (from, to) in FAR {
        let (folder, target) = (&stage.fleet.node(from)?.folder, stage.fleet.id(to)?);
        let answer = stage.world.ask(&["peers", "--node", folder])?.expect(0)?;
        let text =
            |peer: &Value, key: &str| peer.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut links = answer.lines.iter();
        let link = links.find(|peer| text(peer, "node").as_deref() == Some(&target));
        let path = link.and_then(|link| text(link, "path"));
        if path.as_deref() != Some("forwarded") {
            return Ok(Seen::NotYet(format!("n{from} has {path:?}")));
        }
    }
    Ok(Seen::Yes(()))
}

/// The node that carries packets between the two that cannot reach each other.
fn carrier(stage: &Stage<'_>) -> Result<Seen<usize>, Failure> {
    let [(from, to), _back] = FAR;
    let (folder, target) = (&stage.fleet.node(from)?.folder, stage.fleet.id(to)?);
    let answer = stage.world.ask(&["trace", &target, "--node", folder])?;
    if answer.code != Some(0) {
        return Ok(Seen::NotYet(answer.last_words().to_owned()));
    }
    let trace = answer.only()?;
    let first = trace.pointer("/hops/1/node").and_then(Value::as_str);
    let mut numbers = stage.fleet.others(from).into_iter();
    let found = numbers.find(|number| {
        let id = stage.fleet.id(*number).ok();
        *number != to && id.is_some() && id.as_deref() == first
    });
    Ok(match found {
        Some(found) => Seen::Yes(found),
        None => Seen::NotYet(trace.to_string()),
    })
}

fn partition(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let other: Vec<usize> = (0..SIZE).filter(|number| !SIDE.contains(number)).collect();
    let pairs: Vec<(usize, usize)> = SIDE
        .iter()
        .flat_map(|one| other.iter().flat_map(|two| [(*one, *two), (*two, *one)]))
        .collect();
    stage.ledger.broken("partition")?;
    stage
        .fleet
        .fault(pairs.iter().copied(), net::Fault::cut())?;
    let before = stage.fleet.tally(pairs.iter().copied())?;
    lasting(PARTITION);
    let after = stage.fleet.tally(pairs.iter().copied())?;
    stage
        .fleet
        .fault(pairs.iter().copied(), net::Fault::default())?;
    stage.ledger.mended("partition")?;
    let tally = after.since(before);
    ensure(tally.lost > 0 && tally.passed == 0, || {
        format!("no packet was to pass: {tally:?}")
    })?;
    Ok(counts.with("cut_off", tally.lost))
}

fn stall(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let slow = ["--delay-us", "20000", "--max-events", "16"];
    if stage.player("rs").is_err() {
        stage.reader("rs", 3, "p.one.*", &slow)?;
    }
    stage.ledger.broken("r4")?;
    stage.player("r4")?.stop()?;
    let before = stage.ledger.length("r4");
    lasting(STALL);
    let idle = stage.idle_but(&["r4"])?;
    ensure(idle.is_empty(), || {
        format!("one that stands still disturbs others: {idle}")
    })?;
    ensure(stage.ledger.length("r4") == before, || {
        "who was to stand still went on".to_owned()
    })?;
    stage.player("r4")?.resume()?;
    stage.ledger.mended("r4")?;
    stage.flow()?;
    Ok(counts.with("stalled", 1))
}

fn restart(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let mut slowest = Duration::ZERO;
    let mut restarts: u64 = 0;
    for number in (1..SIZE).rev() {
        let run = stage.fleet.node(number)?.epoch;
        if number.is_multiple_of(2) {
            stage.dismiss_node(number)?;
        } else {
            stage.kill_node(number)?;
        }
        slowest = slowest.max(stage.start_node(number)?);
        ensure(stage.fleet.node(number)?.epoch > run, || {
            format!("n{number} goes on with its old run")
        })?;
        restarts = restarts.saturating_add(1);
    }
    Ok(counts
        .with("restarts", restarts)
        .with_time("restarted_s", slowest))
}
