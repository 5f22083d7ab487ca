//! Events that are kept until whoever is owed them has them.
//!
//! The machines [`Replay`] and [`Intake`] are behind a lock here, not behind the driver of the control plane: events
//! pass through them, so whoever publishes or receives does so itself, and a task only keeps their time. Nothing is
//! waited for while the lock is held.

mod credit;
mod dead;
mod debts;
mod durable;
mod heard;
mod inbox;
mod inherit;
mod parcel;
mod publish;
mod receive;
mod send;

pub(crate) use credit::{AckMode, Credit, Token};
pub(crate) use parcel::Parcel;
pub(crate) use publish::{Owed, Reserved};
pub(crate) use receive::{Arrival, Fresh};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_pubsub::{
    Custody, Destination, Estate, EstateConfig, Intake, IntakeConfig, IntakeInput, IntakeOutput,
    ReceiptId, Replay, ReplayConfig, ReplayInput, ReplayOutput, Shares, Upstream,
};
use macula_transport::{OutFrame, OutboxError};
use macula_wire::message::{Body, Message, Priority};
use macula_wire::{ChannelRun, Epoch, ErrorCode, Instant, Machine, NodeId, Random};
use tokio::sync::Notify;

use self::dead::Letters;
use self::debts::Told;
use self::inbox::Inbox;
use self::inherit::Heir;
use super::Plane;
use super::counters::add;
use super::topic::Unordered;
use crate::log::EventLog;
use crate::receipt::{Outcomes, Slip};

/// The most members whose runs are remembered, so that a new one is told from the former.
const MAX_RUNS: usize = 16_384;
/// Of how many events of groups it is remembered that they were taken here.
const MAX_SHARES: usize = 65_536;
/// How long the task that keeps the time sleeps at most.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// What is kept for others, and what came from them.
#[derive(Debug)]
pub(crate) struct Reliable {
    machines: Mutex<Machines>,
    inbox: Arc<Inbox>,
    /// There is room in the buffer, or less waits in it.
    freed: Notify,
    /// Something is due earlier than before.
    hurry: Notify,
    /// What outlives the node, where it keeps something.
    pub(crate) log: Option<Arc<EventLog>>,
    /// What has not got its ids yet.
    pub(crate) unordered: Unordered,
    /// Dead letters that wait until those who want them are known.
    letters: Letters,
}

/// The machines, and what belongs to them.
#[derive(Debug)]
pub(crate) struct Machines {
    replay: Replay<Parcel>,
    intake: Intake,
    config: ReplayConfig,
    /// What publishers were promised room for and have not offered yet: events and bytes.
    reserved: (usize, usize),
    /// Where it is put down what becomes of events, and of how many of them that is not known.
    receipts: BTreeMap<ReceiptId, (Slip, u32)>,
    runs: BTreeMap<NodeId, Epoch>,
    /// What stores were told of what this node owes.
    told: Told,
    /// What publishers owe that this node keeps for them.
    heir: Heir,
    /// What was taken for groups.
    shares: Shares,
    /// Whether somebody was refused for want of room.
    is_stalled: bool,
    /// When the task that keeps the time is going to look.
    looks_at: Option<Instant>,
}

/// What is to be carried out once the lock is given up.
#[derive(Debug)]
enum Work {
    Pump(Destination, Priority),
    Tell(NodeId, Box<Body>),
    Dead(Parcel, u32),
    Misbehaved(String),
}

