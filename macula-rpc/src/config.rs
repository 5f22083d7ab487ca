//! What can be set, and what it is set to.

use std::time::Duration;

use macula_realm::Zone;

/// The settings of [`Rpc`](crate::Rpc).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How many calls a registration takes at a time that does not say, and at most. Default 1,024.
    pub max_concurrency: u32,
    /// The most offers of all other members together, each counted for each member that makes it. One beyond is refused
    /// and [counted](crate::Rpc::offers_refused). Default 1,000,000.
    pub max_offers: usize,
    /// The most distinct procedures of one member, this one included. A registration beyond is refused with
    /// [`TooManyProcedures`](crate::RegisterError::TooManyProcedures); an offer of another member beyond is refused and
    /// [counted](crate::Rpc::offers_refused), so set it alike on all members. Default 16,384.
    pub max_procedures: usize,
    /// The most registrations on this node; beyond, registering is refused. Default 65,536.
    pub max_registrations: usize,
    /// The most registrations of one client session; beyond, registering is refused. Default 1,000.
    pub max_session_registrations: usize,
    /// The most procedures that are watched; beyond, watching is refused. Default 65,536.
    pub max_watched: usize,
    /// The wall clock when the machine is made, in milliseconds since 1970: registrations are compared by when they began.
    /// Default 0.
    pub started_ms: u64,
    /// Where the node stands, unless a registration says something else. Default nowhere.
    pub zone: Option<Zone>,
    /// The shortest time between two tables, and between two turns of announcing. The first change after a quiet
    /// time takes effect at once, what follows within this time together at its end. Default 1 ms; at least 1 us.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_concurrency: 1_024,
            max_offers: 1_000_000,
            max_procedures: 16_384,
            max_registrations: 65_536,
            max_session_registrations: 1_000,
            max_watched: 65_536,
            started_ms: 0,
            zone: None,
            settle: Duration::from_millis(1),
        }
    }
}

/// The settings of a [`Call`](crate::Call).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CallConfig {
    /// How many providers one call tries at most. Default 8; at least 1. More finds a free one among many that are not,
    /// at the cost of their time.
    pub max_attempts: u32,
    /// How many more providers than one may have a call at a time that hedges. Default 1.
    pub max_hedges: u32,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            max_hedges: 1,
        }
    }
}

/// The settings of [`Invocations`](crate::Invocations).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvocationConfig {
    /// How many call ids are remembered, spread evenly over the shards; the oldest of a shard go first. A call that runs
    /// is remembered in any case. Default 10,000, about 1 MiB.
    pub max_ids: usize,
    /// How many calls run at a time on this node, whatever they are registered for; beyond, a call is refused with
    /// `BUSY`. Default 4,096.
    pub max_running: u32,
    /// In how many parts the state is kept by caller, each behind a lock of its own. 1 to 1,024; default 16.
    pub shards: usize,
    /// How long a call id is remembered at most, or until its deadline if that is later. Default 5 min.
    pub window: Duration,
}

impl Default for InvocationConfig {
    fn default() -> Self {
        Self {
            max_ids: 10_000,
            max_running: 4_096,
            shards: 16,
            window: Duration::from_secs(300),
        }
    }
}
