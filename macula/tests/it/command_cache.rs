//! What a node remembers of members between runs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::{Ended, Place, Running, read, until};

fn cache_of(directory: &str) -> PathBuf {
    PathBuf::from(directory).join("members.cache")
}

/// What was set aside in the directory.
fn set_aside(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_str().unwrap().contains("members.cache.damaged-"))
        .collect()
}

fn count_of(node: &Running, name: &str) -> Option<u64> {
    let status = node.macula(&["status"]).expect(0).object();
    status["stats"]["cache"][name].as_u64()
}

fn sees(node: &Running, other: &str) -> bool {
    let members: Vec<Value> = node.macula(&["members"]).expect(0).objects();
    members
        .iter()
        .any(|member| member["node"] == other && member["state"] == "alive")
}

/// Three nodes of which the first is the seed of the others; all have been seen and remembered.
struct Trio {
    _place: Place,
    two: String,
    three: String,
    seed: String,
}

impl Trio {
    /// Ends with `two` stopped in order, `three` running and the seed gone.
    fn without_seed() -> (Self, Running) {
        let place = Place::new();
        let seed = place.run_node();
        let join = ["--listen", "127.0.0.1:0", "--join", &seed.listen];
        let (two, three) = (place.issue("two", &join), place.issue("three", &join));
        let running = Place::run(&two, &[]);
        let stays = Place::run(&three, &[]);
        until("all know each other", || {
            sees(&running, &stays.id) && sees(&stays, &running.id) && sees(&running, &seed.id)
        });
        running.stop().expect(0);
        let trio = Self {
            two,
            three,
            seed: seed.id.clone(),
            _place: place,
        };
        seed.process.signal("KILL");
        drop(seed);
        (trio, stays)
    }

    /// Runs `two`, which has to start, whatever is in its file, with nobody else there.
    fn run_alone(&self) -> Running {
        Place::run(&self.two, &[])
    }
}

#[test]
fn a_node_whose_seed_is_gone_joins_by_those_that_it_remembers() {
    let (trio, stays) = Trio::without_seed();
    let file = cache_of(&trio.two);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = String::from_utf8_lossy(&read(&file)).into_owned();
    assert!(
        text.starts_with("macula-members 1 be.acme.iot 2 "),
        "{text}"
    );
    let again = Place::run(&trio.two, &[]);
    assert_eq!(count_of(&again, "read"), Some(2));
    until("it has joined without its seed", || sees(&again, &stays.id));
    until("its seed is known to be gone", || !sees(&again, &trio.seed));
    again.stop().expect(0);
    // Without any seed configured it does the same.
    let config = PathBuf::from(&trio.two).join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let start = text.find("join = [").unwrap();
    let end = start + text[start..].find('\n').unwrap();
    let text = format!("{}join = []{}", &text[..start], &text[end..]);
    std::fs::write(&config, text).unwrap();
    let again = Place::run(&trio.two, &[]);
    until("it has joined without any seed", || sees(&again, &stays.id));
    assert!(set_aside(&trio.two).is_empty());
    again.stop().expect(0);
    stays.stop().expect(0);
}

#[test]
fn a_node_that_was_killed_remembers_as_well() {
    let (trio, stays) = Trio::without_seed();
    let again = Place::run(&trio.two, &[]);
    until("it has joined and written that down", || {
        sees(&again, &stays.id) && count_of(&again, "writes") > Some(0)
    });
    again.process.signal("KILL");
    drop(again);
    let again = Place::run(&trio.two, &[]);
    until("it has joined", || sees(&again, &stays.id));
    again.stop().expect(0);
}

#[test]
fn who_was_never_heard_of_again_stays_remembered() {
    let (trio, stays) = Trio::without_seed();
    stays.process.signal("KILL");
    let listen = stays.listen.clone();
    drop(stays);
    // Nobody is there at all, and the node is stopped once more.
    trio.run_alone().stop().expect(0);
    let stays = Place::run(&trio.three, &["--listen", &listen]);
    let again = trio.run_alone();
    until("it has joined", || sees(&again, &stays.id));
    again.stop().expect(0);
    stays.stop().expect(0);
}

