//! What can be chosen about the overlay.

use std::time::Duration;

/// How the overlay behaves. All nodes of a realm should use the same values.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How many neighbours a node has until it is told how many members there are. Default: 8. Even, 2 to 24; other
    /// values count as the nearest of these.
    pub degree: usize,
    /// The fewest steps of a walk before it may end. Default: 6.
    pub min_steps: u8,
    /// How many members are reckoned with, as to the length of walks, before the number is told. Default: 10,000.
    pub assumed_members: usize,
    /// How many steps more a walk may take to find an end that has an edge to give. Default: 32.
    pub spare_steps: u8,
    /// How many steps the first walk takes that looks for another node with one edge too few; the next takes twice as
    /// many, up to 255. Default: 32.
    pub pair_steps: u8,
    /// How long a walk of this node may take at most. Default: 5 s.
    ///
    /// Once walks have come back it is four times as long as they took, but at least `min_walk_timeout`.
    pub walk_timeout: Duration,
    /// How long a walk of this node may take at least. Default: 1 s.
    pub min_walk_timeout: Duration,
    /// By how much longer a walk may take for each step that it is longer than others. Default: 50 ms.
    pub step_time: Duration,
    /// How long a contact to which there is a link may let this node wait for its turn. Default: 15 s. Then it asks
    /// again, or another one. Without a link it is `deal_timeout`.
    pub contact_timeout: Duration,
    /// How long one end of an edge that is to be split waits for the other. Default: 2 s. Below `deal_timeout`.
    pub half_timeout: Duration,
    /// How long an edge stays locked for an exchange that does not end. Default: 3 s.
    pub deal_timeout: Duration,
    /// How long a node that was offered an edge without having asked may take to answer. Default: 1 s.
    pub proposal_timeout: Duration,
    /// The first pause after a walk that came to nothing; doubles each time. Default: 200 ms.
    pub min_pause: Duration,
    /// The longest pause after a walk that came to nothing. Default: 5 s.
    pub max_pause: Duration,
    /// How long one of two nodes that are to become neighbours leaves it to the other to begin. Default: 1 s.
    pub mate_delay: Duration,
    /// How long changes of the neighbours are gathered before all neighbours are told. Default: 500 ms.
    pub list_delay: Duration,
    /// How often each neighbour is asked whether it holds the edge as well. Default: 30 s.
    pub check_period: Duration,
    /// How often an edge is exchanged for the sake of mixing and nearness. Default: 60 s. Zero never does it.
    pub flip_period: Duration,
    /// How often some of the known nodes are exchanged with a neighbour. Default: 60 s.
    pub shuffle_period: Duration,
    /// How often a node that was lost is tried again, so that a split heals. Default: 15 s.
    pub lost_period: Duration,
    /// The least time between two exchanges of edges for the sake of healing a split. Default: 30 s.
    pub bridge_period: Duration,
    /// How long a link is kept that is not needed any more. Default: 10 s. Above `deal_timeout`, so that the other side
    /// is done with it as well.
    pub release_after: Duration,
    /// How long a node remembers that another one with one edge too few came by. Default: 10 s.
    pub mark_lifetime: Duration,
    /// The most exchanges of edges that a node takes part in at a time. Default: 32. At the limit it takes no further
    /// part, and walks go on to others.
    pub max_deals: usize,
    /// The most messages that wait for a link. Default: 256. At the limit the next is not sent, and its exchange ends by
    /// its time-out.
    pub max_outbox: usize,
    /// The most offers that are kept because the message which they belong to has not arrived. Default: 16. At the
    /// limit an offer is refused.
    pub max_early: usize,
    /// The most other nodes that are remembered as having come by with one edge too few. Default: 64. At the limit the
    /// oldest goes.
    pub max_marks: usize,
    /// The most nodes in the passive view. Default: 40. At the limit a new one takes the place of a random one, so that
    /// the view stays a fair sample.
    pub max_passive: usize,
    /// The most lost nodes that are remembered. Default: 16. At the limit the oldest goes.
    pub max_lost: usize,
    /// The most nodes through which this node was told to join. Default: 8. At the limit the oldest goes.
    pub max_contacts: usize,
    /// The most newcomers that wait for their turn. Default: 16,384. At the limit a newcomer is told when to ask again.
    pub max_waiting: usize,
    /// How many newcomers are under way at a time at first. Default: 8. Each that gets an edge makes room for another.
    pub min_window: usize,
    /// The most newcomers that are under way at a time. Default: 4,096.
    pub max_window: usize,
    /// The most walks in a second that a peer passes on, its own included. Default: 4,000. More are dropped and reported.
    pub max_passed_walks: u32,
    /// The most walks in a second that a peer begins. Default: 32. More are dropped and reported.
    pub max_own_walks: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            degree: 8,
            min_steps: 6,
            assumed_members: 10_000,
            spare_steps: 32,
            pair_steps: 32,
            walk_timeout: Duration::from_secs(5),
            min_walk_timeout: Duration::from_secs(1),
            step_time: Duration::from_millis(50),
            contact_timeout: Duration::from_secs(15),
            half_timeout: Duration::from_secs(2),
            deal_timeout: Duration::from_secs(3),
            proposal_timeout: Duration::from_secs(1),
            min_pause: Duration::from_millis(200),
            max_pause: Duration::from_secs(5),
            mate_delay: Duration::from_secs(1),
            list_delay: Duration::from_millis(500),
            check_period: Duration::from_secs(30),
            flip_period: Duration::from_secs(60),
            shuffle_period: Duration::from_secs(60),
            lost_period: Duration::from_secs(15),
            bridge_period: Duration::from_secs(30),
            release_after: Duration::from_secs(10),
            mark_lifetime: Duration::from_secs(10),
            max_deals: 32,
            max_outbox: 256,
            max_early: 16,
            max_marks: 64,
            max_passive: 40,
            max_lost: 16,
            max_contacts: 8,
            max_waiting: 16_384,
            min_window: 8,
            max_window: 4_096,
            max_passed_walks: 4_000,
            max_own_walks: 32,
        }
    }
}

