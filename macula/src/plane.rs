//! The data plane: events and calls on their way, by tables that the control plane publishes.
//!
//! Nothing here asks a machine. Tasks that read links, publishers and callers look at the present tables, remember
//! what they found, and look again when [`Plane::version`] has moved.

mod alone;
pub(crate) mod asked;
mod attempt;
pub(crate) mod caller;
pub(crate) mod counters;
mod deliver;
pub(crate) mod dispatch;
pub(crate) mod early;
mod egress;
pub(crate) mod forward;
pub(crate) mod gaps;
mod gather;
pub(crate) mod ingress;
pub(crate) mod invoke;
pub(crate) mod links;
pub(crate) mod lookup;
pub(crate) mod outgoing;
pub(crate) mod prove;
pub(crate) mod reliable;
pub(crate) mod rights;
pub(crate) mod route;
mod talk;
pub(crate) mod tally;
pub(crate) mod topic;
pub(crate) mod trees;
mod unsent;
pub(crate) mod verified;
pub(crate) mod vigil;
pub(crate) mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use macula_pubsub::{
    Forwarder, ForwarderConfig, GroupTable, LocalId, Repeats, RepeatsConfig, ReplayConfig, Source,
    Table,
};
use macula_realm::Principal;
use macula_rpc::{InvocationConfig, Invocations, ProviderTable, RegistrationKey};
use macula_transport::{Clock, TaskSet};
use macula_wire::message::Priority;
use macula_wire::{ChannelRun, Epoch, ErrorCode, NodeId, Random, RealmName, Topic, TopicAlias};
use tokio::sync::Notify;

use self::counters::Counters;
use self::egress::Feed;
use self::invoke::Registration;
use self::links::{Attached, Links};
use self::prove::Prover;
use self::reliable::Reliable;
use self::route::RouteCache;
use self::topic::OwnTopic;
use self::verified::Verified;
use self::watches::{Name, Watches};
use crate::Error;
use crate::call::Handler;
use crate::event::Origin;
use crate::keep::Keep;
use crate::log::EventLog;
use crate::node::Reacher;
use crate::node::meta::MetaNews;
use crate::queue::Queue;
use crate::services::Services;

/// The most topics that one process publishes on.
pub(crate) const MAX_OWN_TOPICS: usize = 65_536;

/// How often whoever waits for subscribers says that it still does.
const WATCH_AGAIN: Duration = Duration::from_secs(60);

/// What all tasks of one node or client share.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) own: Principal,
    pub(crate) realm: RealmName,
    pub(crate) epoch: Epoch,
    pub(crate) max_payload_len: usize,
    pub(crate) clock: Clock,
    pub(crate) tasks: TaskSet,
    /// Calls that are being served or passed on: whoever stops lets them end first.
    pub(crate) serving: TaskSet,
    pub(crate) counters: Counters,
    /// Moves whenever the receivers of a topic may have changed.
    pub(crate) version: AtomicU64,
    tables_changed: Notify,
    /// The neighbours in the overlay.
    pub(crate) neighbours: ArcSwap<BTreeSet<NodeId>>,
    /// Whether this node is about to leave, and dials nobody any more.
    pub(crate) leaving: AtomicBool,
    /// How much has happened to members so far.
    pub(crate) member_changes: AtomicU64,
    pub(crate) table: ArcSwap<Table>,
    /// Who shares which topic in a group.
    pub(crate) groups: ArcSwap<GroupTable>,
    pub(crate) providers: ArcSwap<ProviderTable>,
    pub(crate) forwarder: Forwarder,
    /// Which events subscribers were handed, by the ids of their publishers.
    pub(crate) repeats: Mutex<Repeats>,
    /// What is kept for later subscriptions.
    pub(crate) archive: Keep,
    /// How many events were dropped in this process because their time to live was over.
    pub(crate) expired: Arc<AtomicU64>,
    pub(crate) links: Links,
    /// What a client has its member publish.
    pub(crate) asked: asked::Asked,
    /// What is kept until it is acknowledged.
    pub(crate) reliable: Reliable,
    /// What waits for links to members.
    outstanding: unsent::Outstanding,
    /// Trees for topics that many want, where there is a member.
    pub(crate) trees: trees::Grown,
    /// Who waits for lookups to end.
    pub(crate) lookups: crate::node::Lookups,
    pub(crate) queues: RwLock<BTreeMap<LocalId, Arc<Queue>>>,
    pub(crate) registrations: RwLock<BTreeMap<RegistrationKey, Registration>>,
    pub(crate) invocations: Invocations,
    /// What is served on this node, as it is told to whoever asks.
    pub(crate) services: Services,
    /// The one link of a client.
    pub(crate) uplink: Option<Arc<Attached>>,
    /// Signs batches that travel beyond the link that proves their publisher, and checks such batches of others.
    pub(crate) prover: Prover,
    /// Signatures of membership that were checked before.
    pub(crate) verified: Verified,
    /// What is watched for publishers and callers.
    pub(crate) watches: Watches,
    /// Dials members that calls are for; set where there is a node.
    pub(crate) reacher: OnceLock<Reacher>,
    /// Tells what happens here under `$meta`; set where there is a node.
    pub(crate) meta: OnceLock<MetaNews>,
    /// Answers a client's questions about this node; set where there is a node.
    pub(crate) system: OnceLock<Handler>,
    topics: Mutex<OwnTopics>,
    random: Mutex<Random>,
}

