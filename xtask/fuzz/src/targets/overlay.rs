//! The overlay: the machine keeps the laws and its bounds.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input};
use macula_wire::message::{
    Contact, OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove, OverlayOffer, OverlayPeers,
    OverlayVerdict, OverlayWalk,
};
use macula_wire::{Body, EdgeToken, Instant, NodeId, Random};

use super::laws::{self, Digest, MAX_STEPS, START, Subject, Timed};

/// How many neighbours a node has.
const DEGREE: usize = 4;
/// The most nodes in the passive view.
const MAX_PASSIVE: usize = 3;

/// Whatever members say, however often and in whatever order, the machine keeps the six laws, has no more neighbours
/// than it should, none twice, and never itself.
///
/// Input: steps of six bytes: a kind, a pause, a node, a token and two arguments.
pub fn machine(data: &[u8]) {
    let steps = data.chunks_exact(6).take(MAX_STEPS).map(|bytes| {
        let [kind, pause, node, token, one, other] = bytes else {
            unreachable!("six bytes")
        };
        Timed {
            after: laws::pause(*pause),
            step: step(*kind, *node, *token, [*one, *other]),
        }
    });
    laws::hold(&Node, &steps.collect::<Vec<_>>());
}

enum Step {
    Input(Input),
    Join(NodeId),
    Leave,
}

fn step(kind: u8, from: u8, token: u8, arguments: [u8; 2]) -> Step {
    let (peer, [one, other]) = (node(from), arguments);
    let addresses = vec![address()];
    Step::Input(match kind % 20 {
        0..4 => Input::LinkUp { peer },
        4 => Input::LinkDown { peer },
        5 => Input::Known {
            node: peer,
            addresses,
        },
        6 => Input::Gone { peer },
        7 => Input::Rtt {
            peer,
            rtt: Duration::from_millis(u64::from(one)),
        },
        8 => Input::Bridge {
            node: peer,
            addresses,
        },
        9 if one == 0xff => return Step::Leave,
        9 => return Step::Join(peer),
        shape => Input::Message {
            from: peer,
            body: message(shape, EdgeToken::new(u64::from(token & 15)), one, other),
        },
    })
}

fn message(shape: u8, token: EdgeToken, one: u8, other: u8) -> Body {
    let near = other & 1 == 1;
    let addresses = vec![address()];
    match shape {
        10 | 11 => OverlayWalk {
            token,
            origin: peer(one),
            need: (other & 7).max(1),
            hops: other >> 3 & 3,
            spare: other >> 5,
            avoid: some(other),
        }
        .into(),
        12 | 13 => OverlayOffer {
            token,
            addresses,
            instead: near.then(|| node(one)),
            rtt_us: None,
        }
        .into(),
        14 => OverlayMove {
            token,
            peer: peer(one),
            near,
        }
        .into(),
        15 | 16 => OverlayAnswer {
            token,
            verdict: OverlayVerdict::ALL[usize::from(one & 3)],
            after_ms: if one & 3 == 3 { u32::from(other) } else { 0 },
        }
        .into(),
        17 => OverlayEdge {
            holds: near,
            ask: near && one & 1 == 1,
            neighbours: match near {
                true => some(other).into_iter().map(of).collect(),
                false => Vec::new(),
            },
        }
        .into(),
        18 => OverlayFlip {
            token,
            peer: peer(one),
            avoid: some(other),
            near,
        }
        .into(),
        _ => OverlayPeers {
            ask: near,
            peers: vec![peer(one)],
        }
        .into(),
    }
}

/// Some nodes, ascending: those whose bits are set.
fn some(bits: u8) -> Vec<NodeId> {
    (0..8)
        .filter(|bit| bits >> bit & 1 == 1)
        .map(node)
        .collect()
}

struct Node;

impl Subject for Node {
    type Machine = Overlay;
    type Step = Step;

    fn create(&self) -> Overlay {
        let mut config = Config::default();
        config.degree = DEGREE;
        config.flip_period = Duration::from_secs(2);
        config.check_period = Duration::from_secs(5);
        config.max_deals = 6;
        config.max_outbox = 8;
        config.max_waiting = 2;
        config.min_window = 1;
        config.max_own_walks = 3;
        config.max_passive = MAX_PASSIVE;
        config.max_lost = 2;
        Overlay::new(config, node(0), vec![address()], Random::new(3), START)
    }

    fn apply(&self, machine: &mut Overlay, now: Instant, step: &Step) {
        use macula_wire::Machine;
        match step {
            Step::Input(input) => machine.handle_input(now, input.clone()),
            Step::Join(contact) => {
                let joined = machine.join(now, *contact, vec![address()]);
                assert_eq!(joined.is_ok(), *contact != node(0) && !machine.has_left());
            }
            Step::Leave => machine.leave(now),
        }
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, machine: &Overlay, out: &mut Digest) -> fmt::Result {
        for neighbour in machine.neighbours().chain(machine.passive()) {
            write!(out, "{neighbour:?}")?;
        }
        write!(out, "{:?}{}", machine.stats(), machine.is_settled())
    }

    fn inspect(&self, machine: &Overlay) {
        assert!(machine.neighbours().count() <= DEGREE);
        assert!(machine.passive().count() <= MAX_PASSIVE);
        assert!(!machine.is_neighbour(&node(0)));
    }
}

fn address() -> SocketAddr {
    ([192, 0, 2, 7], 4433).into()
}

const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([(number & 7) + 1; 32])
}

fn peer(number: u8) -> Contact {
    of(node(number))
}

fn of(node: NodeId) -> Contact {
    Contact {
        node,
        addresses: vec![address()],
    }
}
