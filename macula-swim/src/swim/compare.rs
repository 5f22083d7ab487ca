//! Comparing views with a peer, in case some news was lost on every way.

use std::time::Duration;

use macula_wire::limit::{MAX_UPDATES, MAX_VERSIONS_LISTED};
use macula_wire::message::{
    BucketVersions, DigestPart, MemberVersion, Standing, SwimDigest, SwimGossip, Update,
};
use macula_wire::{Epoch, Incarnation, Instant, NodeId};

use super::{Class, Swim};
use crate::member::{Member, State};
use crate::peers::Peer;
use crate::timer::Timer;

/// How many buckets are compared at a time; the rest has its turn when views are compared again.
const MAX_BUCKETS: usize = 32;
/// The least time between two answers with the buckets to one peer.
const COMPARE_PAUSE: Duration = Duration::from_millis(500);

/// What this node knows of a member in the terms of the comparison.
fn version(member: &Member) -> MemberVersion {
    let (epoch, incarnation) = member.version();
    MemberVersion {
        node: member.node(),
        epoch,
        incarnation,
        standing: match member.state() {
            State::Alive | State::Suspect => Standing::Present,
            State::Left => Standing::Left,
            State::Dead => Standing::Dead,
        },
    }
}

const fn unknown(node: NodeId) -> MemberVersion {
    MemberVersion {
        node,
        epoch: Epoch::new(0),
        incarnation: Incarnation::new(0),
        standing: Standing::Unknown,
    }
}

/// Whether the first knows a member better than the second: by a later version, or that it is gone.
fn is_better(first: &MemberVersion, second: &MemberVersion) -> bool {
    let version = |known: &MemberVersion| (known.epoch, known.incarnation);
    let gone = |known: &MemberVersion| matches!(known.standing, Standing::Left | Standing::Dead);
    if first.standing == Standing::Unknown || second.standing == Standing::Unknown {
        return first.standing != Standing::Unknown && second.standing == Standing::Unknown;
    }
    version(first) > version(second)
        || version(first) == version(second) && gone(first) && !gone(second)
}

impl Swim {
    pub(super) fn on_sync(&mut self) {
        let pause = self.hastened(self.config.sync_period);
        self.after(Timer::Sync, pause);
        // Most accusers have accused once; their allowances are full again by now.
        self.allowances.clear();
        for peer in self.sample(1) {
            self.compare(peer);
        }
    }

    /// Lets a peer say whether its view differs, if it knows this node.
    pub(super) fn compare(&mut self, peer: NodeId) {
        if !self.peers.get(&peer).is_some_and(|peer| peer.greeted) {
            return;
        }
        let part = DigestPart::View(self.digest());
        self.send(peer, Class::Datagram, SwimDigest { part });
    }

    pub(super) fn on_digest(&mut self, from: NodeId, digest: SwimDigest) {
        if !self.hear(from, Vec::new()) {
            return;
        }
        match digest.part {
            DigestPart::View(view) if view != self.digest() => self.on_other_view(from),
            DigestPart::Buckets(buckets) => self.on_buckets(from, &buckets),
            DigestPart::Versions(versions) => self.on_versions(from, &versions),
            DigestPart::View(_) | _ => {}
        }
    }

    fn on_other_view(&mut self, from: NodeId) {
        self.stats.differences = self.stats.differences.saturating_add(1);
        if !self.may_answer(from, |peer| &mut peer.compared) {
            return;
        }
        let part = DigestPart::Buckets(self.members.digest().buckets().to_vec());
        self.send(from, Class::Reliable, SwimDigest { part });
    }

