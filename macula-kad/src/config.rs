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
    /// The most contacts of one public network (/24 of IPv4, /56 of IPv6) in a bucket. Default: 2. A realm whose CA
    /// issues every id turns it off by [`usize::MAX`]: there no host can make up ids.
    pub max_per_network: usize,
    /// How many requests a second a peer may make; it may save up those of two seconds. Default: 1,000.
    pub requests_per_second: u32,
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
        }
    }
}

impl Config {
    /// The same within its bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.k = self.k.clamp(1, MAX_CONTACTS);
        self.alpha = self.alpha.max(1);
        self.alpha_max = self.alpha_max.max(self.alpha);
        self
    }
}
