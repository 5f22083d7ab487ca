//! RPC_CALL to RPC_PROGRESS.

use macula_wire::message::{
    CallCancel, CallError, CallMode, CallPart, CallProgress, CallReply, CallResult, CallRoute,
    CancelMode, Failure, Invoke, Register, RpcCall, Unregister,
};
use macula_wire::{Body, ErrorCode, RegistrationId, RequestId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{
    bytes, call_id, content, headers, key, node, number, pattern, payload, procedure, text,
    trouble, wide, word,
};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    let mode = select(CancelMode::ALL.to_vec());
    prop_oneof![
        call().prop_map(Body::from),
        (call_id(), content(), payload()).prop_map(|(call, content, payload)| {
            CallResult {
                call,
                content,
                payload,
            }
            .into()
        }),
        (call_id(), failure()).prop_map(|(call, failure)| CallError { call, failure }.into()),
        register().prop_map(Body::from),
        (number(RequestId::new), number(RegistrationId::new)).prop_map(
            |(request, registration)| {
                Unregister {
                    request,
                    registration,
                }
                .into()
            }
        ),
        (call_id(), mode).prop_map(|(call, mode)| CallCancel { call, mode }.into()),
        (call_id(), wide(), content(), payload()).prop_map(|(call, sequence, content, payload)| {
            CallProgress {
                call,
                sequence,
                content,
                payload,
            }
            .into()
        }),
        part().prop_map(Body::from),
        reply().prop_map(Body::from),
    ]
    .boxed()
}

fn call() -> impl Strategy<Value = RpcCall> {
    let tenant = prop::option::of(zone());
    let who = (call_id(), any::<u8>(), any::<u8>(), node(), tenant);
    let keys = (prop::option::of(key()), prop::option::of(key()));
    let mode = select(CallMode::ALL.to_vec());
    let how = (any::<u32>(), mode, route(), any::<u32>(), keys);
    let what = (procedure(), content(), headers(), payload());
    (who, how, what).prop_map(|(who, how, what)| {
        let (call, hops, depth, caller, tenant) = who;
        let (deadline_ms, mode, route, hedge_ms, (idempotency, key)) = how;
        let (procedure, content, headers, payload) = what;
        RpcCall {
            call,
            hops,
            depth,
            caller,
            tenant,
            procedure,
            deadline_ms,
            mode,
            route,
            hedge_ms: if idempotency.is_some() { hedge_ms } else { 0 },
            idempotency,
            key,
            content,
            headers,
            payload,
        }
    })
}

fn zone() -> impl Strategy<Value = String> {
    "[a-z0-9-]{1,63}"
}

fn route() -> impl Strategy<Value = CallRoute> {
    prop_oneof![
        Just(CallRoute::Any),
        node().prop_map(CallRoute::Node),
        zone().prop_map(CallRoute::Zone),
        any::<u32>().prop_map(CallRoute::All),
    ]
}

fn part() -> impl Strategy<Value = CallPart> {
    (call_id(), wide(), any::<bool>(), content(), payload()).prop_map(
        |(call, sequence, end, content, payload)| CallPart {
            call,
            sequence,
            end,
            content,
            payload: if end { Default::default() } else { payload },
        },
    )
}

fn reply() -> impl Strategy<Value = CallReply> {
    let failure = prop::option::of(failure().prop_map(Box::new));
    (call_id(), node(), failure, content(), payload()).prop_map(
        |(call, node, failure, content, payload)| CallReply {
            call,
            node,
            content,
            payload: if failure.is_some() {
                Default::default()
            } else {
                payload
            },
            failure,
        },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    let named = prop::option::of(word());
    (trouble(), named, text(512), content(), bytes(60)).prop_map(
        |((code, retry, retry_after_ms), name, detail, content, payload)| Failure {
            code: if name.is_some() {
                ErrorCode::APPLICATION
            } else {
                code
            },
            retry,
            retry_after_ms,
            name,
            detail,
            content,
            payload,
        },
    )
}

fn register() -> impl Strategy<Value = Register> {
    let ids = (number(RequestId::new), number(RegistrationId::new));
    let invoke = select(Invoke::ALL.to_vec());
    let how = (any::<u32>(), any::<u32>(), invoke, any::<bool>());
    (ids, pattern(), how, prop::option::of(zone())).prop_map(|(ids, pattern, how, zone)| {
        let (request, registration) = ids;
        let (concurrency, weight, invoke, takeover) = how;
        Register {
            request,
            registration,
            pattern,
            concurrency,
            weight,
            invoke,
            zone,
            takeover,
        }
    })
}
