//! An address that leads to a node only when it is opened.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use macula::Node;
use tokio::net::UdpSocket;

use crate::mesh::loopback;

/// An address that leads to a node once it is opened, for one that dials it.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    pub(super) is_open: Arc<AtomicBool>,
    front: Arc<UdpSocket>,
    /// Who alone may pass, if anybody does.
    only: Arc<Mutex<Option<SocketAddr>>>,
}

impl Gate {
    pub(super) async fn new() -> Self {
        let front = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
        Self {
            address: front.local_addr().unwrap(),
            is_open: Arc::default(),
            front,
            only: Arc::default(),
        }
    }

    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// Opens it for one node.
    pub(super) fn open_for(&self, node: &Node) {
        *self.only.lock().unwrap() = Some(node.local_addr());
        self.open();
    }

    /// Leads to `node`.
    pub(super) async fn lead(&self, node: SocketAddr) {
        let back = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
        back.connect(node).await.unwrap();
        let (front, is_open) = (Arc::clone(&self.front), Arc::clone(&self.is_open));
        let only = Arc::clone(&self.only);
        tokio::spawn(async move {
            let (mut there, mut here) = (vec![0; 65_535], vec![0; 65_535]);
            let mut dialler = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut there) => {
                        let may_pass = only.lock().unwrap().is_none_or(|only| only == from);
                        if may_pass {
                            dialler = Some(from);
                        }
                        if may_pass && is_open.load(Ordering::Relaxed) {
                            back.send(&there[..length]).await.unwrap();
                        }
                    }
                    Ok(length) = back.recv(&mut here) => {
                        if let Some(dialler) = dialler && is_open.load(Ordering::Relaxed) {
                            front.send_to(&here[..length], dialler).await.unwrap();
                        }
                    }
                }
            }
        });
    }
}
