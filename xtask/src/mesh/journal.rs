//! What every node of a mesh held of the others, and when that changed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::child::{Child, Input};
use super::line::{self, Member};
use super::until::Deadline;
use super::world::{Program, World};
use crate::clock::wall;
use crate::failure::Failure;

/// How often a node is asked that does not tell by itself.
const ASK_PERIOD: Duration = Duration::from_millis(500);
/// How long the command may take to say that it tells each change from here on.
const WATCH_LIMIT: Duration = Duration::from_secs(30);
/// How often a reader looks whether it has to end.
const LOOK: Duration = Duration::from_millis(200);
/// How much two reckonings of one moment may differ, which are made of the age that a node tells.
const SAME_MOMENT: Duration = Duration::from_millis(250);

/// What a node holds of a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Alive,
    Suspect,
    Dead,
    Left,
    /// It was known before.
    Forgotten,
}

/// A node changed its mind.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The number of the node.
    pub(super) observer: usize,
    /// The id of the member.
    pub(super) member: String,
    pub(super) standing: Standing,
    /// When, since 1970.
    pub(super) at: Duration,
}

/// Deaths that are no fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// The ids of members that may be taken for dead.
    pub(super) members: Vec<String>,
    /// The numbers of nodes that may take others for dead.
    pub(super) observers: Vec<usize>,
}

impl Expected {
    /// Anybody may take `members` for dead.
    pub(super) fn deaths_of(members: &[String]) -> Self {
        Self {
            members: members.to_vec(),
            observers: Vec::new(),
        }
    }
}

/// All changes at the nodes that are followed.
///
/// Where the command can watch members, each change is told by the node itself. Otherwise the nodes are asked twice a
/// second: times are exact all the same, because nodes tell how old a state is, but a state that lasted less than half
/// a second may stay unseen.
#[derive(Debug)]
pub(super) struct Journal {
    watches: bool,
    book: Arc<Book>,
    readers: BTreeMap<usize, Reader>,
}

#[derive(Debug, Default)]
struct Book(Mutex<Vec<Change>>);

/// The thread that follows one node.
#[derive(Debug)]
struct Reader {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// An empty one.
    pub(super) fn new(world: &World) -> Self {
        Self {
            watches: world.program().knows("members", "--watch"),
            book: Arc::default(),
            readers: BTreeMap::new(),
        }
    }

    /// Follows the node that runs in `folder` from here on, in place of the one with this number before. Where it can be
    /// watched, each change after the return is told.
    ///
    /// # Errors
    ///
    /// When the command cannot be started, or does not begin to watch.
    pub(super) fn follow(
        &mut self,
        world: &World,
        observer: usize,
        folder: &str,
    ) -> Result<(), Failure> {
        self.leave(observer);
        let ended = Arc::new(AtomicBool::new(false));
        let mut page = Page {
            observer,
            book: Arc::clone(&self.book),
            ended: Arc::clone(&ended),
            seen: BTreeMap::new(),
        };
        let thread = if self.watches {
            let arguments = ["members", "--watch", "--node", folder];
            let name = format!("members at {observer}");
            let mut child = world.start(&name, &arguments, Input::None)?;
            page.begin(&mut child)?;
            std::thread::spawn(move || page.read(child))
        } else {
            let (program, folder) = (world.program().clone(), folder.to_owned());
            std::thread::spawn(move || page.ask(&program, &folder))
        };
        self.readers.insert(observer, Reader { ended, thread });
        Ok(())
    }

    /// Follows a node no more: it is about to stand still or to end.
    pub(super) fn leave(&mut self, observer: usize) {
        if let Some(reader) = self.readers.remove(&observer) {
            reader.ended.store(true, Ordering::Relaxed);
            reader.thread.thread().unpark();
            drop(reader.thread.join());
        }
    }

    /// A node is about to stand still. Who tells by itself is listened to all the same.
    pub(super) fn pause(&mut self, observer: usize) {
        if !self.watches {
            self.leave(observer);
        }
    }