/// The most neighbours that can be asked for.
pub(crate) const MAX_DEGREE: usize = 24;

/// How many neighbours a node of a realm of `members` has: 4 up to 30, 6 up to 300, 8 above.
///
/// Even, because a newcomer enters edges, each of which gives it two neighbours.
#[must_use]
pub const fn degree_for(members: usize) -> usize {
    match members {
        0..=30 => 4,
        31..=300 => 6,
        _ => 8,
    }
}

/// A degree that can be: even, 2 to 24.
pub(crate) fn legal_degree(degree: usize) -> usize {
    let degree = degree.clamp(2, MAX_DEGREE);
    degree.saturating_sub(degree % 2)
}

/// How many steps mix well among `members` nodes of `degree` neighbours: twice the logarithm, rounded up.
pub(crate) fn steps_for(members: usize, degree: usize, min: u8) -> u8 {
    let base = degree.saturating_sub(1).max(2);
    let (mut reached, mut log) = (1_usize, 0_u8);
    while reached < members {
        reached = reached.saturating_mul(base);
        log = log.saturating_add(1);
    }
    log.saturating_mul(2).max(min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_degree_follows_the_size() {
        let degrees = [0, 30, 31, 300, 301, 10_000].map(degree_for);
        assert_eq!(degrees, [4, 4, 6, 6, 8, 8]);
    }

    #[test]
    fn walks_are_twice_the_logarithm_long() {
        assert_eq!(steps_for(10_000, 8, 6), 10);
        assert_eq!(steps_for(16_807, 8, 6), 10);
        assert_eq!(steps_for(16_808, 8, 6), 12);
        assert_eq!(steps_for(300, 6, 6), 8);
        assert_eq!(steps_for(2, 4, 6), 6);
        assert_eq!(steps_for(usize::MAX, 2, 6), 128);
    }

    #[test]
    fn degrees_are_even_and_bounded() {
        assert_eq!([0, 3, 8, 9, 99].map(legal_degree), [2, 2, 8, 8, 24]);
    }
}
