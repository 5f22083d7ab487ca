//! OVERLAY_WALK to OVERLAY_PEERS.

use macula_wire::message::{
    Contact, OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove, OverlayOffer, OverlayPeers,
    OverlayVerdict, OverlayWalk,
};
use macula_wire::{Body, EdgeToken, NodeId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{address, node, number};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    prop_oneof![
        walk().prop_map(Body::from),
        offer().prop_map(Body::from),
        (token(), peer(), any::<bool>()).prop_map(|(token, peer, near)| OverlayMove {
            token,
            peer,
            near
        }
        .into()),
        answer().prop_map(Body::from),
        edge().prop_map(Body::from),
        (token(), peer(), avoid(), any::<bool>()).prop_map(|(token, peer, avoid, near)| {
            OverlayFlip {
                token,
                peer,
                avoid,
                near,
            }
            .into()
        }),
        (any::<bool>(), prop::collection::vec(peer(), 0..4))
            .prop_map(|(ask, peers)| OverlayPeers { ask, peers }.into()),
    ]
    .boxed()
}

fn token() -> impl Strategy<Value = EdgeToken> {
    number(EdgeToken::new)
}

pub(super) fn peer() -> impl Strategy<Value = Contact> {
    let addresses = prop::collection::btree_set(address(), 0..4);
    (node(), addresses).prop_map(|(node, addresses)| Contact {
        node,
        addresses: addresses.into_iter().rev().collect(),
    })
}

fn avoid() -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::btree_set(node(), 0..5).prop_map(|nodes| nodes.into_iter().collect())
}

fn walk() -> impl Strategy<Value = OverlayWalk> {
    let steps = (1..=u8::MAX, any::<u8>(), any::<u8>());
    (token(), peer(), steps, avoid()).prop_map(|(token, origin, (need, hops, spare), avoid)| {
        OverlayWalk {
            token,
            origin,
            need,
            hops,
            spare,
            avoid,
        }
    })
}

fn offer() -> impl Strategy<Value = OverlayOffer> {
    let instead = prop::option::of(node());
    (token(), peer(), instead, any::<Option<u32>>()).prop_map(|(token, peer, instead, rtt_us)| {
        OverlayOffer {
            token,
            addresses: peer.addresses,
            instead,
            rtt_us,
        }
    })
}

fn answer() -> impl Strategy<Value = OverlayAnswer> {
    let verdict = select(OverlayVerdict::ALL.to_vec());
    (token(), verdict, any::<u32>()).prop_map(|(token, verdict, after_ms)| OverlayAnswer {
        token,
        verdict,
        after_ms: match verdict {
            OverlayVerdict::Retry => after_ms,
            OverlayVerdict::Take | OverlayVerdict::Refuse | OverlayVerdict::Ready => 0,
        },
    })
}

fn edge() -> impl Strategy<Value = OverlayEdge> {
    let neighbours = prop::collection::btree_map(node(), peer(), 0..4);
    (any::<bool>(), any::<bool>(), neighbours).prop_map(|(holds, ask, neighbours)| {
        let neighbours = neighbours.into_iter().map(|(node, peer)| Contact {
            node,
            addresses: peer.addresses,
        });
        OverlayEdge {
            holds,
            ask: holds && ask,
            neighbours: neighbours.filter(|_| holds).collect(),
        }
    })
}