/// Starts with a file that this does to it, and expects it to be set aside, and a word about it.
#[track_caller]
fn is_set_aside(trio: &Trio, bytes: &[u8], why: &str) {
    let file = cache_of(&trio.two);
    std::fs::write(&file, bytes).unwrap();
    let node = trio.run_alone();
    assert_eq!(count_of(&node, "read"), Some(0));
    assert_eq!(count_of(&node, "set_aside"), Some(1));
    let aside = set_aside(&trio.two);
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(read(&aside[0]), bytes, "what was there is kept");
    let Ended { stderr, .. } = node.stop().expect(0);
    assert!(
        stderr.contains(why) && stderr.contains("damaged-"),
        "{stderr}"
    );
    std::fs::remove_file(&aside[0]).unwrap();
}

#[test]
fn a_damaged_file_is_set_aside_and_the_node_joins_anew() {
    let (trio, stays) = Trio::without_seed();
    let good = read(&cache_of(&trio.two));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    is_set_aside(&trio, &flipped, "checksum");
    is_set_aside(&trio, &good[..good.len() / 2], "checksum");
    is_set_aside(&trio, b"", "no list");
    let mut later = good;
    later["macula-members ".len()] = b'7';
    is_set_aside(&trio, &later, "version");
    // With a seed that answers, a damaged file costs nothing but the message.
    std::fs::write(cache_of(&trio.two), &flipped).unwrap();
    let again = Place::run(&trio.two, &["--join", &stays.listen]);
    until("it has joined by the seed", || sees(&again, &stays.id));
    assert_eq!(count_of(&again, "set_aside"), Some(1));
    again.stop().expect(0);
    // The new file is whole.
    let again = Place::run(&trio.two, &[]);
    assert!(count_of(&again, "read") > Some(0));
    again.stop().expect(0);
}

#[test]
fn the_file_of_another_realm_is_set_aside() {
    let (trio, stays) = Trio::without_seed();
    stays.stop().expect(0);
    let other = Place::named("be.other.iot");
    let one = other.run_node();
    let join = ["--listen", "127.0.0.1:0", "--join", &one.listen];
    let two = Place::run(&other.issue("two", &join), &[]);
    until("they know each other", || sees(&two, &one.id));
    let directory = two.directory.clone();
    two.stop().expect(0);
    let foreign = read(&cache_of(&directory));
    is_set_aside(&trio, &foreign, "be.other.iot");
}

#[test]
fn a_file_that_cannot_be_read_or_written_is_told_and_stops_nothing() {
    let (trio, stays) = Trio::without_seed();
    let file = cache_of(&trio.two);
    std::fs::remove_file(&file).unwrap();
    // Nobody reads a directory as a file, whatever the rights.
    std::fs::create_dir(&file).unwrap();
    let node = Place::run(&trio.two, &["--join", &stays.listen]);
    assert_eq!(count_of(&node, "unreadable"), Some(1));
    until("it has joined", || sees(&node, &stays.id));
    until("it has tried to write", || {
        count_of(&node, "failed_writes") > Some(0)
    });
    assert_eq!(count_of(&node, "writes"), Some(0));
    let Ended { stderr, .. } = node.stop().expect(0);
    assert!(stderr.contains("cannot be read"), "{stderr}");
    let warnings = stderr.matches("cannot be remembered").count();
    assert_eq!(warnings, 1, "once for each outage: {stderr}");
    std::fs::remove_dir(&file).unwrap();
    let node = Place::run(&trio.two, &["--join", &stays.listen]);
    until("it has written", || count_of(&node, "writes") > Some(0));
    assert_eq!(count_of(&node, "unreadable"), Some(0));
    node.stop().expect(0);
}
