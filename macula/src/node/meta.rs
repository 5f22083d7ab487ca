//! What happens on this node to sessions, registrations and subscriptions, published under `$meta` to its own clients and
//! applications.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use macula_pubsub::Subscriber;
use macula_swim::Member;
use macula_wire::message::Priority;
use macula_wire::{ContentType, ErrorCode, Pattern, Topic};
use serde::Serialize;

use super::{Node, view};
use crate::Error;
use crate::machine::MemberEvent;
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::links::Attached;
use crate::plane::topic::{BatchKey, OwnTopic};
use crate::system::SessionInfo;

/// What may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Happened {
    SessionJoined,
    SessionLeft,
    RegistrationCreated,
    RegistrationDeleted,
    SubscriptionCreated,
    SubscriptionDeleted,
}

/// The topics, in the order of [`Happened`].
const TOPICS: [&str; 6] = [
    "$meta.session.on_join",
    "$meta.session.on_leave",
    "$meta.registration.on_create",
    "$meta.registration.on_delete",
    "$meta.subscription.on_create",
    "$meta.subscription.on_delete",
];

/// Publishes what happens.
///
/// It never waits: what the batch under way has no room for is counted, and how much that was is told by an event `missed`
/// once there is room again.
#[derive(Debug)]
pub(crate) struct MetaNews {
    kinds: [Kind; 6],
    key: BatchKey,
    /// What is served and wanted here, as far as that was told; at most what the machines let be served and wanted.
    served: Mutex<BTreeSet<Pattern>>,
    wanted: Mutex<BTreeSet<Pattern>>,
}

/// One topic.
#[derive(Debug)]
struct Kind {
    topic: Arc<OwnTopic>,
    /// How much has happened so far.
    changes: AtomicU64,
    /// How much of it was not told, and not made good yet.
    untold: AtomicU64,
}

/// What happened, as it is told.
#[derive(Serialize)]
struct Told<'a, T> {
    event: &'static str,
    at_ms: u64,
    change: u64,
    #[serde(flatten)]
    what: &'a T,
}

#[derive(Serialize)]
struct Missed {
    event: &'static str,
    count: u64,
}

impl MetaNews {
    pub(crate) fn new(plane: &Plane) -> Result<Self, Error> {
        let kind = |name: &str| {
            let topic = Topic::new(name)
                .map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
            Ok::<_, Error>(Kind {
                topic: plane.own_topic(&topic, Priority::High)?,
                changes: AtomicU64::new(0),
                untold: AtomicU64::new(0),
            })
        };
        let [a, b, c, d, e, f] = TOPICS;
        Ok(Self {
            kinds: [kind(a)?, kind(b)?, kind(c)?, kind(d)?, kind(e)?, kind(f)?],
            key: BatchKey {
                content: ContentType::Json,
                ttl_ms: None,
                enveloped: false,
            },
            served: Mutex::default(),
            wanted: Mutex::default(),
        })
    }

    fn kind(&self, happened: Happened) -> (&Kind, &'static str) {
        let [
            joined,
            left,
            registered,
            unregistered,
            subscribed,
            unsubscribed,
        ] = &self.kinds;
        match happened {
            Happened::SessionJoined => (joined, "join"),
            Happened::SessionLeft => (left, "leave"),
            Happened::RegistrationCreated => (registered, "create"),
            Happened::RegistrationDeleted => (unregistered, "delete"),
            Happened::SubscriptionCreated => (subscribed, "create"),
            Happened::SubscriptionDeleted => (unsubscribed, "delete"),
        }
    }

    /// Tells what happened to whoever listens.
    fn tell(&self, plane: &Arc<Plane>, happened: Happened, what: &impl Serialize) {
        let (kind, event) = self.kind(happened);
        let change = kind
            .changes
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if !kind.topic.is_wanted(plane) {
            return;
        }
        let told = Told {
            event,
            at_ms: plane.clock.unix_ms(),
            change,
            what,
        };
        if !self.push(plane, kind, &told) {
            kind.untold.fetch_add(1, Ordering::Relaxed);
            add(&plane.counters.news_missed, 1);
        }
    }

