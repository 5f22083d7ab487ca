//! A network of Linux namespaces: one for each node, and a bridge between them.
//!
//! Packets are lost where they leave a node: filters lead them to classes that swallow everything. A part of all packets
//! is chosen by a byte that QUIC has encrypted, which is as good as chance.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Place;
use super::fault::{Fault, Percent, Tally};
use super::leftovers;
use crate::failure::Failure;
use crate::mesh::guard::Guard;

/// Where every node listens, in its own namespace.
const PORT: u16 = 4433;
/// The class of packets that are lost on their way to node 0; those of the other nodes follow.
const FIRST_CLASS: usize = 0x100;
/// The most nodes that one bridge has addresses for.
const MAX_NODES: usize = 200;

/// The namespaces. Dropping it removes them.
#[derive(Debug)]
pub(in crate::mesh) struct Spaces {
    /// What all their names begin with.
    name: String,
    size: usize,
    guard: Arc<Guard>,
    /// Pairs that have a class, and what is lost by it.
    classes: Mutex<BTreeMap<(usize, usize), Percent>>,
}

impl Spaces {
    /// Makes namespaces for `size` nodes, and removes those that earlier runs left.
    ///
    /// # Errors
    ///
    /// Without root, without `ip` and `tc`, and where the kernel lacks what it takes.
    pub(super) fn make(size: usize, guard: &Arc<Guard>) -> Result<Self, Failure> {
        if size > MAX_NODES {
            return Err(Failure::failed(format!("{size} nodes are too many")));
        }
        leftovers::remove();
        let seed = RandomState::new().build_hasher().finish();
        let spaces = Self {
            name: format!("{}{seed:016x}", leftovers::own_prefix()),
            size,
            guard: Arc::clone(guard),
            classes: Mutex::default(),
        };
        let names: Vec<String> = spaces.names();
        let mut hub = String::from("link add hub type bridge\nlink set hub up\n");
        for (number, name) in names.iter().enumerate().skip(1) {
            hub.push_str(&format!(
                "link add port{number} type veth peer name wire netns {name}\n\
                 link set port{number} master hub up\n"
            ));
        }
        for name in &names {
            guard.space(name);
            run("ip", &["netns", "add", name], "")?;
        }
        run("ip", &["-n", &spaces.hub(), "-batch", "-"], &hub)?;
        for number in 0..size {
            let space = spaces.space(number);
            let address = ip(number);
            let setup =
                format!("addr add {address}/24 dev wire\nlink set wire up\nlink set lo up\n");
            run("ip", &["-n", &space, "-batch", "-"], &setup)?;
            let setup = "qdisc add dev wire root handle 1: htb default 1\n\
                class add dev wire parent 1: classid 1:1 htb rate 10gbit quantum 60000\n";
            run("tc", &["-n", &space, "-batch", "-"], setup)?;
        }
        Ok(spaces)
    }

    pub(super) fn place(&self, number: usize) -> Result<Place, Failure> {
        let space = self.space(number);
        Ok(Place {
            prefix: ["ip", "netns", "exec", &space].map(str::to_owned).to_vec(),
            listen: self.reach(number)?,
            advertise: None,
        })
    }

    pub(super) fn reach(&self, number: usize) -> Result<String, Failure> {
        if number < self.size {
            return Ok(format!("{}:{PORT}", ip(number)));
        }
        Err(Failure::failed(format!("no namespace {number}")))
    }

    pub(super) fn set(&self, from: usize, to: usize, fault: Fault) -> Result<(), Failure> {
        let loss_only = Fault::loss(fault.loss);
        if fault != loss_only {
            return Err(Failure::failed(
                "namespaces can lose packets only; run this scenario without --netns",
            ));
        }
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let class = FIRST_CLASS.saturating_add(to);
        match classes.insert((from, to), fault.loss) {
            None => text.push_str(&format!(
                "class add dev wire parent 1: classid 1:{class:x} htb rate 10gbit quantum 60000\n\
                 qdisc add dev wire parent 1:{class:x} handle {class:x}: blackhole\n"
            )),
            Some(before) if before == Percent::default() => {}
            Some(_) => text.push_str(&format!("filter del dev wire parent 1: prio {class}\n")),
        }
        for rule in rules(fault.loss) {
            text.push_str(&format!(
                "filter add dev wire parent 1: protocol ip prio {class} u32 match ip dst {}/32 {rule}flowid 1:{class:x}\n",
                ip(to)
            ));
        }
        run("tc", &["-n", &self.space(from), "-batch", "-"], &text)?;
        Ok(())
    }

