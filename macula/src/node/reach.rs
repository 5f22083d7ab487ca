//! Reaching a member: by its addresses, and where none works by packets that other members carry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use macula_swim::{Member, State};
use macula_transport::{Backoff, LinkError};
use macula_wire::{ErrorCode, NodeId};
use tokio::sync::watch;

use super::dial::{Dialler, lock};
use super::{Node, PeerInfo, WeakNode, peer_info};
use crate::Error;
use crate::machine::{NodeInput, Wish};
use crate::plane::links::Attached;

/// How much later than the smaller id the larger one of two members dials, so that they do not cross each other.
const COURTESY: Duration = Duration::from_millis(500);
/// How long the record of a node is waited for before the node is dialled without.
const DESCRIBED_WITHIN: Duration = Duration::from_millis(500);
/// The least time between two lookups of nodes to which packets get no further.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(5);
/// How long a link that was dialled may take to become that of its member.
const ADMITTED_WITHIN: Duration = Duration::from_secs(5);

/// What became of an attempt to reach a member.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A link was dialled, or another one was there.
    Reached,
    /// What was tried, and how it failed.
    Failed(Arc<[LinkError]>),
}

/// Who wants a member to be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// A machine: membership tries the dead again and again.
    Machine(Wish),
    /// The application, which asks once.
    Application,
    /// Nobody: the direct link that there is does not work.
    Bypass,
}

impl Dialler {
    /// Tries to reach `node`, unless that is tried already; how that ends.
    pub(super) fn attempt(
        &self,
        node: NodeId,
        addresses: Vec<SocketAddr>,
        by: By,
    ) -> watch::Receiver<Option<Outcome>> {
        let mut wanted = lock(&self.wanted);
        if let Some(running) = wanted.get(&node) {
            return running.clone();
        }
        let (tell, outcome) = watch::channel(None);
        wanted.insert(node, outcome.clone());
        drop(wanted);
        let dialler = self.clone();
        self.plane.tasks.spawn("dial", async move {
            let outcome = dialler.reach(node, &addresses, by).await;
            lock(&dialler.wanted).remove(&node);
            if matches!(outcome, Outcome::Failed(_)) {
                let now = dialler.plane.clock.now();
                let unreachable = NodeInput::Unreachable(node);
                dialler.control.input(now, unreachable).await;
            }
            tell.send_replace(Some(outcome));
        });
        outcome
    }

    /// Dials the addresses, and by forwarding as soon as they have failed or have had their time. A direct link that
    /// comes up later takes the place of a forwarded one.
    async fn reach(&self, node: NodeId, addresses: &[SocketAddr], by: By) -> Outcome {
        if by == By::Machine(Wish::OfBoth) && self.plane.node() > node {
            tokio::time::sleep(COURTESY).await;
        }
        if self.is_leaving() || self.plane.links.member(&node).is_some() {
            return Outcome::Reached;
        }
        let direct = self.dial_each(node, addresses);
        tokio::pin!(direct);
        let head_start = self.forwarding.config.head_start;
        let mut failed = match tokio::time::timeout(head_start, &mut direct).await {
            Ok(Ok(())) => return Outcome::Reached,
            Ok(Err(errors)) => Some(errors),
            Err(_) => None,
        };
        let forwarded = self.dial_forwarded(node, by);
        tokio::pin!(forwarded);
        let mut carried = None;
        loop {
            match (&failed, &carried) {
                (Some(_), Some(Ok(()))) => return Outcome::Reached,
                (Some(errors), Some(Err(error))) => {
                    let all = errors.iter().chain([error]).cloned();
                    return Outcome::Failed(all.collect());
                }
                _ => {}
            }
            tokio::select! {
                result = &mut direct, if failed.is_none() => match result {
                    Ok(()) => return Outcome::Reached,
                    Err(errors) => failed = Some(errors),
                },
                result = &mut forwarded, if carried.is_none() => carried = Some(result),
            }
        }
    }

