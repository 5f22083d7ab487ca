//! The two sources of packets, and the two ways out.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use bytes::Bytes;
use macula_wire::{NodeId, RealmName};

use super::*;
use crate::config::Config;
use crate::stats::EndpointStats;

/// UDP without a network.
#[derive(Debug, Default)]
struct Udp {
    waiting: Mutex<VecDeque<(SocketAddr, Vec<u8>)>>,
    sent: Mutex<Vec<(SocketAddr, usize, Option<usize>)>>,
}

#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = (
            transmit.destination,
            transmit.contents.len(),
            transmit.segment_size,
        );
        self.sent.lock().unwrap().push(sent);
        Ok(())
    }

    /// One packet at a time.
    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some((addr, bytes)) = self.waiting.lock().unwrap().pop_front() else {
            return Poll::Pending;
        };
        bufs[0][..bytes.len()].copy_from_slice(&bytes);
        meta[0] = RecvMeta {
            addr,
            len: bytes.len(),
            stride: bytes.len(),
            ..RecvMeta::default()
        };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(local())
    }

    fn max_transmit_segments(&self) -> usize {
        10
    }

    fn max_receive_segments(&self) -> usize {
        64
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A socket with both its ends.
struct Bench {
    udp: Arc<Udp>,
    forwarding: Arc<Forwarding>,
    socket: Arc<Socket>,
    wakes: Arc<Wakes>,
}

impl Bench {
    fn new(max_forwarded_packets: usize) -> Self {
        let config = Config {
            max_forwarded_nodes: 2,
            max_forwarded_packets,
            ..Config::default()
        };
        let udp = Arc::new(Udp::default());
        let forwarding = Forwarding::new(local(), vec![realm()], &config);
        let inner: Arc<dyn AsyncUdpSocket> = Arc::<Udp>::clone(&udp);
        let socket = Arc::new(Socket::new(inner, Arc::clone(&forwarding)));
        Self {
            udp,
            forwarding,
            socket,
            wakes: Arc::default(),
        }
    }

    fn udp(&self, from: SocketAddr, bytes: &[u8]) {
        let mut waiting = self.udp.waiting.lock().unwrap();
        waiting.push_back((from, bytes.to_vec()));
    }

    fn deliver(&self, node: u8, bytes: &'static [u8]) {
        self.forwarding
            .deliver(&realm(), id(node), Bytes::from_static(bytes));
    }

    /// What one read gives.
    fn read(&self) -> Poll<Vec<(SocketAddr, Vec<u8>)>> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut storage = vec![vec![0; 1_500]; 4];
        let mut bufs: Vec<IoSliceMut<'_>> =
            storage.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        let mut meta = [RecvMeta::default(); 4];
        let mut cx = Context::from_waker(&waker);
        let received = self.socket.poll_recv(&mut cx, &mut bufs, &mut meta);
        received.map(|count| {
            let count = count.unwrap();
            assert_ne!(count, 0, "ready with nothing");
            let read = meta.iter().zip(&bufs).take(count);
            read.map(|(meta, buf)| (meta.addr, buf[..meta.len].to_vec()))
                .collect()
        })
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        match self.read() {
            Poll::Ready(read) => read.into_iter().map(|(_, bytes)| bytes).collect(),
            Poll::Pending => panic!("nothing to read"),
        }
    }

    fn stats(&self) -> EndpointStats {
        let mut stats = EndpointStats::default();
        self.forwarding.measure(&mut stats);
        stats
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_433))
}

fn realm() -> RealmName {
    RealmName::new("be.acme").unwrap()
}

fn id(node: u8) -> NodeId {
    NodeId::from_bytes([node; 32])
}

fn transmit(destination: SocketAddr, contents: &[u8], segment_size: Option<usize>) -> Transmit<'_> {
    Transmit {
        destination,
        ecn: None,
        contents,
        segment_size,
        src_ip: None,
    }
}

