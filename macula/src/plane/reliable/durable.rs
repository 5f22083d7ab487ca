//! Kept events that outlive the node: writing them down, and taking them up again.

use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Custody, Destination, GroupMatch, GroupOffer, Offer};
use macula_transport::OutFrame;
use macula_wire::message::{Alias, Body, Message, Priority};
use macula_wire::{DeliveryId, ErrorCode, FrameDecoder, Machine, NodeId, limit};

use super::publish::Owed;
use super::{Machines, Parcel};
use crate::Error;
use crate::event::Origin;
use crate::log::{EventLog, GroupRecord, KeptRecord, Record};
use crate::plane::Plane;
use crate::plane::egress::Feed;

/// Events that were offered to the buffer, and to whom.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) id: DeliveryId,
    pub(super) parcel: Parcel,
    pub(super) to: Vec<Destination>,
    pub(super) group: Option<GroupMatch>,
    /// Who of the group was chosen.
    pub(super) chosen: Option<Destination>,
}

impl Plane {
    /// Whether events can be kept on disk.
    pub(crate) fn check_event_log(&self) -> Result<(), Error> {
        match &self.reliable.log {
            Some(log) => log.check(),
            None => Err(Error::new(
                ErrorCode::UNSUPPORTED_FEATURE,
                "this node keeps no events on disk: give it a folder for them",
            )),
        }
    }

    /// Sees to it that the ids of a batch are not used again by a later run of the node.
    pub(super) async fn reserve_ids(&self, parcel: &Parcel, owed: &Owed) -> Result<(), Error> {
        let Some(log) = &self.reliable.log else {
            return Ok(());
        };
        let count = u64::try_from(parcel.batch().entries.count()).unwrap_or(u64::MAX);
        let times = u64::try_from(owed.groups.len())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let next = self.reliable.lock().replay.next_id();
        let all = count.saturating_mul(times);
        log.reserve(next.get().saturating_add(all)).await
    }

    /// Writes down what other members are owed. What the subscriptions and clients of this node are owed ends with it.
    pub(super) async fn write_down(&self, offers: &[Offered]) -> Result<(), Error> {
        let Some(log) = &self.reliable.log else {
            return Ok(());
        };
        let mut records = Vec::new();
        for offered in offers {
            if let Some(record) = self.record_of(offered) {
                offered.parcel.stands_in(log, offered.id);
                records.push(Record::Kept(Box::new(record)));
            }
        }
        if records.is_empty() {
            return log.check();
        }
        log.append(records).await
    }

    fn record_of(&self, offered: &Offered) -> Option<KeptRecord> {
        let to = members(&offered.to);
        let group = offered.group.as_ref().map(|group| GroupRecord {
            name: group.name.to_string(),
            balance: group.balance,
            members: members(&group.members),
            chosen: members(offered.chosen.as_slice()).pop(),
        });
        let is_for_others =
            !to.is_empty() || group.as_ref().is_some_and(|one| !one.members.is_empty());
        if !is_for_others {
            return None;
        }
        let (feed, batch) = (offered.parcel.feed(), offered.parcel.batch());
        let alias = Alias {
            publisher: feed.publisher,
            epoch: feed.epoch,
            alias: feed.alias,
            topic: feed.topic.clone(),
            next: batch.base,
            chain: feed.chain.clone(),
        };
        let expires_ms = offered.parcel.left().map_or(0, |ttl| {
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            self.clock.unix_ms().saturating_add(ttl)
        });
        Some(KeptRecord {
            id: offered.id.get(),
            expires_ms,
            class: offered.parcel.origin().priority as u8,
            to,
            group,
            alias: Message::from(alias).to_bytes().ok()?,
            batch: Message::from(Body::Batch(batch.clone())).to_bytes().ok()?,
        })
    }

