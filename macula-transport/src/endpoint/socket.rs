//! The socket of an endpoint as quinn sees it: UDP, and the packets that other nodes carry.
//!
//! The only files that know quinn's trait for sockets.

mod udp;

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use self::udp::Udp;
use super::forward::{self, Forwarding};

/// A UDP socket that gives what goes to a mapped address to [`Forwarding`], and takes in what was delivered there.
///
/// For UDP it costs a look at each address, a lock that only the end of the endpoint contends for, and one more when the
/// endpoint falls asleep.
#[derive(Debug)]
pub(super) struct Socket {
    udp: Udp,
    forwarding: Arc<Forwarding>,
    /// Whose turn it is: after a read from UDP, what was delivered comes first.
    forwarded_first: AtomicBool,
}

impl Socket {
    pub(super) fn new(udp: Arc<dyn AsyncUdpSocket>, forwarding: Arc<Forwarding>) -> Self {
        Self {
            udp: Udp::new(udp),
            forwarding,
            forwarded_first: AtomicBool::new(true),
        }
    }

    /// Gives the UDP port back, whoever still has handles. Nothing comes from there any more, and what is sent there is
    /// lost.
    pub(super) fn release(&self) {
        self.udp.release();
    }

    /// Empties what claims to come from a mapped address. quinn skips what is empty, as it does with empty datagrams of
    /// the network, and looks how long it has been reading; a loop here would not.
    fn empty_forged(&self, received: &mut [RecvMeta]) {
        for meta in received {
            if forward::is_mapped(meta.addr) {
                meta.len = 0;
                self.forwarding.count_forged();
            }
        }
    }
}

impl AsyncUdpSocket for Socket {
    /// That of UDP. What is forwarded never waits: it is queued or dropped.
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.udp.poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(number) = forward::number(transmit.destination) else {
            return self.udp.try_send(transmit);
        };
        self.forwarding
            .send(number, transmit.contents, transmit.segment_size);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.forwarded_first.swap(false, Ordering::Relaxed) {
            let taken = self.forwarding.take(bufs, meta);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
        if let Poll::Ready(received) = self.udp.poll_recv(cx, bufs, meta) {
            self.forwarded_first.store(true, Ordering::Relaxed);
            if let Ok(count) = received {
                self.empty_forged(meta.get_mut(..count).unwrap_or_default());
            }
            return Poll::Ready(received);
        }
        // UDP wakes the task from now on; so does the next delivery, unless one is here already.
        self.forwarding.poll_take(cx, bufs, meta).map(Ok)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

#[cfg(test)]
mod tests;
