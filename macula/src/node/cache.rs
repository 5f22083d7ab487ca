//! The members that a node remembers between runs, in a file of its directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use macula_swim::{Member, State};
use macula_wire::message::SignedRecord;
use macula_wire::{NodeId, RealmName};

use super::control::Control;
use crate::directory::MemberList;
use crate::machine::NodeMachine;
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::stats::CacheCounts;

/// The least time between two writes.
const WRITE_PERIOD: Duration = Duration::from_secs(10);
/// How often is looked whether anything has changed.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The file, what it held at the start, and what became of it.
#[derive(Debug)]
pub(crate) struct MemberCache {
    path: PathBuf,
    realm: RealmName,
    own: NodeId,
    found: Vec<Arc<SignedRecord>>,
    set_aside: u64,
    unreadable: u64,
    records: AtomicU64,
    writes: AtomicU64,
    failed_writes: AtomicU64,
    /// Whether the last write failed, so that each outage is told once.
    failing: AtomicBool,
    /// Held while the file is replaced: a write goes on when nobody waits for it any more, and the next one needs the
    /// same place for what is not finished.
    replacing: Arc<Mutex<()>>,
}

/// What a look at the file found.
enum Found {
    Nothing,
    Records(Vec<Arc<SignedRecord>>),
    Damaged,
    Unreadable,
}

impl MemberCache {
    /// Reads the file at `path`. A damaged one is moved aside; the node goes on without in any case.
    pub(crate) fn open(path: PathBuf, realm: RealmName, own: NodeId, wall_ms: u64) -> Self {
        let mut cache = Self {
            path,
            realm,
            own,
            found: Vec::new(),
            set_aside: 0,
            unreadable: 0,
            records: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            failed_writes: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            replacing: Arc::default(),
        };
        match look(&cache.path, &cache.realm, wall_ms) {
            Found::Nothing => {}
            Found::Damaged => cache.set_aside = 1,
            Found::Unreadable => cache.unreadable = 1,
            Found::Records(mut records) => {
                records.retain(|signed| signed.record.node != own);
                let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
                cache.records.store(count, Ordering::Relaxed);
                cache.found = records;
            }
        }
        cache
    }

    /// What the file held when the node started.
    pub(crate) fn found(&self) -> &[Arc<SignedRecord>] {
        &self.found
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        CacheCounts {
            records: self.records.load(Ordering::Relaxed),
            read: u64::try_from(self.found.len()).unwrap_or(u64::MAX),
            set_aside: self.set_aside,
            unreadable: self.unreadable,
            writes: self.writes.load(Ordering::Relaxed),
            failed_writes: self.failed_writes.load(Ordering::Relaxed),
        }
    }

    /// Writes the file when something has happened to members or the last write failed, at most every ten seconds, until
    /// the node stops.
    pub(crate) async fn keep(self: Arc<Self>, plane: Arc<Plane>, control: Control) {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut written = 0;
        loop {
            ticks.tick().await;
            let changes = plane.member_changes.load(Ordering::Relaxed);
            if changes == written {
                continue;
            }
            let Some(list) = self.list(&control).await else {
                return;
            };
            if self.write(list).await {
                written = changes;
            }
            tokio::time::sleep(WRITE_PERIOD).await;
        }
    }

    /// What is to be remembered now; nothing if the node has stopped.
    pub(crate) async fn list(self: &Arc<Self>, control: &Control) -> Option<MemberList> {
        let cache = Arc::clone(self);
        let records = control
            .run(move |machine, _| cache.worth_keeping(machine))
            .await
            .ok()?;
        Some(MemberList::new(self.realm.clone(), records))
    }

    /// Who takes part, then those that were lost, the latest first, then those that the file named and nobody has
    /// mentioned since: after a partition they may be the only way back. Who has left is not worth a dial.
    fn worth_keeping(&self, machine: &NodeMachine) -> Vec<Arc<SignedRecord>> {
        let members = || {
            machine
                .swim()
                .members()
                .filter(|member| member.node() != self.own)
        };
        let rank = |member: &&Member| match member.state() {
            State::Alive | State::Suspect => 0,
            State::Dead | State::Left => 1,
        };
        let mut kept: Vec<&Member> = members()
            .filter(|member| member.state() != State::Left)
            .collect();
        kept.sort_by_key(|member| (rank(member), std::cmp::Reverse(member.since())));
        let known: BTreeSet<NodeId> = members().map(Member::node).collect();
        let rest = self
            .found
            .iter()
            .filter(|signed| !known.contains(&signed.record.node))
            .cloned();
        kept.into_iter()
            .map(Member::signed)
            .chain(rest)
            .take(MemberList::MAX_RECORDS)
            .collect()
    }

    /// Replaces the file, and says whether that worked. A failure is told once, until it works again.
    pub(crate) async fn write(self: &Arc<Self>, list: MemberList) -> bool {
        let (path, replacing) = (self.path.clone(), Arc::clone(&self.replacing));
        let count = u64::try_from(list.records().len()).unwrap_or(u64::MAX);
        let done = tokio::task::spawn_blocking(move || {
            let _alone = replacing.lock().unwrap_or_else(PoisonError::into_inner);
            replace(&path, &list.to_bytes())
        })
        .await;
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                self.records.store(count, Ordering::Relaxed);
                self.failing.store(false, Ordering::Relaxed);
                add(&self.writes, 1);
                true
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(path = %self.path.display(), %error, "the members cannot be remembered: mend the file's place, or the node needs a seed after a restart");
                }
                add(&self.failed_writes, 1);
                false
            }
        }
    }
}

