//! What can be chosen about membership.

use std::time::Duration;

/// How membership behaves. All nodes of a realm should use the same values.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The period of the protocol: how often some member is probed where each has a link to each. Default: 1 s.
    ///
    /// Shorter finds crashes sooner and costs traffic. At least twice `probe_timeout`.
    pub probe_period: Duration,
    /// The most that a direct answer may take before other ways are tried. Default: 500 ms. It is three round trips of the
    /// path, within this bound and the next; half of this while nothing is known of the path.
    pub probe_timeout: Duration,
    /// The least that a direct answer may take. Default: 50 ms.
    pub min_probe_timeout: Duration,
    /// How long a probe may take in all before it has failed; three times as long as a direct answer may take, if that is
    /// longer. Default: 800 ms.
    pub probe_deadline: Duration,
    /// How many members are asked to probe on this node's behalf. Default: 3; 0 asks nobody.
    pub indirect_probes: usize,
    /// How often a member is probed that is not watched, where not everybody has a link to everybody. Default: 30 s.
    pub stranger_period: Duration,
    /// How long a link that was asked for in order to probe a stranger is waited for. Default: 5 s. The stranger is
    /// accused then, because who does not answer a dial does not answer.
    pub dial_timeout: Duration,
    /// Up to how many members this node wants a link to every other, and probes them by turns. Default: 64.
    ///
    /// Above it the neighbours watch each other, and links to others are asked for when they are needed.
    pub link_pool: usize,
    /// How long a suspicion lasts that enough others confirm, however many members there are. Default: 3 s.
    ///
    /// A member that stands still for this long is not declared dead.
    pub min_suspicion_timeout: Duration,
    /// How long a suspicion lasts that nobody confirms. Default: 5 s.
    pub max_suspicion_timeout: Duration,
    /// How many others have to confirm a suspicion until it lasts no longer than the least time, if there are as many; at
    /// most 3 count. Default: 3.
    pub confirmations: usize,
    /// Lengthens suspicions with the number of members, as plain SWIM does: the least time is this many periods for each
    /// power of ten of the count, and the most, with `lha_suspicion`, six times the least. Default: none, the two times
    /// above hold.
    pub suspicion_periods: Option<u32>,
    /// How long an accusation by another may rest before this node probes for itself, at most. Default: 500 ms.
    pub check_delay: Duration,
    /// Whether neighbours watch each other and news floods along them. Default: yes.
    pub watch: bool,
    /// Whether probes are slower while this node has reason to doubt itself (Lifeguard, LHA-Probe). Default: yes.
    pub lha_probe: bool,
    /// How much a node may doubt itself: how many times longer than usual its probes may take and be apart, less one.
    /// Default: 3. Lifeguard has 8, with which two of five nodes that lose the others take half a minute to see it; what
    /// 8 is needed for there, the guard against one's own stalls does here. For the same reason silent helpers count only
    /// if all are silent.
    pub max_health: u32,
    /// Whether suspicions last longer the fewer confirm them (Lifeguard, LHA-Suspicion). Default: yes; otherwise they all
    /// last the least time.
    pub lha_suspicion: bool,
    /// Whether a suspected member is told with every probe (Lifeguard, Buddy System). Default: yes.
    pub buddy: bool,
    /// Whether the patience of probes follows the round trips of the path, and a late probe is repeated on the way on
    /// which nothing is lost. Default: yes.
    pub adaptive: bool,
    /// Whether this node begins its probes and suspicions anew when it finds that it has stood still. Default: yes.
    pub stall_guard: bool,
    /// Whether the word of one is not enough: two accusers or a failed probe of one's own make a death. Default: yes.
    ///
    /// Only for comparison with plain SWIM: without it any member can kill any other.
    pub two_accusers: bool,
    /// How often news is sent by itself while there is any. Default: 200 ms. What is urgent (accusations, refutations,
    /// goodbyes) goes to the neighbours at once.
    pub gossip_period: Duration,
    /// The least time between two floods of urgent news, so that news that comes in a storm travels together. Default:
    /// 20 ms.
    pub flood_pause: Duration,
    /// To how many members news is sent at a time by a node without neighbours. Default: 3.
    pub gossip_fanout: usize,
    /// How often one piece of news is sent besides the flood, for each bit of the member count. Default: 1; a node without
    /// neighbours, which does not flood, sends it twice as often.
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
    /// How often one of the dead is tried again, so that a partition heals; ten times as often after one came back.
    /// Default: 5 s.
    pub revive_period: Duration,
    /// How often this node's view is compared with that of a random peer, which costs a few bytes where they are equal; ten
    /// times as often after one of the dead came back. Default: 10 s.
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
    /// By how much a member may raise its incarnation at once to one over 2^32. Default: 1,000. A higher raise is refused.
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
    /// How many new accusations of one accuser are believed in a second, whoever brings them. Default: 100. More are
    /// ignored and counted, and the accuser is reported if it brings them itself.
    pub max_accusations: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            min_probe_timeout: Duration::from_millis(50),
            probe_deadline: Duration::from_millis(800),
            indirect_probes: 3,
            stranger_period: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(5),
            link_pool: 64,
            min_suspicion_timeout: Duration::from_secs(3),
            max_suspicion_timeout: Duration::from_secs(5),
            confirmations: 3,
            suspicion_periods: None,
            check_delay: Duration::from_millis(500),
            watch: true,
            lha_probe: true,
            max_health: 3,
            lha_suspicion: true,
            buddy: true,
            adaptive: true,
            stall_guard: true,
            two_accusers: true,
            gossip_period: Duration::from_millis(200),
            flood_pause: Duration::from_millis(20),
            gossip_fanout: 3,
            gossip_factor: 1,
            max_datagram_len: 1_100,
            refute_period: Duration::from_millis(500),
            link_grace: Duration::from_secs(5),
            connect_period: Duration::from_secs(5),
            revive_period: Duration::from_secs(5),
            sync_period: Duration::from_secs(10),
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
    /// SWIM as its paper describes it (Das, Gupta and Motivala, 2002) with the time-outs to which Lifeguard compares
    /// itself: no neighbours, none of Lifeguard's parts, no guard against one's own stalls. For comparison only.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            probe_deadline: Duration::from_secs(1),
            link_pool: usize::MAX,
            suspicion_periods: Some(5),
            watch: false,
            lha_probe: false,
            lha_suspicion: false,
            buddy: false,
            adaptive: false,
            stall_guard: false,
            two_accusers: false,
            ..Self::default()
        }
    }

    /// How long a suspicion lasts among `members` members that `confirmed` others confirm, of at most `possible`
    /// (Lifeguard, section IV-B, for up to three confirmations).
    pub(crate) fn suspicion_timeout(
        &self,
        members: usize,
        confirmed: usize,
        possible: usize,
    ) -> Duration {
        let (min, max) = self.suspicion_bounds(members);
        if !self.lha_suspicion {
            return min;
        }
        let wanted = self.confirmations.min(possible).min(3);
        // log(c + 1) / log(k + 1) in thousandths.
        let share = match (wanted, confirmed.min(wanted)) {
            (0, _) | (1, 1) | (2, 2) | (3, 3) => 1_000,
            (2, 1) => 631,
            (3, 1) => 500,
            (3, 2) => 792,
            _ => 0,
        };
        let width = max.saturating_sub(min);
        let less = part(width.saturating_mul(share), 1_000);
        min.max(max).saturating_sub(less)
    }

    /// The least and the most that a suspicion may last.
    fn suspicion_bounds(&self, members: usize) -> (Duration, Duration) {
        let Some(periods) = self.suspicion_periods else {
            return (self.min_suspicion_timeout, self.max_suspicion_timeout);
        };
        let periods = f64::from(periods) * decades(members);
        let min = self.probe_period.mul_f64(periods);
        (min, min.saturating_mul(LIFEGUARD_BETA))
    }

    /// How long a neighbour may be silent before it is probed: a node hears of about four probes a period whatever its
    /// degree is, because each of its links is probed by the end whose patience is over first.
    pub(crate) fn watch_interval(&self, degree: usize) -> Duration {
        let quarters = u32::try_from(degree.clamp(2, 8)).unwrap_or(8);
        part(self.probe_period.saturating_mul(quarters), 4)
    }

    /// How often one piece of news is sent besides the flood among `members` members.
    pub(crate) fn transmissions(&self, members: usize, floods: bool) -> u32 {
        let factor = if floods { 1 } else { 2 };
        let each = self.gossip_factor.saturating_mul(factor);
        each.saturating_mul(bits(members)).max(1)
    }
}

