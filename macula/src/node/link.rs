//! One task for each link: admits it, reads it, and cleans up after it.

use std::sync::Arc;

use macula_pubsub::{Destination, SessionId};
use macula_swim::{AccusationLimit, Offence};
use macula_transport::{FrameReceiver, FrameSender, Link, LinkEvent, LinkReceiver};
use macula_wire::message::{Body, Message, Priority, Role, StreamKind};
use macula_wire::{ErrorCode, NodeId};

use super::control::Control;
use super::dial::Dialler;
use super::session::Session;
use crate::machine::{NodeInput, is_of_forwarding, is_of_overlay, is_of_routing};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::dispatch;
use crate::plane::ingress::Ingress;
use crate::plane::links::{Admission, Attached};
use crate::plane::verified::FrugalVerifier;

/// Runs links of one node.
#[derive(Clone, Debug)]
pub(crate) struct LinkRunner {
    pub(crate) plane: Arc<Plane>,
    pub(crate) control: Control,
    pub(crate) dialler: Dialler,
    pub(crate) swim: macula_swim::Config,
}

impl LinkRunner {
    /// Runs a link in a task of its own until it closes.
    pub(crate) fn start(&self, link: Link, receiver: LinkReceiver) {
        let runner = self.clone();
        self.plane.tasks.spawn("link", async move {
            let attached = Arc::new(Attached::new(link, runner.plane.clock.now()));
            // Each in memory of its own: a task takes what the longest way through it takes, and a link of a member waits
            // for as long as the node runs. What it does rarely takes its memory then, for the same reason.
            match attached.link.role() {
                Role::Member => Box::pin(runner.run_member(attached, receiver)).await,
                Role::Client => Box::pin(runner.run_client(attached, receiver)).await,
            }
        });
    }

    async fn run_member(&self, attached: Arc<Attached>, mut receiver: LinkReceiver) {
        if !Box::pin(self.admit(&attached)).await {
            return;
        }
        let mut limit = AccusationLimit::new(&self.swim);
        while self
            .member_event(&attached, &mut limit, receiver.next().await)
            .await
        {}
        Box::pin(self.dismiss(&attached)).await;
    }

    /// Makes the link that of its member, unless the member has a better one. Whether it is to be read.
    async fn admit(&self, attached: &Arc<Attached>) -> bool {
        let peer = attached.link.peer().node;
        let turn = self.plane.links.turn().await;
        match self.plane.admit_member(&turn, attached) {
            Admission::Surplus { present } if present.was_crossed_by(attached) => {
                super::replace::see_out(&self.plane, Arc::clone(attached));
                return true;
            }
            Admission::Surplus { .. } => {
                let detail = "another link to this node is up";
                attached.link.close(ErrorCode::OK, detail);
                return false;
            }
            Admission::Admitted { replaced: None } => {}
            Admission::Admitted {
                replaced: Some(old),
            } => super::replace::retire(&self.plane, old, Arc::clone(attached)),
        }
        self.plane.changed();
        self.dialler.forwarding.links_changed();
        tracing::info!(peer = %peer.short(), path = %attached.link.path(), "link up");
        let now = self.plane.clock.now();
        self.plane.kept_link_up(attached);
        let epoch = attached.link.epoch();
        let up = NodeInput::LinkUp { peer, epoch };
        self.control.input(now, up).await;
        if attached.link.is_forwarded() {
            self.dialler.seek_direct(Arc::clone(attached));
        }
        true
    }

    /// The link has closed.
    async fn dismiss(&self, attached: &Attached) {
        let peer = attached.link.peer().node;
        let turn = self.plane.links.turn().await;
        let id = attached.link.id();
        if self.plane.links.remove_member(&turn, &peer, id) {
            self.plane.changed();
            self.dialler.forwarding.links_changed();
            self.plane.kept_link_down(peer);
            let now = self.plane.clock.now();
            self.control.input(now, NodeInput::LinkDown(peer)).await;
        }
    }

    /// Takes in what comes by the link of a member. Whether more may come.
    async fn member_event(
        &self,
        attached: &Arc<Attached>,
        limit: &mut AccusationLimit,
        event: LinkEvent,
    ) -> bool {
        let peer = attached.link.peer().node;
        match event {
            LinkEvent::Control(message) if is_of_forwarding(&message.body) => {
                return self.misplaced(attached, &message.body);
            }
            LinkEvent::Control(message) => {
                return Box::pin(self.member_message(attached, limit, message.body)).await;
            }
            LinkEvent::Datagram(frame) => match Message::decode(&frame) {
                Ok(message) => {
                    return Box::pin(self.member_message(attached, limit, message.body)).await;
                }
                Err(error) => self.misbehaved(peer, &error.to_string()),
            },
            LinkEvent::Events(priority, stream) => self.events(attached, priority, stream),
            LinkEvent::Stream(kind, sender, stream) => {
                self.stream(attached, kind, sender, stream);
            }
            LinkEvent::Misbehaved(error) => self.misbehaved(peer, &error.to_string()),
            LinkEvent::Closed(reason) => {
                tracing::info!(peer = %peer.short(), %reason, "link closed");
                return false;
            }
            _ => {}
        }
        true
    }

