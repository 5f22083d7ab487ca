//! Routing on a transport of one's own: twelve nodes on plain UDP, of which one publishes a value and another finds it.
//!
//! ```text
//! cargo run -p macula-kad --example lookup
//! ```
//!
//! What a transport has to know of the machine stands in `Node::turn`, about forty lines. Signatures are stand-ins here: a
//! real program signs with its own key.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an example is a shell: it reads the clock, talks to people, and counts its nodes"
)]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use macula_kad::{Checked, Config, Goal, Input, Kad, LookupOptions, Outcome, Output, key};
use macula_testkit::{StubSigner, StubVerifier, node_id};
use macula_wire::message::{Contact, RecordContent, RecordKind, ValueContent};
use macula_wire::{
    ContentType, Frame, Instant, Machine, Message, NODE_ID_LEN, NodeId, Random, RealmName, Topic,
    limit,
};

/// How many nodes there are.
const NODES: usize = 12;
/// How many nodes keep a record and fill a bucket; few here, so that a lookup has some way to go.
const K: usize = 3;
/// The longest UDP datagram. An answer with 20 contacts takes 1.4 KB; records may take more than a datagram holds, which
/// is why a real transport uses streams.
const DATAGRAM: usize = 65_507;

struct Node {
    kad: Kad,
    socket: UdpSocket,
    start: Clock,
    outcomes: Vec<Outcome>,
}

impl Node {
    fn now(&self) -> Instant {
        let nanos = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn contact(&self) -> Result<Arc<Contact>, Box<dyn Error>> {
        let (node, addresses) = (self.kad.node(), vec![self.socket.local_addr()?]);
        Ok(Arc::new(Contact { node, addresses }))
    }

    /// One turn: what came in, what fell due, and what is to be done about it.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = vec![0; DATAGRAM];
        while let Ok((length, address)) = self.socket.recv_from(&mut buffer) {
            let datagram = buffer.get(..length).unwrap_or_default();
            if let Some(input) = self.read(datagram, address) {
                self.kad.handle_input(self.now(), input);
            }
        }
        self.kad.handle_timeout(self.now());
        while let Some(output) = self.kad.poll_output() {
            match output {
                Output::Send { to, body } => {
                    let mut datagram = self.kad.node().as_bytes().to_vec();
                    Message::from(body).encode(&mut datagram)?;
                    let at = to.addresses.first().filter(|_| datagram.len() <= DATAGRAM);
                    let sent = at.map(|at| self.socket.send_to(&datagram, at));
                    if !matches!(sent, Some(Ok(_))) {
                        let now = self.now();
                        self.kad.handle_input(now, Input::Unreachable(to.node));
                    }
                }
                Output::Found(outcome) => self.outcomes.push(outcome),
                Output::Changed { .. } | Output::Watching { .. } | _ => {}
            }
        }
        Ok(())
    }

    /// A datagram is the sender's id and one frame. Without TLS anybody could claim any id.
    fn read(&self, datagram: &[u8], address: SocketAddr) -> Option<Input> {
        let (node, frame) = datagram.split_at_checked(NODE_ID_LEN)?;
        let node = NodeId::from_bytes(node.try_into().ok()?);
        let frame = Bytes::copy_from_slice(frame);
        let frame = Frame::from_datagram(frame, limit::FORMAT_MAX_FRAME_LEN).ok()?;
        let body = Message::decode(&frame).ok()?.body;
        let addresses = vec![address];
        Some(Input::Message {
            from: Arc::new(Contact { node, addresses }),
            body: Checked::new(self.kad.realm(), body, &StubVerifier::new()),
        })
    }
}

fn node(number: usize, start: Clock) -> Result<Node, Box<dyn Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // A turn does not wait; a real program waits until `poll_timeout`, or until something comes in.
    socket.set_nonblocking(true)?;
    let wall_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut config = Config::default();
    config.k = K;
    let kad = Kad::new(
        config,
        RealmName::new("be.acme.iot")?,
        Arc::new(StubSigner::new(node_id(number))),
        Random::new(wall_ms.wrapping_add(u64::try_from(number)?)),
        Instant::ZERO,
        wall_ms,
    );
    Ok(Node {
        kad,
        socket,
        start,
        outcomes: Vec::new(),
    })
}

/// Lets all nodes take turns until `done`.
fn turn_until(
    nodes: &mut [Node],
    mut done: impl FnMut(&[Node]) -> bool,
) -> Result<(), Box<dyn Error>> {
    let begin = Clock::now();
    while !done(nodes) {
        if begin.elapsed() > Duration::from_secs(30) {
            return Err("this takes too long".into());
        }
        nodes.iter_mut().try_for_each(Node::turn)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Clock::now();
    let mut nodes = (0..NODES)
        .map(|number| node(number, start))
        .collect::<Result<Vec<Node>, _>>()?;
    // Each joins by the one before it and knows nobody else.
    for number in 1..NODES {
        if let [.., before, node] = &mut nodes[..=number] {
            let contact = before.contact()?;
            node.kad.join(node.now(), contact)?;
        }
        turn_until(&mut nodes, |nodes| {
            nodes[number].kad.table_len() >= K.min(number)
        })?;
    }
    let contacts: Vec<usize> = nodes.iter().map(|node| node.kad.table_len()).collect();
    println!("{NODES} nodes joined one by another; they have {contacts:?} contacts");

    let name = Topic::new("greetings")?;
    let wanted = key(nodes[0].kad.realm(), RecordKind::Value, name.as_str());
    let content = RecordContent::Value(ValueContent {
        name,
        content: ContentType::Text,
        value: Bytes::from_static(b"hello from the first node"),
    });
    let now = nodes[0].now();
    let id = nodes[0].kad.publish(now, content)?;
    turn_until(&mut nodes, |nodes| {
        nodes.iter().filter(|node| node.kad.keeps(&id)).count() >= K
    })?;
    println!("the first one published a value; {K} nodes keep it");

    let goal = Goal::Records {
        key: wanted,
        kind: RecordKind::Value,
        all: false,
    };
    // One that does not keep it itself.
    let asker = nodes
        .iter()
        .rposition(|node| !node.kad.keeps(&id))
        .unwrap_or(0);
    let now = nodes[asker].now();
    nodes[asker]
        .kad
        .lookup(now, goal, LookupOptions::default())?;
    turn_until(&mut nodes, |nodes| !nodes[asker].outcomes.is_empty())?;
    let outcome = nodes[asker].outcomes.pop().ok_or("no outcome")?;
    for signed in &outcome.records {
        if let RecordContent::Value(found) = &signed.record.content {
            let text = String::from_utf8_lossy(&found.value);
            let owner = signed.record.owner;
            println!("node {asker} found {text:?} of {owner:?}");
        }
    }
    let Outcome {
        hops,
        requests,
        took,
        ..
    } = outcome;
    println!("in {took:.1?}: {hops} hops, {requests} requests");
    if outcome.records.is_empty() {
        return Err("the value was not found".into());
    }
    Ok(())
}
