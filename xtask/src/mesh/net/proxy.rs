//! A network without rights: a forwarder of UDP packets that every pair of nodes talks through.
//!
//! Each node listens at a port that the system gave it and advertises another one, its *face*, which belongs to the
//! forwarder. A packet that reaches the face of B comes from the port of A, and leaves for the port of B from the face
//! of A. So both ends of a packet are known, each pair sees one steady address of the other in both directions, even
//! after a restart, and no connection ever seems to move.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Place;
use super::fault::{Dice, Fault, Lane, Tally};
use super::later::{Later, Parcel};
use crate::failure::Failure;

/// How often a thread that waits for packets looks whether it has to end.
const LOOK: Duration = Duration::from_millis(200);
/// The longest packet that UDP carries.
const MAX_PACKET_LEN: usize = 65_535;
/// How many packets of nodes that are not known yet are kept. A node may dial before it has said where it listens.
const MAX_EARLY: usize = 256;
/// A port on loopback that the system chooses.
const ANY_PORT: &str = "127.0.0.1:0";

/// The forwarder. Dropping it ends its threads.
#[derive(Debug)]
pub(in crate::mesh) struct Proxy {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    faces: Vec<Face>,
    nodes: Mutex<Nodes>,
    later: Later,
    ended: AtomicBool,
}

/// Where nodes listen and send from.
#[derive(Debug, Default)]
struct Nodes {
    by_address: BTreeMap<SocketAddr, usize>,
    by_number: BTreeMap<usize, SocketAddr>,
    early: Vec<Early>,
}

/// A packet whose sender is not known yet.
#[derive(Debug)]
struct Early {
    from: SocketAddr,
    to: usize,
    packet: Vec<u8>,
}

/// Where a node can be reached.
#[derive(Debug)]
struct Face {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    /// The ways from each node to this one.
    lanes: Mutex<Vec<Lane>>,
}