    /// Tells how much was not told, where there is room again.
    pub(crate) fn tell_missed(&self, plane: &Arc<Plane>) {
        for kind in &self.kinds {
            let count = kind.untold.swap(0, Ordering::Relaxed);
            if count == 0 || !kind.topic.is_wanted(plane) {
                continue;
            }
            let missed = Missed {
                event: "missed",
                count,
            };
            if !self.push(plane, kind, &missed) {
                kind.untold.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    fn push(&self, plane: &Arc<Plane>, kind: &Kind, value: &impl Serialize) -> bool {
        match serde_json::to_vec(value) {
            Ok(text) => {
                let payload = Bytes::from(text);
                kind.topic.try_take(plane, &self.key, &payload).is_ok()
            }
            Err(error) => {
                debug_assert!(false, "what happened has no text: {error}");
                true
            }
        }
    }
}

/// A member that has come or gone.
#[derive(Serialize)]
struct MemberSession<'a> {
    id: &'a str,
    kind: &'static str,
    node: &'a str,
}

/// Those who listen here are told what happened. A client's plane has nobody to tell.
impl Plane {
    fn tell_meta(self: &Arc<Self>, happened: Happened, what: &impl Serialize) {
        if let Some(meta) = self.meta.get() {
            meta.tell(self, happened, what);
        }
    }

    /// A client has attached, or has gone.
    pub(super) fn tell_session(self: &Arc<Self>, info: &SessionInfo, is_there: bool) {
        let happened = if is_there {
            Happened::SessionJoined
        } else {
            Happened::SessionLeft
        };
        self.tell_meta(happened, info);
    }

    /// Something happened to a member.
    pub(super) fn tell_member(self: &Arc<Self>, event: &MemberEvent) {
        let happened = match event {
            MemberEvent::Up(_) => Happened::SessionJoined,
            MemberEvent::Down(_) | MemberEvent::Left(_) => Happened::SessionLeft,
            _ => return,
        };
        let node = event.node().to_string();
        let what = MemberSession {
            id: &node,
            kind: "member",
            node: &node,
        };
        self.tell_meta(happened, &what);
    }

    /// A pattern is wanted by somebody here, perhaps in another way, or by nobody any more.
    pub(super) fn tell_wanted(self: &Arc<Self>, pattern: &Pattern, is_wanted: bool) {
        let happened = [Happened::SubscriptionCreated, Happened::SubscriptionDeleted];
        self.tell_pattern(|meta| &meta.wanted, happened, pattern, is_wanted);
    }

    /// A pattern is served by somebody here, perhaps in other words, or by nobody any more.
    pub(super) fn tell_served(self: &Arc<Self>, pattern: &Pattern, is_served: bool) {
        let happened = [Happened::RegistrationCreated, Happened::RegistrationDeleted];
        self.tell_pattern(|meta| &meta.served, happened, pattern, is_served);
    }

    fn tell_pattern(
        self: &Arc<Self>,
        known: impl FnOnce(&MetaNews) -> &Mutex<BTreeSet<Pattern>>,
        [created, deleted]: [Happened; 2],
        pattern: &Pattern,
        is_there: bool,
    ) {
        let Some(meta) = self.meta.get() else {
            return;
        };
        // That services can be asked, and that somebody listens to what is told here, is no news.
        if pattern.is_reserved() {
            return;
        }
        let known = known(meta).lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let (is_new, happened) = if is_there {
            (known.insert(pattern.clone()), created)
        } else {
            (known.remove(pattern), deleted)
        };
        drop(known);
        if is_new {
            meta.tell(self, happened, &Named::new(pattern));
        }
    }
}

/// What is served or wanted here from now on, or no more.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(rename = "match")]
    matching: &'static str,
}

impl<'a> Named<'a> {
    fn new(pattern: &'a Pattern) -> Self {
        Self {
            name: pattern.as_str(),
            matching: crate::services::kind(pattern),
        }
    }
}

impl Node {
    /// Every subscription on this node.
    pub(crate) async fn subscribed(&self) -> Result<Vec<(Subscriber, Pattern)>, Error> {
        let all = self.0.control.run(|machine, _| {
            let all = machine.pubsub().subscribed();
            all.map(|(subscriber, pattern)| (*subscriber, pattern.clone()))
                .collect()
        });
        all.await
    }

    /// The members that are there, this node included, and the clients of this node.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let plane = Arc::clone(&self.0.plane);
        let members = self.0.control.run(move |machine, now| {
            let there = machine.swim().members();
            let there = there.filter(|member| member.state().is_present());
            let info = |member: &Member| {
                let since = now.saturating_since(member.since());
                let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                SessionInfo {
                    id: member.node().to_string(),
                    kind: "member",
                    node: member.node().to_string(),
                    tenant: None,
                    zone: member.record().zone,
                    since_at_ms: plane.clock.unix_ms().saturating_sub(since_ms),
                }
            };
            there.map(info).collect::<Vec<_>>()
        });
        let mut all = members.await?;
        let clients = self.0.plane.links.sessions();
        all.extend(clients.iter().map(|one| session_info(&self.0.plane, one)));
        Ok(all)
    }
}