fn look(path: &Path, realm: &RealmName, wall_ms: u64) -> Found {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the remembered members cannot be read: the node joins anew");
            return Found::Unreadable;
        }
    };
    match MemberList::from_bytes(realm, &bytes) {
        Ok(list) => Found::Records(list.records().to_vec()),
        Err(why) => {
            let mut aside = path.as_os_str().to_owned();
            aside.push(format!(".damaged-{wall_ms}"));
            let aside = PathBuf::from(aside);
            match fs::rename(path, &aside) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), %why, aside = %aside.display(), "the remembered members are damaged and were set aside: the node joins anew");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %why, %error, "the remembered members are damaged and cannot be set aside: the node joins anew");
                }
            }
            Found::Damaged
        }
    }
}

/// Reads no more than a list can be, and one byte, so that a larger file is seen to be one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MemberList::MAX_LEN).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file so that a crash leaves the old or the new one, readable by its owner alone.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use macula_kad::Kad;
    use macula_pubsub::PubSub;
    use macula_realm::{IssueRequest, Principal, RealmRoot};
    use macula_rpc::Rpc;
    use macula_swim::{Overlay, OwnRecord, Swim, overlay};
    use macula_transport::Clock;
    use macula_wire::message::Roles;
    use macula_wire::{Epoch, Instant, Random};
    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::plane::Owner;
    use crate::plane::prove::Prover;

    const OWN: NodeId = NodeId::from_bytes([7; 32]);

    fn realm() -> RealmName {
        "be.acme.iot".parse().unwrap()
    }

    fn plane() -> Arc<Plane> {
        let own = Owner {
            principal: Principal::new(OWN, Roles::MEMBER),
            realm: realm(),
            epoch: Epoch::new(1),
            max_payload_len: 1 << 20,
            replay: macula_pubsub::ReplayConfig::default(),
            run: macula_wire::ChannelRun::new(1),
            log: None,
            uplink: None,
        };
        let prover = Prover::new(realm(), None, None);
        Arc::new(Plane::new(own, Clock::new(), prover, Random::new(1)))
    }

    fn machine() -> NodeMachine {
        let root = RealmRoot::create(realm(), 1_000_000, RealmRoot::DEFAULT_VALIDITY).unwrap();
        let identity = root.issue(&IssueRequest::default(), 1_000_000).unwrap();
        let (random, now) = (|| Random::new(1), Instant::ZERO);
        let signer = Arc::new(identity.signer());
        let swim = Swim::new(
            macula_swim::Config::default(),
            realm(),
            Arc::clone(&signer) as _,
            OwnRecord::new(Epoch::new(1)),
            random(),
            now,
            1,
        );
        NodeMachine::new(
            swim.unwrap(),
            Overlay::new(overlay::Config::default(), OWN, Vec::new(), random(), now),
            PubSub::new(macula_pubsub::Config::default(), OWN, now),
            Rpc::new(macula_rpc::Config::default(), OWN, now),
            Kad::new(
                macula_kad::Config::default(),
                realm(),
                signer,
                random(),
                now,
                1,
            ),
        )
    }

    /// The way to a machine to which nothing happens.
    fn control(plane: &Arc<Plane>) -> Control {
        let (calls, mut asked) = mpsc::channel::<macula_transport::Call<NodeMachine>>(1);
        plane.tasks.spawn("control", async move {
            let mut machine = machine();
            while let Some(call) = asked.recv().await {
                call(&mut machine, Instant::ZERO);
            }
        });
        Control {
            calls,
            inputs: mpsc::channel(1).0,
            plane: Arc::clone(plane),
            late: Arc::default(),
        }
    }

    /// A cache whose file is a directory, which no file can replace, whatever the rights.
    fn obstructed(place: &TempDir) -> (PathBuf, Arc<MemberCache>) {
        let path = place.path().join("members.cache");
        fs::create_dir(&path).unwrap();
        let cache = MemberCache::open(path.clone(), realm(), OWN, 1);
        (path, Arc::new(cache))
    }

    async fn write(cache: &Arc<MemberCache>) -> bool {
        cache.write(MemberList::new(realm(), Vec::new())).await
    }

    fn writes(cache: &MemberCache) -> (u64, u64) {
        let counts = cache.counts();
        (counts.failed_writes, counts.writes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_failed_is_repeated_at_the_next_turn() {
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = obstructed(&place);
        let plane = plane();
        add(&plane.member_changes, 1);
        let keeping = Arc::clone(&cache).keep(Arc::clone(&plane), control(&plane));
        let mut keeping = Box::pin(keeping);
        let mut turns = async |period| tokio::time::timeout(period, &mut keeping).await.is_err();
        assert!(turns(WRITE_PERIOD - LOOK_PERIOD).await);
        assert_eq!(writes(&cache), (1, 0), "no sooner than at its time");
        fs::remove_dir(&path).unwrap();
        assert!(turns(WRITE_PERIOD).await);
        assert_eq!(writes(&cache), (1, 1), "without another change");
        assert!(turns(WRITE_PERIOD * 3).await);
        assert_eq!(writes(&cache), (1, 1), "nothing is new");
        plane.tasks.shutdown().await;
    }

    #[tokio::test]
    async fn each_outage_is_told_anew() {
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = obstructed(&place);
        let is_failing = || cache.failing.load(Ordering::Relaxed);
        assert!(!write(&cache).await && is_failing());
        fs::remove_dir(&path).unwrap();
        assert!(write(&cache).await && !is_failing());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!write(&cache).await && is_failing());
        assert_eq!(writes(&cache), (2, 1));
    }

    #[tokio::test]
    async fn writers_wait_for_each_other() {
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = obstructed(&place);
        fs::remove_dir(&path).unwrap();
        let done = join_all((0..32).map(|_| write(&cache))).await;
        assert!(done.into_iter().all(|worked| worked));
        assert_eq!(writes(&cache), (0, 32));
    }
}
