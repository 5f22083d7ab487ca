//! The control plane of a node: the composed machine, its driver, and where its outputs go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use macula_transport::{Call, OutFrame, OutboxError, Sink};
use macula_wire::message::{Body, Message};
use macula_wire::{ErrorCode, Instant, NodeId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::dial::Dialler;
use super::news::MemberNews;
use crate::Error;
use crate::machine::{Lane, MemberEvent, NodeInput, NodeMachine, NodeOutput, Wish};
use crate::plane::Plane;
use crate::plane::counters::add;

/// How many commands may wait for the machine.
pub(crate) const MAX_CALLS: usize = 1_024;
/// How many messages of peers may wait for the machine; link tasks wait beyond that.
pub(crate) const MAX_INPUTS: usize = 4_096;
/// How many member events an application may lag behind before it loses the oldest.
pub(crate) const MAX_MEMBER_EVENTS: usize = 1_024;

/// The way to the machine.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pub(crate) calls: mpsc::Sender<Call<NodeMachine>>,
    pub(crate) inputs: mpsc::Sender<(Instant, NodeInput)>,
    pub(crate) plane: Arc<Plane>,
    /// How many commands that are to run later found no room yet.
    pub(crate) late: Arc<AtomicUsize>,
}

impl Control {
    /// Runs `command` on the machine, between two events, and returns what it says once the tables that it changed are
    /// in place.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the machine has stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the command may or may not run.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut NodeMachine, Instant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (give, take) = oneshot::channel();
        let call: Call<NodeMachine> = Box::new(move |machine, now| {
            let result = command(machine, now);
            machine.settle(now);
            drop(give.send((result, machine.versions())));
        });
        self.calls.send(call).await.map_err(|_| stopped())?;
        let (result, versions) = take.await.map_err(|_| stopped())?;
        tokio::select! {
            () = self.plane.reached(versions) => {}
            // A machine that has stopped puts out nothing more.
            () = self.calls.closed() => {}
        }
        Ok(result)
    }

    /// Returns when every command has run that was to run later so far.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the machine has stopped.
    pub(crate) async fn settled(&self) -> Result<(), Error> {
        loop {
            let all_wait_in_line = self.late.load(Ordering::Acquire) == 0;
            self.run(|_, _| ()).await?;
            if all_wait_in_line {
                return Ok(());
            }
        }
    }

    /// Runs `command` some time later. What owners drop has to be taken back however much they drop at once, so where no
    /// room is left a task waits for it.
    pub(crate) fn run_later(
        &self,
        command: impl FnOnce(&mut NodeMachine, Instant) + Send + 'static,
    ) {
        let call: Call<NodeMachine> = Box::new(move |machine, now| {
            command(machine, now);
            machine.settle(now);
        });
        if let Err(TrySendError::Full(call)) = self.calls.try_send(call) {
            self.late.fetch_add(1, Ordering::AcqRel);
            let (calls, late) = (self.calls.clone(), Arc::clone(&self.late));
            self.plane.tasks.spawn("late command", async move {
                drop(calls.send(call).await);
                late.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }

    /// Hands over what happened, waiting while the machine is behind.
    pub(crate) async fn input(&self, now: Instant, input: NodeInput) {
        drop(self.inputs.send((now, input)).await);
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped")
}

/// Carries out what the machine puts out.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) plane: Arc<Plane>,
    pub(crate) dialler: Dialler,
    pub(crate) members: broadcast::Sender<MemberEvent>,
    pub(crate) news: MemberNews,
}

impl Sink<NodeOutput> for Outputs {
    fn accept(&mut self, output: NodeOutput) {
        match output {
            NodeOutput::Send { to, lane, body } => self.send(to, lane, body),
            NodeOutput::Connect {
                node,
                addresses,
                wish,
            } => self.connect(node, addresses, wish),
            NodeOutput::Table(table) => {
                self.plane.replace_table(table);
            }
            NodeOutput::Groups(groups) => {
                self.plane.groups.store(groups);
                self.plane.changed();
            }
            NodeOutput::Providers(table) => {
                self.plane.providers.store(table);
                self.plane.changed();
            }
            NodeOutput::Wanted { pattern, is_wanted } => {
                self.plane.tell_wanted(&pattern, is_wanted);
            }
            NodeOutput::Served { pattern, is_served } => {
                self.plane.tell_served(&pattern, is_served);
            }
            NodeOutput::RegistrationEnded { registrant, why } => {
                self.plane.registration_ended(registrant, why);
            }
            NodeOutput::Watching { watched, version } => {
                self.plane.watches.told(watched, version);
            }
            NodeOutput::Neighbours(neighbours) => {
                self.plane.neighbours.store(Arc::new(neighbours));
            }
            NodeOutput::Neighbourhood(neighbourhood) => {
                let forwarding = &self.dialler.forwarding;
                forwarding.replace_neighbourhood(neighbourhood);
            }
            NodeOutput::Described(record) => self.dialler.forwarding.describe(&record),
            NodeOutput::Member(event) => self.member(event),
            NodeOutput::Disconnect {
                node,
                epoch,
                code,
                detail,
            } => {
                let attached = self.plane.links.member(&node);
                if let Some(attached) = attached.filter(|one| one.link.epoch() <= epoch) {
                    attached.link.close(code, detail);
                }
            }
            NodeOutput::Found(outcome) => self.plane.lookups.end(outcome),
            NodeOutput::Lost(node) => {
                self.plane.publisher_lost(node);
                self.plane.kept_member_lost(node);
                self.plane.unsent_member_lost(node);
            }
            NodeOutput::Misbehaved { peer, offence } => {
                add(&self.plane.counters.misbehaved, 1);
                tracing::warn!(peer = %peer.short(), offence, "a peer broke a rule");
            }
            NodeOutput::Superseded { epoch } => {
                tracing::error!(
                    %epoch,
                    "a later run of this node is known: the clock was set back, or its key is in use elsewhere"
                );
            }
        }
    }
}

impl Outputs {
    /// A datagram that does not fit the path goes by the control stream; so does what must arrive. A control stream
    /// that takes nothing any more ends its link; what finds no room on a lookup stream is lost, and asked for again.
    fn send(&self, to: NodeId, lane: Lane, body: Body) {
        let Some(attached) = self.plane.links.member(&to) else {
            return;
        };
        let bytes = match Message::from(body).to_bytes() {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                debug_assert!(false, "a machine made a message over its limits: {error}");
                return;
            }
        };
        if lane == Lane::Lookup {
            if !attached.lookup.push(&self.plane, &attached.link, bytes) {
                add(&self.plane.counters.dropped_lookup, 1);
            }
            return;
        }
        if lane == Lane::Datagram && attached.link.send_datagram(bytes.clone()).is_ok() {
            return;
        }
        if let Err(OutboxError::Full { .. }) =
            attached.link.control().try_push(OutFrame::from(bytes))
        {
            attached
                .link
                .close(ErrorCode::OVERLOADED, "the control stream is full");
        }
    }

    fn connect(&self, node: NodeId, addresses: Vec<SocketAddr>, wish: Wish) {
        if self.plane.links.member(&node).is_none() {
            self.dialler.connect(node, addresses, wish);
        }
    }

    fn member(&self, event: MemberEvent) {
        if let Some(trees) = self.plane.trees.get() {
            trees.member(&event);
        }
        if let MemberEvent::Up(signed) = &event {
            self.plane.kept_member_back(signed.record.node);
        }
        self.news.tell(&self.plane, &event);
        self.plane.tell_member(&event);
        // Nobody listening is not an error.
        drop(self.members.send(event));
    }
}