impl Proxy {
    /// Starts a forwarder for `size` nodes.
    ///
    /// # Errors
    ///
    /// When the system gives no ports.
    pub(super) fn start(size: usize) -> Result<Self, Failure> {
        let faces: Result<Vec<Face>, Failure> = (0..size).map(|_number| Face::bind(size)).collect();
        let shared = Arc::new(Shared {
            faces: faces?,
            nodes: Mutex::default(),
            later: Later::start(),
            ended: AtomicBool::new(false),
        });
        let threads = (0..size)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.carry(number))
            })
            .collect();
        Ok(Self { shared, threads })
    }

    /// Where a node has to listen, and what it has to advertise.
    pub(super) fn place(&self, number: usize) -> Result<Place, Failure> {
        Ok(Place {
            prefix: Vec::new(),
            listen: ANY_PORT.to_owned(),
            advertise: Some(self.reach(number)?),
        })
    }

    /// A node listens at `address`, or nowhere any more.
    pub(super) fn listens(&self, number: usize, address: Option<&str>) -> Result<(), Failure> {
        self.face(number)?;
        let Some(address) = address else {
            self.shared.nodes().forget(number);
            return Ok(());
        };
        let address = address
            .parse()
            .map_err(|error| Failure::failed(format!("{address}: {error}")))?;
        let early = self.shared.nodes().know(number, address);
        let mut dice = Dice::new(seed());
        for packet in early {
            self.shared
                .forward(number, packet.to, &packet.packet, &mut dice);
        }
        Ok(())
    }

    /// Where others reach a node.
    pub(super) fn reach(&self, number: usize) -> Result<String, Failure> {
        Ok(self.face(number)?.address.to_string())
    }

    pub(super) fn set(&self, from: usize, to: usize, fault: Fault) -> Result<(), Failure> {
        let mut lanes = self.face(to)?.lanes();
        let lane = lanes.get_mut(from).ok_or_else(|| unknown(from))?;
        lane.fault = fault;
        Ok(())
    }

    pub(super) fn tally(&self, from: usize, to: usize) -> Result<Tally, Failure> {
        let lanes = self.face(to)?.lanes();
        let lane = lanes.get(from).ok_or_else(|| unknown(from))?;
        Ok(lane.tally)
    }

    fn face(&self, number: usize) -> Result<&Face, Failure> {
        let face = self.shared.faces.get(number);
        face.ok_or_else(|| unknown(number))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Carries packets to one node until the end.
    fn carry(&self, number: usize) {
        let Some(face) = self.faces.get(number) else {
            return;
        };
        let mut dice = Dice::new(seed());
        let mut buffer = vec![0; MAX_PACKET_LEN];
        while !self.ended.load(Ordering::Relaxed) {
            // Errors are a look at the end, or the answer of a node that is gone.
            let Ok((length, from)) = face.socket.recv_from(&mut buffer) else {
                continue;
            };
            let packet = buffer.get(..length).unwrap_or_default();
            let sender = self.nodes().sender(from, number, packet);
            if let Some(sender) = sender {
                self.forward(sender, number, packet, &mut dice);
            }
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(&self, from: usize, to: usize, packet: &[u8], dice: &mut Dice) {
        let (Some(by), Some(face)) = (self.faces.get(from), self.faces.get(to)) else {
            return;
        };
        let copies = match face.lanes().get_mut(from) {
            Some(lane) => lane.judge(dice),
            None => return,
        };
        let Some(address) = self.nodes().by_number.get(&to).copied() else {
            return;
        };
        for delay in [copies.first, copies.second].into_iter().flatten() {
            let parcel = Parcel {
                by: Arc::clone(&by.socket),
                to: address,
                bytes: packet.to_vec(),
            };
            self.later.send(parcel, delay);
        }
    }
}

impl Nodes {
    /// Who sent a packet. One of somebody who is not known yet is kept for later.
    fn sender(&mut self, from: SocketAddr, to: usize, packet: &[u8]) -> Option<usize> {
        let known = self.by_address.get(&from).copied();
        if known.is_none() && self.early.len() < MAX_EARLY {
            let packet = packet.to_vec();
            self.early.push(Early { from, to, packet });
        }
        known
    }

    /// Takes in where a node listens. Returns what it sent before.
    fn know(&mut self, number: usize, address: SocketAddr) -> Vec<Early> {
        self.forget(number);
        self.by_address.insert(address, number);
        self.by_number.insert(number, address);
        let (own, others) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|early| early.from == address);
        self.early = others;
        own
    }

    fn forget(&mut self, number: usize) {
        if let Some(address) = self.by_number.remove(&number) {
            self.by_address.remove(&address);
        }
    }
}

impl Face {
    fn bind(size: usize) -> Result<Self, Failure> {
        let socket = bind()?;
        socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
        let address = address(&socket)?;
        Ok(Self {
            socket: Arc::new(socket),
            address,
            lanes: Mutex::new(vec![Lane::default(); size]),
        })
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind() -> Result<UdpSocket, Failure> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)
}

fn address(socket: &UdpSocket) -> Result<SocketAddr, Failure> {
    socket.local_addr().map_err(failed)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::failed(format!("a port of the forwarder: {error}"))
}

fn unknown(number: usize) -> Failure {
    Failure::failed(format!("the forwarder has no place {number}"))
}

/// A number that differs from run to run: processes do not repeat anyway, and chance finds more that way.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::super::fault::Percent;
    use super::*;

    /// Two sockets at the places of two nodes.
    fn nodes(proxy: &Proxy) -> Vec<UdpSocket> {
        let sockets: Vec<UdpSocket> = (0..2).map(|number| node(proxy, number)).collect();
        for (number, socket) in sockets.iter().enumerate() {
            let address = socket.local_addr().unwrap().to_string();
            proxy.listens(number, Some(&address)).unwrap();
        }
        sockets
    }

    fn node(proxy: &Proxy, number: usize) -> UdpSocket {
        let place = proxy.place(number).unwrap();
        let socket = UdpSocket::bind(place.listen).unwrap();
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    fn received(socket: &UdpSocket) -> (Vec<u8>, String) {
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from.to_string())
    }

    #[test]
    fn each_sees_the_other_at_its_face_in_both_directions() {
        let proxy = Proxy::start(2).unwrap();
        let nodes = nodes(&proxy);
        nodes[0].send_to(b"to", proxy.reach(1).unwrap()).unwrap();
        let (bytes, from) = received(&nodes[1]);
        assert_eq!(
            (bytes.as_slice(), &from),
            (&b"to"[..], &proxy.reach(0).unwrap())
        );
        nodes[1].send_to(b"fro", from).unwrap();
        let (bytes, from) = received(&nodes[0]);
        assert_eq!(
            (bytes.as_slice(), &from),
            (&b"fro"[..], &proxy.reach(1).unwrap())
        );
    }

    #[test]
    fn a_cut_holds_in_its_direction_only_and_is_counted() {
        let proxy = Proxy::start(2).unwrap();
        let nodes = nodes(&proxy);
        proxy.set(0, 1, Fault::cut()).unwrap();
        nodes[0].send_to(b"lost", proxy.reach(1).unwrap()).unwrap();
        nodes[1].send_to(b"back", proxy.reach(0).unwrap()).unwrap();
        assert_eq!(received(&nodes[0]).0, b"back");
        while proxy.tally(0, 1).unwrap().lost == 0 {
            std::thread::yield_now();
        }
        proxy.set(0, 1, Fault::default()).unwrap();
        nodes[0].send_to(b"again", proxy.reach(1).unwrap()).unwrap();
        assert_eq!(received(&nodes[1]).0, b"again");
        assert_eq!(proxy.tally(1, 0).unwrap().lost, 0);
    }

    #[test]
    fn a_node_may_send_before_it_says_where_it_listens() {
        let proxy = Proxy::start(2).unwrap();
        let nodes = nodes(&proxy);
        // It starts anew, at another port.
        proxy.listens(0, None).unwrap();
        let again = node(&proxy, 0);
        again.send_to(b"early", proxy.reach(1).unwrap()).unwrap();
        while proxy.shared.nodes().early.is_empty() {
            std::thread::yield_now();
        }
        let address = again.local_addr().unwrap().to_string();
        proxy.listens(0, Some(&address)).unwrap();
        let (bytes, from) = received(&nodes[1]);
        assert_eq!(
            (bytes.as_slice(), &from),
            (&b"early"[..], &proxy.reach(0).unwrap())
        );
        assert!(proxy.shared.nodes().early.is_empty());
        nodes[1].send_to(b"back", from).unwrap();
        assert_eq!(received(&again).0, b"back");
    }

    #[test]
    fn packets_are_doubled_and_strangers_ignored() {
        let proxy = Proxy::start(2).unwrap();
        let nodes = nodes(&proxy);
        let fault = Fault {
            twice: Percent::ALL,
            delay: Duration::from_millis(1),
            ..Fault::default()
        };
        proxy.set(0, 1, fault).unwrap();
        let stranger = bind().unwrap();
        stranger.send_to(b"x", proxy.reach(1).unwrap()).unwrap();
        nodes[0].send_to(b"y", proxy.reach(1).unwrap()).unwrap();
        assert_eq!(received(&nodes[1]).0, b"y");
        assert_eq!(received(&nodes[1]).0, b"y");
        assert_eq!(proxy.tally(0, 1).unwrap().doubled, 1);
        assert!(proxy.place(2).is_err());
    }
}
