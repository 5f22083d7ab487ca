//! Sending, dialling, and the fate of links.

use bytes::Bytes;
use macula_wire::{Body, FrameDecoder, Message, NodeId, limit};

use super::config::within;
use super::counters::count;
use super::digest::Digest;
use super::event::{Event, Sent};
use super::link::Pair;
use super::{Class, Coding, Conditions, FailureCause, Host, Net, NodeIndex};

impl<H: Host> Net<H> {
    fn conditions(&self, from: NodeIndex, to: NodeIndex) -> Conditions {
        let own = self.conditions.get(&(from, to));
        own.copied().unwrap_or(self.config.conditions)
    }

    pub(super) fn send(&mut self, from: NodeIndex, to: NodeId, class: Class, body: Body) {
        let Some((sent, length)) = self.encode(from, body) else {
            return;
        };
        let linked = self.find(to).and_then(|to| {
            let link = self.links.get(Pair::new(from, to))?;
            (link.up && from != to).then_some((to, link.id))
        });
        let Some((to, link)) = linked else {
            count(&mut self.counters.without_link);
            return;
        };
        match class {
            Class::Datagram => self.send_datagram(link, from, to, sent, length),
            Class::Reliable => self.send_message(link, from, to, sent, length),
        }
    }

    /// The message as it is going to arrive, and the length of its frame.
    fn encode(&mut self, node: NodeIndex, body: Body) -> Option<(Sent, usize)> {
        let message = Message::from(body);
        let bytes = match message.to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fail(FailureCause::Encode { node, error });
                return None;
            }
        };
        let mut digest = Digest::new();
        digest.bytes(&bytes);
        let hash = digest.value();
        let length = bytes.len();
        if self.config.coding == Coding::Typed {
            let body = message.body;
            return Some((Sent { body, hash }, length));
        }
        let mut decoder = FrameDecoder::new(limit::FORMAT_MAX_FRAME_LEN);
        decoder.push(Bytes::from(bytes));
        let decoded = match decoder.next_frame() {
            Ok(Some(frame)) => Message::decode(&frame).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match decoded {
            Ok(Some(again)) if again == message => {
                let body = again.body;
                Some((Sent { body, hash }, length))
            }
            other => {
                let error = other.err();
                let message = format!("{message:?}");
                self.fail(FailureCause::Decode {
                    node,
                    error,
                    message,
                });
                None
            }
        }
    }

    fn send_datagram(
        &mut self,
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
        sent: Sent,
        length: usize,
    ) {
        let max = self.config.max_datagram_len;
        if length > max {
            let node = from;
            self.fail(FailureCause::TooLong { node, length, max });
            return;
        }
        count(&mut self.counters.datagrams_sent);
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.counters.datagram_bytes = self.counters.datagram_bytes.saturating_add(bytes);
        let number = self
            .links
            .same_mut(Pair::new(from, to), link)
            .map_or(0, |link| {
                let direction = link.directions.entry(from).or_default();
                direction.sent = direction.sent.saturating_add(1);
                direction.sent
            });
        if self.links.is_blocked(from, to) {
            count(&mut self.counters.blocked);
            return;
        }
        let conditions = self.conditions(from, to);
        if conditions.loss.strikes(&mut self.random) {
            count(&mut self.counters.datagrams_lost);
            return;
        }
        let mut copies = 1;
        if conditions.duplication.strikes(&mut self.random) {
            count(&mut self.counters.datagrams_doubled);
            copies = 2;
        }
        for _ in 0..copies {
            let mut at = self.now + conditions.delay(&mut self.random);
            if conditions.reorder.strikes(&mut self.random) {
                at = at + within(&mut self.random, conditions.reorder_delay);
            }
            let sent = sent.clone();
            let event = Event::Datagram {
                link,
                from,
                to,
                number,
                sent,
            };
            self.queue.push(at, event);
        }
    }

    fn send_message(
        &mut self,
        link: u64,
        from: NodeIndex,
        to: NodeIndex,
        sent: Sent,
        length: usize,
    ) {
        count(&mut self.counters.messages_sent);
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.counters.message_bytes = self.counters.message_bytes.saturating_add(bytes);
        let conditions = self.conditions(from, to);
        let mut at = self.now + conditions.delay(&mut self.random);
        // Each loss costs a retransmission; sixteen in a row count as enough.
        for _ in 0..16 {
            if !conditions.loss.strikes(&mut self.random) {
                break;
            }
            at = at + conditions.retransmission();
        }
        if let Some(current) = self.links.same_mut(Pair::new(from, to), link) {
            let direction = current.directions.entry(from).or_default();
            at = at.max(direction.busy_until);
            direction.busy_until = at;
        }
        let event = Event::Message {
            link,
            from,
            to,
            sent,
        };
        self.queue.push(at, event);
    }

    pub(super) fn start_dial(&mut self, from: NodeIndex, to: NodeId) {
        let Some(to) = self.find(to).filter(|to| *to != from) else {
            count(&mut self.counters.dials_failed);
            return;
        };
        let pair = Pair::new(from, to);
        if self.links.get(pair).is_some() {
            return;
        }
        let link = self.links.begin(pair);
        let there = self.conditions(from, to).delay(&mut self.random);
        let back = self.conditions(to, from).delay(&mut self.random);
        // QUIC's handshake and ours take a round trip each.
        let at = self.now + there + back + there + back;
        self.queue.push(at, Event::Dialled { link, from, to });
    }

    /// Ends the link of a pair, if there is one: what is on its way is lost, and whoever had it up is told.
    pub(super) fn drop_link(&mut self, pair: Pair) {
        let Some(link) = self.links.remove(pair) else {
            return;
        };
        if !link.up {
            count(&mut self.counters.dials_failed);
            return;
        }
        count(&mut self.counters.links_down);
        for node in [pair.0, pair.1] {
            let held = link.directions.get(&node).map_or(0, |way| way.held.len());
            let held = u64::try_from(held).unwrap_or(u64::MAX);
            self.counters.messages_broken = self.counters.messages_broken.saturating_add(held);
            let peer = pair.other(node);
            let Some(slot) = self.slots.get(node.0) else {
                continue;
            };
            if slot.machine.is_some() {
                let life = slot.life;
                self.queue.push(self.now, Event::Down { node, life, peer });
            }
        }
    }

    /// Whether nothing, or only one direction, gets through between two nodes.
    pub(super) fn is_silent(&self, pair: Pair) -> bool {
        let deaf = |node: NodeIndex| {
            self.slots
                .get(node.0)
                .is_none_or(|slot| slot.paused || slot.machine.is_none())
        };
        self.links.is_cut(pair) || deaf(pair.0) || deaf(pair.1)
    }

    /// Looks at every link after a fault began or ended: those that fell silent start to time out, and on those that
    /// speak again goes what had to wait.
    pub(super) fn review_links(&mut self) {
        let pairs: Vec<Pair> = self.nodes().flat_map(|n| self.links.pairs_of(n)).collect();
        for pair in pairs {
            let silent = self.is_silent(pair);
            let now = self.now;
            let Some(link) = self.links.get_mut(pair) else {
                continue;
            };
            let id = link.id;
            if silent && link.silent_since.is_none() {
                link.silent_since = Some(now);
                let at = now + self.config.link_timeout;
                let event = Event::Idle {
                    link: id,
                    pair,
                    since: now,
                };
                self.queue.push(at, event);
            } else if !silent {
                link.silent_since = None;
            }
            self.flush_what_waited(pair, id);
        }
    }

    fn flush_what_waited(&mut self, pair: Pair, link: u64) {
        for (from, to) in [(pair.0, pair.1), (pair.1, pair.0)] {
            let waits = self.links.same_mut(pair, link).is_some_and(|link| {
                let direction = link.directions.get(&from);
                direction.is_some_and(|direction| !direction.held.is_empty())
            });
            if waits && !self.links.is_blocked(from, to) {
                let delay = self.conditions(from, to).delay(&mut self.random);
                let event = Event::Flush { link, from, to };
                self.queue.push(self.now + delay, event);
            }
        }
    }
}