#[test]
fn udp_packets_with_a_mapped_source_are_emptied_and_counted() {
    let bench = Bench::new(8);
    for forged in ["239.0.0.1:1", "[fd6b:9c2e:51d7:7a03::1]:1"] {
        bench.udp(forged.parse().unwrap(), b"forged");
        assert_eq!(bench.payloads(), [b""]);
    }
    assert_eq!(bench.stats().forged_dropped, 2);
    for genuine in ["240.0.0.1:1", "[fd6b:9c2e:51d7:7a04::1]:1"] {
        bench.udp(genuine.parse().unwrap(), b"genuine");
        assert_eq!(bench.payloads(), [b"genuine"]);
    }
    assert_eq!(bench.stats().forged_dropped, 2);
}

#[test]
fn neither_source_keeps_the_other_waiting() {
    let bench = Bench::new(64);
    for _ in 0..3 {
        bench.udp(local(), b"udp");
    }
    for _ in 0..10 {
        bench.deliver(1, b"forwarded");
    }
    // As many as there are buffers, then it is the turn of UDP.
    for _ in 0..2 {
        assert_eq!(bench.payloads(), [b"forwarded"; 4]);
        assert_eq!(bench.payloads(), [b"udp"]);
    }
    assert_eq!(bench.payloads(), [b"forwarded"; 2]);
    assert_eq!(bench.payloads(), [b"udp"]);
    assert!(bench.read().is_pending());
}

