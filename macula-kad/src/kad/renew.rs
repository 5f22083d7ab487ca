//! Later versions of the records of this node: before the time of one is over, and when others know a later one than it has.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::RecordId;
use macula_wire::message::{Contact, KadDigest, RecordVersion, SignedRoutingRecord};

use super::Kad;
use super::publish::millis;
use super::request::Purpose;
use crate::distance::record_id;
use crate::timer::Timer;

/// The shortest time from one version of a record to the next.
const RENEWAL: Duration = Duration::from_secs(1);
/// How long further versions of an earlier run are waited for.
const TOGETHER: Duration = Duration::from_millis(50);
/// The highest sequence that is followed: no clock shows it, and nothing could follow the highest of all.
const HIGHEST: u64 = u64::MAX / 2;
/// How many messages may be under way to one owner that name later versions of its records.
const MAX_NAMING: usize = 64;

impl Kad {
    pub(super) fn plan_renewal(&mut self, id: RecordId, lease: Duration) {
        let half = lease.div_f64(2.0);
        let jitter = self.random.below(millis(half.div_f64(4.0)).max(1));
        let early = Duration::from_millis(jitter);
        self.after(Timer::Renew(id), half.saturating_sub(early).max(RENEWAL));
    }

    /// The lease of a record is half over, or the time of one that is withdrawn, or others know a later version.
    pub(super) fn on_renew(&mut self, id: RecordId) {
        let (wall, now) = (self.wall_ms(), self.now);
        let Some(own) = self.owns.get_mut(&id) else {
            return;
        };
        let inner = &own.record.record;
        if inner.withdrawn {
            if inner.expires_ms.max(own.until_ms) > wall {
                self.sign_withdrawal(&id);
            }
            return self.forget_withdrawn();
        }
        let (content, lease) = (inner.content.clone(), own.lease);
        let expires = wall.saturating_add(millis(lease));
        if let Ok(record) = self.pen.sign(content, false, wall, expires) {
            own.record = record;
            own.signed = now;
            own.told.clear();
        }
        self.plan_renewal(id, lease);
        self.tell(id);
    }

    /// Somebody keeps these records. Of its own ones this node makes versions that are later than all that it signed
    /// before, whatever its clock said then; what others signed in its name does not count.
    pub(super) fn outdo(&mut self, records: &[Arc<SignedRoutingRecord>], forged: &[usize]) {
        for (index, record) in records.iter().enumerate() {
            if record.record.owner == self.own && !forged.contains(&index) {
                self.outdo_one(record);
            }
        }
    }

    fn outdo_one(&mut self, signed: &SignedRoutingRecord) {
        let inner = &signed.record;
        if inner.sequence > HIGHEST || self.store.judge(inner, self.wall_ms()).is_err() {
            return;
        }
        let id = record_id(&self.own, &inner.content);
        let Some(own) = self.owns.get_mut(&id) else {
            return self.pen.number_from(inner.sequence.saturating_add(1));
        };
        let known = &own.record.record;
        if known.sequence > inner.sequence || known == inner {
            return;
        }
        own.until_ms = own.until_ms.max(inner.expires_ms);
        // If another node has the same key, each would outdo the other without end.
        let at = (own.signed + RENEWAL).max(self.now + TOGETHER);
        self.pen.number_from(inner.sequence.saturating_add(1));
        self.timers.arm(Timer::Renew(id), at);
    }

    /// Names to the owner of some records later versions than it sent, so that it asks for them and outdoes them.
    pub(super) fn name_later(&mut self, owner: Arc<Contact>, mut versions: Vec<RecordVersion>) {
        let naming = self.requests.to(&owner.node);
        let naming = naming.filter(|(_, purpose)| matches!(purpose, Purpose::Digest(_)));
        if versions.is_empty() || naming.count() >= MAX_NAMING {
            return;
        }
        versions.sort_unstable_by_key(|version| version.id);
        versions.dedup();
        let ids: Arc<[RecordId]> = versions.iter().map(|version| version.id).collect();
        self.request(owner, Purpose::Digest(ids), |request| {
            KadDigest { request, versions }.into()
        });
    }

    /// Forgets withdrawals whose time is over. Until then some node may come back that kept what was withdrawn, and has to be
    /// told. No more are remembered than there may be records; those that end first are forgotten.
    pub(super) fn forget_withdrawn(&mut self) {
        let wall = self.wall_ms();
        while let Some((expires, id)) = self.withdrawn.first().copied()
            && (expires <= wall || self.withdrawn.len() > self.config.max_own_records)
        {
            self.withdrawn.pop_first();
            self.timers.cancel(Timer::Renew(id));
            self.owns.remove(&id);
        }
    }
}