    /// It goes on.
    ///
    /// # Errors
    ///
    /// See [`follow`](Self::follow).
    pub(super) fn resume(
        &mut self,
        world: &World,
        observer: usize,
        folder: &str,
    ) -> Result<(), Failure> {
        if self.follows(observer) {
            return Ok(());
        }
        self.follow(world, observer, folder)
    }

    /// Whether a node is followed still. What one that is not holds of others is unknown.
    pub(super) fn follows(&self, observer: usize) -> bool {
        let reader = self.readers.get(&observer);
        reader.is_some_and(|reader| !reader.thread.is_finished())
    }

    /// Members that were taken for dead since a moment, apart from what is `expected`.
    pub(super) fn deaths(&self, since: Duration, expected: &Expected) -> Vec<Change> {
        let counts = |change: &&Change| {
            matches!(change.standing, Standing::Dead | Standing::Forgotten)
                && change.at >= since
                && !expected.members.contains(&change.member)
                && !expected.observers.contains(&change.observer)
        };
        self.book.lock().iter().filter(counts).cloned().collect()
    }

    /// How often anybody was suspected since a moment.
    pub(super) fn suspicions(&self, since: Duration) -> u64 {
        let counts = |change: &&Change| change.standing == Standing::Suspect && change.at >= since;
        let count = self.book.lock().iter().filter(counts).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// When a node came to hold this of a member, at the first time since a moment.
    pub(super) fn first(
        &self,
        observer: usize,
        member: &str,
        standing: Standing,
        since: Duration,
    ) -> Option<Duration> {
        let book = self.book.lock();
        let found = book.iter().find(|change| {
            change.observer == observer
                && change.member == member
                && change.standing == standing
                && change.at >= since
        });
        found.map(|change| change.at)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        for reader in self.readers.values() {
            reader.ended.store(true, Ordering::Relaxed);
            reader.thread.thread().unpark();
        }
        for (_observer, reader) in std::mem::take(&mut self.readers) {
            drop(reader.thread.join());
        }
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the book that is about one node.
#[derive(Debug)]
struct Page {
    observer: usize,
    book: Arc<Book>,
    ended: Arc<AtomicBool>,
    /// What was seen last, and since when that was so.
    seen: BTreeMap<String, (Standing, Duration)>,
}

impl Page {
    /// Reads how it was, up to the line after which each change is told.
    ///
    /// # Errors
    ///
    /// When that line does not come in time, or something that is no JSON comes before it.
    fn begin(&mut self, child: &mut Child) -> Result<(), Failure> {
        let deadline = Deadline::within(WATCH_LIMIT);
        while let Some(left) = deadline.left() {
            let Some(line) = child.line(left)? else {
                let (status, name) = (child.wait(WATCH_LIMIT)?, child.name());
                let why = child.output().last_words();
                return Err(Failure::failed(format!(
                    "{name} ended before it watched ({status}): {why}"
                )));
            };
            self.on_line(&line);
            if line.get("event").and_then(Value::as_str) == Some("watching") {
                return Ok(());
            }
        }
        Err(deadline.missed(&format!("{} watches", child.name())))
    }

    /// Reads what `members --watch` tells. When that ends or makes no sense, the thread ends with it, which
    /// [`follows`](Journal::follows) tells.
    fn read(mut self, mut child: Child) {
        while !self.ended.load(Ordering::Relaxed) {
            match child.line_within(LOOK) {
                Ok(Some(line)) => self.on_line(&line),
                Ok(None) if matches!(child.ended(), Ok(None)) => {}
                _ => return,
            }
        }
    }

    fn on_line(&mut self, line: &Value) {
        let text = |key| line.get(key).and_then(Value::as_str);
        let number = |key| line.get(key).and_then(Value::as_u64);
        let standing = match text("event") {
            // How it was before anything was told.
            Some("member") => {
                let found = text("state").and_then(Standing::of);
                if let (Some(standing), Some(member)) = (found, text("node")) {
                    let at = wall().saturating_sub(age(number("since_ms")));
                    self.seen.insert(member.to_owned(), (standing, at));
                }
                return;
            }
            Some("up") => Standing::Alive,
            Some("suspect") => Standing::Suspect,
            Some("down") => Standing::Dead,
            Some("left") => Standing::Left,
            _ => return,
        };
        if let (Some(member), Some(at)) = (text("node"), number("at_ms")) {
            self.write(member, standing, Duration::from_millis(at));
        }
    }

    /// Asks a node again and again. One that does not answer has told nothing.
    fn ask(mut self, program: &Program, folder: &str) {
        while !self.ended.load(Ordering::Relaxed) {
            let answer = program.ask(&["members", "--node", folder]);
            let now = wall();
            if let Ok(answer) = answer.and_then(|answer| answer.expect(0)) {
                let members: Result<Vec<Member>, Failure> =
                    answer.lines.iter().map(line::read).collect();
                if let Ok(members) = members {
                    self.on_answer(&members, now);
                }
            }
            std::thread::park_timeout(ASK_PERIOD);
        }
    }

    fn on_answer(&mut self, members: &[Member], now: Duration) {
        let is_first = self.seen.is_empty();
        for member in members {
            let Some(standing) = Standing::of(&member.state) else {
                continue;
            };
            let at = now.saturating_sub(age(Some(member.since_ms)));
            let before = self.seen.get(&member.node);
            let same = before.is_some_and(|(known, since)| {
                *known == standing && since.abs_diff(at) < SAME_MOMENT
            });
            if is_first || same {
                self.seen
                    .entry(member.node.clone())
                    .or_insert((standing, at));
            } else {
                self.write(&member.node, standing, at);
            }
        }
        let absent = |id: &&String| !members.iter().any(|member| member.node == **id);
        let gone: Vec<String> = self.seen.keys().filter(absent).cloned().collect();
        for member in gone {
            let (before, _since) = self.seen.remove(&member).unwrap_or((Standing::Left, now));
            // Who is dead or has left may be forgotten.
            if matches!(before, Standing::Alive | Standing::Suspect) {
                self.write(&member, Standing::Forgotten, now);
                self.seen.remove(&member);
            }
        }
    }

    fn write(&mut self, member: &str, standing: Standing, at: Duration) {
        self.seen.insert(member.to_owned(), (standing, at));
        self.book.lock().push(Change {
            observer: self.observer,
            member: member.to_owned(),
            standing,
            at,
        });
    }
}

impl Standing {
    fn of(state: &str) -> Option<Self> {
        match state {
            "alive" => Some(Self::Alive),
            "suspect" => Some(Self::Suspect),
            "dead" => Some(Self::Dead),
            "left" => Some(Self::Left),
            _ => None,
        }
    }
}

fn age(ms: Option<u64>) -> Duration {
    Duration::from_millis(ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::mesh::until::{Seen, until};

    fn page() -> Page {
        Page {
            observer: 3,
            book: Arc::default(),
            ended: Arc::default(),
            seen: BTreeMap::new(),
        }
    }

    fn journal(page: &Page) -> Journal {
        Journal {
            watches: false,
            book: Arc::clone(&page.book),
            readers: BTreeMap::new(),
        }
    }

    fn member(node: &str, state: &str, since_ms: u64) -> Member {
        Member {
            node: node.to_owned(),
            state: state.to_owned(),
            epoch: 1,
            linked: true,
            since_ms,
        }
    }

    /// A command that prints `lines` and then does as `end` says.
    fn watching(lines: &[Value], end: &str) -> Child {
        let script: String = lines
            .iter()
            .map(|line| format!("echo '{line}'; "))
            .collect();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}{end}")]);
        Child::start("members", &mut command, Input::None).unwrap()
    }

    fn reader(page: Page, child: Child) -> Reader {
        let ended = Arc::clone(&page.ended);
        let thread = std::thread::spawn(move || page.read(child));
        Reader { ended, thread }
    }

    fn nobody() -> Expected {
        Expected::default()
    }

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_death_is_dated_back_by_its_age() {
        let mut page = page();
        page.on_answer(&[member("a", "alive", 5_000)], at(100));
        page.on_answer(&[member("a", "alive", 6_010)], at(101));
        page.on_answer(&[member("a", "dead", 400)], at(102));
        page.on_answer(&[member("a", "dead", 1_400)], at(103));
        let journal = journal(&page);
        let death = journal.first(3, "a", Standing::Dead, at(101)).unwrap();
        assert_eq!(death, Duration::from_millis(101_600));
        assert_eq!(journal.first(3, "a", Standing::Dead, at(102)), None);
        assert_eq!(journal.deaths(at(0), &nobody()).len(), 1);
        assert_eq!(
            journal
                .deaths(at(0), &Expected::deaths_of(&["a".to_owned()]))
                .len(),
            0
        );
    }

    #[test]
    fn what_was_so_before_is_no_change() {
        let mut page = page();
        page.on_answer(&[member("a", "dead", 5_000)], at(100));
        assert!(journal(&page).deaths(at(0), &nobody()).is_empty());
        page.on_answer(&[], at(101));
        assert!(journal(&page).deaths(at(0), &nobody()).is_empty());
    }

    #[test]
    fn a_member_that_vanishes_alive_counts_as_dead() {
        let mut page = page();
        page.on_answer(&[member("a", "alive", 5_000)], at(100));
        page.on_answer(&[], at(101));
        assert_eq!(journal(&page).deaths(at(100), &nobody()).len(), 1);
    }

    #[test]
    fn changes_are_read_as_the_command_tells_them() {
        let mut page = page();
        page.on_line(&json!({"event": "member", "node": "a", "state": "alive", "since_ms": 5}));
        page.on_line(&json!({"event": "watching", "members": 1}));
        page.on_line(&json!({"event": "suspect", "node": "a", "at_ms": 4_000, "change": 1}));
        page.on_line(&json!({"event": "down", "node": "a", "at_ms": 7_000, "change": 2}));
        page.on_line(&json!({"event": "tags", "node": "b", "at_ms": 7_000, "change": 3}));
        let journal = journal(&page);
        assert_eq!(journal.suspicions(at(4)), 1);
        assert_eq!(journal.first(3, "a", Standing::Dead, at(1)), Some(at(7)));
        assert_eq!(journal.deaths(at(1), &nobody()).len(), 1);
    }

    #[test]
    fn what_is_told_once_it_watches_is_a_change() {
        let mut page = page();
        let lines = [
            json!({"event": "member", "node": "a", "state": "dead", "since_ms": 5}),
            json!({"event": "watching", "members": 1}),
            json!({"event": "down", "node": "b", "at_ms": 7_000, "change": 2}),
        ];
        let mut child = watching(&lines, "exit 6");
        page.begin(&mut child).unwrap();
        let journal = journal(&page);
        assert!(journal.deaths(at(0), &nobody()).is_empty());
        page.read(child);
        assert_eq!(journal.first(3, "b", Standing::Dead, at(1)), Some(at(7)));
    }

    #[test]
    fn a_watch_that_does_not_begin_is_a_failure() {
        let line = json!({"event": "member", "node": "a", "state": "alive", "since_ms": 5});
        let mut child = watching(&[line], "echo no socket >&2; exit 6");
        let failure = page().begin(&mut child).unwrap_err().to_string();
        assert!(failure.contains("no socket"), "{failure}");
        assert!(page().begin(&mut watching(&[], "echo hello")).is_err());
    }

    #[test]
    fn a_node_whose_watch_has_ended_is_followed_no_more() {
        let mut journal = journal(&page());
        assert!(!journal.follows(3));
        let goes_on = watching(&[], "while :; do :; done");
        journal.readers.insert(3, reader(page(), goes_on));
        assert!(journal.follows(3));
        journal.leave(3);
        assert!(!journal.follows(3));
        for end in ["exit 6", "echo hello; while :; do :; done"] {
            journal
                .readers
                .insert(3, reader(page(), watching(&[], end)));
            until(WATCH_LIMIT, "the end of the watch", || {
                let over = !journal.follows(3);
                Ok(Seen::when(over, || "it is followed".to_owned()))
            })
            .unwrap();
        }
    }
}
