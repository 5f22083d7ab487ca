//! A network in which nodes reach each other by forwarding only, and which may be bad or malicious.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use macula_transport::{Endpoint, ForwardedPacket, MAX_FORWARDED_PACKET};
use macula_wire::NodeId;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Carries packets between endpoints until it is dropped. Has to live in a tokio runtime.
pub(crate) struct Carrier {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Whether packets are carried; otherwise they stay in their queues.
    moves: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Where packets to a node are brought.
    pub(crate) routes: BTreeMap<NodeId, Endpoint>,
    /// Who packets of a node are said to come from, if not from it.
    pub(crate) claims: BTreeMap<NodeId, NodeId>,
    /// Each packet whose number is a multiple of it is lost.
    pub(crate) lose_each: Option<u64>,
    /// How many packets were addressed to a node.
    pub(crate) addressed: BTreeMap<NodeId, u64>,
    /// How many packets there were.
    pub(crate) carried: u64,
    /// How many of them were lost.
    pub(crate) lost: u64,
}

impl Carrier {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            moves: watch::channel(true).0,
        };
        Self {
            shared: Arc::new(shared),
            tasks: JoinSet::new(),
        }
    }

    /// Carries what `endpoint` of `node` sends, and brings it what is for `node`.
    pub(crate) fn join(&mut self, node: NodeId, endpoint: &Endpoint) {
        self.state().routes.insert(node, endpoint.clone());
        let mut packets = endpoint.forwarded().unwrap();
        let shared = Arc::clone(&self.shared);
        let mut moves = self.shared.moves.subscribe();
        self.tasks.spawn(async move {
            loop {
                moves.wait_for(|moves| *moves).await.unwrap();
                let Some(packet) = packets.next().await else {
                    break;
                };
                // The gate may have closed meanwhile.
                moves.wait_for(|moves| *moves).await.unwrap();
                shared.carry(node, packet);
            }
        });
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Lets packets through, or holds them up.
    pub(crate) fn move_packets(&self, moves: bool) {
        self.shared.moves.send_replace(moves);
    }
}

impl Shared {
    fn carry(&self, from: NodeId, packet: ForwardedPacket) {
        assert!((1..=MAX_FORWARDED_PACKET).contains(&packet.bytes.len()));
        let mut state = self.state.lock().unwrap();
        *state.addressed.entry(packet.node).or_default() += 1;
        state.carried += 1;
        let lost = state
            .lose_each
            .is_some_and(|each| state.carried.is_multiple_of(each));
        match state.routes.get(&packet.node) {
            Some(endpoint) if !lost => {
                let claimed = state.claims.get(&from).copied().unwrap_or(from);
                endpoint.deliver(&packet.realm, claimed, packet.bytes);
            }
            _ => state.lost += 1,
        }
    }
}
