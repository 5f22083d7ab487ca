//! What can be chosen about membership.

use std::time::Duration;

/// How membership behaves. All nodes of a realm should use the same values.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How often a member is probed; also the time after which an unanswered probe has failed. Default: 1 s.
    ///
    /// Shorter finds crashes sooner and costs traffic. At least twice `probe_timeout`.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to probe as well. Default: 500 ms.
    ///
    /// Above the longest round trip in the realm, at most half of `probe_period`.
    pub probe_timeout: Duration,
    /// How many members are asked to probe on this node's behalf. Default: 3; 0 asks nobody.
    pub indirect_probes: usize,
    /// How long a suspicion lasts in a small realm. Default: 3 s.
    ///
    /// A member that stands still for `probe_period` less than this is not declared dead.
    pub min_suspicion_timeout: Duration,
    /// How long a suspicion lasts at most; it grows with the number of digits of the member count. Default: 5 s.
    pub max_suspicion_timeout: Duration,
    /// How long an accusation by another may rest before this node probes for itself, at most. Default: 500 ms.
    pub check_delay: Duration,
    /// How often news is sent by itself while there is any. Default: 200 ms.
    pub gossip_period: Duration,
    /// To how many members news is sent at a time. Default: 3.
    pub gossip_fanout: usize,
    /// How often one piece of news is sent, for each bit of the member count. Default: 2.
    pub gossip_factor: u32,
    /// The longest datagram that this machine makes in bytes, frame header included. Default: 1,100.
    ///
    /// At least 1,100, so that the largest record fits, and at most what every path carries.
    pub max_datagram_len: usize,
    /// The least time between two refutations of this node. Default: 500 ms.
    pub refute_period: Duration,
    /// How long after learning of a member its missing link is no reason to doubt it. Default: 5 s.
    pub link_grace: Duration,
    /// How long a missing link is waited for before it is asked for again; doubles three times. Default: 5 s.
    pub connect_period: Duration,
    /// How often one of the dead is tried again, so that a partition heals. Default: 5 s.
    pub revive_period: Duration,
    /// How often the whole membership is compared with a random member, for each 64 members. Default: 60 s.
    pub sync_period: Duration,
    /// How long an answer to a join may take before it is asked for again. Default: 5 s.
    pub join_period: Duration,
    /// How long who is dead or has left is remembered. Default: 24 h.
    ///
    /// A partition that lasts longer does not heal by itself; a replay of a forgotten member's record makes it appear
    /// until probes fail.
    pub forget_after: Duration,
    /// To how many members a leaving node says so itself. Default: 32.
    pub leave_fanout: usize,
    /// By how much a member may raise its incarnation at once. Default: 1,000. A higher raise is refused.
    pub max_incarnation_jump: u64,
    /// How far a member's epoch may lie ahead of this node's wall clock. Default: 10 min. A later one is refused.
    pub max_epoch_ahead: Duration,
    /// The most members, this node, the dead and those that left included. Default: 16,384.
    ///
    /// At the limit the longest dead or left is forgotten for a new one; if there is none, the new one is refused.
    pub max_members: usize,
    /// The most pieces of news that wait to be spread. Default: 4,096. At the limit the most often sent one goes.
    pub max_gossip: usize,
    /// The most probes under way, those on behalf of others apart. Default: 64. At the limit none is started.
    pub max_probes: usize,
    /// The most probes under way on behalf of others. Default: 256. At the limit a request is answered with a NACK.
    pub max_relays: usize,
    /// The most peers that wait for the membership to be sent to them. Default: 256. At the limit a request is ignored;
    /// it is repeated.
    pub max_answers: usize,
    /// How many new accusations a peer may bring in a second. Default: 100. More are ignored and reported.
    pub max_accusations: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            min_suspicion_timeout: Duration::from_secs(3),
            max_suspicion_timeout: Duration::from_secs(5),
            check_delay: Duration::from_millis(500),
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            gossip_factor: 2,
            max_datagram_len: 1_100,
            refute_period: Duration::from_millis(500),
            link_grace: Duration::from_secs(5),
            connect_period: Duration::from_secs(5),
            revive_period: Duration::from_secs(5),
            sync_period: Duration::from_secs(60),
            join_period: Duration::from_secs(5),
            forget_after: Duration::from_secs(24 * 3_600),
            leave_fanout: 32,
            max_incarnation_jump: 1_000,
            max_epoch_ahead: Duration::from_secs(600),
            max_members: 16_384,
            max_gossip: 4_096,
            max_probes: 64,
            max_relays: 256,
            max_answers: 256,
            max_accusations: 100,
        }
    }
}

impl Config {
    /// How long a suspicion lasts among `members` members: half of a period more for each doubling beyond 16.
    pub(crate) fn suspicion_timeout(&self, members: usize) -> Duration {
        let doublings = bits(members).saturating_sub(bits(16));
        let more = part(self.probe_period.saturating_mul(doublings), 2);
        self.min_suspicion_timeout
            .saturating_add(more)
            .min(self.max_suspicion_timeout)
    }

    /// How often one piece of news is sent among `members` members.
    pub(crate) fn transmissions(&self, members: usize) -> u32 {
        self.gossip_factor.saturating_mul(bits(members)).max(1)
    }

    /// How often the membership is compared among `members` members.
    pub(crate) fn sync_period(&self, members: usize) -> Duration {
        let factor = u32::try_from(members.div_ceil(64)).unwrap_or(u32::MAX);
        self.sync_period.saturating_mul(factor.max(1))
    }
}

/// The duration divided by `parts`; zero for no parts.
pub(crate) fn part(duration: Duration, parts: u32) -> Duration {
    duration.checked_div(parts).unwrap_or_default()
}

/// The number of binary digits.
const fn bits(number: usize) -> u32 {
    usize::BITS.saturating_sub(number.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suspicion_timeout_grows_slowly_and_has_an_end() {
        let config = Config::default();
        let seconds = |members| config.suspicion_timeout(members).as_secs_f64();
        assert_eq!(
            [1, 16, 64, 128, 1_000_000].map(seconds),
            [3.0, 3.0, 4.0, 4.5, 5.0]
        );
    }

    #[test]
    fn news_is_sent_more_often_among_more_members() {
        let config = Config::default();
        assert_eq!(
            [0, 1, 16, 1_000].map(|members| config.transmissions(members)),
            [1, 2, 10, 20]
        );
    }
}
