//! What a network does to the packets of one direction between two nodes.

use std::time::Duration;

/// How much later a packet leaves that others overtake.
const OVERTAKEN_BY: Duration = Duration::from_millis(30);

/// A part of all packets, from 0 to 100.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::mesh) struct Percent(u8);

impl Percent {
    /// Every packet.
    pub(in crate::mesh) const ALL: Self = Self(100);

    /// `part` of a hundred packets; more than a hundred count as all.
    pub(in crate::mesh) const fn of(part: u8) -> Self {
        Self(if part > 100 { 100 } else { part })
    }

    /// The number.
    pub(in crate::mesh) const fn get(self) -> u8 {
        self.0
    }
}

/// What happens to packets; nothing by default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::mesh) struct Fault {
    /// How many are lost.
    pub(in crate::mesh) loss: Percent,
    /// How many arrive twice.
    pub(in crate::mesh) twice: Percent,
    /// How many are overtaken by later ones.
    pub(in crate::mesh) overtaken: Percent,
    /// How long all of them take.
    pub(in crate::mesh) delay: Duration,
}

impl Fault {
    /// Nothing gets through.
    pub(in crate::mesh) fn cut() -> Self {
        Self::loss(Percent::ALL)
    }

    /// A part of all packets is lost.
    pub(in crate::mesh) fn loss(loss: Percent) -> Self {
        Self {
            loss,
            ..Self::default()
        }
    }
}

/// How many packets met with what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::mesh) struct Tally {
    /// They arrived.
    pub(in crate::mesh) passed: u64,
    /// They were lost by a fault.
    pub(in crate::mesh) lost: u64,
    /// They arrived twice.
    pub(in crate::mesh) doubled: u64,
    /// They were held back, so that others overtook them.
    pub(in crate::mesh) overtaken: u64,
}

impl Tally {
    /// Both together.
    pub(in crate::mesh) const fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed.saturating_add(other.passed),
            lost: self.lost.saturating_add(other.lost),
            doubled: self.doubled.saturating_add(other.doubled),
            overtaken: self.overtaken.saturating_add(other.overtaken),
        }
    }

    /// What happened since `before`, which was earlier.
    pub(in crate::mesh) const fn since(self, before: Self) -> Self {
        Self {
            passed: self.passed.saturating_sub(before.passed),
            lost: self.lost.saturating_sub(before.lost),
            doubled: self.doubled.saturating_sub(before.doubled),
            overtaken: self.overtaken.saturating_sub(before.overtaken),
        }
    }
}

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) fault: Fault,
    pub(super) tally: Tally,
}

/// When the copies of a packet leave: none, one or two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Copies {
    pub(super) first: Option<Duration>,
    pub(super) second: Option<Duration>,
}

impl Lane {
    /// Decides about the next packet.
    pub(super) fn judge(&mut self, dice: &mut Dice) -> Copies {
        let (fault, tally) = (self.fault, &mut self.tally);
        if dice.falls(fault.loss) {
            tally.lost = tally.lost.saturating_add(1);
            return Copies::default();
        }
        tally.passed = tally.passed.saturating_add(1);
        let mut first = fault.delay;
        if dice.falls(fault.overtaken) {
            tally.overtaken = tally.overtaken.saturating_add(1);
            first = first.saturating_add(OVERTAKEN_BY);
        }
        let second = dice.falls(fault.twice).then_some(fault.delay);
        if second.is_some() {
            tally.doubled = tally.doubled.saturating_add(1);
        }
        Copies {
            first: Some(first),
            second,
        }
    }
}

/// Chance, by a generator of 64 bits (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Whether the next packet is one of `part`.
    pub(super) fn falls(&mut self, part: Percent) -> bool {
        // Most lanes are sound, and need no chance.
        part.get() > 0 && self.below_hundred() < u64::from(part.get())
    }

    const fn below_hundred(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fault: Fault, packets: u32) -> Tally {
        let mut lane = Lane {
            fault,
            ..Lane::default()
        };
        let mut dice = Dice::new(7);
        for _ in 0..packets {
            lane.judge(&mut dice);
        }
        lane.tally
    }

    #[test]
    fn a_sound_lane_passes_every_packet_once_and_at_once() {
        let copies = Lane::default().judge(&mut Dice::new(1));
        assert_eq!(copies.first, Some(Duration::ZERO));
        assert_eq!(copies.second, None);
        let tally = judged(Fault::default(), 1_000);
        assert_eq!((tally.passed, tally.lost), (1_000, 0));
    }

    #[test]
    fn a_cut_lane_passes_nothing() {
        let tally = judged(Fault::cut(), 1_000);
        assert_eq!((tally.passed, tally.lost), (0, 1_000));
    }

    #[test]
    fn each_fault_meets_its_part_of_the_packets() {
        let fault = Fault {
            loss: Percent::of(10),
            twice: Percent::of(20),
            overtaken: Percent::of(50),
            delay: Duration::from_millis(5),
        };
        let tally = judged(fault, 100_000);
        let near = |found: u64, wanted: u64| found.abs_diff(wanted) < wanted / 20;
        assert!(near(tally.lost, 10_000), "{tally:?}");
        assert!(near(tally.doubled, 18_000), "{tally:?}");
        assert!(near(tally.overtaken, 45_000), "{tally:?}");
    }

    #[test]
    fn a_packet_that_is_overtaken_leaves_behind_the_next_one() {
        let mut lane = Lane {
            fault: Fault {
                overtaken: Percent::ALL,
                delay: Duration::from_millis(5),
                ..Fault::default()
            },
            ..Lane::default()
        };
        let copies = lane.judge(&mut Dice::new(1));
        assert_eq!(copies.first, Some(Duration::from_millis(35)));
    }
}