#[test]
fn a_delivery_wakes_whoever_found_nothing() {
    let bench = Bench::new(8);
    bench.deliver(1, b"early");
    assert_eq!(bench.payloads(), [b"early"]);
    assert!(bench.read().is_pending());
    assert!(bench.read().is_pending());
    assert_eq!(bench.wakes.0.load(Ordering::Relaxed), 0);
    bench.deliver(1, b"late");
    bench.deliver(1, b"later");
    assert_eq!(bench.wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(bench.payloads(), [b"late".to_vec(), b"later".to_vec()]);
}

#[test]
fn each_node_is_answered_at_its_own_address() {
    let bench = Bench::new(8);
    let mut packets = bench.forwarding.take_reader().unwrap();
    bench.deliver(1, b"one");
    bench.deliver(2, b"two");
    let Poll::Ready(read) = bench.read() else {
        panic!("nothing to read")
    };
    for (node, (from, bytes)) in [1, 2].into_iter().zip(read) {
        bench
            .socket
            .try_send(&transmit(from, &bytes, None))
            .unwrap();
        let packet = packets.try_next().unwrap();
        assert_eq!((packet.node, packet.realm), (id(node), realm()));
        assert_eq!(packet.bytes, bytes);
    }
    assert!(bench.udp.sent.lock().unwrap().is_empty());
    assert!(bench.forwarding.take_reader().is_none());
}

#[test]
fn a_group_is_forwarded_one_by_one_and_sent_by_udp_as_it_is() {
    let bench = Bench::new(8);
    let mut packets = bench.forwarding.take_reader().unwrap();
    let lease = bench.forwarding.lease(&realm(), id(1)).unwrap();
    let contents = [7; 2_500];
    for destination in [lease.address(), local()] {
        let group = transmit(destination, &contents, Some(1_200));
        bench.socket.try_send(&group).unwrap();
    }
    let lengths: Vec<usize> = std::iter::from_fn(|| packets.try_next())
        .map(|packet| packet.bytes.len())
        .collect();
    assert_eq!(lengths, [1_200, 1_200, 100]);
    let sent = bench.udp.sent.lock().unwrap();
    assert_eq!(*sent, [(local(), 2_500, Some(1_200))]);
    drop(sent);
    assert_eq!(bench.stats().forwarded_sent, 3);
}

#[test]
fn what_cannot_be_forwarded_is_dropped_and_counted() {
    let bench = Bench::new(2);
    let mut packets = bench.forwarding.take_reader().unwrap();
    let lease = bench.forwarding.lease(&realm(), id(1)).unwrap();
    let unknown = SocketAddr::from(([239, 0, 0, 9], 1));
    let send = |to: SocketAddr, contents: &[u8]| {
        bench
            .socket
            .try_send(&transmit(to, contents, None))
            .unwrap();
        let stats = bench.stats();
        (stats.forwarded_sent, stats.forwarded_send_dropped)
    };
    assert_eq!(send(lease.address(), &[0; 1_200]), (1, 0));
    assert_eq!(send(lease.address(), &[0; 1_201]), (1, 1));
    assert_eq!(send(unknown, b"to nobody"), (1, 2));
    assert_eq!(send(lease.address(), b"fills the queue"), (2, 2));
    assert_eq!(send(lease.address(), b"one too many"), (2, 3));
    assert!(packets.try_next().is_some());
    assert_eq!(send(lease.address(), b"there is room"), (3, 3));
    drop(packets);
    assert_eq!(send(lease.address(), b"nobody carries"), (3, 4));
}

#[test]
fn what_cannot_be_taken_in_is_dropped_and_counted() {
    let bench = Bench::new(2);
    let deliver = |realm: &RealmName, packet: Bytes| {
        bench.forwarding.deliver(realm, id(1), packet);
        let stats = bench.stats();
        (stats.forwarded_received, stats.forwarded_receive_dropped)
    };
    let elsewhere = RealmName::new("be.elsewhere").unwrap();
    assert_eq!(deliver(&realm(), Bytes::from(vec![1; 1_200])), (1, 0));
    assert_eq!(deliver(&realm(), Bytes::from(vec![1; 1_201])), (1, 1));
    assert_eq!(deliver(&realm(), Bytes::new()), (1, 2));
    assert_eq!(deliver(&elsewhere, Bytes::from_static(b"?")), (1, 3));
    assert_eq!(deliver(&realm(), Bytes::from_static(b"fills")), (2, 3));
    assert_eq!(deliver(&realm(), Bytes::from_static(b"full")), (2, 4));
    assert_eq!(bench.payloads().len(), 2);
    assert_eq!(deliver(&realm(), Bytes::from_static(b"room")), (3, 4));
    bench.forwarding.end();
    assert!(bench.read().is_pending());
    assert_eq!(deliver(&realm(), Bytes::from_static(b"ended")), (3, 5));
}

#[test]
fn nobody_is_forgotten_for_a_packet_without_room() {
    let bench = Bench::new(1);
    bench.deliver(1, b"fills the queue");
    // As many nodes as may be known would come.
    for node in 2..=3 {
        bench.deliver(node, b"no room");
    }
    assert_eq!(bench.stats().forwarded_receive_dropped, 2);
    let Poll::Ready(read) = bench.read() else {
        panic!("nothing to read")
    };
    let number = forward::number(read[0].0).unwrap();
    let lease = bench.forwarding.lease_of(number).unwrap();
    assert_eq!(lease.node(), id(1));
    drop(lease);
    for node in 2..=3 {
        bench.deliver(node, b"room");
        bench.payloads();
    }
    assert!(bench.forwarding.lease_of(number).is_none());
}

#[test]
fn a_lease_is_for_one_node_in_one_realm() {
    let bench = Bench::new(2);
    let lease = bench.forwarding.lease(&realm(), id(1)).unwrap();
    let peer = |node: u8, realm: RealmName| {
        let roles = macula_wire::message::Roles::MEMBER;
        crate::credentials::PeerIdentity::new(id(node), realm, roles)
    };
    let elsewhere = RealmName::new("be.elsewhere").unwrap();
    assert_eq!(lease.check(&peer(1, realm())), Ok(()));
    assert_eq!(lease.check(&peer(2, realm())), Err("another node"));
    assert_eq!(
        lease.check(&peer(1, elsewhere.clone())),
        Err("another realm")
    );
    assert!(bench.forwarding.lease(&elsewhere, id(1)).is_none());
    assert!(bench.forwarding.lease_of(99).is_none());
}

#[test]
fn the_abilities_of_udp_are_those_of_the_socket() {
    let bench = Bench::new(2);
    assert_eq!(bench.socket.max_transmit_segments(), 10);
    assert_eq!(bench.socket.max_receive_segments(), 64);
    assert!(!bench.socket.may_fragment());
    assert_eq!(bench.socket.local_addr().unwrap(), local());
}
