//! What is watched on behalf of publishers and callers: once others are known, nobody waits any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use macula_pubsub::{Source, WatchKey};
use macula_rpc::OfferKey;
use macula_wire::{ErrorCode, Instant, Procedure, Topic};
use tokio::sync::{Notify, mpsc, oneshot};

use super::Plane;
use super::route::RouteCache;
use crate::Error;
use crate::machine::Watched;

/// How long a publisher waits for those who want its topic to be known, and for links to them.
pub(crate) const PUBLISH_PATIENCE: Duration = Duration::from_secs(2);
/// How long a call waits for a link to any provider, at most.
const LINK_PATIENCE: Duration = Duration::from_secs(2);
/// How long something is watched that nobody uses.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// What is published on or called.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Name {
    Topic(Topic),
    Procedure(Procedure),
}

impl Name {
    /// What has to be watched for it.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        match self {
            Self::Topic(topic) => vec![
                Watched::Topics(WatchKey::of_topic(topic)),
                Watched::Topics(WatchKey::Wildcard),
            ],
            Self::Procedure(procedure) => {
                let keys = OfferKey::of_procedure(procedure);
                keys.map(Watched::Procedures).collect()
            }
        }
    }
}

/// Something that is watched as long as it is used.
#[derive(Debug)]
pub(crate) struct Use {
    /// When it was last used, in nanoseconds of the plane's clock.
    at: AtomicU64,
    /// Whether it is watched for as long as the process runs.
    is_kept: AtomicBool,
    /// Whether everything that was announced when it began has had its effect.
    is_told: AtomicBool,
    has_ended: AtomicBool,
}

impl Use {
    fn new(now: Instant) -> Self {
        Self {
            at: AtomicU64::new(now.as_nanos()),
            is_kept: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Uses it. `false` if it is not watched any more.
    pub(crate) fn touch(&self, now: Instant) -> bool {
        self.at.store(now.as_nanos(), Ordering::Relaxed);
        !self.has_ended.load(Ordering::Acquire)
    }
}

/// Asks the control plane to watch something.
#[derive(Debug)]
pub(crate) struct WatchRequest {
    pub(crate) name: Name,
    pub(crate) done: oneshot::Sender<Result<(), Error>>,
}

/// What is watched, and of what everything is known.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    used: RwLock<BTreeMap<Name, Arc<Use>>>,
    /// What was told completely, with the version of the table in which it has its effect.
    ready: Mutex<BTreeMap<Watched, u64>>,
    changed: Notify,
    /// Leads to the control plane, where there is one.
    requests: OnceLock<mpsc::Sender<WatchRequest>>,
}

impl Watches {
    pub(crate) fn serve_by(&self, requests: mpsc::Sender<WatchRequest>) {
        let fresh = self.requests.set(requests).is_ok();
        debug_assert!(fresh, "a plane has one control plane");
    }

    /// Everything that is there now was told.
    pub(crate) fn told(&self, watched: Watched, version: u64) {
        self.ready(|ready| ready.insert(watched, version));
        self.changed.notify_waiters();
    }

    /// It is not watched any more.
    pub(crate) fn forget(&self, watched: &Watched) {
        self.ready(|ready| ready.remove(watched));
    }

    /// The version of the table in which everything about a name has its effect; `None` if not all was told yet.
    fn version(&self, name: &Name) -> Option<u64> {
        let all = name.watched();
        self.ready(|ready| {
            let versions = all.iter().map(|watched| ready.get(watched).copied());
            versions.collect::<Option<Vec<u64>>>()?.into_iter().max()
        })
    }

