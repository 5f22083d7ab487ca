//! Directed tests of every rule of a call.

use bytes::Bytes;
use macula_wire::message::Invoke;
use macula_wire::{CallId, ContentType, NodeId, Pattern, Procedure};

use super::*;
use crate::{Candidate, RegistrationKey};

const ID: CallId = CallId::from_bytes([7; 16]);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn members(count: u8) -> Vec<Candidate> {
    (0..count)
        .map(|number| Candidate::new(Provider::Member(NodeId::from_bytes([number; 32])), 1))
        .collect()
}

fn of(list: Vec<Candidate>) -> Option<Candidates> {
    let pattern = Pattern::new("a.b").unwrap();
    let own = NodeId::from_bytes([99; 32]);
    Some(Candidates::new(pattern, Invoke::P2c, own, list))
}

fn request() -> CallRequest {
    CallRequest::new(ID, Procedure::new("a.b").unwrap(), at(1_000))
}

fn call(count: u8) -> Call {
    start(request(), members(count))
}

fn start(request: CallRequest, candidates: Vec<Candidate>) -> Call {
    Call::new(
        CallConfig::default(),
        request,
        of(candidates),
        Random::new(1),
        at(0),
    )
}

fn outputs(call: &mut Call) -> Vec<CallOutput> {
    std::iter::from_fn(|| call.poll_output()).collect()
}

fn result(id: CallId) -> CallResult {
    CallResult {
        call: id,
        content: ContentType::Bytes,
        payload: Bytes::from_static(b"21.5"),
    }
}

fn answer(attempt: u32, answer: Result<CallResult, Failure>) -> CallInput {
    CallInput::Answer { attempt, answer }
}

fn failure(attempt: u32, code: ErrorCode) -> CallInput {
    answer(attempt, Err(Failure::new(code, "no")))
}

const fn lost(attempt: u32) -> CallInput {
    CallInput::Lost { attempt }
}

const fn not_sent(attempt: u32) -> CallInput {
    CallInput::NotSent { attempt }
}

/// The provider of the one `Send` that waits.
#[track_caller]
fn sent(call: &mut Call) -> Provider {
    match outputs(call)[..] {
        [CallOutput::Send { to, .. }] => to,
        ref other => panic!("not one send: {other:?}"),
    }
}

/// The code of the one `Done` that waits.
#[track_caller]
fn failed(call: &mut Call) -> ErrorCode {
    match &outputs(call)[..] {
        [CallOutput::Done(Err(failure))] => failure.code,
        other => panic!("not one failure: {other:?}"),
    }
}

#[test]
fn a_result_ends_the_call() {
    let mut call = call(1);
    let to = sent(&mut call);
    assert_eq!(
        (call.callee(), call.poll_timeout()),
        (Some(to), Some(at(1_000)))
    );
    call.handle_input(at(5), answer(1, Ok(result(ID))));
    assert_eq!(outputs(&mut call), [CallOutput::Done(Ok(result(ID)))]);
    assert!(call.is_done());
    assert_eq!((call.callee(), call.poll_timeout()), (None, None));
}

#[test]
fn nothing_comes_after_the_end() {
    let mut call = call(3);
    call.handle_input(at(5), answer(1, Ok(result(ID))));
    outputs(&mut call);
    for input in [
        answer(1, Ok(result(ID))),
        failure(1, ErrorCode::UNAVAILABLE),
        lost(1),
        not_sent(1),
        CallInput::Cancel(CancelMode::Kill),
        CallInput::Cancel(CancelMode::Skip),
    ] {
        call.handle_input(at(6), input);
    }
    call.handle_timeout(at(2_000));
    assert_eq!(outputs(&mut call), []);
}

#[test]
fn a_procedure_that_nobody_serves_fails_at_once() {
    assert_eq!(failed(&mut call(0)), ErrorCode::NO_SUCH_PROCEDURE);
    sent(&mut call(1));
}

