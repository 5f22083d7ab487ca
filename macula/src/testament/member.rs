//! What members leave behind: a value in the realm's routing, which the live member closest to it carries out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_kad::{Distance, key, position};
use macula_wire::message::{RecordContent, RecordKind, SignedRoutingRecord, ValueContent};
use macula_wire::{
    ContentType, Epoch, ErrorCode, MediaType, NodeId, RealmName, Testament, Testaments, Topic,
    limit,
};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::{MAX_DELAY, MAX_TESTAMENTS, TestamentOn, left, publish};
use crate::machine::{MemberEvent, NodeMachine};
use crate::node::{Node, WeakNode, value_of};
use crate::{Error, EventOptions};

/// How long it holds without the member that left it.
const LEASE: Duration = Duration::from_secs(48 * 3_600);
/// How long somebody else may have to carry out a testament because the one that had to is lost as well.
const RECENT: Duration = Duration::from_secs(60);
/// Of how many lost members that is watched. Beyond them the oldest are left to the one that has to.
const MAX_RECENT: usize = 1_024;

/// A member that has gone.
#[derive(Clone, Debug)]
struct Gone {
    node: NodeId,
    has_left: bool,
    /// Its last run, which numbered what it left behind from there on.
    epoch: Epoch,
    at: Instant,
    /// Who has to carry out what it left behind.
    executor: Option<NodeId>,
}

impl Node {
    /// Leaves an event behind, which another member publishes under its own id `delay` after this node is taken for dead, or has
    /// left; at most 16, of 64 KiB together, and a day. Nothing is published if this node is back by then.
    /// [`Event::testator`](crate::Event::testator) says whose it is.
    ///
    /// The members closest to it in the realm's routing keep it, some hundred milliseconds after this has returned; the closest
    /// of them that lives carries it out. Where members do not agree who that is, each of them may: subscribers see it
    /// once, because it has a `dedup_id`, one of its own if `options` name none.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](ErrorCode::INVALID_NAME), [`INVALID_ARGUMENT`](ErrorCode::INVALID_ARGUMENT) for options that cannot
    /// be, [`DENIED`](ErrorCode::DENIED) if this node may not publish on the topic,
    /// [`QUOTA_EXCEEDED`](ErrorCode::QUOTA_EXCEEDED) beyond the limits, and
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped. What was left behind before stays.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the event may or may not be left behind.
    pub async fn leave_behind(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        options: &EventOptions,
        on: TestamentOn,
        delay: Duration,
    ) -> Result<(), Error> {
        if delay > MAX_DELAY {
            let detail = "the delay is over a day";
            return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        }
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.plane().check_publish(&topic)?;
        let mut publish = left(topic, payload.into(), options)?;
        let mut kept = self.testaments().await;
        if publish.dedup.is_none() {
            let epoch = self.plane().epoch.get();
            let name = format!("testament-{epoch:x}-{}", kept.len());
            publish.dedup = Some(name.into());
        }
        let testament = Testament {
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            on_leave: on == TestamentOn::Ended,
            publish,
        };
        let mut list = kept.clone();
        list.push(testament);
        let value = encoded(&list)?;
        self.tell_testaments(Some(value)).await?;
        *kept = list;
        Ok(())
    }

    /// Takes back all that this node left behind.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn revoke_testaments(&self) -> Result<(), Error> {
        let mut kept = self.testaments().await;
        self.tell_testaments(None).await?;
        kept.clear();
        Ok(())
    }

    async fn tell_testaments(&self, value: Option<Bytes>) -> Result<(), Error> {
        let Some(name) = name_of(&self.node_id()) else {
            return Err(Error::new(ErrorCode::INTERNAL, "an id is no name"));
        };
        let media_type = MediaType::new(limit::TESTAMENT_TYPE);
        let is_there = value.is_some();
        let content = RecordContent::Value(ValueContent {
            name,
            content: media_type.map_or(ContentType::Bytes, ContentType::Named),
            value: value.unwrap_or_default(),
        });
        let id = macula_kad::record_id(&self.node_id(), &content);
        let told = self.command(move |machine: &mut NodeMachine, now| {
            let kad = machine.kad_mut();
            if is_there {
                return kad.publish_for(now, content, LEASE).map(drop);
            }
            kad.withdraw(now, &id);
            Ok(())
        });
        told.await?
            .map_err(|error| Error::caused(ErrorCode::QUOTA_EXCEEDED, error.to_string(), error))
    }
}

fn encoded(list: &[Testament]) -> Result<Bytes, Error> {
    let all = Testaments {
        list: list.to_vec(),
    };
    let mut bytes = Vec::new();
    let written = all.encode(&mut bytes);
    if written.is_err() || bytes.len() > limit::MAX_VALUE_LEN {
        let detail = format!(
            "a node leaves at most {MAX_TESTAMENTS} events behind, of {} bytes together",
            limit::MAX_VALUE_LEN
        );
        return Err(Error::new(ErrorCode::QUOTA_EXCEEDED, detail));
    }
    Ok(bytes.into())
}

