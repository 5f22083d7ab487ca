//! The replay buffer: what this node sends reliably, until everybody who is owed it has it.

mod arrears;
mod boundary;
mod channel;
mod pick;
mod receipts;
mod receive;
mod settle;
mod transmit;
mod view;

pub use boundary::{
    Custody, GroupOffer, Offer, OfferError, Outcome, ReceiptId, ReplayInput, ReplayOffence,
    ReplayOutput, Transmit, Upstream,
};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use macula_wire::message::Priority;
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId, Random};

use self::channel::{Channel, Reach};
use self::pick::Picker;
use self::receipts::Sheet;
use crate::ids::Ids;
use crate::{Destination, ReplayConfig};

/// The sending side of reliable events: one buffer, and a channel to each destination and class.
///
/// It is given events with those who are owed them ([`offer`](Self::offer)), is asked for what a destination gets next
/// whenever there is room on the way ([`next`](Self::next)), and is told what became of it. An event leaves the buffer when
/// it is settled everywhere: acknowledged, expired, or dropped with its destination.
///
/// `T` is the events as the caller sends them; it is cloned for each destination.
#[derive(Debug)]
pub struct Replay<T> {
    config: ReplayConfig,
    run: ChannelRun,
    now: Instant,
    /// The next id.
    next: u64,
    /// The last id that an earlier run of the node may have sent.
    before: u64,
    /// By the id of the first event.
    entries: BTreeMap<u64, Entry<T>>,
    channels: BTreeMap<(Destination, Priority), Channel>,
    reach: BTreeMap<Destination, Reach>,
    own: Room,
    transit: Room,
    inherited: Room,
    picker: Picker,
    receipts: BTreeMap<ReceiptId, Sheet>,
    next_receipt: u64,
    timers: BTreeSet<(Instant, Timer)>,
    outputs: VecDeque<ReplayOutput<T>>,
}

/// Events that were offered together.
#[derive(Debug)]
struct Entry<T> {
    payload: T,
    /// The id that it was offered under, which tells it apart also when another one of its group gets it.
    offered: u64,
    count: u64,
    bytes: usize,
    class: Priority,
    expires: Option<Instant>,
    custody: Custody,
    /// What is not settled, by destination.
    owed: BTreeMap<Destination, Ids>,
    /// What was acknowledged by anybody; kept only for what goes upstream.
    acked: Ids,
    group: Option<GroupOffer>,
    attempt: u32,
    upstream: Option<Upstream>,
    receipts: Option<(ReceiptId, u32)>,
}

/// How much of the buffer is used.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    events: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// The time to live of an entry.
    Expire(u64),
    /// The lease of a destination.
    Lease(Destination),
    /// An event is to be handed over once more.
    Again(Destination, Priority, u64),
    /// A RESEND takes effect.
    Resend(Destination, Priority),
}