    /// Takes up what an earlier run of this node owed to other members. `next` is the first id that it did not use.
    pub(crate) fn take_up(self: &Arc<Self>, kept: Vec<KeptRecord>, next: u64) {
        let Some(log) = self.reliable.log.clone() else {
            return;
        };
        let unix_ms = self.clock.unix_ms();
        self.reliably(|machines, now| {
            machines.replay.sent_before(DeliveryId::new(next));
            for record in kept {
                let is_over = record.expires_ms != 0 && record.expires_ms <= unix_ms;
                let left = record.expires_ms.saturating_sub(unix_ms);
                let ttl = (record.expires_ms != 0).then(|| Duration::from_millis(left));
                let id = record.id;
                let offer = if is_over { None } else { offer_of(record, ttl) };
                let Some(offer) = offer else {
                    log.forget(id);
                    continue;
                };
                machines.restore(now, &log, DeliveryId::new(id), offer);
            }
            machines.replay.begin_at(DeliveryId::new(next));
            machines.replay.handle_timeout(now);
        });
    }
}

impl Machines {
    fn restore(
        &mut self,
        now: macula_wire::Instant,
        log: &Arc<EventLog>,
        id: DeliveryId,
        offer: Offer<Parcel>,
    ) {
        let parcel = offer.payload.clone();
        parcel.stands_in(log, id);
        self.replay.begin_at(id);
        if let Err(error) = self.replay.offer(now, offer) {
            tracing::error!(%error, topic = %parcel.origin().topic, "what was owed does not fit the buffer");
        }
    }
}

/// What was owed, as it was offered once.
fn offer_of(record: KeptRecord, ttl: Option<Duration>) -> Option<Offer<Parcel>> {
    let Body::Alias(alias) = body_of(record.alias)? else {
        return None;
    };
    let Body::Batch(mut batch) = body_of(record.batch)? else {
        return None;
    };
    let class = *Priority::ALL
        .iter()
        .find(|one| **one as u8 == record.class)?;
    let count = u32::try_from(batch.entries.count()).ok()?;
    let bytes = batch.entries.encoded().len();
    let origin = Arc::new(Origin {
        publisher: alias.publisher,
        epoch: alias.epoch,
        topic: alias.topic.clone(),
        priority: class,
    });
    let feed = Arc::new(Feed {
        publisher: alias.publisher,
        epoch: alias.epoch,
        alias: alias.alias,
        topic: alias.topic,
        chain: alias.chain,
    });
    if let Some(ttl) = ttl {
        batch.ttl_ms = Some(u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX).max(1));
    }
    let frame = OutFrame::message(&Message::from(Body::Batch(batch.clone()))).ok()?;
    let parcel = Parcel::new(origin, feed, batch, frame);
    let group = record.group.map(|group| {
        let members = group.members.into_iter().map(Destination::Member).collect();
        // It knows whether it had the event; another one does not.
        let chosen = group.chosen.map(Destination::Member);
        let key = parcel.key();
        GroupOffer {
            name: group.name,
            balance: group.balance,
            candidates: members,
            key,
            max_deliver: 0,
            chosen,
        }
    });
    Some(Offer {
        payload: parcel,
        count,
        bytes,
        class,
        ttl,
        custody: Custody::Own,
        owed: record.to.into_iter().map(Destination::Member).collect(),
        // That one of the group had it may not have come to the log.
        attempt: u32::from(group.is_some()),
        group,
        upstream: None,
        receipts: None,
    })
}

fn body_of(frame: Vec<u8>) -> Option<Body> {
    let mut decoder = FrameDecoder::new(limit::FORMAT_MAX_FRAME_LEN);
    decoder.push(frame.into());
    let frame = decoder.next_frame().ok().flatten()?;
    Some(Message::decode(&frame).ok()?.body)
}

pub(super) fn members(all: &[Destination]) -> Vec<NodeId> {
    let member = |to: &Destination| match to {
        Destination::Member(node) => Some(*node),
        Destination::Local(_) | Destination::Session(_) => None,
    };
    all.iter().filter_map(member).collect()
}
