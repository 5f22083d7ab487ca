//! The figures of routing, each with its default and its reason.

use std::time::Duration;

use macula_wire::limit::MAX_CONTACTS;

/// How routing behaves. Figures other than of limits should be equal within a realm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How many contacts a bucket holds, how many nodes keep a record, and how many answers end a lookup; 1 to 20.
    /// Default: 20, as in the Kademlia paper.
    pub k: usize,
    /// How many requests of a lookup are under way at a time. Default: 3, as in the paper.
    pub alpha: usize,
    /// Up to how many that rises while answers are late. Default: 10.
    pub alpha_max: usize,
    /// The shortest and the longest time after which an answer counts as late. In between it follows the round trips
    /// that were measured. Default: 50 ms and 500 ms.
    pub patience: (Duration, Duration),
    /// How long a late answer is still taken. Who has not answered then has failed. Default: 3 s.
    pub request_timeout: Duration,
    /// The longest time of a lookup; what was found is told then. Default: 10 s.
    pub query_timeout: Duration,
    /// The most lookups under way. Default: 1,024; more are refused.
    pub max_queries: usize,
    /// How many contacts wait for a place in each bucket. Default: 8.
    pub replacements: usize,
    /// How long a contact keeps its place without being heard, before it is checked when another wants it.
    /// Default: 15 min.
    pub check_after: Duration,
    /// How often a bucket is refreshed in which nobody was looked up. Default: 1 h, as in the paper; with a fifth of it
    /// as jitter.
    pub refresh_every: Duration,
    /// The most contacts of one public network (/24 of IPv4, /56 of IPv6) in a bucket, by all their addresses. Default: 2. A realm whose CA
    /// issues every id turns it off by [`usize::MAX`]: there no host can make up ids.
    pub max_per_network: usize,
    /// How many requests a second a peer may make; it may save up those of two seconds. Default: 1,000.
    pub requests_per_second: u32,
    /// How long records of this node hold before they are renewed at half of it. Default: 1 h, so that clocks may be
    /// apart by half an hour. What membership says of their owner counts at once, whatever the lease.
    pub lease: Duration,
    /// The longest that any record holds. Default: 48 h.
    pub max_lease: Duration,
    /// The longest record in bytes: what is signed, and the signature. Default: 73,728, which every record of the format
    /// is within, its longest value among them.
    pub max_record_len: usize,
    /// The most records of one owner on this node. Default: 1,000.
    pub max_owner_records: usize,
    /// The most bytes of the records of one owner on this node. Default: 4 MiB.
    pub max_owner_bytes: usize,
    /// The most records on this node. Default: 200,000.
    pub max_records: usize,
    /// The most bytes of all records on this node. Default: 64 MiB.
    pub max_bytes: usize,
    /// The most records that this node owns. Default: 20,000.
    pub max_own_records: usize,
    /// How often a record is compared with what the others have that ought to keep it, unless two of them did so. A node
    /// looks through all that it keeps once in this time, part by part. Default: 1 h, with a fifth of it as jitter.
    pub replicate_every: Duration,
    /// How long a watch is kept without renewal; it is renewed at half of it. Default: 2 min; at most 1 h.
    pub watch_lease: Duration,
    /// At how many nodes a key is watched. Default: 3.
    pub watch_at: usize,
    /// The most watches of one peer on this node. Default: 4,096.
    pub max_peer_watches: usize,
    /// The most watches on this node. Default: 65,536.
    pub max_watches: usize,
    /// The most keys that this node watches. Default: 20,000.
    pub max_own_watches: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            k: MAX_CONTACTS,
            alpha: 3,
            alpha_max: 10,
            patience: (Duration::from_millis(50), Duration::from_millis(500)),
            request_timeout: Duration::from_secs(3),
            query_timeout: Duration::from_secs(10),
            max_queries: 1_024,
            replacements: 8,
            check_after: Duration::from_secs(900),
            refresh_every: Duration::from_secs(3_600),
            max_per_network: 2,
            requests_per_second: 1_000,
            lease: Duration::from_secs(3_600),
            max_lease: Duration::from_secs(48 * 3_600),
            max_record_len: 73_728,
            max_owner_records: 1_000,
            max_owner_bytes: 4 << 20,
            max_records: 200_000,
            max_bytes: 64 << 20,
            max_own_records: 20_000,
            replicate_every: Duration::from_secs(3_600),
            watch_lease: Duration::from_secs(120),
            watch_at: 3,
            max_peer_watches: 4_096,
            max_watches: 65_536,
            max_own_watches: 20_000,
        }
    }
}

impl Config {
    /// The same within its bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.k = self.k.clamp(1, MAX_CONTACTS);
        self.alpha = self.alpha.max(1);
        self.alpha_max = self.alpha_max.max(self.alpha);
        // Whatever is done again and again takes some time in between.
        let (least, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let (min, max) = self.patience;
        self.patience = (min.max(least), max.max(min).max(least));
        self.query_timeout = self.query_timeout.max(least);
        self.refresh_every = self.refresh_every.max(second);
        self.replicate_every = self.replicate_every.max(second);
        self.watch_lease = self.watch_lease.clamp(second, Duration::from_secs(3_600));
        self
    }
}