    /// Signatures are checked here, before the machine sees the message. Whether more may come: nothing is read of who
    /// forges, whether it minds the end of the link or not.
    async fn member_message(
        &self,
        attached: &Attached,
        limit: &mut AccusationLimit,
        mut body: Body,
    ) -> bool {
        let from = attached.link.peer().node;
        match &mut body {
            // A member that drains says so by leaving the membership; reports are for people.
            Body::Drain(_) | Body::Ack(_) => return true,
            Body::Error(report) => {
                tracing::info!(peer = %from.short(), code = %report.code, detail = report.detail, "a peer reports");
                return true;
            }
            body @ (Body::EventAck(_) | Body::Resend(_) | Body::Arrears(_)) => {
                self.plane.kept_word(Destination::Member(from), body);
                return true;
            }
            // It says that the peer needs the link.
            Body::Heartbeat(_) => {}
            Body::IHave(_) | Body::Graft(_) | Body::Prune(_) => {
                self.plane.heard_of_tree(from, body);
                return true;
            }
            overlay if is_of_overlay(overlay) => {}
            forwarding if is_of_forwarding(forwarding) => {
                self.dialler.forwarding.take(attached, body);
                return true;
            }
            routing if is_of_routing(routing) => {
                return self.misplaced(attached, &body);
            }
            membership => {
                if let Err(offence) = self.verify(from, limit, membership) {
                    // Members pass on only what they have checked, so the fault is this one's own.
                    self.misbehaved(from, &offence.to_string());
                    let detail = "a membership message that is not signed as it must be";
                    attached.link.close(ErrorCode::PROTOCOL_VIOLATION, detail);
                    return false;
                }
            }
        }
        let now = self.plane.clock.now();
        self.control
            .input(now, NodeInput::Message { from, body })
            .await;
        true
    }

    /// Checks the signatures of a message of membership, after what is over the limit was taken out of it.
    fn verify(
        &self,
        from: NodeId,
        limit: &mut AccusationLimit,
        body: &mut Body,
    ) -> Result<(), Offence> {
        let excess = limit.retain(self.plane.clock.now(), body);
        let count = u64::try_from(excess.count).unwrap_or(u64::MAX);
        add(&self.plane.counters.accusations_unchecked, count);
        if excess.is_first {
            tracing::warn!(peer = %from.short(), "a peer brings too many accusations");
        }
        let verifier = FrugalVerifier {
            verified: &self.plane.verified,
            counters: &self.plane.counters,
        };
        macula_swim::verify(&self.plane.realm, body, &verifier)
    }

    /// A message of the control stream that is for a lookup stream. Nothing more is read.
    fn misplaced(&self, attached: &Attached, body: &Body) -> bool {
        let what = format!("{} is for a lookup stream", body.kind().name());
        self.misbehaved(attached.link.peer().node, &what);
        let detail = "a message that is for a lookup stream";
        attached.link.close(ErrorCode::PROTOCOL_VIOLATION, detail);
        false
    }

    pub(super) fn misbehaved(&self, peer: NodeId, what: &str) {
        add(&self.plane.counters.misbehaved, 1);
        tracing::warn!(peer = %peer.short(), what, "a peer broke a rule");
    }

    async fn run_client(&self, attached: Arc<Attached>, mut receiver: LinkReceiver) {
        let session = SessionId::new(attached.link.id().get());
        self.plane
            .links
            .admit_session(session, Arc::clone(&attached));
        self.plane.changed();
        let info = super::meta::session_info(&self.plane, &attached);
        self.plane.tell_session(&info, true);
        let requests = Session::new(
            Arc::clone(&self.plane),
            self.control.clone(),
            Arc::clone(&attached),
            session,
        );
        let reason = loop {
            match receiver.next().await {
                LinkEvent::Control(message) => {
                    let from = Destination::Session(session);
                    if !self.plane.kept_word(from, &message.body) {
                        Box::pin(requests.handle(message.body)).await;
                    }
                }
                LinkEvent::Events(priority, stream) => self.events(&attached, priority, stream),
                LinkEvent::Stream(kind, sender, stream) => {
                    self.stream(&attached, kind, sender, stream);
                }
                LinkEvent::Misbehaved(error) => {
                    self.misbehaved(attached.link.peer().node, &error.to_string());
                }
                LinkEvent::Closed(reason) => break reason,
                _ => {}
            }
        };
        self.plane.links.remove_session(session);
        crate::testament::open(&self.plane, &attached, &reason);
        self.plane.kept_receiver_gone(Destination::Session(session));
        self.plane.changed();
        Box::pin(requests.end()).await;
        self.plane.tell_session(&info, false);
    }

    fn events(&self, attached: &Arc<Attached>, priority: Priority, stream: FrameReceiver) {
        let ingress = Ingress::new(Arc::clone(&self.plane), Arc::clone(attached), priority);
        self.plane.tasks.spawn("ingress", ingress.run(stream));
    }

    fn stream(
        &self,
        attached: &Arc<Attached>,
        kind: StreamKind,
        mut sender: FrameSender,
        stream: FrameReceiver,
    ) {
        let is_member = attached.link.role() == Role::Member;
        if kind == StreamKind::Lookup {
            if !is_member || !attached.lookup.begin_reading() {
                self.misbehaved(
                    attached.link.peer().node,
                    "a lookup stream that must not be",
                );
                return sender.reset(ErrorCode::PROTOCOL_VIOLATION);
            }
            // Nothing is sent back on the stream of the peer.
            sender.finish();
            let reading = self.clone().read_lookups(Arc::clone(attached), stream);
            self.plane.tasks.spawn("lookups", reading);
        } else if kind == StreamKind::Call {
            let serving = dispatch::serve(
                Arc::clone(&self.plane),
                Arc::clone(attached),
                sender,
                stream,
            );
            // Most calls are served before anything has to be waited for.
            self.plane.serving.begin("serve", Box::pin(serving));
        } else {
            sender.reset(ErrorCode::UNSUPPORTED_FEATURE);
        }
    }
}