impl Reliable {
    pub(crate) fn new(
        config: ReplayConfig,
        own: NodeId,
        run: ChannelRun,
        random: Random,
        now: Instant,
        log: Option<Arc<EventLog>>,
    ) -> Self {
        Self {
            machines: Mutex::new(Machines {
                replay: Replay::new(config.clone(), own, run, random, now),
                intake: Intake::new(IntakeConfig::default(), now),
                config,
                reserved: (0, 0),
                receipts: BTreeMap::new(),
                runs: BTreeMap::new(),
                told: Told::default(),
                heir: Heir::new(Estate::new(EstateConfig::default(), now)),
                shares: Shares::new(MAX_SHARES),
                is_stalled: false,
                looks_at: None,
            }),
            inbox: Arc::default(),
            freed: Notify::new(),
            hurry: Notify::new(),
            unordered: Unordered::default(),
            letters: Letters::default(),
            log,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events of this node wait until they are settled, and how many of other nodes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let machines = self.lock();
        let own = machines.replay.used(Custody::Own).0;
        (own, machines.replay.used(Custody::Transit).0)
    }
}

impl Reliable {
    /// How many events of other publishers are kept in case that these are lost, or sent in their place.
    pub(crate) fn kept_for_others(&self) -> usize {
        let machines = self.lock();
        let inherited = machines.replay.used(Custody::Inherited).0;
        let heir = &machines.heir;
        let kept = heir.estate.used().0.saturating_add(heir.in_hand());
        kept.saturating_add(inherited)
    }
}

impl Drop for Reliable {
    fn drop(&mut self) {
        // What is owed yet is not settled by the end of the node.
        if let Some(log) = &self.log {
            log.close();
        }
    }
}

impl Plane {
    /// Lets `act` use the machines, and carries out what they put out.
    fn reliably<T>(self: &Arc<Self>, act: impl FnOnce(&mut Machines, Instant) -> T) -> T {
        let now = self.clock.now();
        let mut work = Vec::new();
        let (result, hurry, freed) = {
            let mut machines = self.reliable.lock();
            let before = machines.used();
            let result = act(&mut machines, now);
            self.settle(&mut machines, now, &mut work);
            let now_used = machines.used();
            let freed = now_used.0 < before.0 || now_used.1 < before.1;
            let hurry = match (machines.due(), machines.looks_at) {
                (Some(due), Some(looks_at)) => due < looks_at,
                (Some(_), None) => true,
                (None, _) => false,
            };
            (result, hurry, freed)
        };
        if hurry {
            self.reliable.hurry.notify_one();
        }
        if freed {
            self.reliable.freed.notify_waiters();
        }
        work.into_iter().for_each(|work| self.carry_out(work));
        result
    }

    /// Moves what the machines put out to where it belongs, until they are quiet.
    fn settle(&self, machines: &mut Machines, now: Instant, work: &mut Vec<Work>) {
        machines.tell_arrears(now, work);
        while let Some(output) = machines.heir.estate.poll_output() {
            self.on_estate(machines, now, output, work);
        }
        loop {
            while let Some(output) = machines.replay.poll_output() {
                self.on_replay(machines, now, output, work);
            }
            if machines.is_stalled && machines.replay.has_room(Custody::Transit) {
                machines.is_stalled = false;
                machines.intake.handle_input(now, IntakeInput::Room);
            }
            let Some(output) = machines.intake.poll_output() else {
                return;
            };
            work.push(match output {
                IntakeOutput::Ack(peer, ack) => Work::Tell(peer, Box::new(Body::EventAck(ack))),
                IntakeOutput::Resend(peer, resend) => {
                    add(&self.counters.resends_asked, 1);
                    Work::Tell(peer, Box::new(Body::Resend(resend)))
                }
                _ => continue,
            });
        }
    }

    fn on_replay(
        &self,
        machines: &mut Machines,
        now: Instant,
        output: ReplayOutput<Parcel>,
        work: &mut Vec<Work>,
    ) {
        match output {
            ReplayOutput::Ready(Destination::Local(id), class) => {
                self.fill_queue(machines, id, class);
            }
            ReplayOutput::Ready(to, class) => work.push(Work::Pump(to, class)),
            ReplayOutput::Receipts {
                id,
                first,
                last,
                matched,
                acked,
                expired,
                dropped,
            } => {
                let outcomes = Outcomes {
                    matched,
                    acked,
                    expired,
                    dropped,
                };
                machines.put_down(id, (first, last), outcomes);
            }
            ReplayOutput::Settled {
                peer,
                class,
                run,
                first,
                last,
                outcome,
            } => {
                let upstream = Upstream {
                    peer,
                    class,
                    run,
                    first,
                };
                let node = self.node();
                for id in machines.settled(node, now, &upstream, last, outcome) {
                    self.was_in_hand(machines, now, id, outcome, work);
                }
            }
            ReplayOutput::Dead { payload, offset } => work.push(Work::Dead(payload, offset)),
            ReplayOutput::Misbehaved(to, offence) => {
                work.push(Work::Misbehaved(format!("{to:?}: {offence}")));
            }
            _ => {}
        }
    }