/// Whose plane it is.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) principal: Principal,
    pub(crate) realm: RealmName,
    pub(crate) epoch: Epoch,
    pub(crate) max_payload_len: usize,
    /// How events are kept until they are acknowledged.
    pub(crate) replay: ReplayConfig,
    /// The numbering of what is kept.
    pub(crate) run: ChannelRun,
    /// Where events are kept that outlive the node.
    pub(crate) log: Option<Arc<EventLog>>,
    /// The one link of a client.
    pub(crate) uplink: Option<Arc<Attached>>,
}

#[derive(Debug, Default)]
struct OwnTopics {
    by_name: BTreeMap<Topic, Arc<OwnTopic>>,
}

impl Plane {
    pub(crate) fn new(own: Owner, clock: Clock, prover: Prover, mut random: Random) -> Self {
        let Owner {
            principal: own,
            realm,
            epoch,
            max_payload_len,
            replay,
            run,
            log,
            uplink,
        } = own;
        let reliable = Reliable::new(replay, own.node, run, random.fork(), clock.now(), log);
        Self {
            own,
            realm,
            epoch,
            max_payload_len,
            clock,
            tasks: TaskSet::new(),
            serving: TaskSet::new(),
            counters: Counters::default(),
            version: AtomicU64::new(0),
            tables_changed: Notify::new(),
            neighbours: ArcSwap::default(),
            leaving: AtomicBool::new(false),
            member_changes: AtomicU64::new(0),
            table: ArcSwap::default(),
            groups: ArcSwap::default(),
            providers: ArcSwap::default(),
            forwarder: Forwarder::new(&ForwarderConfig::default()),
            archive: Keep::default(),
            expired: Arc::default(),
            repeats: Mutex::new(Repeats::new(RepeatsConfig::default())),
            links: Links::default(),
            asked: asked::Asked::default(),
            reliable,
            outstanding: unsent::Outstanding::default(),
            trees: trees::Grown::default(),
            lookups: crate::node::Lookups::default(),
            queues: RwLock::default(),
            registrations: RwLock::default(),
            invocations: Invocations::new(&InvocationConfig::default()),
            services: Services::default(),
            uplink,
            prover,
            verified: Verified::default(),
            watches: Watches::default(),
            reacher: OnceLock::new(),
            meta: OnceLock::new(),
            system: OnceLock::new(),
            topics: Mutex::default(),
            random: Mutex::new(random),
        }
    }

    /// This node or client.
    pub(crate) fn node(&self) -> NodeId {
        self.own.node
    }