impl<T: Clone> Replay<T> {
    /// An empty buffer of the node `own`, whose ids begin at 1.
    #[must_use]
    pub const fn new(
        config: ReplayConfig,
        own: NodeId,
        run: ChannelRun,
        random: Random,
        now: Instant,
    ) -> Self {
        let picker = Picker::new(own, config.max_groups, random);
        Self {
            config,
            run,
            now,
            next: 1,
            before: 0,
            entries: BTreeMap::new(),
            channels: BTreeMap::new(),
            reach: BTreeMap::new(),
            own: Room {
                events: 0,
                bytes: 0,
            },
            transit: Room {
                events: 0,
                bytes: 0,
            },
            inherited: Room {
                events: 0,
                bytes: 0,
            },
            picker,
            receipts: BTreeMap::new(),
            next_receipt: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The numbering of the ids.
    #[must_use]
    pub const fn run(&self) -> ChannelRun {
        self.run
    }

    /// Lets ids go on at `next`, where it is beyond those that were used. For a buffer that goes on after a restart: it is
    /// given first what was owed, each under its former id, and then goes on behind all ids that were ever used.
    pub fn begin_at(&mut self, next: DeliveryId) {
        self.next = self.next.max(next.get());
    }

    /// Says that an earlier run of the node may have sent every id below `next`, so that receivers may speak of them.
    pub fn sent_before(&mut self, next: DeliveryId) {
        self.before = self.before.max(next.get().saturating_sub(1));
    }

    /// The id that the next offer gets.
    #[must_use]
    pub const fn next_id(&self) -> DeliveryId {
        DeliveryId::new(self.next)
    }

    /// Takes events into the buffer. Returns the id of the first; the others have the ids that follow. Where nobody is
    /// owed them nothing is kept.
    ///
    /// # Errors
    ///
    /// [`OfferError`]; nothing has changed then.
    pub fn offer(&mut self, now: Instant, offer: Offer<T>) -> Result<DeliveryId, OfferError> {
        self.advance(now);
        let candidates = offer
            .group
            .as_ref()
            .map_or(1, |group| group.candidates.len());
        let fits_group = offer.group.is_none() || (offer.count == 1 && candidates > 0);
        let Some(next) = self.next.checked_add(u64::from(offer.count)) else {
            return Err(OfferError::Invalid);
        };
        if offer.count == 0 || !fits_group {
            return Err(OfferError::Invalid);
        }
        let count = usize::try_from(offer.count).unwrap_or(usize::MAX);
        let room = self.room(offer.custody);
        let (max_events, max_bytes) = self.config.room(offer.custody);
        let fits = match offer.custody {
            // A single offer fits whatever its size, so that none waits for ever.
            Custody::Own => {
                room.events == 0
                    || (room.events.saturating_add(count) <= max_events
                        && room.bytes.saturating_add(offer.bytes) <= max_bytes)
            }
            // Whether there is room was decided when they came: one offer goes beyond the bound.
            Custody::Transit => self.has_room(Custody::Transit),
            Custody::Inherited => true,
        };
        if !fits {
            return Err(OfferError::Full {
                events: room.events,
                bytes: room.bytes,
            });
        }
        let first = self.next;
        self.next = next;
        self.admit(first, offer);
        Ok(DeliveryId::new(first))
    }

    fn admit(&mut self, first: u64, offer: Offer<T>) {
        let count = u64::from(offer.count);
        let last = first.saturating_add(count).saturating_sub(1);
        let mut group = offer.group;
        let owed = match &mut group {
            Some(group) => Vec::from_iter(self.pick_first(group)),
            None => offer.owed,
        };
        let owed: BTreeMap<Destination, Ids> = owed
            .into_iter()
            .map(|to| (to, Ids::row(first, last)))
            .collect();
        let matched = u32::try_from(owed.len()).unwrap_or(u32::MAX);
        if let Some((id, at)) = offer.receipts
            && let Some(sheet) = self.receipts.get_mut(&id)
        {
            let more = offer.count.saturating_sub(1);
            sheet.expect(at, at.saturating_add(more), matched);
        }
        if owed.is_empty() {
            if let Some(upstream) = offer.upstream {
                self.tell_upstream(upstream, 0, count.saturating_sub(1), Outcome::Gone);
            }
            return;
        }
        let to: Vec<Destination> = owed.keys().copied().collect();
        let expires = offer.ttl.map(|ttl| self.now + ttl);
        self.insert(
            first,
            Entry {
                payload: offer.payload,
                offered: first,
                count,
                bytes: offer.bytes,
                class: offer.class,
                expires,
                custody: offer.custody,
                owed,
                acked: Ids::default(),
                group,
                attempt: offer.attempt,
                upstream: offer.upstream,
                receipts: offer.receipts,
            },
        );
        for to in to {
            self.owe(to, offer.class, first);
        }
    }

    fn insert(&mut self, first: u64, entry: Entry<T>) {
        let (events, bytes) = (entry.events(), entry.bytes);
        let room = self.room_mut(entry.custody);
        room.events = room.events.saturating_add(events);
        room.bytes = room.bytes.saturating_add(bytes);
        if let Some(at) = entry.expires {
            self.timers.insert((at, Timer::Expire(first)));
        }
        self.entries.insert(first, entry);
    }

    const fn room(&self, custody: Custody) -> Room {
        match custody {
            Custody::Own => self.own,
            Custody::Transit => self.transit,
            Custody::Inherited => self.inherited,
        }
    }

    const fn room_mut(&mut self, custody: Custody) -> &mut Room {
        match custody {
            Custody::Own => &mut self.own,
            Custody::Transit => &mut self.transit,
            Custody::Inherited => &mut self.inherited,
        }
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Expire(first) => self.on_expired(first),
                Timer::Lease(to) => self.on_lease_over(to, at),
                Timer::Again(to, class, id) => self.on_again(to, class, id),
                Timer::Resend(to, class) => self.on_resend_due(to, class),
            }
        }
    }
}

impl<T> Entry<T> {
    fn events(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// Whether the event is not settled at a destination.
    fn owes(&self, to: Destination, id: u64) -> bool {
        let Some(owed) = self.owed.get(&to) else {
            return false;
        };
        owed.ranges().any(|(first, last)| first <= id && id <= last)
    }
}

impl<T: Clone> Machine for Replay<T> {
    type Input = ReplayInput;
    type Output = ReplayOutput<T>;

    fn handle_input(&mut self, now: Instant, input: ReplayInput) {
        self.advance(now);
        match input {
            ReplayInput::Up(to) => self.on_up(to),
            ReplayInput::Down(to) => self.on_down(to),
            ReplayInput::Lost(to) => self.on_lost(to),
            ReplayInput::Gone(to) => self.on_gone(to),
            ReplayInput::Ack(to, ack) => self.on_ack(to, &ack),
            ReplayInput::Resend(to, resend) => self.on_resend(to, &resend),
            ReplayInput::Settled {
                to,
                first,
                last,
                outcome,
            } => self.on_settled(to, first, last, outcome),
            ReplayInput::Retry {
                to,
                id,
                delay,
                max_deliver,
            } => self.on_retry(to, id, delay, max_deliver),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<ReplayOutput<T>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.outputs.is_empty() {
            self.timers.first().map(|(at, _)| *at)
        } else {
            Some(self.now)
        }
    }
}
