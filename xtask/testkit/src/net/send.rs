//! Sending, and dialling.

use bytes::Bytes;
use macula_wire::{Body, Frame, Message, limit};

use super::conditions::Loss;
use super::counters::count;
use super::event::Event;
use super::fabric::Fabric;
use super::link::{LinkRef, Pair};
use super::parcel::ParcelId;
use super::{Class, Coding, Digest, FailureCause, NodeIndex};

/// How much of a message on a stream goes into one packet, in bytes.
const STREAM_PACKET: usize = 1_200;
/// The most retransmissions of one message.
const MAX_RETRANSMISSIONS: usize = 16;

/// A message that is being sent.
#[derive(Clone, Copy, Debug)]
struct Sending {
    link: LinkRef,
    from: NodeIndex,
    to: NodeIndex,
    length: usize,
}

impl Fabric {
    /// Sends `body` over the link between two nodes; without one it is counted and dropped.
    pub(super) fn send(
        &mut self,
        from: NodeIndex,
        to: Option<NodeIndex>,
        class: Class,
        mut body: Body,
    ) {
        let Some((hash, length)) = self.encode(from, &mut body) else {
            return;
        };
        let linked = to.and_then(|to| {
            let link = self.links.find(from, to)?;
            let up = self.links.get(link)?.up;
            up.then_some(Sending {
                link,
                from,
                to,
                length,
            })
        });
        let Some(sending) = linked else {
            count(&mut self.counters.without_link);
            return;
        };
        let max = self.config.max_datagram_len;
        if class == Class::Datagram && length > max {
            let node = from;
            self.fail(FailureCause::TooLong { node, length, max });
            return;
        }
        if let Some(place) = self.place_mut(from) {
            place.messages = place.messages.saturating_add(1);
        }
        let parcel = self.parcels.put(body, hash, length);
        match class {
            Class::Datagram => self.send_datagram(sending, parcel),
            Class::Reliable => self.send_message(sending, parcel),
        }
    }

    /// Sends `body` to a node without a link, as over links that are all up: it arrives once unless a chance loses it, the
    /// way is blocked, or nobody runs there.
    pub(super) fn post(&mut self, from: NodeIndex, to: Option<NodeIndex>, mut body: Body) {
        let Some((hash, length)) = self.encode(from, &mut body) else {
            return;
        };
        let Some(to) = to.filter(|to| *to != from) else {
            count(&mut self.counters.without_link);
            return;
        };
        if let Some(place) = self.place_mut(from) {
            place.messages = place.messages.saturating_add(1);
        }
        count(&mut self.counters.posted);
        self.charge(from, length, length.div_ceil(STREAM_PACKET).max(1));
        let rules = self.rules(from, to);
        if rules.loses_again(&mut self.random) {
            return;
        }
        let at = self.now + rules.delay(&mut self.random);
        let parcel = self.parcels.put(body, hash, length);
        self.queue.push(at, Event::Posted { from, to, parcel });
    }

    /// Turns a message into what is going to arrive; answers with the hash of its frame, and its length.
    fn encode(&mut self, node: NodeIndex, body: &mut Body) -> Option<(u64, usize)> {
        self.scratch.clear();
        if let Err(error) = body.encode(&mut self.scratch) {
            self.fail(FailureCause::Encode { node, error });
            return None;
        }
        let mut digest = Digest::new();
        digest.bytes(&self.scratch);
        let length = self.scratch.len();
        if self.config.coding == Coding::Typed {
            return Some((digest.value(), length));
        }
        let bytes = Bytes::copy_from_slice(&self.scratch);
        let decoded = Frame::from_datagram(bytes, limit::FORMAT_MAX_FRAME_LEN)
            .and_then(|frame| Message::decode(&frame));
        match decoded {
            Ok(again) if again.body == *body && again.extensions.is_empty() => {
                *body = again.body;
                Some((digest.value(), length))
            }
            other => {
                let error = other.err();
                let message = format!("{body:?}");
                self.fail(FailureCause::Decode {
                    node,
                    error,
                    message,
                });
                None
            }
        }
    }

