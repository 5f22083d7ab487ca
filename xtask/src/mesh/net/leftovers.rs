//! Namespaces of runs that ended without their guard, by SIGKILL to all of them or by the end of the container.
//!
//! A name says which process made it, and when that was started, so that a later process of the same number does not pass
//! for it.

use std::fs;
use std::process::{self, Command, Stdio};

/// What the names of all namespaces begin with.
const PREFIX: &str = "mesh-";
/// The place of the start time in `/proc/*/stat`, behind the name of the program, which may contain anything.
const STARTED: usize = 19;
/// Ends what runs in a namespace, and removes it.
const REMOVE: &str = "\
ip netns pids \"$0\" | while read -r process; do kill -s KILL \"$process\"; done
ip netns del \"$0\"
";

/// The start of a name that belongs to this process.
pub(super) fn own_prefix() -> String {
    let own = process::id();
    let started = started(own).unwrap_or_default();
    format!("{PREFIX}{own}-{started}-")
}

/// Removes what runs left that are over. What cannot be removed stays: the names of a run are its own.
pub(super) fn remove() {
    for name in names().iter().filter(|name| is_left(name)) {
        let removed = Command::new("sh")
            .args(["-c", REMOVE, name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if removed.is_ok_and(|status| status.success()) {
            eprintln!("removed {name}, which an earlier run left");
        }
    }
}

/// All namespaces there are.
fn names() -> Vec<String> {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let text = listed.map_or_else(|_| Vec::new(), |listed| listed.stdout);
    let text = String::from_utf8_lossy(&text).into_owned();
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    text.lines().filter_map(first).collect()
}

/// Whether a name belongs to a run that is over. Of names that say nothing of their makers nobody knows.
fn is_left(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let mut parts = rest.split('-').map(str::parse::<u64>);
    let (Some(Ok(maker)), Some(Ok(since))) = (parts.next(), parts.next()) else {
        return false;
    };
    let maker = u32::try_from(maker).ok();
    maker.and_then(started) != Some(since)
}

/// When a process was started, in ticks since the system was; `None` if there is none of this number.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(STARTED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::net::has_namespaces;

    #[test]
    fn what_belongs_to_a_run_that_goes_on_or_to_others_is_left_alone() {
        let Some(since) = started(process::id()) else {
            // Without /proc there are no namespaces either.
            return;
        };
        let own = process::id();
        for (name, expected) in [
            (format!("{}0", own_prefix()), false),
            (format!("mesh-{own}-{}-0", since.saturating_add(1)), true),
            ("mesh-4294967295-7-hub".to_owned(), true),
            ("mesh-0123456789abcdef-hub".to_owned(), false),
            (format!("other-{own}-0-hub"), false),
            ("mesh-".to_owned(), false),
        ] {
            assert_eq!(is_left(&name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_dead_run_left_is_removed() {
        if !has_namespaces() {
            return;
        }
        let (left, kept) = ("mesh-4294967295-7-test", format!("{}test", own_prefix()));
        let ip = |arguments: &[&str]| {
            let done = Command::new("ip").args(arguments).status().unwrap();
            assert!(done.success(), "{arguments:?}");
        };
        ip(&["netns", "add", left]);
        ip(&["netns", "add", &kept]);
        let running = Command::new("ip")
            .args(["netns", "exec", left, "sleep", "600"])
            .spawn();
        let mut running = running.unwrap();
        while !runs_in(left) {
            std::thread::yield_now();
        }
        remove();
        let found = names();
        assert!(!found.iter().any(|name| name == left), "{found:?}");
        assert!(found.contains(&kept), "{found:?}");
        assert!(running.wait().unwrap().code().is_none(), "it was killed");
        ip(&["netns", "del", &kept]);
    }

    fn runs_in(space: &str) -> bool {
        let pids = Command::new("ip").args(["netns", "pids", space]).output();
        !pids.unwrap().stdout.is_empty()
    }
}