#[test]
fn providers_that_take_no_calls_are_no_providers() {
    let mut drained = members(2);
    for candidate in &mut drained {
        candidate.weight = 0;
    }
    let mut call = start(request(), drained);
    assert_eq!(failed(&mut call), ErrorCode::NO_AVAILABLE_CALLEE);
}

#[test]
fn a_call_past_its_deadline_is_not_sent() {
    let late = |now| {
        let config = CallConfig::default();
        Call::new(config, request(), of(members(1)), Random::new(1), now)
    };
    assert_eq!(failed(&mut late(at(1_000))), ErrorCode::DEADLINE_EXCEEDED);
    let nearly = Instant::from_nanos(at(1_000).as_nanos() - 1);
    let outputs = outputs(&mut late(nearly));
    assert!(
        matches!(outputs[..], [CallOutput::Send { deadline_ms: 1, .. }]),
        "{outputs:?}"
    );
}

#[test]
fn the_deadline_ends_the_call_and_tells_the_callee() {
    let mut call = call(2);
    let to = sent(&mut call);
    call.handle_timeout(at(999));
    assert_eq!(outputs(&mut call), []);
    call.handle_timeout(at(1_000));
    let mode = CancelMode::KillNoWait;
    let outputs = outputs(&mut call);
    assert_eq!(
        outputs[0],
        CallOutput::Abandon {
            to,
            attempt: 1,
            mode
        }
    );
    assert_eq!(outputs[1], CallOutput::Done(Err(out_of_time())));
    assert_eq!(outputs.len(), 2);
}

#[test]
fn an_answer_behind_the_deadline_is_too_late() {
    let mut call = call(1);
    sent(&mut call);
    call.handle_input(at(1_000), answer(1, Ok(result(ID))));
    let last = outputs(&mut call).pop();
    assert_eq!(last, Some(CallOutput::Done(Err(out_of_time()))));
}

#[test]
fn who_has_not_run_it_is_followed_by_the_next() {
    for input in [
        failure(1, ErrorCode::UNAVAILABLE),
        failure(1, ErrorCode::BUSY),
        failure(1, ErrorCode::DRAINING),
        failure(1, ErrorCode::SHUTTING_DOWN),
        failure(1, ErrorCode::NO_SUCH_PROCEDURE),
        failure(1, ErrorCode::NO_AVAILABLE_CALLEE),
        failure(1, ErrorCode::UNREACHABLE),
        not_sent(1),
    ] {
        let mut call = call(2);
        let first = sent(&mut call);
        call.handle_input(at(400), input.clone());
        let outputs = outputs(&mut call);
        let [
            CallOutput::Send {
                to,
                attempt: 2,
                deadline_ms: 600,
            },
        ] = outputs[..]
        else {
            panic!("{input:?}: {outputs:?}");
        };
        assert_ne!(to, first);
    }
}

#[test]
fn who_may_have_run_it_is_not_followed() {
    for (input, code) in [
        (lost(1), ErrorCode::CALLEE_LOST),
        (failure(1, ErrorCode::CALLEE_LOST), ErrorCode::CALLEE_LOST),
        (failure(1, ErrorCode::APPLICATION), ErrorCode::APPLICATION),
        (failure(1, ErrorCode::INTERNAL), ErrorCode::INTERNAL),
        (failure(1, ErrorCode::DENIED), ErrorCode::DENIED),
        (
            failure(1, ErrorCode::DEADLINE_EXCEEDED),
            ErrorCode::DEADLINE_EXCEEDED,
        ),
    ] {
        let mut call = call(2);
        sent(&mut call);
        call.handle_input(at(1), input);
        assert_eq!(failed(&mut call), code);
    }
}

#[test]
fn an_idempotent_call_is_repeated_when_its_callee_is_lost() {
    let mut call = start(request().idempotent(), members(2));
    let first = sent(&mut call);
    call.handle_input(at(1), lost(1));
    assert_ne!(sent(&mut call), first);
    call.handle_input(at(2), lost(2));
    assert_eq!(failed(&mut call), ErrorCode::CALLEE_LOST);
}