    fn ready<T>(&self, with: impl FnOnce(&mut BTreeMap<Watched, u64>) -> T) -> T {
        with(&mut self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn used(&self, name: &Name) -> Option<Arc<Use>> {
        let used = self.used.read().unwrap_or_else(PoisonError::into_inner);
        used.get(name).cloned()
    }

    /// Notes that a name is watched.
    pub(crate) fn begun(&self, now: Instant, name: Name) {
        let mut used = self.used.write().unwrap_or_else(PoisonError::into_inner);
        used.entry(name).or_insert_with(|| Arc::new(Use::new(now)));
    }

    /// Whether it is watched already.
    pub(crate) fn is_watched(&self, name: &Name) -> bool {
        self.used(name).is_some()
    }

    /// Takes out what nobody has used for so long, and may be ended.
    pub(crate) fn take_idle(&self, now: Instant, idle: Duration) -> Vec<Name> {
        self.take(|all| {
            let is_idle = |used: &Use| {
                let at = Instant::from_nanos(used.at.load(Ordering::Relaxed));
                now.saturating_since(at) >= idle
            };
            let free = all
                .iter()
                .filter(|(_, used)| !used.is_kept.load(Ordering::Relaxed) && is_idle(used));
            free.map(|(name, _)| name.clone()).collect()
        })
    }

    /// Takes out what was used longest ago of those that are like `name`, to make room for it.
    pub(crate) fn take_oldest(&self, name: &Name) -> Option<Name> {
        let is_alike = |other: &Name| std::mem::discriminant(other) == std::mem::discriminant(name);
        let taken = self.take(|all| {
            let free = all
                .iter()
                .filter(|(other, used)| is_alike(other) && !used.is_kept.load(Ordering::Relaxed));
            let oldest = free.min_by_key(|(_, used)| used.at.load(Ordering::Relaxed));
            oldest.map(|(name, _)| name.clone()).into_iter().collect()
        });
        taken.into_iter().next()
    }

    fn take(&self, choose: impl FnOnce(&BTreeMap<Name, Arc<Use>>) -> Vec<Name>) -> Vec<Name> {
        let mut used = self.used.write().unwrap_or_else(PoisonError::into_inner);
        let chosen = choose(&used);
        for name in &chosen {
            if let Some(gone) = used.remove(name) {
                gone.has_ended.store(true, Ordering::Release);
            }
        }
        chosen
    }
}

impl Plane {
    /// Sees to it that a name is watched. `None` where there is no control plane: a client's member watches for it.
    pub(crate) async fn watch(&self, name: &Name) -> Result<Option<Arc<Use>>, Error> {
        let Some(requests) = self.watches.requests.get() else {
            return Ok(None);
        };
        let stopped = || Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped");
        loop {
            if let Some(used) = self.watches.used(name)
                && used.touch(self.clock.now())
            {
                return Ok(Some(used));
            }
            let (done, carried_out) = oneshot::channel();
            let name = name.clone();
            let request = WatchRequest { name, done };
            requests.send(request).await.map_err(|_| stopped())?;
            carried_out.await.map_err(|_| stopped())??;
        }
    }

    /// Waits until everything that others announced of a name so far has its effect.
    async fn told(&self, name: &Name) {
        let version = loop {
            let changed = self.watches.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(version) = self.watches.version(name) {
                break version;
            }
            changed.await;
        };
        let versions = match name {
            Name::Topic(_) => (version, 0),
            Name::Procedure(_) => (0, version),
        };
        self.reached(versions).await;
    }

    /// Watches for those who want events of a topic, and waits until they and links to them are there, up to two seconds.
    pub(crate) async fn watch_topic(&self, topic: &Topic) -> Result<Option<Arc<Use>>, Error> {
        let name = Name::Topic(topic.clone());
        let known = self.watches.is_watched(&name);
        let used = self.watch(&name).await?;
        if used.is_some() && !(known && self.watches.version(&name).is_some()) {
            let all = async {
                self.told(&name).await;
                self.linked(topic).await;
            };
            if tokio::time::timeout(PUBLISH_PATIENCE, all).await.is_err() {
                tracing::debug!(%topic, "not everybody who may want it is known or linked yet");
            }
        }
        Ok(used)
    }

    /// The same for as long as the process runs.
    pub(crate) async fn watch_topic_always(&self, topic: &Topic) -> Result<(), Error> {
        while let Some(used) = self.watch_topic(topic).await? {
            used.is_kept.store(true, Ordering::Relaxed);
            if used.touch(self.clock.now()) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until each member that wants a topic has a link.
    async fn linked(&self, topic: &Topic) {
        let route = RouteCache::default();
        loop {
            let changed = self.tables_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let receivers = route.resolve(self, topic, Source::Own);
            if receivers.unlinked.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Watches for those who serve a procedure that nobody here serves, and waits until they are known and one of them
    /// has a link, up to `deadline`.
    pub(crate) async fn watch_procedure(
        &self,
        procedure: &Procedure,
        deadline: Instant,
    ) -> Result<(), Error> {
        // Whoever serves a procedure watches it as well, but for the names that every service has.
        let is_known = !procedure.as_str().starts_with("$svc.")
            && !self.providers.load().candidates_here(procedure).is_empty();
        if self.uplink.is_some() || is_known {
            return Ok(());
        }
        let name = Name::Procedure(procedure.clone());
        let used = self.watch(&name).await?;
        let mut is_told = self.watches.version(&name).is_some();
        if !is_told {
            let left = deadline.saturating_since(self.clock.now());
            is_told = tokio::time::timeout(left, self.told(&name)).await.is_ok();
        }
        if let Some(used) = used {
            used.is_told.store(is_told, Ordering::Relaxed);
        }
        let left = deadline.saturating_since(self.clock.now());
        let patience = left.min(LINK_PATIENCE);
        drop(tokio::time::timeout(patience, self.provided(procedure)).await);
        Ok(())
    }

    /// Whether those who serve a procedure were [watched for](Self::watch_procedure) before, and one of them can be asked, so
    /// that nothing has to be waited for.
    pub(crate) fn is_provided(&self, procedure: &Procedure) -> bool {
        let used = self.watches.used(&Name::Procedure(procedure.clone()));
        let is_told = used.is_some_and(|used| {
            used.is_told.load(Ordering::Relaxed) && used.touch(self.clock.now())
        });
        is_told && {
            let providers = self.providers.load();
            let mut candidates = providers.candidates(procedure).iter();
            candidates.any(|candidate| self.can_ask(&candidate.provider))
        }
    }

    /// Waits until some provider can be asked, if there is any.
    async fn provided(&self, procedure: &Procedure) {
        loop {
            let changed = self.tables_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let providers = self.providers.load();
                let candidates = providers.candidates(procedure);
                if candidates.is_empty()
                    || candidates
                        .iter()
                        .any(|candidate| self.can_ask(&candidate.provider))
                {
                    return;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn procedure(text: &str) -> Name {
        Name::Procedure(Procedure::new(text).unwrap())
    }

    fn topic(text: &str) -> Name {
        Name::Topic(Topic::new(text).unwrap())
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds.saturating_mul(1_000))
    }

    #[test]
    fn what_nobody_uses_ends_unless_it_is_kept() {
        let watches = Watches::default();
        for name in [procedure("a"), procedure("b"), topic("a"), topic("b")] {
            watches.begun(at(0), name);
        }
        let kept = watches.used(&topic("b")).unwrap();
        kept.is_kept.store(true, Ordering::Relaxed);
        let used = watches.used(&procedure("b")).unwrap();
        assert!(used.touch(at(300)));
        assert!(watches.take_idle(at(599), IDLE).is_empty());
        assert_eq!(
            watches.take_idle(at(600), IDLE),
            [topic("a"), procedure("a")]
        );
        assert!(!watches.is_watched(&topic("a")) && watches.is_watched(&procedure("b")));
        assert_eq!(watches.take_idle(at(900), IDLE), [procedure("b")]);
        assert!(!used.touch(at(901)), "who holds it sees that it has ended");
        assert!(kept.touch(at(901)) && watches.is_watched(&topic("b")));
    }

    #[test]
    fn what_was_used_longest_ago_of_the_same_kind_makes_room() {
        let watches = Watches::default();
        for (name, seconds) in [(procedure("a"), 2), (procedure("b"), 1), (topic("a"), 0)] {
            watches.begun(at(seconds), name);
        }
        let oldest = |name| watches.take_oldest(&name);
        assert_eq!(oldest(procedure("c")), Some(procedure("b")));
        assert_eq!(oldest(procedure("c")), Some(procedure("a")));
        assert_eq!(oldest(procedure("c")), None);
        assert_eq!(oldest(topic("b")), Some(topic("a")));
    }

    #[test]
    fn a_topic_is_ready_when_both_of_its_keys_are() {
        let watches = Watches::default();
        let name = topic("a.b");
        let [segment, wildcard] = name.watched().try_into().unwrap();
        assert_eq!(watches.version(&name), None);
        watches.told(segment.clone(), 3);
        assert_eq!(watches.version(&name), None);
        watches.told(wildcard, 2);
        assert_eq!(watches.version(&name), Some(3));
        watches.forget(&segment);
        assert_eq!(watches.version(&name), None);
        assert_eq!(watches.version(&procedure("a.b")), None);
    }
}
