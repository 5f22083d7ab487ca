//! Reading one event stream: prove, put in order, deliver, pass on.

mod along;
mod arrival;
mod kept;
mod publish;
mod single;
mod watching;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use macula_pubsub::Source;
use macula_transport::{FrameReceiver, LinkError};
use macula_wire::message::{Alias, Body, Debts, Deliver, Kind, Message, Priority, Role, Roles};
use macula_wire::{
    Batch, DecodeError, Epoch, ErrorCode, Frame, NodeId, Sequence, Topic, TopicAlias,
};

pub(crate) use self::arrival::with_hops;

use self::along::{ALONG_A_TREE, Joined};
use self::arrival::one_hop_less;
use super::Plane;
use super::counters::add;
use super::egress::Feed;
use super::links::Attached;
use super::route::{Receivers, RouteCache};
use super::topic::wait_for_room;
use super::watches::Use;
use crate::event::Origin;

/// The most aliases of one stream; beyond it the stream is stopped.
const MAX_ALIASES: usize = 65_536;

/// A publisher's topic as one stream announced it.
struct Announced {
    origin: Arc<Origin>,
    feed: Arc<Feed>,
    route: RouteCache,
    proof: Proof,
    /// That those who want it are watched, where a client publishes it.
    used: Option<Arc<Use>>,
    /// Whether this node publishes what comes as its own: once a group wants a client's events, which the client cannot
    /// keep for it, and from then on, so that nobody sees a hole in the client's own numbers.
    is_taken_over: AtomicBool,
    joined: Joined,
}

/// Why the batches of a topic are believed to be their publisher's.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Proof {
    /// The publisher is the peer of the link.
    Link,
    /// Each batch has to carry the publisher's signature; the announcement carried its certificates.
    Signature,
}

/// Reads one event stream to its end.
pub(crate) struct Ingress {
    plane: Arc<Plane>,
    attached: Arc<Attached>,
    source: Source,
    priority: Priority,
    announced: BTreeMap<(NodeId, Epoch, TopicAlias), Arc<Announced>>,
    /// The latest run of each publisher; numbers of earlier ones are forgotten.
    epochs: BTreeMap<NodeId, Epoch>,
    /// What the batch that comes next is kept under.
    deliver: Option<Deliver>,
    /// Who else is owed it.
    debts: Option<Debts>,
}

impl Ingress {
    pub(crate) fn new(plane: Arc<Plane>, attached: Arc<Attached>, priority: Priority) -> Self {
        let source = match attached.session() {
            Some(session) => Source::Session(session),
            None => Source::Member(attached.link.peer().node),
        };
        Self {
            plane,
            attached,
            source,
            priority,
            announced: BTreeMap::new(),
            epochs: BTreeMap::new(),
            deliver: None,
            debts: None,
        }
    }

