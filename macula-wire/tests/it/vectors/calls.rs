//! Samples of calls.

use bytes::Bytes;
use macula_wire::message::{
    CallCancel, CallError, CallMode, CallPart, CallProgress, CallReply, CallResult, CallRoute,
    CancelMode, Failure, Invoke, Register, RpcCall, Unregister,
};
use macula_wire::{
    CallId, ContentType, ErrorCode, Header, Pattern, Procedure, RegistrationId, RequestId,
    RetryHint,
};

use super::session::node;
use super::{Sample, sample};

fn id() -> CallId {
    CallId::from_bytes([
        0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce,
        0xcf,
    ])
}

fn procedure(text: &str) -> Procedure {
    Procedure::new(text).unwrap()
}

fn call() -> RpcCall {
    RpcCall {
        call: id(),
        hops: 8,
        depth: 0,
        caller: node(0),
        tenant: None,
        procedure: procedure("temperature.latest"),
        deadline_ms: 5_000,
        mode: CallMode::Plain,
        route: CallRoute::Any,
        hedge_ms: 0,
        idempotency: None,
        key: None,
        content: ContentType::Json,
        headers: Vec::new(),
        payload: Bytes::from_static(b"{\"home\":42}"),
    }
}

pub(super) fn samples() -> Vec<Sample> {
    [conversations(), failures(), registrations()]
        .into_iter()
        .flatten()
        .collect()
}

fn conversations() -> Vec<Sample> {
    let full = RpcCall {
        hops: 0,
        depth: 31,
        tenant: Some("acme".into()),
        procedure: procedure("$sys.members"),
        deadline_ms: u32::MAX,
        mode: CallMode::Stream,
        route: CallRoute::All(300),
        hedge_ms: 251,
        idempotency: Some(Bytes::from_static(b"order-7")),
        key: Some(Bytes::from_static(b"42")),
        content: ContentType::Bytes,
        headers: vec![Header {
            key: "traceparent".into(),
            value: Bytes::from_static(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        }],
        payload: Bytes::new(),
        ..call()
    };
    let progress = CallProgress {
        call: id(),
        sequence: 0,
        content: ContentType::Text,
        payload: Bytes::from_static(b"part"),
    };
    let mut samples = vec![
        sample("rpc_call, plain", call()),
        sample("rpc_call with every option", full),
        sample(
            "rpc_result",
            CallResult {
                call: id(),
                content: ContentType::Json,
                payload: Bytes::from_static(b"21.5"),
            },
        ),
        sample("rpc_progress", progress),
    ];
    samples.extend(streams());
    for (name, route) in [
        ("to a node", CallRoute::Node(node(0x20))),
        ("to a zone", CallRoute::Zone("eu-1".into())),
        ("to all", CallRoute::All(0)),
    ] {
        let name = format!("rpc_call, {name}");
        samples.push(sample(&name, RpcCall { route, ..call() }));
    }
    for mode in CallMode::ALL {
        let name = format!("rpc_call, mode {}", mode.tag());
        let mode = *mode;
        samples.push(sample(&name, RpcCall { mode, ..call() }));
    }
    for mode in CancelMode::ALL {
        let name = format!("rpc_cancel, mode {}", mode.tag());
        samples.push(sample(
            &name,
            CallCancel {
                call: id(),
                mode: *mode,
            },
        ));
    }
    samples
}

fn streams() -> Vec<Sample> {
    let part = |sequence, end, payload| CallPart {
        call: id(),
        sequence,
        end,
        content: ContentType::Bytes,
        payload: Bytes::from_static(payload),
    };
    let reply = |failure, payload| CallReply {
        call: id(),
        node: node(0x40),
        failure,
        content: ContentType::Json,
        payload: Bytes::from_static(payload),
    };
    let failed = Failure::new(ErrorCode::BUSY, "no free slot");
    vec![
        sample("rpc_part", part(0, false, b"part")),
        sample("rpc_part, the end", part(251, true, b"")),
        sample("rpc_reply", reply(None, b"21.5")),
        sample("rpc_reply, failed", reply(Some(Box::new(failed)), b"")),
    ]
}

fn failures() -> Vec<Sample> {
    let error = |failure| CallError {
        call: id(),
        failure,
    };
    let application = Failure {
        name: Some("com.acme.no_sensor".into()),
        content: ContentType::Json,
        payload: Bytes::from_static(b"{\"home\":42}"),
        ..Failure::new(ErrorCode::APPLICATION, "home 42 has no sensor")
    };
    let limited = Failure {
        retry_after_ms: Some(250),
        ..Failure::new(ErrorCode::RATE_LIMITED, "")
    };
    let declined = Failure {
        retry: RetryHint::Never,
        ..Failure::new(ErrorCode::UNAVAILABLE, "not for you")
    };
    vec![
        sample(
            "rpc_error, nobody serves it",
            error(Failure::new(
                ErrorCode::NO_SUCH_PROCEDURE,
                "temperature.latst",
            )),
        ),
        sample("rpc_error of the application", error(application)),
        sample("rpc_error with a time", error(limited)),
        sample("rpc_error with a hint of its own", error(declined)),
    ]
}

fn registrations() -> Vec<Sample> {
    vec![
        sample(
            "register",
            Register {
                request: RequestId::new(3),
                registration: RegistrationId::new(1),
                pattern: Pattern::new("temperature.latest").unwrap(),
                concurrency: 16,
                weight: 1,
                invoke: Invoke::P2c,
                zone: None,
                takeover: false,
            },
        ),
        sample(
            "register with every option",
            Register {
                request: RequestId::new(4),
                registration: RegistrationId::new(2),
                pattern: Pattern::new("temperature.*.**").unwrap(),
                concurrency: 0,
                weight: 300,
                invoke: Invoke::Single,
                zone: Some("eu-1".into()),
                takeover: true,
            },
        ),
        sample(
            "unregister",
            Unregister {
                request: RequestId::new(300),
                registration: RegistrationId::new(1),
            },
        ),
    ]
}
