//! Many nodes of one realm in a network with faults.

mod agreement;

use std::time::Duration;

use super::journal::{Expected, Journal};
use super::net::{Fault, Net, Tally};
use super::node::Node;
use super::world::{World, ensure};
use crate::clock::wall;
use crate::failure::Failure;
use crate::process::read;

/// The setting of a node that takes all others for one host, and what it is raised to.
const PER_HOST: (&str, &str) = (
    "max_connections_per_ip = 64",
    "max_connections_per_ip = 1024",
);

/// Nodes by their number. Number 0 is the seed.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    world: &'a World,
    journal: Journal,
    seats: Vec<Seat>,
    net: Net,
}

/// A node, whether it runs or not.
#[derive(Debug)]
struct Seat {
    name: String,
    folder: String,
    node: Option<Node>,
    stands_still: bool,
    /// What an application does with it that runs it itself.
    played: Option<Vec<String>>,
}

impl<'a> Fleet<'a> {
    /// Makes `size` identities and starts nobody.
    ///
    /// # Errors
    ///
    /// When the command or the network fails.
    pub(super) fn new(world: &'a World, size: usize) -> Result<Self, Failure> {
        let net = Net::new(world.settings().net, size, world.guard())?;
        let realm = world.realm("realm", "be.acme.iot")?;
        let mut seats = Vec::new();
        for number in 0..size {
            let name = format!("n{number}");
            let folder = world.issue(&realm, &name)?;
            raise_limit(&folder)?;
            seats.push(Seat {
                name,
                folder,
                node: None,
                stands_still: false,
                played: None,
            });
        }
        Ok(Self {
            world,
            journal: Journal::new(world),
            seats,
            net,
        })
    }

    /// Gives a node that was not started yet the role `store`, and has it keep the events of a pattern.
    ///
    /// # Errors
    ///
    /// When the command fails.
    pub(super) fn make_store(&mut self, number: usize, pattern: &str) -> Result<(), Failure> {
        let (world, folder) = (self.world, &self.seat(number)?.folder);
        std::fs::remove_dir_all(folder)
            .map_err(|error| Failure::failed(format!("{folder}: {error}")))?;
        let (realm, roles) = (world.path("realm"), ["--role", "member", "--role", "store"]);
        let issue = ["cert", "issue", "--realm", &realm, "--out", folder];
        world.ask(&[&issue[..], &roles].concat())?.expect(0)?;
        raise_limit(folder)?;
        keep(folder, pattern)
    }

