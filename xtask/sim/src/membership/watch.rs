//! What a run of membership is watched for: who suspects and declares dead whom, and when.

use std::time::Duration;

use macula_testkit::NodeIndex;
use macula_wire::Instant;

/// How long after the last suspicion of a member the next one counts as another.
const EPISODE: Duration = Duration::from_secs(10);

/// One killed node, and what became known of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Killed {
    node: NodeIndex,
    at: Instant,
    /// How many have to know until it counts as known to 99 %.
    enough: usize,
    suspected: Option<Instant>,
    dead: Option<Instant>,
    spread: Option<Instant>,
    knowing: usize,
}

impl Killed {
    /// Seconds from the kill to the first suspicion.
    pub(crate) fn first_suspect(&self) -> Option<f64> {
        Some(self.suspected?.saturating_since(self.at).as_secs_f64())
    }

    /// Seconds from the kill to the first verdict.
    pub(crate) fn first_dead(&self) -> Option<f64> {
        Some(self.dead?.saturating_since(self.at).as_secs_f64())
    }

    /// Seconds from the first verdict until 99 % know.
    pub(crate) fn spread(&self) -> Option<f64> {
        Some(self.spread?.saturating_since(self.dead?).as_secs_f64())
    }
}

/// What counts as healthy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Subject {
    /// It was killed, or has left.
    gone: bool,
    /// It stands still now and then, so that a verdict on it is not false.
    slow: bool,
    suspected: Option<Instant>,
    declared: bool,
}

/// Counts of verdicts and suspicions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Verdicts on live and healthy members: each observer and subject counts.
    pub(crate) false_dead: usize,
    /// The same, with a healthy observer.
    pub(crate) false_dead_healthy: usize,
    /// Healthy members that were declared dead by anybody.
    pub(crate) false_dead_subjects: usize,
    /// Suspicions of live and healthy members, each spell counted once, whoever holds it.
    pub(crate) suspicions: usize,
}

/// Watches a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    subjects: Vec<Subject>,
    killed: Option<Killed>,
    counts: Counts,
    detections: Vec<f64>,
}

impl Watch {
    /// Watches `count` nodes.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            subjects: vec![Subject::default(); count],
            ..Self::default()
        }
    }

    /// The counts so far.
    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// The node that was killed last.
    pub(crate) const fn killed(&self) -> Option<&Killed> {
        self.killed.as_ref()
    }

    /// Seconds from each kill to each verdict on it, until the next kill.
    pub(crate) fn detections(&self) -> impl Iterator<Item = f64> {
        self.detections.iter().copied()
    }

    /// Whether 99 % know of the node that was killed last.
    pub(crate) fn has_spread(&self) -> bool {
        self.killed.is_none_or(|killed| killed.spread.is_some())
    }

    /// A node is killed, after which `live` are left.
    pub(crate) fn kill(&mut self, now: Instant, node: NodeIndex, live: usize) {
        if let Some(subject) = self.subjects.get_mut(node.get()) {
            subject.gone = true;
        }
        self.killed = Some(Killed {
            node,
            at: now,
            enough: live.saturating_mul(99).div_ceil(100),
            suspected: None,
            dead: None,
            spread: None,
            knowing: 0,
        });
    }

    /// Whether a node was killed.
    pub(crate) fn is_gone(&self, node: NodeIndex) -> bool {
        self.subjects
            .get(node.get())
            .is_some_and(|subject| subject.gone)
    }

    /// A node stands still now and then.
    pub(crate) fn slow(&mut self, node: NodeIndex) {
        if let Some(subject) = self.subjects.get_mut(node.get()) {
            subject.slow = true;
        }
    }

    /// `subject` is suspected by somebody.
    pub(crate) fn suspect(&mut self, now: Instant, subject: NodeIndex) {
        if let Some(killed) = self.killed.as_mut().filter(|killed| killed.node == subject) {
            killed.suspected = killed.suspected.or(Some(now));
        }
        let Some(subject) = self.subjects.get_mut(subject.get()) else {
            return;
        };
        if subject.gone || subject.slow {
            return;
        }
        let last = subject.suspected.replace(now);
        if last.is_none_or(|last| now.saturating_since(last) > EPISODE) {
            self.counts.suspicions = self.counts.suspicions.saturating_add(1);
        }
    }

    /// `observer` declares `subject` dead, or hears that it is.
    pub(crate) fn dead(&mut self, now: Instant, observer: NodeIndex, subject: NodeIndex) {
        if let Some(killed) = self.killed.as_mut().filter(|killed| killed.node == subject) {
            // Whoever declares dead at once has suspected as well.
            killed.suspected = killed.suspected.or(Some(now));
            killed.dead = killed.dead.or(Some(now));
            killed.knowing = killed.knowing.saturating_add(1);
            let took = now.saturating_since(killed.at);
            self.detections.push(took.as_secs_f64());
            if killed.knowing == killed.enough {
                killed.spread = Some(now);
            }
        }
        let healthy = self
            .subjects
            .get(observer.get())
            .is_some_and(|node| !node.slow);
        let Some(subject) = self.subjects.get_mut(subject.get()) else {
            return;
        };
        if subject.gone || subject.slow {
            return;
        }
        let counts = &mut self.counts;
        counts.false_dead = counts.false_dead.saturating_add(1);
        if healthy {
            counts.false_dead_healthy = counts.false_dead_healthy.saturating_add(1);
        }
        if !subject.declared {
            subject.declared = true;
            counts.false_dead_subjects = counts.false_dead_subjects.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const fn node(index: usize) -> NodeIndex {
        NodeIndex::new(index)
    }

    #[test]
    fn a_kill_is_followed_until_nearly_all_know() {
        let mut watch = Watch::new(101);
        watch.kill(at(1_000), node(0), 100);
        watch.suspect(at(2_500), node(0));
        watch.suspect(at(2_600), node(0));
        for observer in 1..=98 {
            watch.dead(at(5_000 + observer), node(1), node(0));
        }
        assert!(!watch.has_spread());
        watch.dead(at(6_001), node(2), node(0));
        assert!(watch.has_spread());
        watch.dead(at(9_000), node(3), node(0));
        let killed = watch.killed().unwrap();
        assert_eq!(killed.first_suspect(), Some(1.5));
        assert_eq!(killed.first_dead(), Some(4.001));
        assert_eq!(killed.spread(), Some(1.0));
        assert_eq!(watch.detections().count(), 100);
        assert_eq!(watch.detections().last(), Some(8.0));
        assert_eq!(watch.counts(), Counts::default());
    }

    #[test]
    fn verdicts_on_the_live_are_false_and_those_on_the_slow_are_not() {
        let mut watch = Watch::new(10);
        watch.slow(node(1));
        watch.dead(at(1), node(0), node(1));
        assert_eq!(watch.counts(), Counts::default());
        watch.dead(at(2), node(1), node(2));
        watch.dead(at(3), node(3), node(2));
        watch.suspect(at(4), node(4));
        watch.suspect(at(5), node(4));
        watch.suspect(at(20_000), node(4));
        let counts = watch.counts();
        assert_eq!((counts.false_dead, counts.false_dead_healthy), (2, 1));
        assert_eq!((counts.false_dead_subjects, counts.suspicions), (1, 2));
    }
}