#[test]
fn a_loss_outweighs_later_refusals() {
    let mut call = start(request().idempotent(), members(2));
    sent(&mut call);
    call.handle_input(at(1), lost(1));
    sent(&mut call);
    call.handle_input(at(2), failure(2, ErrorCode::BUSY));
    assert_eq!(failed(&mut call), ErrorCode::CALLEE_LOST);
}

#[test]
fn refusals_of_one_kind_keep_their_code() {
    for (second, expected) in [
        (ErrorCode::BUSY, ErrorCode::BUSY),
        (ErrorCode::DRAINING, ErrorCode::NO_AVAILABLE_CALLEE),
    ] {
        let mut call = call(2);
        sent(&mut call);
        call.handle_input(at(1), failure(1, ErrorCode::BUSY));
        sent(&mut call);
        call.handle_input(at(2), failure(2, second));
        assert_eq!(failed(&mut call), expected);
    }
}

#[test]
fn no_more_providers_are_tried_than_the_limit() {
    let config = CallConfig {
        max_attempts: 3,
        ..CallConfig::default()
    };
    let mut call = Call::new(config, request(), of(members(9)), Random::new(1), at(0));
    for attempt in 1..=3 {
        sent(&mut call);
        call.handle_input(at(1), not_sent(attempt));
    }
    assert_eq!(failed(&mut call), ErrorCode::UNREACHABLE);
}

#[test]
fn cancelling_without_waiting_ends_the_call() {
    for mode in [CancelMode::Skip, CancelMode::KillNoWait] {
        let mut call = call(2);
        let to = sent(&mut call);
        call.handle_input(at(1), CallInput::Cancel(mode));
        assert_eq!(
            outputs(&mut call),
            [
                CallOutput::Abandon {
                    to,
                    attempt: 1,
                    mode
                },
                CallOutput::Done(Err(canceled()))
            ]
        );
    }
}

#[test]
fn cancelling_and_waiting_ends_with_the_callee() {
    let other = Failure::new(ErrorCode::APPLICATION, "stopped");
    for (input, end) in [
        (answer(1, Ok(result(ID))), Ok(result(ID))),
        (answer(1, Err(other.clone())), Err(other)),
        (lost(1), Err(canceled())),
        (not_sent(1), Err(canceled())),
        (CallInput::Cancel(CancelMode::KillNoWait), Err(canceled())),
        (CallInput::Cancel(CancelMode::Skip), Err(canceled())),
    ] {
        let mut call = start(request().idempotent(), members(2));
        let to = sent(&mut call);
        let mode = CancelMode::Kill;
        call.handle_input(at(1), CallInput::Cancel(mode));
        call.handle_input(at(2), CallInput::Cancel(mode));
        assert_eq!(
            outputs(&mut call),
            [CallOutput::Abandon {
                to,
                attempt: 1,
                mode
            }]
        );
        assert_eq!(call.callee(), Some(to));
        call.handle_input(at(3), input);
        assert_eq!(outputs(&mut call), [CallOutput::Done(end)]);
    }
}

#[test]
fn cancelling_and_waiting_ends_by_the_deadline() {
    let mut call = call(2);
    sent(&mut call);
    call.handle_input(at(1), CallInput::Cancel(CancelMode::Kill));
    outputs(&mut call);
    assert_eq!(call.poll_timeout(), Some(at(1_000)));
    call.handle_timeout(at(1_000));
    assert_eq!(failed(&mut call), ErrorCode::DEADLINE_EXCEEDED);
}

#[test]
fn the_result_of_another_call_is_none() {
    let mut call = call(2);
    let to = sent(&mut call);
    let other = result(CallId::from_bytes([8; 16]));
    call.handle_input(at(1), answer(1, Ok(other)));
    let outputs = outputs(&mut call);
    let mode = CancelMode::KillNoWait;
    assert_eq!(
        outputs[0],
        CallOutput::Abandon {
            to,
            attempt: 1,
            mode
        }
    );
    let [_, CallOutput::Done(Err(failure))] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(failure.code, ErrorCode::PROTOCOL_VIOLATION);
}

