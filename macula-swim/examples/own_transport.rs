//! Membership on a transport of one's own: three nodes on plain UDP, of which one falls silent.
//!
//! ```text
//! cargo run -p macula-swim --example own_transport
//! ```
//!
//! What a transport has to know of the machine stands in `Node::turn`, about forty lines. Signatures are stand-ins here: a real program signs with its own key.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example is a shell: it reads the clock and talks to people"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use macula_swim::{Config, Input, Output, OwnRecord, Swim, verify};
use macula_testkit::{StubSigner, StubVerifier, node_id};
use macula_wire::{
    Epoch, FrameDecoder, Instant, Machine, Message, NODE_ID_LEN, NodeId, Random, RealmName, limit,
};

struct Node {
    swim: Swim,
    socket: UdpSocket,
    start: Clock,
    /// Where everybody is; a real transport keeps a link for each.
    book: BTreeMap<NodeId, SocketAddr>,
    linked: BTreeSet<NodeId>,
}

impl Node {
    fn now(&self) -> Instant {
        let nanos = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) + Duration::from_secs(1)
    }

    /// UDP has no links: each is up as soon as it is wanted.
    fn link(&mut self, peer: NodeId) {
        if self.linked.insert(peer) {
            self.swim.handle_input(self.now(), Input::LinkUp { peer });
        }
    }

    /// One turn: what came in, what fell due, and what is to be done about it.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let own = self.swim.own_record().record.node;
        let mut buffer = [0; 65_536];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            // A datagram is the sender's id and one frame. Without TLS anybody could claim any id.
            let Some(datagram) = buffer.get(..length).filter(|_| length > NODE_ID_LEN) else {
                continue;
            };
            let (from, frame) = datagram.split_at(NODE_ID_LEN);
            let Ok(from) = <[u8; NODE_ID_LEN]>::try_from(from).map(NodeId::from_bytes) else {
                continue;
            };
            let mut decoder = FrameDecoder::new(limit::FORMAT_MAX_FRAME_LEN);
            decoder.push(Bytes::copy_from_slice(frame));
            let Ok(Some(frame)) = decoder.next_frame() else {
                continue;
            };
            let Ok(message) = Message::decode(&frame) else {
                continue;
            };
            let mut body = message.body;
            self.swim.retain_news(&mut body);
            if verify(self.swim.realm(), &body, &StubVerifier::new()).is_ok() {
                let now = self.now();
                self.link(from);
                self.swim.handle_input(now, Input::Message { from, body });
            }
        }
        self.swim.handle_timeout(self.now());
        while let Some(output) = self.swim.poll_output() {
            match output {
                Output::Send { to, body, .. } => {
                    let mut datagram = own.as_bytes().to_vec();
                    Message::from(body).encode(&mut datagram)?;
                    if let Some(at) = self.book.get(&to) {
                        self.socket.send_to(&datagram, at)?;
                    }
                }
                Output::Connect { node, .. } => self.link(node),
                Output::Up { node, .. } => println!("{own:?}: {node:?} is there"),
                Output::Suspect { node } => println!("{own:?}: {node:?} does not answer"),
                Output::Down { node, .. } => println!("{own:?}: {node:?} is dead"),
                Output::Release { .. }
                | Output::Joined { .. }
                | Output::Changed { .. }
                | Output::Left { .. }
                | Output::Superseded { .. }
                | Output::Misbehaved { .. }
                | _ => {}
            }
        }
        Ok(())
    }
}

fn node(number: usize, start: Clock) -> Result<Node, Box<dyn Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // A turn waits this long for something to come in; a real program waits until `poll_timeout`.
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let wall_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut own = OwnRecord::new(Epoch::new(wall_ms));
    own.addresses = vec![socket.local_addr()?];
    let swim = Swim::new(
        Config::default(),
        RealmName::new("be.acme.iot")?,
        Arc::new(StubSigner::new(node_id(number))),
        own,
        Random::new(wall_ms),
        Instant::ZERO,
        wall_ms,
    )?;
    Ok(Node {
        swim,
        socket,
        start,
        book: BTreeMap::new(),
        linked: BTreeSet::new(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Clock::now();
    let mut nodes = vec![node(0, start)?, node(1, start)?, node(2, start)?];
    let book: BTreeMap<NodeId, SocketAddr> = nodes
        .iter()
        .map(|node| {
            Ok((
                node.swim.own_record().record.node,
                node.socket.local_addr()?,
            ))
        })
        .collect::<Result<_, std::io::Error>>()?;
    for node in &mut nodes {
        node.book = book.clone();
        if node.swim.own_record().record.node != node_id(0) {
            node.swim.join(node.now(), node_id(0))?;
            node.link(node_id(0));
        }
    }
    let turn_until = |nodes: &mut [Node], done: fn(&Node) -> bool| {
        while !nodes.iter().all(done) {
            nodes.iter_mut().try_for_each(Node::turn)?;
            if start.elapsed() > Duration::from_secs(60) {
                return Err("this takes too long".into());
            }
        }
        Ok::<(), Box<dyn Error>>(())
    };
    turn_until(&mut nodes, |node| node.swim.counts().alive == 3)?;
    println!("all three know each other; one falls silent");
    nodes.pop();
    turn_until(&mut nodes, |node| node.swim.counts().dead == 1)?;
    println!(
        "the two that are left agree, after {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