    pub(super) fn tally(&self, from: usize, to: usize) -> Result<Tally, Failure> {
        let class = FIRST_CLASS.saturating_add(to);
        let space = self.space(from);
        let shown = run(
            "tc",
            &["-n", &space, "-s", "-j", "qdisc", "show", "dev", "wire"],
            "",
        )?;
        let parent = format!("1:{class:x}");
        let queues: Value = serde_json::from_str(&shown)
            .map_err(|error| Failure::failed(format!("tc wrote no JSON: {error}")))?;
        let of_class = |queue: &&Value| queue.get("parent").is_some_and(|found| *found == parent);
        let lost = queues
            .as_array()
            .and_then(|queues| queues.iter().find(of_class))
            .and_then(|queue| queue.get("drops"))
            .and_then(Value::as_u64);
        Ok(Tally {
            lost: lost.unwrap_or(0),
            ..Tally::default()
        })
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// All namespaces, that of the bridge first.
    fn names(&self) -> Vec<String> {
        let nodes = (0..self.size).map(|number| self.space(number));
        std::iter::once(self.hub()).chain(nodes).collect()
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for name in self.names() {
            drop(run("ip", &["netns", "del", &name], ""));
        }
        self.guard.spaces_are_gone();
    }
}

/// The address of a node.
fn ip(number: usize) -> String {
    format!("10.77.0.{}", number.saturating_add(1))
}

/// Filters that choose a part of all packets, each with a blank behind it; one that chooses all for a cut.
///
/// The byte that is looked at is encrypted: in packets with a long header behind the longest ids, in those with a
/// short one at a place that even the shortest has.
fn rules(loss: Percent) -> Vec<String> {
    if loss == Percent::ALL {
        return vec![String::new()];
    }
    let chosen = u32::from(loss.get()).saturating_mul(256).div_ceil(100);
    let mut rules = Vec::new();
    for (value, mask) in blocks(chosen) {
        for header in [
            "match u8 0x80 0x80 at 28 match u8",
            "match u8 0x00 0x80 at 28 match u8",
        ] {
            let at = if header.contains("0x80 0x80") { 72 } else { 55 };
            rules.push(format!("{header} {value:#04x} {mask:#04x} at {at} "));
        }
    }
    rules
}

/// The bytes below `count`, as values and masks.
fn blocks(count: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut from: u32 = 0;
    for bit in (0..8).rev() {
        let size: u32 = 1 << bit;
        if count & size != 0 {
            found.push((from, 0x100_u32.saturating_sub(size)));
            from = from.saturating_add(size);
        }
    }
    found
}

/// Runs a program with `input` and gives back what it wrote.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, Failure> {
    let line = format!("{program} {}", arguments.join(" "));
    let failed = |error: std::io::Error| Failure::failed(format!("`{line}`: {error}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says by its end what it thinks of it.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Failure::failed(format!(
        "`{line}` failed: {}",
        why.trim_end()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_exactly_the_bytes_below() {
        for count in [0, 1, 26, 128, 255] {
            let blocks = blocks(count);
            let covered = |byte: &u32| blocks.iter().any(|(value, mask)| byte & mask == *value);
            let found: Vec<u32> = (0..256).filter(covered).collect();
            assert_eq!(found, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cut_looks_at_no_byte_and_no_loss_has_no_rule() {
        assert_eq!(rules(Percent::ALL), [""]);
        assert!(rules(Percent::default()).is_empty());
        assert_eq!(rules(Percent::of(10)).len(), 6);
    }

    #[test]
    fn a_program_that_fails_tells_why() {
        let failure = run("sh", &["-c", "cat >&2; exit 1"], "no reason").unwrap_err();
        assert!(failure.to_string().contains("no reason"), "{failure}");
    }
}