#[test]
fn this_node_is_asked_first() {
    let mut list = members(3);
    let provider = Provider::Local(RegistrationKey::new(1));
    list.insert(0, Candidate::new(provider, 1));
    for seed in 0..20 {
        let config = CallConfig::default();
        let random = Random::new(seed);
        let mut call = Call::new(config, request(), of(list.clone()), random, at(0));
        assert_eq!(sent(&mut call), provider);
    }
}

#[test]
fn an_answer_of_who_does_not_have_the_call_is_ignored_and_counted() {
    let mut call = call(3);
    sent(&mut call);
    call.handle_input(at(1), answer(2, Ok(result(ID))));
    call.handle_input(at(1), lost(7));
    assert_eq!((outputs(&mut call), call.ignored()), (vec![], 1));
    call.handle_input(at(2), failure(1, ErrorCode::BUSY));
    sent(&mut call);
    // The one that declined changes its mind.
    call.handle_input(at(3), answer(1, Ok(result(ID))));
    assert_eq!((outputs(&mut call), call.ignored()), (vec![], 2));
    call.handle_input(at(4), answer(2, Ok(result(ID))));
    assert_eq!(outputs(&mut call), [CallOutput::Done(Ok(result(ID)))]);
}

fn hedged(count: u8) -> Call {
    let mut request = request().idempotent();
    request.hedge_after = Some(Duration::from_millis(100));
    start(request, members(count))
}

#[test]
fn a_slow_provider_is_joined_by_another_and_the_first_answer_counts() {
    let mut call = hedged(3);
    let first = sent(&mut call);
    assert_eq!(call.poll_timeout(), Some(at(100)));
    call.handle_timeout(at(99));
    assert_eq!(outputs(&mut call), []);
    call.handle_timeout(at(100));
    let second = sent(&mut call);
    assert_ne!(first, second);
    // No more than one more, by default.
    assert_eq!(call.poll_timeout(), Some(at(1_000)));
    call.handle_input(at(150), answer(2, Ok(result(ID))));
    let mode = CancelMode::KillNoWait;
    let told = CallOutput::Abandon {
        to: first,
        attempt: 1,
        mode,
    };
    assert_eq!(outputs(&mut call), [told, CallOutput::Done(Ok(result(ID)))]);
}

#[test]
fn a_hedge_that_fails_leaves_the_call_with_the_first() {
    let mut call = hedged(2);
    sent(&mut call);
    call.handle_timeout(at(100));
    sent(&mut call);
    call.handle_input(at(110), failure(2, ErrorCode::BUSY));
    assert_eq!(outputs(&mut call), []);
    call.handle_input(at(120), answer(1, Ok(result(ID))));
    assert_eq!(outputs(&mut call), [CallOutput::Done(Ok(result(ID)))]);
}

#[test]
fn only_what_may_run_twice_is_hedged() {
    let mut request = request();
    request.hedge_after = Some(Duration::from_millis(100));
    let mut call = start(request, members(3));
    sent(&mut call);
    assert_eq!(call.poll_timeout(), Some(at(1_000)));
    // Its twin may; alone it cannot.
    assert_eq!(hedged(1).poll_timeout(), Some(at(0)));
    let mut alone = hedged(1);
    sent(&mut alone);
    assert_eq!(alone.poll_timeout(), Some(at(1_000)));
}

#[test]
fn a_call_whose_parts_have_left_stays_where_it_is() {
    for input in [failure(1, ErrorCode::BUSY), lost(1)] {
        let mut call = start(request().idempotent(), members(3));
        sent(&mut call);
        call.pin();
        call.handle_input(at(1), input);
        let code = failed(&mut call);
        assert!([ErrorCode::BUSY, ErrorCode::CALLEE_LOST].contains(&code));
    }
    let mut free = call(3);
    sent(&mut free);
    free.handle_input(at(1), failure(1, ErrorCode::BUSY));
    sent(&mut free);
}
