//! One outgoing call: it ends once, in time, and runs at most once unless the caller allows more.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use macula_rpc::{
    Call, CallConfig, CallInput, CallOutput, CallRequest, Candidate, Candidates, Provider,
    RegistrationKey,
};
use macula_wire::message::{CallResult, CancelMode, Failure, Invoke};
use macula_wire::{
    CallId, ContentType, ErrorCode, Instant, Machine, NodeId, Pattern, Procedure, Random,
};

/// Whatever happens, in whatever order, a call ends exactly once and by its deadline, asks no
/// provider twice, and asks no other one after a loss unless it is idempotent.
///
/// Input: the number of candidates with the policy, the deadline in milliseconds, whether it is
/// idempotent with the weight of the candidates and whether it hedges (1 byte each), then steps of a
/// kind and an argument.
pub fn call(data: &[u8]) {
    let Some(([candidates, deadline, idempotent], steps)) = data.split_first_chunk::<3>() else {
        return;
    };
    let id = CallId::from_bytes([5; 16]);
    let deadline = Instant::from_millis(u64::from(*deadline));
    let procedure = Procedure::new("temperature.latest").expect("a procedure");
    let mut request = CallRequest::new(id, procedure, deadline);
    if idempotent & 1 == 1 {
        request = request.idempotent();
    }
    let hedge = Duration::from_millis(20);
    request.hedge_after = Some(hedge).filter(|_| idempotent & 2 == 2);
    let list = (0..candidates % 12).map(|number| {
        let provider = match number % 3 {
            0 => Provider::Local(RegistrationKey::new(number.into())),
            _ => Provider::Member(NodeId::from_bytes([number; 32])),
        };
        Candidate::new(provider, u32::from(*idempotent >> 2))
    });
    let invoke = Invoke::ALL[usize::from(candidates / 12) % Invoke::ALL.len()];
    let pattern = Pattern::new("temperature.*").expect("a pattern");
    let candidates = Candidates::new(pattern, invoke, NodeId::default(), list.collect());
    let mut now = Instant::ZERO;
    let config = CallConfig::default();
    let mut call = Call::new(config, request, Some(candidates), Random::new(3), now);
    let mut seen = Seen {
        attempts_left: config.max_attempts,
        ..Seen::default()
    };
    seen.drain(&mut call, now);
    for [kind, argument] in steps.as_chunks::<2>().0 {
        let attempt = u32::from(argument % 4);
        let input = match kind % 6 {
            0 => {
                let payload = Bytes::from_static(b"21.5");
                CallInput::Answer {
                    attempt,
                    answer: Ok(CallResult {
                        call: id,
                        content: ContentType::Text,
                        payload,
                    }),
                }
            }
            1 => {
                // Zero says that nothing went wrong, which no failure says.
                let code = ErrorCode::from_number((*argument).max(1));
                let answer = Err(Failure::new(code, "refused"));
                CallInput::Answer { attempt, answer }
            }
            2 => CallInput::Lost { attempt },
            3 => CallInput::NotSent { attempt },
            4 => CallInput::Cancel(match argument % 3 {
                0 => CancelMode::Skip,
                1 => CancelMode::Kill,
                _ => CancelMode::KillNoWait,
            }),
            _ => {
                now = now + Duration::from_millis(u64::from(*argument));
                call.handle_timeout(now);
                seen.drain(&mut call, now);
                continue;
            }
        };
        let lost = matches!(input, CallInput::Lost { .. }) && !seen.done;
        call.handle_input(now, input);
        let sent = seen.asked.len();
        seen.drain(&mut call, now);
        if lost && !call.request().idempotent {
            assert_eq!(
                seen.asked.len(),
                sent,
                "a call that may have run was sent again"
            );
        }
    }
    call.handle_timeout(deadline);
    seen.drain(&mut call, now.max(deadline));
    assert!(seen.done, "the deadline has passed");
    assert_eq!(call.poll_timeout(), None);
}

/// What a call has put out.
#[derive(Default)]
struct Seen {
    asked: BTreeSet<Provider>,
    attempts_left: u32,
    done: bool,
}

impl Seen {
    fn drain(&mut self, call: &mut Call, now: Instant) {
        while let Some(output) = call.poll_output() {
            assert!(!self.done, "{output:?} after the end");
            match output {
                CallOutput::Send {
                    to,
                    deadline_ms,
                    attempt,
                } => {
                    assert_eq!(usize::try_from(attempt).ok(), Some(self.asked.len() + 1));
                    assert!(self.asked.insert(to), "{to:?} got the call twice");
                    assert!(deadline_ms >= 1);
                    self.attempts_left = self.attempts_left.checked_sub(1).expect("an attempt");
                }
                CallOutput::Abandon { to, .. } => assert!(self.asked.contains(&to)),
                CallOutput::Done(_end) => self.done = true,
            }
        }
        assert_eq!(self.done, call.is_done());
        assert!(
            call.poll_timeout().is_none_or(|at| at > now),
            "something is still due"
        );
    }
}