    pub(crate) fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes everybody look at the tables again.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.tables_changed.notify_waiters();
    }

    /// Forwards by `table` from here on. What nobody here is owed any more is not followed either, so that a later
    /// subscriber is not told of gaps from before its time.
    pub(crate) fn replace_table(&self, table: Arc<Table>) {
        self.forwarder.retain(&table);
        self.table.store(table);
        self.changed();
    }

    /// Ends when the tables have changed after it was made and enabled.
    pub(crate) fn tables_change(&self) -> tokio::sync::futures::Notified<'_> {
        self.tables_changed.notified()
    }

    /// Waits until somebody is owed `topic`.
    pub(crate) async fn wait_for_subscribers(&self, topic: &Topic) -> Result<(), Error> {
        let route = RouteCache::default();
        loop {
            let changed = self.tables_changed.notified();
            // What is waited for may take longer than something is watched that nobody uses.
            let again = tokio::time::sleep(WATCH_AGAIN);
            self.watch(&Name::Topic(topic.clone())).await?;
            let receivers = route.resolve(self, topic, Source::Own);
            let anybody = !receivers.queues.is_empty() || !receivers.links.is_empty();
            if anybody || receivers.by_tree || !receivers.groups.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                () = again => {}
            }
        }
    }

    /// The state of publishing on `topic`, made at the first use.
    pub(crate) fn own_topic(
        &self,
        topic: &Topic,
        priority: Priority,
    ) -> Result<Arc<OwnTopic>, Error> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.by_name.get(topic) {
            if known.priority() == priority {
                return Ok(Arc::clone(known));
            }
            return Err(Error::new(
                ErrorCode::POLICY_CONFLICT,
                format!(
                    "{topic} is published with another priority by this node: one topic has one priority"
                ),
            ));
        }
        if topics.by_name.len() >= MAX_OWN_TOPICS {
            return Err(Error::new(
                ErrorCode::QUOTA_EXCEEDED,
                format!("this node publishes on {MAX_OWN_TOPICS} topics already"),
            ));
        }
        let alias = TopicAlias::new(u64::try_from(topics.by_name.len()).unwrap_or(u64::MAX));
        let made = Arc::new(OwnTopic::new(
            Arc::new(Origin {
                publisher: self.node(),
                epoch: self.epoch,
                topic: topic.clone(),
                priority,
            }),
            Feed {
                publisher: self.node(),
                epoch: self.epoch,
                alias,
                topic: topic.clone(),
                chain: Vec::new(),
            },
        ));
        topics.by_name.insert(topic.clone(), Arc::clone(&made));
        Ok(made)
    }

    /// The topics published on so far.
    pub(crate) fn own_topics(&self) -> Vec<Arc<OwnTopic>> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.by_name.values().cloned().collect()
    }

    /// Waits until everything published was handed to links and every call that was taken has ended. `false` if that
    /// took longer than `patience`.
    pub(crate) async fn drained(self: &Arc<Self>, patience: Duration) -> bool {
        self.hear_applications();
        let all = async {
            for topic in self.own_topics() {
                topic.flushed().await;
            }
            self.trees_are_idle().await;
            self.all_settled().await;
            self.serving.idle().await;
        };
        let is_done = tokio::time::timeout(patience, all).await.is_ok();
        if let Some(log) = &self.reliable.log {
            log.flush().await;
        }
        is_done
    }

    /// Tells receivers of what was dropped on links that have room again, and forgets ids that are too old, and what has
    /// waited for too long for a link.
    pub(crate) fn tell_drops(&self) {
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.tend(self.clock.now());
        drop(repeats);
        self.tend_unsent();
        for attached in self.links.all() {
            for egress in attached.each_egress() {
                egress.tell_drops(&attached.link);
            }
        }
        if let Some(uplink) = &self.uplink {
            for egress in uplink.each_egress() {
                egress.tell_drops(&uplink.link);
            }
        }
    }
}

#[cfg(test)]
impl Plane {
    /// That of a member without links, for tests inside of a runtime.
    pub(crate) fn for_tests() -> Self {
        let node = NodeId::from_bytes([7; 32]);
        let own = Owner {
            principal: Principal::new(node, macula_wire::message::Roles::MEMBER),
            realm: "be.acme.iot".parse().unwrap(),
            epoch: Epoch::new(1),
            max_payload_len: 1 << 20,
            replay: ReplayConfig::default(),
            run: ChannelRun::new(1),
            log: None,
            uplink: None,
        };
        let prover = Prover::new(own.realm.clone(), None, None);
        Self::new(own, Clock::new(), prover, Random::new(1))
    }
}
