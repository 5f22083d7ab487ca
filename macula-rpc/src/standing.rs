//! Which of the members that offer one pattern count, decided alike at every node.

use std::collections::BTreeSet;

use macula_wire::NodeId;
use macula_wire::message::Invoke;

use crate::Offer;

/// Whose offers of a pattern count, and by what policy calls are spread among them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    pub(crate) invoke: Invoke,
    /// The offer that the policy is that of.
    pub(crate) holder: NodeId,
    /// Those that count.
    pub(crate) within: BTreeSet<NodeId>,
}

impl Standing {
    /// Decides among `offers`; `None` if there are none.
    ///
    /// A takeover puts out all that came before it. Of the others the earliest holds, at the same time the lowest id.
    /// Who has another policy is out, and with [`Invoke::Single`] everybody but the holder.
    pub(crate) fn of<'a>(
        offers: impl Iterator<Item = (NodeId, &'a Offer)> + Clone,
    ) -> Option<Self> {
        let takeovers = offers.clone().filter(|(_, offer)| offer.takeover);
        let since = takeovers
            .map(|(_, offer)| offer.since_ms)
            .max()
            .unwrap_or(0);
        let rest = offers.filter(|(_, offer)| offer.since_ms >= since);
        let earliest = rest
            .clone()
            .min_by_key(|(node, offer)| (offer.since_ms, *node));
        let (holder, held) = earliest?;
        let invoke = held.invoke;
        let counts = |(node, offer): &(NodeId, &Offer)| {
            offer.invoke == invoke && (invoke != Invoke::Single || *node == holder)
        };
        Some(Self {
            invoke,
            holder,
            within: rest.filter(counts).map(|(node, _)| node).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(invoke: Invoke, since_ms: u64) -> Offer {
        let mut offer = Offer::new(1, invoke);
        offer.since_ms = since_ms;
        offer
    }

    fn takeover(invoke: Invoke, since_ms: u64) -> Offer {
        let mut offer = offer(invoke, since_ms);
        offer.takeover = true;
        offer
    }

    /// Who holds and who counts, of nodes that are numbered from 0; the order in which they are told makes no difference.
    fn decide(offers: &[Offer]) -> (u8, Vec<u8>) {
        let nodes = (0..).zip(offers);
        let told: Vec<(NodeId, &Offer)> = nodes
            .map(|(number, offer)| (NodeId::from_bytes([number; 32]), offer))
            .collect();
        let standing = Standing::of(told.iter().copied()).unwrap();
        assert_eq!(
            Standing::of(told.iter().rev().copied()).as_ref(),
            Some(&standing)
        );
        let number = |node: &NodeId| node.as_bytes()[0];
        (
            number(&standing.holder),
            standing.within.iter().map(number).collect(),
        )
    }

    #[test]
    fn the_earliest_policy_holds_and_the_lowest_id_decides_a_tie() {
        let (p2c, hash) = (Invoke::P2c, Invoke::Hash);
        assert_eq!(decide(&[offer(p2c, 5), offer(p2c, 3)]), (1, vec![0, 1]));
        assert_eq!(decide(&[offer(p2c, 5), offer(hash, 3)]), (1, vec![1]));
        assert_eq!(
            decide(&[offer(p2c, 3), offer(hash, 3), offer(p2c, 9)]),
            (0, vec![0, 2])
        );
        assert_eq!(Standing::of(std::iter::empty()), None);
    }

    #[test]
    fn one_alone_counts_where_there_is_to_be_one() {
        let single = Invoke::Single;
        assert_eq!(
            decide(&[offer(single, 4), offer(single, 2), offer(single, 3)]),
            (1, vec![1])
        );
    }

    #[test]
    fn a_takeover_puts_out_whoever_came_before() {
        let (p2c, hash) = (Invoke::P2c, Invoke::Hash);
        let offers = [
            offer(p2c, 1),
            takeover(hash, 5),
            offer(hash, 7),
            offer(p2c, 8),
        ];
        assert_eq!(decide(&offers), (1, vec![1, 2]));
        let offers = [takeover(p2c, 5), takeover(p2c, 9), offer(p2c, 6)];
        assert_eq!(decide(&offers), (1, vec![1]));
    }
}
