//! Packets that leave later than they came.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Watch;

/// How many packets are held back at most; a further one leaves at once.
const MAX_HELD: usize = 16_384;

/// A packet, and the way that it goes.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) by: Arc<UdpSocket>,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

impl Parcel {
    fn send(&self) {
        // A packet that cannot be sent is lost, as packets are.
        drop(self.by.send_to(&self.bytes, self.to));
    }
}

/// Holds packets back. Dropping it loses what it holds.
#[derive(Debug)]
pub(super) struct Later {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    clock: Watch,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    /// By the time at which they leave, and in the order in which they came.
    parcels: BTreeMap<(Duration, u64), Parcel>,
    next: u64,
    closed: bool,
}

impl Later {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared {
            clock: Watch::start(),
            held: Mutex::default(),
            changed: Condvar::new(),
        });
        let there = Arc::clone(&shared);
        Self {
            shared,
            thread: Some(std::thread::spawn(move || there.run())),
        }
    }

    /// Sends `parcel` after `delay`.
    pub(super) fn send(&self, parcel: Parcel, delay: Duration) {
        if delay.is_zero() {
            return parcel.send();
        }
        let at = self.shared.clock.elapsed().saturating_add(delay);
        let mut held = self.shared.lock();
        if held.parcels.len() >= MAX_HELD {
            drop(held);
            return parcel.send();
        }
        let number = held.next;
        held.next = number.wrapping_add(1);
        held.parcels.insert((at, number), parcel);
        drop(held);
        self.shared.changed.notify_one();
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut held = self.lock();
        while !held.closed {
            let now = self.clock.elapsed();
            let due = held.parcels.first_key_value().map(|(key, _parcel)| key.0);
            held = match due {
                Some(at) if at <= now => {
                    let parcel = held.parcels.pop_first();
                    drop(held);
                    if let Some((_key, parcel)) = parcel {
                        parcel.send();
                    }
                    self.lock()
                }
                Some(at) => {
                    let waited = self.changed.wait_timeout(held, at.saturating_sub(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(held)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_longer_leaves_later() {
        let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (by, there) = (Arc::new(socket()), socket());
        there
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let later = Later::start();
        for (byte, delay) in [(3, 60), (2, 20), (1, 0)] {
            let parcel = Parcel {
                by: Arc::clone(&by),
                to: there.local_addr().unwrap(),
                bytes: vec![byte],
            };
            later.send(parcel, Duration::from_millis(delay));
        }
        let mut found = Vec::new();
        for _ in 0..3 {
            let mut buffer = [0; 8];
            let (length, _from) = there.recv_from(&mut buffer).unwrap();
            assert_eq!(length, 1);
            found.push(buffer[0]);
        }
        assert_eq!(found, [1, 2, 3]);
    }
}
