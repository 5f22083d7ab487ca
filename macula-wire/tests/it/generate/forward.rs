//! FORWARD to TRACED.

use bytes::Bytes;
use macula_wire::message::{Forward, ForwardError, Trace, Traced, TracedHop, Way};
use macula_wire::{Body, ErrorCode, NodeId, NodeMark};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::{node, routing};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    let packet = prop_oneof![4 => 1..40_usize, 1 => 1..=1_452_usize]
        .prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    prop_oneof![
        (way(), packet).prop_map(|(way, packet)| {
            let packet = Bytes::from(packet);
            Forward { way, packet }.into()
        }),
        (nodes(), code(), marks(17)).prop_map(|((target, origin), code, back)| {
            ForwardError {
                target,
                origin,
                code,
                back,
            }
            .into()
        }),
        trace().prop_map(Body::from),
        traced().prop_map(Body::from),
    ]
    .boxed()
}

fn nodes() -> impl Strategy<Value = (NodeId, NodeId)> {
    (node(), node())
}

fn code() -> impl Strategy<Value = ErrorCode> {
    any::<u8>().prop_map(ErrorCode::from_number)
}

/// Fewer than `end` marks.
fn marks(end: usize) -> impl Strategy<Value = Vec<NodeMark>> {
    prop::collection::vec(any::<[u8; 8]>().prop_map(NodeMark::from_bytes), 0..end)
}

fn way() -> impl Strategy<Value = Way> {
    (nodes(), any::<u8>(), marks(9), marks(17)).prop_map(|((target, origin), hops, via, trail)| {
        Way {
            target,
            origin,
            hops,
            via,
            trail,
        }
    })
}

fn hop() -> impl Strategy<Value = TracedHop> {
    (node(), any::<u32>()).prop_map(|(node, rtt_us)| TracedHop { node, rtt_us })
}

fn trace() -> impl Strategy<Value = Trace> {
    let path = prop::collection::vec(hop(), 0..=16);
    (routing::request(), way(), path).prop_map(|(request, mut way, path)| {
        way.trail = path.iter().map(|hop| hop.node.mark()).collect();
        Trace { request, way, path }
    })
}

fn traced() -> impl Strategy<Value = Traced> {
    let path = prop::collection::vec(hop(), 1..=17);
    let told = (routing::request(), node(), code());
    (told, path, marks(17)).prop_map(|((request, target, code), path, back)| Traced {
        request,
        target,
        code,
        path,
        back,
    })
}
