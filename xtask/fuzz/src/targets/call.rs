//! One outgoing call: it ends once, in time, and runs at most once unless the caller allows more.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use macula_rpc::{
    Call, CallConfig, CallInput, CallOutput, CallRequest, Candidate, Provider, RegistrationKey,
};
use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{CallId, ContentType, ErrorCode, Instant, Machine, Procedure, Random};

/// Whatever happens, in whatever order, a call ends exactly once and by its deadline, asks no
/// provider twice, and asks no other one after a loss unless it is idempotent.
///
/// Input: the number of candidates, the deadline in milliseconds, whether it is idempotent (1 byte
/// each), then steps of a kind and an argument.
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
    let candidates = (0..u64::from(candidates % 12)).map(|number| Candidate {
        provider: Provider::Local(RegistrationKey::new(number)),
        weight: u32::from(*idempotent >> 1),
    });
    let mut now = Instant::ZERO;
    let config = CallConfig::default();
    let mut call = Call::new(config, request, candidates.collect(), Random::new(3), now);
    let mut seen = Seen {
        attempts_left: config.max_attempts,
        ..Seen::default()
    };
    seen.drain(&mut call, now);
    for [kind, argument] in steps.as_chunks::<2>().0 {
        let input = match kind % 6 {
            0 => {
                let payload = Bytes::from_static(b"21.5");
                CallInput::Answer(Ok(CallResult {
                    call: id,
                    content: ContentType::Text,
                    payload,
                }))
            }
            1 => {
                // Zero says that nothing went wrong, which no failure says.
                let code = ErrorCode::from_number((*argument).max(1));
                CallInput::Answer(Err(Failure::new(code, "refused")))
            }
            2 => CallInput::Lost,
            3 => CallInput::NotSent,
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
        let lost = matches!(input, CallInput::Lost) && !seen.done;
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
                    to, deadline_ms, ..
                } => {
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
