//! RPC_CALL to RPC_PROGRESS.

use macula_wire::message::{
    CallCancel, CallError, CallProgress, CallResult, CancelMode, Failure, Register, RpcCall,
    Unregister,
};
use macula_wire::{Body, ErrorCode, RegistrationId, RequestId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{
    bytes, call_id, content, headers, key, node, number, payload, procedure, text, trouble, wide,
    word,
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
    ]
    .boxed()
}

fn call() -> impl Strategy<Value = RpcCall> {
    let who = (call_id(), any::<u8>(), node(), procedure());
    let idempotency = prop::option::of(key());
    (
        who,
        any::<u32>(),
        idempotency,
        content(),
        headers(),
        payload(),
    )
        .prop_map(
            |(
                (call, hops, caller, procedure),
                deadline_ms,
                idempotency,
                content,
                headers,
                payload,
            )| {
                RpcCall {
                    call,
                    hops,
                    caller,
                    procedure,
                    deadline_ms,
                    idempotency,
                    content,
                    headers,
                    payload,
                }
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
    (ids, procedure(), any::<u32>()).prop_map(
        |((request, registration), procedure, concurrency)| Register {
            request,
            registration,
            procedure,
            concurrency,
        },
    )
}
