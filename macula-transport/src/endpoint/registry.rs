//! The live links of an endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use macula_wire::ErrorCode;
use tokio::sync::Notify;

use crate::link::{Link, Shared};

/// The links whose connections have not ended.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    links: BTreeMap<u64, Weak<Shared>>,
}

impl Registry {
    /// A place for a link. It is given up with what is returned.
    pub(super) fn reserve(self: &Arc<Self>) -> Registration {
        let mut state = self.lock();
        let key = state.next;
        state.next = key.saturating_add(1);
        state.links.insert(key, Weak::new());
        Registration {
            registry: Arc::clone(self),
            key,
        }
    }

    /// Puts `link` where `key` was reserved.
    pub(super) fn enter(&self, key: u64, link: &Link) {
        if let Some(place) = self.lock().links.get_mut(&key) {
            *place = link.downgrade();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().links.len()
    }

    /// How many there were so far.
    pub(super) fn total(&self) -> u64 {
        self.lock().next
    }

    pub(super) fn close_all(&self, code: ErrorCode, detail: &str) {
        let links: Vec<Link> = {
            let state = self.lock();
            let live = state.links.values().filter_map(Weak::upgrade);
            live.map(Link::from_shared).collect()
        };
        links.iter().for_each(|link| link.close(code, detail));
    }

    /// Waits until there is none.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.len() == 0 {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the registry, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    key: u64,
}

impl Registration {
    pub(super) const fn key(&self) -> u64 {
        self.key
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().links.remove(&self.key);
        self.registry.left.notify_waiters();
    }
}
