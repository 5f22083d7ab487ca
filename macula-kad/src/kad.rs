//! The machine: lookups, the table they grow, and the answers that others get.

mod drive;
mod event;
mod keep;
mod known;
mod maintain;
mod moves;
mod publish;
mod query;
mod receive;
mod renew;
mod replicate;
mod request;
mod retry;
mod run;
mod seen;
mod stage;
mod view;
mod watch;
mod watched;

pub use event::{Goal, Input, LookupOptions, Outcome, Output, QueryId, RecordChange, Stats};
pub use view::ContactView;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use macula_wire::message::Contact;
use macula_wire::{Body, Instant, Key, NodeId, Random, RealmName, RecordId, Signer};

use crate::closest::Nearest;
use crate::config::Config;
use crate::distance::{Distance, Place};
use crate::estimate::estimate;
use crate::limit::Allowances;
use crate::members::{MemberSnapshot, Members};
use crate::own::{Owns, Pen};
use crate::rtt::Rtt;
use crate::store::{Rank, Store};
use crate::table::Table;
use crate::timer::{Timer, Timers};

use self::known::Known;
use self::moves::Moves;
use self::query::Query;
use self::request::Requests;
use self::retry::Retries;
use self::stage::Staged;
use self::watch::Watchings;
use self::watched::Watchers;

/// Routing in one realm, as one node sees it.
///
/// See the [crate documentation](crate) for what it does and [`Config`] for its limits. Each input causes a bounded
/// number of outputs.
pub struct Kad {
    config: Config,
    realm: RealmName,
    own: NodeId,
    random: Random,
    now: Instant,
    table: Table,
    members: Members,
    /// Where the records of the present run of a node begin.
    runs: BTreeMap<NodeId, u64>,
    /// How long answers take, whoever they come from.
    rtt: Rtt,
    queries: BTreeMap<QueryId, Query>,
    next_query: u64,
    requests: Requests,
    /// Whom a check is under way of.
    checks: BTreeSet<NodeId>,
    allowances: Allowances,
    timers: Timers,
    stats: Stats,
    /// The wall clock in milliseconds since 1970, and when it was told.
    wall: (Instant, u64),
    pen: Pen,
    owns: Owns,
    /// Those of them that were withdrawn, by the time at which they expire.
    withdrawn: BTreeSet<(u64, RecordId)>,
    /// The keys of own records that lookups are under way for, and which records.
    seeking: BTreeMap<Key, BTreeSet<RecordId>>,
    retries: Retries,
    staged: Staged,
    store: Store,
    moves: Moves,
    /// The last of the records that were compared with those of others in this period.
    replicated: Option<Rank>,
    /// How far the farthest that ought to keep what is under a key is.
    reaches: BTreeMap<Key, Distance>,
    watchers: Watchers,
    watchings: Watchings,
    known: Known,
    outputs: VecDeque<Output>,
}

impl Kad {
    /// Routing of the node whose key `signer` has, in `realm`, which knows nobody yet. `wall_ms` is the wall clock at
    /// `now`, in milliseconds since 1970: records expire by it.
    #[must_use]
    pub fn new(
        config: Config,
        realm: RealmName,
        signer: Arc<dyn Signer + Send + Sync>,
        random: Random,
        now: Instant,
        wall_ms: u64,
    ) -> Self {
        let config = config.bounded();
        let own = signer.node();
        let mut kad = Self {
            table: Table::new(own),
            config,
            own,
            random,
            now,
            members: Members::default(),
            runs: BTreeMap::new(),
            rtt: Rtt::default(),
            queries: BTreeMap::new(),
            next_query: 0,
            requests: Requests::default(),
            checks: BTreeSet::new(),
            allowances: Allowances::new(config.requests_per_second),
            timers: Timers::default(),
            stats: Stats::default(),
            wall: (now, wall_ms),
            pen: Pen::new(realm.clone(), signer),
            owns: Owns::default(),
            withdrawn: BTreeSet::new(),
            seeking: BTreeMap::new(),
            retries: Retries::default(),
            staged: Staged::default(),
            store: Store::new(realm.clone(), &config),
            moves: Moves::default(),
            replicated: None,
            reaches: BTreeMap::new(),
            watchers: Watchers::default(),
            watchings: Watchings::default(),
            known: Known::default(),
            realm,
            outputs: VecDeque::new(),
        };
        kad.plan_refresh();
        kad.plan_replication();
        kad
    }

    /// Numbers the records of this node from `sequence` on, where its clock is behind that: those of an earlier run have
    /// lower numbers then.
    pub fn number_from(&mut self, sequence: u64) {
        self.pen.number_from(sequence);
    }

    /// Begins with the members of a snapshot that many nodes of a simulation share, in place of all members told so far.
    pub fn begin_with(&mut self, members: Arc<MemberSnapshot>) {
        self.members.begin(members);
    }

    /// The node whose routing this is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.own
    }

    /// Where it stands.
    #[must_use]
    pub const fn position(&self) -> &Key {
        self.table.position()
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// How many contacts have a place in the table.
    #[must_use]
    pub const fn table_len(&self) -> usize {
        self.table.len()
    }

    /// The contacts known closest to `key` without asking anybody, closest first: of the table and of the members.
    #[must_use]
    pub fn closest_known(&self, key: &Key, count: usize) -> Vec<Arc<Contact>> {
        self.closest_but(key, count, self.table.place())
            .into_contacts()
    }

    /// The same without this node and one more.
    fn closest_but(&self, key: &Key, count: usize, but: Place) -> Nearest<'_> {
        let mut nearest = Nearest::new(key, count, [self.table.place(), but]);
        self.members.offer(&mut nearest);
        // Whom membership does not know may have left.
        if !nearest.is_full() {
            self.table.offer(&mut nearest);
        }
        nearest
    }

    /// How many nodes there are, with this one: those that membership knows, or what the distances of the closest contacts
    /// let guess.
    #[must_use]
    pub fn size_estimate(&self) -> u64 {
        if !self.members.is_empty() {
            let own = usize::from(self.members.get(&self.own).is_none());
            let count = self.members.len().saturating_add(own);
            return u64::try_from(count).unwrap_or(u64::MAX);
        }
        let own = self.table.place();
        let nearest = self.closest_but(self.position(), self.config.k, own);
        estimate(
            nearest
                .into_found()
                .into_iter()
                .map(|(distance, _)| distance),
        )
    }

    /// Counts since the machine was made.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn send(&mut self, to: Arc<Contact>, body: impl Into<Body>) {
        let body = body.into();
        self.outputs.push_back(Output::Send { to, body });
    }

    fn after(&mut self, timer: Timer, delay: std::time::Duration) {
        self.timers.set(timer, self.now + delay);
    }
}

impl fmt::Debug for Kad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kad")
            .field("own", &self.own)
            .field("contacts", &self.table.len())
            .field("queries", &self.queries.len())
            .finish_non_exhaustive()
    }
}