/// How many times the least time an unconfirmed suspicion lasts where times grow with the count: Lifeguard's beta.
const LIFEGUARD_BETA: u32 = 6;

/// The decimal logarithm, at least 1. Only plain SWIM needs it, so the last bit of it does not matter to the protocol.
fn decades(members: usize) -> f64 {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    f64::from(members).log10().max(1.0)
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
    fn a_suspicion_lasts_longer_the_fewer_confirm_it() {
        let config = Config::default();
        let seconds = |confirmed, possible| {
            let timeout = config.suspicion_timeout(10_000, confirmed, possible);
            timeout.as_secs_f64()
        };
        assert_eq!(
            [0, 1, 2, 3, 9].map(|n| seconds(n, 8)),
            [5.0, 4.0, 3.416, 3.0, 3.0]
        );
        assert_eq!([0, 1, 2].map(|n| seconds(n, 1)), [5.0, 3.0, 3.0]);
        assert!((seconds(0, 0) - 3.0).abs() < 1e-9, "nobody could confirm");
    }

    #[test]
    fn plain_swim_waits_longer_among_more() {
        let seconds = |members| {
            Config::plain()
                .suspicion_timeout(members, 9, 9)
                .as_secs_f64()
        };
        assert_eq!([3, 10, 100, 10_000].map(seconds), [5.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn plain_swim_with_the_suspicions_of_lifeguard_waits_up_to_six_times_as_long() {
        let config = Config {
            lha_suspicion: true,
            ..Config::plain()
        };
        let seconds = |confirmed| config.suspicion_timeout(100, confirmed, 9).as_secs_f64();
        assert_eq!([0, 1, 3, 9].map(seconds), [60.0, 35.0, 10.0, 10.0]);
    }

    #[test]
    fn news_is_sent_more_often_among_more_members() {
        let config = Config::default();
        let sent = |floods| [0, 1, 16, 1_000].map(|members| config.transmissions(members, floods));
        assert_eq!(sent(true), [1, 1, 5, 10]);
        assert_eq!(sent(false), [1, 2, 10, 20]);
    }

    #[test]
    fn a_node_is_probed_about_four_times_a_period() {
        let config = Config::default();
        let millis = |degree| config.watch_interval(degree).as_millis();
        assert_eq!(
            [0, 2, 4, 6, 8, 20].map(millis),
            [500, 500, 1_000, 1_500, 2_000, 2_000]
        );
    }
}
