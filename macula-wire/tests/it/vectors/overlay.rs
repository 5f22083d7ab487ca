//! Samples of the overlay.

use macula_wire::EdgeToken;
use macula_wire::message::{
    Contact, OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove, OverlayOffer, OverlayPeers,
    OverlayVerdict, OverlayWalk,
};

use super::session::node;
use super::{Sample, sample};

fn peer(first: u8) -> Contact {
    Contact {
        node: node(first),
        addresses: vec![
            "192.0.2.7:4433".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ],
    }
}

fn unknown(first: u8) -> Contact {
    Contact {
        node: node(first),
        addresses: Vec::new(),
    }
}

pub(super) fn samples() -> Vec<Sample> {
    let token = EdgeToken::new(77);
    let walk = OverlayWalk {
        token,
        origin: peer(0x20),
        need: 8,
        hops: 10,
        spare: 32,
        avoid: Vec::new(),
    };
    let pair = OverlayWalk {
        token: EdgeToken::new(u64::MAX),
        origin: unknown(0x20),
        need: 1,
        hops: 255,
        spare: 0,
        avoid: vec![node(0), node(0x40)],
    };
    let offer = |instead, rtt_us| OverlayOffer {
        token,
        addresses: peer(0).addresses,
        instead,
        rtt_us,
    };
    let order = |near| OverlayMove {
        token,
        peer: peer(0x20),
        near,
    };
    let answer = |verdict, after_ms| OverlayAnswer {
        token,
        verdict,
        after_ms,
    };
    let edge = |holds, ask, neighbours| OverlayEdge {
        holds,
        ask,
        neighbours,
    };
    let flip = |near| OverlayFlip {
        token,
        peer: peer(0x20),
        avoid: vec![node(0x40)],
        near,
    };
    let peers = |ask, peers| OverlayPeers { ask, peers };
    vec![
        sample("overlay_walk of a newcomer", walk),
        sample("overlay_walk for one edge", pair),
        sample("overlay_offer, a free place", offer(None, None)),
        sample(
            "overlay_offer instead of another",
            offer(Some(node(0x40)), Some(21_000)),
        ),
        sample("overlay_move", order(false)),
        sample("overlay_move for nearness", order(true)),
        sample("overlay_answer, take", answer(OverlayVerdict::Take, 0)),
        sample("overlay_answer, refuse", answer(OverlayVerdict::Refuse, 0)),
        sample("overlay_answer, ready", answer(OverlayVerdict::Ready, 0)),
        sample(
            "overlay_answer, retry",
            answer(OverlayVerdict::Retry, 1_500),
        ),
        sample(
            "overlay_edge, held",
            edge(true, true, vec![peer(0), unknown(0x20)]),
        ),
        sample("overlay_edge, not held", edge(false, false, Vec::new())),
        sample("overlay_flip", flip(false)),
        sample("overlay_flip for nearness", flip(true)),
        sample("overlay_peers", peers(true, vec![unknown(0x20), peer(0)])),
        sample("overlay_peers, none", peers(false, Vec::new())),
    ]
}