/// A client of this node.
pub(super) fn session_info(plane: &Plane, attached: &Attached) -> SessionInfo {
    let (link, peer) = (view::peer_info(plane, attached), attached.link.peer());
    SessionInfo {
        id: link.link.to_string(),
        kind: link.role,
        node: link.node,
        tenant: peer.tenant.clone(),
        zone: peer.zone.clone(),
        since_at_ms: link.since_at_ms,
    }
}

#[cfg(test)]
mod tests {
    use macula_pubsub::{Destination, LocalId, Table};
    use serde_json::{Value, json};

    use super::*;
    use crate::Delivery;
    use crate::queue::{Queue, SubscribeOptions};

    fn plane() -> Arc<Plane> {
        let plane = Arc::new(Plane::for_tests());
        plane.meta.set(MetaNews::new(&plane).unwrap()).unwrap();
        plane
    }

    /// Where everything arrives that is told from here on.
    fn listen(plane: &Plane) -> Arc<Queue> {
        let id = LocalId::new(1);
        let queue = Arc::new(Queue::new(SubscribeOptions::default(), Arc::default()));
        let mut queues = plane.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(id, Arc::clone(&queue));
        drop(queues);
        let pattern = Pattern::new("$meta.**").unwrap();
        plane.replace_table(Arc::new(Table::new(1, [(pattern, Destination::Local(id))])));
        queue
    }

    /// Everything that arrived, in its order.
    async fn told(plane: &Plane, queue: &Queue) -> Vec<Value> {
        for kind in &plane.meta.get().unwrap().kinds {
            kind.topic.flushed().await;
        }
        queue.close(crate::event::ClosedReason::Stopped);
        let mut current = None;
        let mut told = Vec::new();
        while let Some(delivery) = queue.next(&mut current).await {
            match delivery {
                Delivery::Event(event) => {
                    told.push(serde_json::from_slice(event.payload()).unwrap());
                }
                Delivery::Closed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        told
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_counted_and_told_once_there_is_room() {
        let plane = plane();
        let queue = listen(&plane);
        let meta = plane.meta.get().unwrap();
        let (created, _) = meta.kind(Happened::SubscriptionCreated);
        // The first one leaves at once. The batch is full with the second one, and cannot leave before this test waits.
        let filler = json!("x".repeat(64 << 10));
        let payload = Bytes::from(filler.to_string());
        for _ in 0..2 {
            let taken = created.topic.try_take(&plane, &meta.key, &payload);
            assert!(taken.is_ok());
        }
        for name in ["a.a", "a.b", "a.c"] {
            plane.tell_wanted(&pattern(name), true);
        }
        meta.tell_missed(&plane);
        created.topic.flushed().await;
        for _ in 0..2 {
            meta.tell_missed(&plane);
        }
        created.topic.flushed().await;
        plane.tell_wanted(&pattern("c.*"), true);
        assert_eq!(plane.counters.read().news_missed, 3);
        let all = told(&plane, &queue).await;
        let missed = json!({"event": "missed", "count": 3});
        assert_eq!(all[..3], [filler.clone(), filler, missed]);
        let last = &all[3];
        assert_eq!((&last["name"], &last["change"]), (&"c.*".into(), &4.into()));
        assert_eq!(all.len(), 4);
    }

    #[tokio::test]
    async fn who_listens_later_has_missed_nothing() {
        let plane = plane();
        let meta = plane.meta.get().unwrap();
        plane.tell_wanted(&pattern("a"), true);
        let (created, _) = meta.kind(Happened::SubscriptionCreated);
        created.untold.store(5, Ordering::Relaxed);
        meta.tell_missed(&plane);
        let queue = listen(&plane);
        meta.tell_missed(&plane);
        assert!(told(&plane, &queue).await.is_empty());
        assert_eq!(plane.counters.read().news_missed, 0);
    }

    #[tokio::test]
    async fn to_be_served_in_other_words_is_no_news_and_neither_is_a_reserved_name() {
        let plane = plane();
        let queue = listen(&plane);
        for (text, is_served) in [
            ("a", true),
            ("a", true),
            ("$svc.ping", true),
            ("b", false),
            ("a", false),
            ("a", false),
            ("a", true),
        ] {
            plane.tell_served(&pattern(text), is_served);
        }
        let all = told(&plane, &queue).await;
        let mut events: Vec<(&str, u64)> = all
            .iter()
            .map(|one| {
                (
                    one["event"].as_str().unwrap(),
                    one["change"].as_u64().unwrap(),
                )
            })
            .collect();
        // Each topic has an order of its own.
        events.sort_unstable();
        assert_eq!(events, [("create", 1), ("create", 2), ("delete", 1)]);
    }
}