    /// Makes `size` nodes, lets the first `running` of them join by the first, and waits until all know all. Returns
    /// how long that took.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(super) fn joined(
        world: &'a World,
        size: usize,
        running: usize,
        limit: Duration,
    ) -> Result<(Self, Duration), Failure> {
        let mut fleet = Self::new(world, size)?;
        let since = wall();
        for number in 0..running {
            fleet.start(number, &[0])?;
        }
        fleet.agree(limit)?;
        let took = wall().saturating_sub(since);
        Ok((fleet, took))
    }

    /// Lets an application run a node itself from its next start on, which does `more` with it.
    ///
    /// # Errors
    ///
    /// When there is no such node.
    pub(super) fn played(&mut self, number: usize, more: Vec<String>) -> Result<(), Failure> {
        self.seat(number)?.played = Some(more);
        Ok(())
    }

    /// Starts a node that joins by others, itself left out.
    ///
    /// # Errors
    ///
    /// When it does not serve.
    pub(super) fn start(&mut self, number: usize, by: &[usize]) -> Result<(), Failure> {
        let place = self.net.place(number)?;
        let others = by.iter().filter(|other| **other != number);
        let seeds: Result<Vec<String>, Failure> =
            others.map(|other| self.net.reach(*other)).collect();
        let seeds = seeds?;
        let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
        let world = self.world;
        let seat = self.seat(number)?;
        let (name, folder) = (&seat.name, &seat.folder);
        let node = match &seat.played {
            None => Node::start_at(world, name, folder, &place, &seeds)?,
            Some(more) => Node::played_at(world, name, folder, &place, &seeds, more)?,
        };
        let listen = node.listen.clone();
        seat.node = Some(node);
        seat.stands_still = false;
        let folder = seat.folder.clone();
        self.net.listens(number, Some(&listen))?;
        self.journal.follow(world, number, &folder)
    }

    /// Kills a node. Returns when.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub(super) fn kill(&mut self, number: usize) -> Result<Duration, Failure> {
        self.journal.leave(number);
        let at = wall();
        self.take(number)?.kill()?;
        self.net.listens(number, None)?;
        Ok(at)
    }

    /// Lets a node leave in order.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn dismiss(&mut self, number: usize) -> Result<(), Failure> {
        self.journal.leave(number);
        self.take(number)?.leave()?;
        self.net.listens(number, None)
    }

    /// Lets a node stand still. Returns when.
    ///
    /// # Errors
    ///
    /// When it goes on.
    pub(super) fn stop(&mut self, number: usize) -> Result<Duration, Failure> {
        self.journal.pause(number);
        let at = wall();
        let seat = self.seat(number)?;
        seat.stands_still = true;
        self.node_mut(number)?.stop()?;
        Ok(at)
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn resume(&mut self, number: usize) -> Result<(), Failure> {
        self.node_mut(number)?.resume()?;
        let seat = self.seat(number)?;
        seat.stands_still = false;
        let folder = seat.folder.clone();
        self.journal.resume(self.world, number, &folder)
    }

    /// The numbers of nodes that run and do not stand still.
    pub(super) fn running(&self) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        let runs = |seat: &Seat| seat.node.is_some() && !seat.stands_still;
        seats
            .filter(|(_number, seat)| runs(seat))
            .map(|(number, _seat)| number)
            .collect()
    }

    /// The running nodes but one.
    pub(super) fn others(&self, number: usize) -> Vec<usize> {
        let mut others = self.running();
        others.retain(|other| *other != number);
        others
    }

    /// A running node.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub(super) fn node(&self, number: usize) -> Result<&Node, Failure> {
        let seat = self.seats.get(number);
        seat.and_then(|seat| seat.node.as_ref())
            .ok_or_else(|| Failure::failed(format!("no node {number} runs")))
    }

    /// The id of a running node.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub(super) fn id(&self, number: usize) -> Result<String, Failure> {
        Ok(self.node(number)?.id.clone())
    }

    /// A file of a node.
    ///
    /// # Errors
    ///
    /// When there is no such node.
    pub(super) fn has_file(&self, number: usize, name: &str) -> Result<bool, Failure> {
        let seat = self.seats.get(number);
        let seat = seat.ok_or_else(|| Failure::failed(format!("no node {number}")))?;
        Ok(std::path::Path::new(&seat.folder).join(name).is_file())
    }

    pub(super) const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What happens from here on to packets of each pair, from the first to the second.
    ///
    /// # Errors
    ///
    /// When the network cannot do that.
    pub(super) fn fault(
        &self,
        pairs: impl IntoIterator<Item = (usize, usize)>,
        fault: Fault,
    ) -> Result<(), Failure> {
        for (from, to) in pairs {
            self.net.set(from, to, fault)?;
        }
        Ok(())
    }

    /// What happened to packets of all the pairs together.
    ///
    /// # Errors
    ///
    /// When the network does not tell.
    pub(super) fn tally(
        &self,
        pairs: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Tally, Failure> {
        let mut sum = Tally::default();
        for (from, to) in pairs {
            sum = sum.and(self.net.tally(from, to)?);
        }
        Ok(sum)
    }

    /// Every pair of places.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let size = self.seats.len();
        let pair = move |from| (0..size).map(move |to| (from, to));
        let pairs = (0..size).flat_map(pair);
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// Fails if a node ended, if something in it panicked, or as [`nobody_died`](Self::nobody_died) does.
    ///
    /// # Errors
    ///
    /// See above.
    pub(super) fn is_well(&mut self, since: Duration, expected: &Expected) -> Result<(), Failure> {
        self.nobody_died(since, expected)?;
        let world = self.world;
        for seat in &mut self.seats {
            if let Some(node) = &mut seat.node {
                node.is_well(world)?;
            }
        }
        Ok(())
    }

    /// Fails if anybody was taken for dead since a moment apart from what is `expected`, or if a running node is
    /// followed no more, so that nobody knows.
    ///
    /// # Errors
    ///
    /// See above.
    pub(super) fn nobody_died(&self, since: Duration, expected: &Expected) -> Result<(), Failure> {
        let deaths = self.journal.deaths(since, expected);
        ensure(deaths.is_empty(), || {
            let words: Vec<String> = deaths
                .iter()
                .take(10)
                .map(|change| {
                    let after = change.at.saturating_sub(since).as_secs_f64();
                    let member = self.name(&change.member);
                    format!("{member} by n{} after {after:.1} s", change.observer)
                })
                .collect();
            let (count, list) = (deaths.len(), words.join(", "));
            format!("taken for dead without a reason, {count} times: {list}")
        })?;
        let mut unknown = self.running();
        unknown.retain(|number| !self.journal.follows(*number));
        ensure(unknown.is_empty(), || {
            let names: Vec<String> = unknown.iter().map(|number| format!("n{number}")).collect();
            let list = names.join(", ");
            format!("followed no more, so nobody knows whom they took for dead: {list}")
        })
    }

    /// The name of a node.
    fn name(&self, id: &str) -> String {
        let nodes = self.seats.iter().filter_map(|seat| seat.node.as_ref());
        let mut found = nodes.filter(|node| node.id == id);
        found
            .next()
            .map_or_else(|| format!("{id:.8}"), |node| node.name.clone())
    }

    fn seat(&mut self, number: usize) -> Result<&mut Seat, Failure> {
        let seat = self.seats.get_mut(number);
        seat.ok_or_else(|| Failure::failed(format!("no node {number}")))
    }

    fn node_mut(&mut self, number: usize) -> Result<&mut Node, Failure> {
        let node = self.seat(number)?.node.as_mut();
        node.ok_or_else(|| Failure::failed(format!("no node {number} runs")))
    }

    fn take(&mut self, number: usize) -> Result<Node, Failure> {
        let node = self.seat(number)?.node.take();
        node.ok_or_else(|| Failure::failed(format!("no node {number} runs")))
    }
}

/// Has a node keep the events of a pattern.
fn keep(folder: &str, pattern: &str) -> Result<(), Failure> {
    let path = std::path::Path::new(folder).join("node.toml");
    let text = read(&path)?;
    let keeps = format!("patterns = [{pattern:?}]");
    ensure(text.contains("patterns = []"), || {
        format!("{} has no `patterns`", path.display())
    })?;
    std::fs::write(&path, text.replace("patterns = []", &keeps))
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// All nodes are on one machine, whose address may have more connections here than from a stranger.
fn raise_limit(folder: &str) -> Result<(), Failure> {
    let path = std::path::Path::new(folder).join("node.toml");
    let text = read(&path)?;
    let (usual, raised) = PER_HOST;
    ensure(text.contains(usual), || {
        format!("{} has no `{usual}`", path.display())
    })?;
    std::fs::write(&path, text.replace(usual, raised))
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}