    fn carry_out(self: &Arc<Self>, work: Work) {
        match work {
            Work::Pump(to, class) => self.send_owed(to, class),
            Work::Tell(peer, body) => self.tell(peer, *body),
            Work::Dead(parcel, offset) => self.bury(&parcel, offset),
            Work::Misbehaved(what) => {
                add(&self.counters.misbehaved, 1);
                tracing::warn!(what, "a peer broke a rule");
            }
        }
    }

    /// Sends a word on the control stream. One that takes nothing any more ends its link, after which all is told anew.
    fn tell(&self, peer: NodeId, body: Body) {
        let Some(attached) = self.uplink.clone().or_else(|| self.links.member(&peer)) else {
            return;
        };
        let Ok(frame) = OutFrame::message(&Message::from(body)) else {
            debug_assert!(false, "a machine made a message over its limits");
            return;
        };
        if let Err(OutboxError::Full { .. }) = attached.link.control().try_push(frame) {
            let detail = "the control stream is full";
            attached.link.close(ErrorCode::OVERLOADED, detail);
        }
    }

    /// Hears what applications said so far, so that senders are told before the end.
    pub(crate) fn hear_applications(self: &Arc<Self>) {
        let said = self.reliable.inbox.hear_all();
        self.reliably(|machines, now| self.on_said(machines, now, said));
    }

    /// Keeps the time of the machines, and hears what applications say, until the node ends.
    pub(crate) async fn keep_reliable(self: Arc<Self>) {
        loop {
            let (said, look_at) = self.reliable.inbox.hear(self.clock.now());
            self.reliably(|machines, now| {
                self.on_said(machines, now, said);
                machines.replay.handle_timeout(now);
                machines.intake.handle_timeout(now);
                machines.heir.estate.handle_timeout(now);
            });
            let now = self.clock.now();
            let sleep = self.reliable.lock().sleep(now);
            let look = look_at.map(|at| at.saturating_since(now));
            let sleep = look.map_or(sleep, |look| sleep.min(look));
            tokio::select! {
                () = self.reliable.inbox.filled.notified() => {}
                () = self.reliable.hurry.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// What applications said takes effect, and makes room in their queues.
    fn on_said(&self, machines: &mut Machines, now: Instant, said: Vec<ReplayInput>) {
        let mut freed = std::collections::BTreeSet::new();
        for input in said {
            if let ReplayInput::Settled { to, .. } | ReplayInput::Retry { to, .. } = &input
                && let Destination::Local(id) = to
            {
                freed.insert(*id);
            }
            machines.replay.handle_input(now, input);
        }
        for id in freed {
            for class in Priority::ALL {
                self.fill_queue(machines, id, *class);
            }
        }
    }
}

impl Machines {
    /// What of the room for events of this node is taken or promised: events and bytes.
    const fn used(&self) -> (usize, usize) {
        let (events, bytes) = self.replay.used(Custody::Own);
        (
            events.saturating_add(self.reserved.0),
            bytes.saturating_add(self.reserved.1),
        )
    }

    /// Of these events of a batch, all is known.
    fn put_down(&mut self, id: ReceiptId, (first, last): (u32, u32), outcomes: Outcomes) {
        let Some((slip, left)) = self.receipts.get_mut(&id) else {
            return;
        };
        slip.put_down(first, last, outcomes);
        *left = left.saturating_sub(last.saturating_sub(first).saturating_add(1));
        if *left == 0 {
            self.receipts.remove(&id);
        }
    }

    /// How long the task that keeps the time may sleep.
    fn sleep(&mut self, now: Instant) -> Duration {
        let latest = now + LOOK_PERIOD;
        let at = self.due().map_or(latest, |due| due.min(latest));
        self.looks_at = Some(at);
        at.saturating_since(now)
    }

    fn due(&self) -> Option<Instant> {
        let due = [
            self.replay.poll_timeout(),
            self.intake.poll_timeout(),
            self.heir.estate.poll_timeout(),
            self.told.due,
        ];
        due.into_iter().flatten().min()
    }
}