    /// Runs until the stream ends or breaks the protocol.
    pub(crate) async fn run(mut self, mut stream: FrameReceiver) {
        loop {
            let frame = match stream.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(LinkError::Protocol(error)) => return self.misbehaved(&mut stream, &error),
                Err(_) => return,
            };
            if let Err(error) = self.frame(frame).await {
                return self.misbehaved(&mut stream, &error);
            }
        }
    }

    fn misbehaved(&self, stream: &mut FrameReceiver, error: &DecodeError) {
        add(&self.plane.counters.misbehaved, 1);
        tracing::warn!(peer = %self.attached.link.peer().node.short(), %error, "event stream stopped");
        stream.stop(ErrorCode::PROTOCOL_VIOLATION);
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), DecodeError> {
        let body = match Message::decode(&frame) {
            Ok(message) => message.body,
            // Numbers of later versions are passed over.
            Err(DecodeError::UnknownKind { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.deliver.is_some() && !matches!(body, Body::Batch(_) | Body::Event(_)) {
            return Err(unexpected(Kind::Deliver));
        }
        if self.debts.is_some() && self.deliver.is_none() && !matches!(body, Body::Deliver(_)) {
            return Err(unexpected(Kind::Debts));
        }
        match body {
            Body::Debts(debts) => self.on_debts(debts),
            Body::Alias(alias) => self.on_alias(alias).await,
            Body::Deliver(deliver) => self.on_deliver(deliver),
            Body::Batch(batch) => self.on_batch(batch, frame).await,
            Body::Event(event) => self.on_event(event).await,
            Body::Gap(gap) => {
                if self.plane.uplink.is_some() {
                    self.plane.publisher_lost_to(gap);
                }
                Ok(())
            }
            Body::Publish(publish) => self.on_publish(publish).await,
            other => Err(unexpected(other.kind())),
        }
    }

    async fn on_alias(&mut self, alias: Alias) -> Result<(), DecodeError> {
        let Some(proof) = self.proof_of(&alias) else {
            add(&self.plane.counters.dropped_unproven, 1);
            return Ok(());
        };
        let key = (alias.publisher, alias.epoch, alias.alias);
        match self.announced.get(&key) {
            Some(known) if known.origin.topic != alias.topic => {
                return Err(DecodeError::NotCanonical);
            }
            // The publisher's own link needs no certificates, until its batches go on to others.
            Some(known) if known.feed.chain.is_empty() && !alias.chain.is_empty() => {
                let used = known.used.clone();
                let mut announced = self.announce(&alias, proof);
                announced.used = used;
                self.announced.insert(key, Arc::new(announced));
            }
            Some(_) => {}
            None if self.announced.len() >= MAX_ALIASES => {
                return Err(DecodeError::TooLarge {
                    field: "aliases",
                    max: MAX_ALIASES,
                });
            }
            None => {
                self.forget_earlier_runs(&alias);
                let mut announced = self.announce(&alias, proof);
                announced.used = self.watch_for(&alias.topic).await;
                self.announced.insert(key, Arc::new(announced));
            }
        }
        let is_told = alias.next != ALONG_A_TREE && !self.plane.has_tree(&alias.topic);
        if !self.is_local() && is_told {
            let now = self.plane.clock.now();
            let missing = self.plane.forwarder.announced(
                now,
                alias.publisher,
                alias.epoch,
                &alias.topic,
                alias.next,
            );
            if let Some(missing) = missing {
                if let Some(announced) = self.announced.get(&key) {
                    let origin = &announced.origin;
                    self.plane.tell_missing(origin, missing.from, missing.to);
                }
                self.pass_on_missing(&key, missing.from, missing.to);
            }
        }
        Ok(())
    }

    /// Clients that follow the topic are told as well, even if no batch comes that would show them.
    fn pass_on_missing(&self, key: &(NodeId, Epoch, TopicAlias), from: Sequence, next: Sequence) {
        let Some(announced) = self.announced.get(key) else {
            return;
        };
        let topic = &announced.origin.topic;
        let receivers = announced.route.resolve(&self.plane, topic, self.source);
        for attached in &receivers.links {
            attached
                .egress(self.priority)
                .skip(&announced.feed, from, next);
        }
    }

    fn forget_earlier_runs(&mut self, alias: &Alias) {
        let latest = self.epochs.entry(alias.publisher).or_insert(alias.epoch);
        if *latest < alias.epoch {
            *latest = alias.epoch;
            self.announced.retain(|(publisher, epoch, _), _| {
                *publisher != alias.publisher || *epoch >= alias.epoch
            });
        }
    }

    fn announce(&self, alias: &Alias, proof: Proof) -> Announced {
        // Whoever hears of a client from here has no link that proves it.
        let chain = match (proof, self.attached.link.role()) {
            (Proof::Link, Role::Client) => self.attached.link.peer().chain.clone(),
            _ => alias.chain.clone(),
        };
        Announced {
            origin: Arc::new(Origin {
                publisher: alias.publisher,
                epoch: alias.epoch,
                topic: alias.topic.clone(),
                priority: self.priority,
            }),
            feed: Arc::new(Feed {
                publisher: alias.publisher,
                epoch: alias.epoch,
                alias: alias.alias,
                topic: alias.topic.clone(),
                chain,
            }),
            route: RouteCache::default(),
            proof,
            used: None,
            is_taken_over: AtomicBool::new(false),
            joined: Joined::default(),
        }
    }

    fn proof_of(&self, alias: &Alias) -> Option<Proof> {
        if alias.publisher == self.attached.link.peer().node {
            return Some(Proof::Link);
        }
        if self.plane.uplink.is_some() {
            // A client believes the member that it chose.
            return Some(Proof::Link);
        }
        let may_forward = self.attached.link.role() == Role::Member;
        (may_forward
            && (self.is_from_store()
                || self
                    .plane
                    .prover
                    .knows(alias, self.plane.clock.unix_ms() / 1_000)))
        .then_some(Proof::Signature)
    }

    /// Whether the peer is believed what it keeps for other publishers.
    fn is_from_store(&self) -> bool {
        let link = &self.attached.link;
        link.role() == Role::Member && link.peer().roles.contains(Roles::STORE)
    }

    /// Whether the stream is that of a local client, whose events are this node's own.
    fn is_local(&self) -> bool {
        self.attached.link.is_local() && self.plane.uplink.is_none()
    }

    async fn on_batch(&mut self, batch: Batch, frame: Frame) -> Result<(), DecodeError> {
        if let Some(deliver) = self.deliver.take() {
            let debts = self.debts.take();
            return self.on_kept(deliver, debts, batch, frame);
        }
        let count = u64::try_from(batch.entries.count()).unwrap_or(u64::MAX);
        let key = (batch.publisher, batch.epoch, batch.alias);
        let Some(announced) = self.announced.get(&key).cloned() else {
            add(&self.plane.counters.dropped_unproven, count);
            return Ok(());
        };
        let topic = &announced.origin.topic;
        if self.is_local() {
            return self.republish(topic, &batch, 0).await;
        }
        let proven = announced.proof == Proof::Link
            || self.plane.prover.proves(batch.publisher, topic, &batch);
        if !proven {
            add(&self.plane.counters.dropped_unproven, count);
            return Ok(());
        }
        if !self.may_publish(topic) || self.is_presumptuous(&batch) {
            add(&self.plane.counters.denied, count);
            return Ok(());
        }
        if self.is_early(&batch) {
            let receivers = announced.route.resolve(&self.plane, topic, self.source);
            let expires = self.plane.expires(batch.ttl_ms).map(|expires| expires.at);
            let plane = &self.plane;
            plane.deliver_early(&announced.origin, &batch, &receivers, expires);
            return Ok(());
        }
        add(&self.plane.counters.events_received, count);
        self.keep_watching(&announced).await;
        let receivers = announced.route.resolve(&self.plane, topic, self.source);
        let left = self.on_tree_batch(&announced, batch, frame, &receivers);
        let Some((batch, frame)) = left.await else {
            return Ok(());
        };
        if receivers.is_empty() {
            return Ok(());
        }
        let origin = &announced.origin;
        let Some(skip) = self.plane.accept(origin, &batch) else {
            return Ok(());
        };
        if self.takes_over(&announced, &receivers) {
            return self.republish(topic, &batch, skip).await;
        }
        let expires = self.plane.expires(batch.ttl_ms);
        let expires = expires.as_ref();
        wait_for_room(&self.plane, &receivers, self.priority).await;
        self.plane
            .deliver(origin, &batch, skip, &receivers, expires);
        self.plane
            .pass_on(origin, &announced.feed, &batch, &frame, &receivers, expires);
        if receivers.by_tree
            && let Some(input) = self.of_client(&announced, &batch, &frame)
            && let Some(trees) = self.plane.trees.get()
        {
            trees.tell(input).await;
        }
        Ok(())
    }

    /// A member is trusted to have checked what its clients may do; a client's own link is checked here. What a node
    /// tells of itself is for its own clients, so nobody has to pass it on to this one, but for dead letters.
    fn may_publish(&self, topic: &Topic) -> bool {
        match self.source {
            Source::Session(_) => self.plane.allows(
                self.attached.link.peer(),
                macula_realm::Action::Publish,
                topic.as_str(),
            ),
            Source::Member(_) if topic.is_reserved() => {
                self.plane.uplink.is_some() || topic.is_of_dead_letters()
            }
            Source::Own | Source::Member(_) => true,
        }
    }

    /// Whether this node publishes in its own name what comes: once a group wants the events of a client, and from then on.
    fn takes_over(&self, announced: &Announced, receivers: &Receivers) -> bool {
        if matches!(self.source, Source::Session(_)) && !receivers.groups.is_empty() {
            announced.is_taken_over.store(true, Ordering::Release);
        }
        announced.is_taken_over.load(Ordering::Acquire)
    }
}

fn unexpected(kind: Kind) -> DecodeError {
    DecodeError::Invalid {
        field: "message on an event stream",
        value: u64::from(kind.number()),
    }
}