    /// Charges a node with the bytes of `length` in `packets` packets.
    fn charge(&mut self, node: NodeIndex, length: usize, packets: usize) {
        let overhead = self.config.datagram_overhead.saturating_mul(packets);
        self.charge_bytes(node, wide(length.saturating_add(overhead)));
    }

    fn charge_bytes(&mut self, node: NodeIndex, bytes: u64) {
        if let Some(place) = self.place_mut(node) {
            place.bytes = place.bytes.saturating_add(bytes);
        }
    }

    fn send_datagram(&mut self, sending: Sending, parcel: ParcelId) {
        let Sending {
            link,
            from,
            to,
            length,
        } = sending;
        count(&mut self.counters.datagrams_sent);
        let bytes = &mut self.counters.datagram_bytes;
        *bytes = bytes.saturating_add(wide(length));
        self.charge(from, length, 1);
        let rules = self.rules(from, to);
        let blocked = self.links.is_blocked(from, to);
        let Some(current) = self.links.get_mut(link) else {
            return;
        };
        let way = current.way(from);
        way.sent = way.sent.saturating_add(1);
        let number = way.sent;
        if blocked {
            count(&mut self.counters.blocked);
            self.parcels.take(parcel);
            return;
        }
        let lost = rules.loses(&mut way.bursting, &mut self.random);
        if lost != Loss::None {
            count(&mut self.counters.datagrams_lost);
            if lost == Loss::Burst {
                count(&mut self.counters.lost_in_bursts);
            }
            self.parcels.take(parcel);
            return;
        }
        let second = rules
            .doubles(&mut self.random)
            .then(|| self.parcels.double(parcel))
            .flatten();
        if second.is_some() {
            count(&mut self.counters.datagrams_doubled);
        }
        for parcel in [Some(parcel), second].into_iter().flatten() {
            let delay = rules.delay(&mut self.random);
            let at = self.now + delay + rules.hold_back(&mut self.random);
            let event = Event::Datagram {
                link,
                from,
                to,
                number,
                parcel,
            };
            self.queue.push(at, event);
        }
    }

    fn send_message(&mut self, sending: Sending, parcel: ParcelId) {
        let Sending {
            link,
            from,
            to,
            length,
        } = sending;
        count(&mut self.counters.messages_sent);
        let bytes = &mut self.counters.message_bytes;
        *bytes = bytes.saturating_add(wide(length));
        let packets = length.div_ceil(STREAM_PACKET).max(1);
        self.charge(from, length, packets);
        let rules = self.rules(from, to);
        let mut at = self.now + rules.delay(&mut self.random);
        let Some(current) = self.links.get_mut(link) else {
            return;
        };
        let way = current.way(from);
        let mut again = 0_usize;
        let mut lost = rules.loses(&mut way.bursting, &mut self.random) != Loss::None;
        while lost && again < MAX_RETRANSMISSIONS {
            again = again.saturating_add(1);
            at = at + rules.retransmission();
            lost = rules.loses_again(&mut self.random);
        }
        at = at.max(way.busy_until);
        way.busy_until = at;
        for _ in 0..again {
            count(&mut self.counters.retransmissions);
            self.charge(from, length.min(STREAM_PACKET), 1);
        }
        let event = Event::Message {
            link,
            from,
            to,
            parcel,
        };
        self.queue.push(at, event);
    }

    /// Dials from one node to another, unless they have a link or are making one.
    pub(super) fn dial(&mut self, from: NodeIndex, to: Option<NodeIndex>) {
        let Some(to) = to.filter(|to| *to != from) else {
            count(&mut self.counters.dials_failed);
            return;
        };
        if self.links.find(from, to).is_some() {
            return;
        }
        count(&mut self.counters.dials);
        let half = self.config.dial_bytes / 2;
        self.charge_bytes(from, half);
        if self.runs(to) {
            self.charge_bytes(to, self.config.dial_bytes.saturating_sub(half));
        }
        let link = self.links.begin(Pair::new(from, to));
        let there = self.rules(from, to).delay(&mut self.random);
        let back = self.rules(to, from).delay(&mut self.random);
        // QUIC's handshake and ours take a round trip each.
        let at = self.now + there + back + there + back;
        self.queue.push(at, Event::Dialled { link, from, to });
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