    pub(super) async fn dial_forwarded(&self, node: NodeId, by: By) -> Result<(), LinkError> {
        let no_path = |why: &str| LinkError::NoPath {
            node,
            why: why.to_owned(),
        };
        if by != By::Bypass && self.plane.links.member(&node).is_some() {
            return Ok(());
        }
        if self.forwarding.is_alone() {
            return Err(no_path(
                "there is no link to a member that could carry packets",
            ));
        }
        if by != By::Application && self.is_gone(node).await {
            return Err(no_path("it is not taking part"));
        }
        if !self.forwarding.knows_neighbours(&node) {
            self.look_up(node).await;
        }
        self.make_way(node).await;
        let dialled = tokio::select! {
            dialled = self.endpoint.dial_forwarded(&self.plane.realm, node) => dialled,
            never = self.watch_way(node) => match never {},
        };
        match dialled {
            Ok(dialled) => self.hand_over(dialled).await,
            Err(error) => {
                tracing::debug!(peer = %node.short(), %error, "dial failed");
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether membership knows that the member is dead or has left. Packets for it would wander through the realm.
    pub(super) async fn is_gone(&self, node: NodeId) -> bool {
        let state = self
            .control
            .run(move |machine, _| machine.swim().member(&node).map(Member::state));
        matches!(state.await, Ok(Some(State::Dead | State::Left)) | Err(_))
    }

    /// Where the node says that it can be dialled: to membership, or else in its record.
    pub(super) async fn addresses(&self, node: NodeId) -> Result<Vec<SocketAddr>, Error> {
        let addresses = self.control.run(move |machine, _| {
            let member = machine.swim().member(&node);
            member.map(Member::addresses)
        });
        if let Some(addresses) = addresses.await? {
            return Ok(addresses);
        }
        self.look_up(node).await;
        Ok(self.forwarding.described_addresses(&node))
    }

    /// Asks for the record of a node, and waits a while for it.
    pub(super) async fn look_up(&self, node: NodeId) {
        self.control
            .run_later(move |machine, now| machine.look_up_node(now, node));
        self.forwarding.described(&node, DESCRIBED_WITHIN).await;
    }

    /// Looks nodes up anew to which packets of this node got no further.
    pub(super) async fn keep_hints(self) {
        loop {
            for node in self.forwarding.doubted().await {
                self.control
                    .run_later(move |machine, now| machine.look_up_node(now, node));
            }
            tokio::time::sleep(LOOK_UP_PAUSE).await;
        }
    }

    /// Dials the addresses of the peer of a forwarded link now and then, as long as that is the link of the member.
    pub(crate) fn seek_direct(&self, attached: Arc<Attached>) {
        let dialler = self.clone();
        self.plane.tasks.spawn("seek direct", async move {
            let node = attached.link.peer().node;
            let config = &dialler.forwarding.config;
            let random = dialler.plane.random();
            let mut backoff = Backoff::new(config.min_retry, config.max_retry, random);
            let mut known = Vec::new();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    _ = attached.link.closed() => return,
                }
                let present = dialler.plane.links.member(&node);
                if dialler.is_leaving() || !present.is_some_and(|one| Arc::ptr_eq(&one, &attached))
                {
                    return;
                }
                let Ok(addresses) = dialler.addresses(node).await else {
                    return;
                };
                // The link may have been refused although it came up, so this ends with the forwarded one only.
                drop(dialler.dial_each(node, &addresses).await);
                if addresses != known {
                    backoff.reset();
                    known = addresses;
                }
            }
        });
    }
}

/// Dials members that calls are for.
#[derive(Debug)]
pub(crate) struct Reacher(pub(crate) WeakNode);

impl Reacher {
    /// As [`Node::open`].
    pub(crate) async fn reach(&self, node: NodeId) -> Result<(), Error> {
        let own = self.0.upgrade().ok_or_else(stopped)?;
        own.open(node).await.map(drop)
    }
}

impl Node {
    /// Returns when a link to the member `node` is up: the one that there is, or a new one by the addresses of the member,
    /// or where none of them works, by packets that other members carry ([`PeerInfo::path`] is `forwarded` then).
    ///
    /// In a small realm membership does this by itself for every member. Calls and events use the link whoever asked
    /// for it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_ARGUMENT`] if `node` is this node; [`ErrorCode::UNREACHABLE`] if nothing works, with
    /// what was tried in the detail, which takes up to 20 s or so; [`ErrorCode::SHUTTING_DOWN`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dialling goes on, and a link that comes up stays.
    pub async fn open(&self, node: NodeId) -> Result<PeerInfo, Error> {
        let plane = &self.0.plane;
        if node == plane.node() {
            let detail = "a node needs no link to itself";
            return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        }
        if let Some(linked) = plane.links.member(&node) {
            return Ok(peer_info(plane, &linked));
        }
        let dialler = &self.0.dialler;
        let addresses = dialler.addresses(node).await?;
        if dialler.is_leaving() {
            return Err(stopped());
        }
        let attempt = dialler.attempt(node, addresses, By::Application);
        tokio::select! {
            linked = plane.until_linked(&node) => Ok(peer_info(plane, &linked)),
            error = unreached(attempt, node) => Err(error),
        }
    }
}

/// Waits until an attempt has come to nothing.
async fn unreached(mut attempt: watch::Receiver<Option<Outcome>>, node: NodeId) -> Error {
    let outcome = attempt.wait_for(Option::is_some).await.ok();
    let outcome = outcome.and_then(|outcome| outcome.clone());
    let tried = match outcome {
        None => return stopped(),
        Some(Outcome::Failed(errors)) => {
            let each: Vec<String> = errors.iter().map(ToString::to_string).collect();
            each.join("; ")
        }
        Some(Outcome::Reached) => {
            tokio::time::sleep(ADMITTED_WITHIN).await;
            "the link was closed as soon as it was up".to_owned()
        }
    };
    let detail = format!("no way to node {} works: {tried}", node.short());
    Error::new(ErrorCode::UNREACHABLE, detail)
}

fn stopped() -> Error {
    Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped")
}
