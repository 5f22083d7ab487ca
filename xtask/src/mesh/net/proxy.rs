//! A network without rights: a forwarder of UDP packets that every pair of nodes talks through.
//!
//! Each node listens at a port of its own and advertises another one, its *face*, which belongs to the forwarder. A
//! packet that reaches the face of B comes from the port of A, and leaves for the port of B from the face of A. So both
//! ends of a packet are known, each pair sees one steady address of the other in both directions, and no connection
//! ever seems to move.

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

/// The forwarder. Dropping it ends its threads.
#[derive(Debug)]
pub(in crate::mesh) struct Proxy {
    shared: Arc<Shared>,
    /// The ports of nodes that have not started yet, kept from everybody else.
    kept: Mutex<BTreeMap<usize, UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    faces: Vec<Face>,
    /// The nodes by the address that they send from.
    senders: BTreeMap<SocketAddr, usize>,
    later: Later,
    ended: AtomicBool,
}

/// Where a node can be reached.
#[derive(Debug)]
struct Face {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    /// Where the node itself listens.
    node: SocketAddr,
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
        let mut faces = Vec::new();
        let mut senders = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for number in 0..size {
            let own = bind()?;
            let face = Face::bind(address(&own)?, size)?;
            senders.insert(face.node, number);
            faces.push(face);
            kept.insert(number, own);
        }
        let shared = Arc::new(Shared {
            faces,
            senders,
            later: Later::start(),
            ended: AtomicBool::new(false),
        });
        let threads = (0..size)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.carry(number))
            })
            .collect();
        Ok(Self {
            shared,
            kept: Mutex::new(kept),
            threads,
        })
    }

    /// Where a node has to listen, and what it has to advertise. From here on its port is free.
    pub(super) fn place(&self, number: usize) -> Result<Place, Failure> {
        let face = self.face(number)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        drop(kept.remove(&number));
        Ok(Place {
            prefix: Vec::new(),
            listen: face.node.to_string(),
            advertise: Some(face.address.to_string()),
        })
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
            self.forward(face, from, packet, &mut dice);
        }
    }

    fn forward(&self, face: &Face, from: SocketAddr, packet: &[u8], dice: &mut Dice) {
        let Some(sender) = self.senders.get(&from) else {
            return;
        };
        let copies = {
            let mut lanes = face.lanes();
            let Some(lane) = lanes.get_mut(*sender) else {
                return;
            };
            lane.judge(dice)
        };
        let Some(by) = self.faces.get(*sender) else {
            return;
        };
        for delay in [copies.first, copies.second].into_iter().flatten() {
            let parcel = Parcel {
                by: Arc::clone(&by.socket),
                to: face.node,
                bytes: packet.to_vec(),
            };
            self.later.send(parcel, delay);
        }
    }
}

impl Face {
    fn bind(node: SocketAddr, size: usize) -> Result<Self, Failure> {
        let socket = bind()?;
        socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
        let address = address(&socket)?;
        Ok(Self {
            socket: Arc::new(socket),
            address,
            node,
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
        (0..2)
            .map(|number| {
                let place = proxy.place(number).unwrap();
                let socket = UdpSocket::bind(place.listen).unwrap();
                let patience = Some(Duration::from_secs(10));
                socket.set_read_timeout(patience).unwrap();
                socket
            })
            .collect()
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