pub(crate) fn name_of(node: &NodeId) -> Option<Topic> {
    Topic::new(&format!("{}.{node}", limit::TESTAMENT_SEGMENT)).ok()
}

/// Carries out what members leave behind, where this node has to. Runs as long as the node does.
pub(crate) async fn execute(node: WeakNode, mut events: Receiver<MemberEvent>) {
    let mut recent: VecDeque<Gone> = VecDeque::new();
    loop {
        let (gone, has_left) = match events.recv().await {
            Ok(MemberEvent::Down(gone)) => (gone, false),
            Ok(MemberEvent::Left(gone)) => (gone, true),
            // Of what was missed the next executor, if that dies, is not looked for.
            Ok(_) | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let Some(node) = node.upgrade() else {
            return;
        };
        let now = Instant::now();
        recent.retain(|one| now.saturating_duration_since(one.at) < RECENT);
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(Gone {
            node: gone,
            has_left,
            epoch: Epoch::new(0),
            at: now,
            executor: None,
        });
        let orphaned = recent
            .iter_mut()
            .filter(|one| one.node == gone || one.executor == Some(gone));
        for one in orphaned {
            let Ok(known) = executor(&node, one.node).await else {
                return;
            };
            let Some((executor, epoch)) = known else {
                continue;
            };
            (one.executor, one.epoch) = (Some(executor), epoch);
            if executor == node.node_id() {
                let (weak, gone) = (node.downgrade(), one.clone());
                node.plane().tasks.spawn("testament", carry_out(weak, gone));
            }
        }
    }
}

/// Which live member is closest to what `gone` left behind, and what the last run of `gone` is.
async fn executor(node: &Node, gone: NodeId) -> Result<Option<(NodeId, Epoch)>, Error> {
    let (own, realm): (NodeId, RealmName) = (node.node_id(), node.realm().clone());
    node.command(move |machine, _| {
        let name = name_of(&gone)?;
        let epoch = machine.swim().member(&gone)?.epoch();
        let at = key(&realm, RecordKind::Value, name.as_str());
        let known = machine.kad().closest_known(&at, 2);
        let others = known.iter().map(|contact| contact.node);
        let closest = others
            .chain([own])
            .filter(|one| *one != gone)
            .min_by_key(|one| Distance::between(&position(one), &at))?;
        Some((closest, epoch))
    })
    .await
}

/// Looks up what a member left behind, and publishes it when its time has come.
async fn carry_out(node: WeakNode, gone: Gone) {
    let found = match (node.upgrade(), name_of(&gone.node)) {
        (Some(node), Some(name)) => node.values_under(name.as_str()).await,
        _ => return,
    };
    let records = match found {
        Ok(records) => records,
        Err(error) => {
            let member = gone.node.short();
            return tracing::warn!(%member, %error, "what a lost member left behind was not found");
        }
    };
    let of_last_run = |record: &&Arc<SignedRoutingRecord>| {
        let record = &record.record;
        record.owner == gone.node && record.sequence >= gone.epoch.get()
    };
    let value = records
        .iter()
        .find(of_last_run)
        .and_then(|record| value_of(record, limit::TESTAMENT_TYPE));
    let Some(Ok(all)) = value.map(Testaments::decode) else {
        return;
    };
    let due = all
        .list
        .into_iter()
        .filter(|one| one.on_leave || !gone.has_left);
    for testament in due {
        let Some(running) = node.upgrade() else {
            return;
        };
        let (weak, gone) = (node.clone(), gone.clone());
        let wait = Duration::from_millis(testament.delay_ms).min(MAX_DELAY);
        running.plane().tasks.spawn("testament", async move {
            tokio::time::sleep_until(gone.at.checked_add(wait).unwrap_or(gone.at)).await;
            let Some(node) = weak.upgrade() else {
                return;
            };
            if !wait.is_zero() && is_back(&node, gone.node).await {
                return;
            }
            let topic = testament.publish.topic.clone();
            let plane = node.plane();
            let published = match plane.check_publish(&topic) {
                Ok(()) => publish(plane, testament.publish, gone.node).await,
                Err(error) => Err(error),
            };
            if let Err(error) = published {
                tracing::warn!(%topic, %error, "a member's testament could not be published");
            }
        });
    }
}

async fn is_back(node: &Node, gone: NodeId) -> bool {
    let present = move |machine: &mut NodeMachine, _| {
        let member = machine.swim().member(&gone);
        member.is_some_and(|member| member.state().is_present())
    };
    node.command(present).await.unwrap_or(false)
}