    /// Whether a peer is answered again, which happens once in a pause for each kind of question.
    fn may_answer(&mut self, to: NodeId, last: fn(&mut Peer) -> &mut Option<Instant>) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&to) else {
            return false;
        };
        let last = last(peer);
        let recent = |at| now.saturating_since(at) < COMPARE_PAUSE;
        let may = !last.is_some_and(recent);
        if may {
            *last = Some(now);
        }
        may
    }

    fn on_buckets(&mut self, from: NodeId, buckets: &[u64]) {
        if !self.may_answer(from, |peer| &mut peer.listed) {
            return;
        }
        let differing = self.members.digest().differing(buckets);
        let mut differing: Vec<u8> = differing.collect();
        self.random.shuffle(&mut differing);
        if differing.len() > MAX_BUCKETS {
            let soon = self.within(COMPARE_PAUSE);
            let at = self.now + COMPARE_PAUSE.saturating_add(soon);
            if self.timers.at(Timer::Sync).is_none_or(|set| set > at) {
                self.timers.set(Timer::Sync, at);
            }
            differing.truncate(MAX_BUCKETS);
        }
        for bucket in differing {
            let mut versions: Vec<MemberVersion> =
                self.members.bucket(bucket).map(version).collect();
            versions.sort_by_key(|known| known.node);
            let complete = versions.len() <= MAX_VERSIONS_LISTED;
            if !complete {
                let first = self.random.index(versions.len());
                versions.rotate_left(first);
                versions.truncate(MAX_VERSIONS_LISTED);
                versions.sort_by_key(|known| known.node);
            }
            let part = DigestPart::Versions(BucketVersions {
                bucket,
                complete,
                compare: true,
                versions,
            });
            self.send(from, Class::Reliable, SwimDigest { part });
        }
    }

    /// Tells a peer what this node knows better, and asks for what it knows less well.
    fn on_versions(&mut self, from: NodeId, listed: &BucketVersions) {
        let mut updates = Vec::new();
        let mut lacking = Vec::new();
        for theirs in &listed.versions {
            let known = self.members.get(&theirs.node);
            let own = known.map_or_else(|| unknown(theirs.node), version);
            if is_better(&own, theirs) {
                updates.extend(known.and_then(|known| self.telling(known, theirs)));
            } else if is_better(theirs, &own) {
                lacking.push(own);
            }
        }
        if listed.complete {
            let is_listed = |node: NodeId| {
                let place = listed
                    .versions
                    .binary_search_by_key(&node, |known| known.node);
                place.is_ok()
            };
            for known in self.members.bucket(listed.bucket) {
                if !is_listed(known.node()) {
                    updates.extend(self.telling(known, &unknown(known.node())));
                }
            }
        }
        for part in updates.chunks(MAX_UPDATES) {
            let updates = part.to_vec();
            self.send(from, Class::Reliable, SwimGossip { updates });
        }
        if listed.compare && !lacking.is_empty() {
            let part = DigestPart::Versions(BucketVersions {
                bucket: listed.bucket,
                complete: false,
                compare: false,
                versions: lacking,
            });
            self.send(from, Class::Reliable, SwimDigest { part });
        }
    }

    /// What tells of a member to who knows `theirs` of it. Who does not know one that is gone need not hear of it.
    fn telling(&self, known: &Member, theirs: &MemberVersion) -> Option<Update> {
        match known.state() {
            State::Dead if theirs.standing == Standing::Unknown => None,
            State::Left if theirs.standing == Standing::Unknown => None,
            State::Dead if theirs.standing == Standing::Present => {
                let same = (theirs.epoch, theirs.incarnation) == known.version();
                if same {
                    let evidence = self.members.evidence(&known.node());
                    evidence.map(Update::Dead)
                } else {
                    Some(Update::Record(known.signed()))
                }
            }
            State::Alive | State::Suspect | State::Left | State::Dead => {
                Some(Update::Record(known.signed()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_is_better_and_so_is_the_end_of_one() {
        let known = |epoch, incarnation, standing| MemberVersion {
            node: NodeId::default(),
            epoch: Epoch::new(epoch),
            incarnation: Incarnation::new(incarnation),
            standing,
        };
        let nobody = unknown(NodeId::default());
        let order = [
            nobody,
            known(1, 0, Standing::Present),
            known(1, 0, Standing::Dead),
            known(1, 1, Standing::Present),
            known(1, 1, Standing::Left),
            known(2, 0, Standing::Present),
        ];
        for (at, first) in order.iter().enumerate() {
            for (other, second) in order.iter().enumerate() {
                assert_eq!(is_better(first, second), at > other, "{first:?} {second:?}");
            }
        }
    }
}
