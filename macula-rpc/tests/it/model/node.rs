//! A node that provides and calls: the registry, its calls, and the work of its providers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use macula_rpc::{
    Admission, Call, CallConfig, CallInput, CallOutput, CallRequest, Config, Entry, Input,
    InvocationConfig, Invocations, Output, Provider, Rpc,
};
use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{CallId, ContentType, ErrorCode, Instant, Machine, NodeId, Procedure, Random};

use super::NAMES;
use crate::common::watch;

/// The registry and all calls of one node, composed.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    now: Instant,
    random: Random,
    pub(super) rpc: Rpc,
    invocations: Invocations,
    calls: BTreeMap<CallId, Call>,
    /// To whom each call was sent, by the number of the attempt.
    attempts: BTreeMap<CallId, Vec<(u32, Provider)>>,
    /// What the providers of this node are doing, by when they will be done.
    jobs: BTreeMap<(Instant, u64), Job>,
    next_job: u64,
    replies: VecDeque<Reply>,
}

#[derive(Debug)]
struct Job {
    admission: Admission,
    _entry: Entry,
    answer: Result<CallResult, Failure>,
}

/// An answer on its way to a caller.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) to: NodeId,
    pub(super) call: CallId,
    pub(super) answer: Result<CallResult, Failure>,
}

/// What a node wants done.
#[derive(Debug)]
pub(super) enum NodeOutput {
    Rpc(Output),
    Call(CallId, Procedure, CallOutput),
    Reply(Reply),
}

impl Node {
    pub(super) fn new(id: NodeId, random: Random, now: Instant) -> Self {
        let mut rpc = Rpc::new(Config::default(), id, now);
        watch(&mut rpc, now, &NAMES);
        Self {
            id,
            now,
            rpc,
            invocations: Invocations::new(&InvocationConfig::default()),
            calls: BTreeMap::new(),
            attempts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            replies: VecDeque::new(),
            random,
        }
    }

    pub(super) fn call(
        &mut self,
        now: Instant,
        id: CallId,
        name: Procedure,
        deadline: Instant,
        idempotent: bool,
        hedge_after: Option<Duration>,
    ) {
        self.now = now;
        let candidates = self.rpc.table().find(&name).cloned();
        let mut request = CallRequest::new(id, name, deadline);
        request.idempotent = idempotent;
        request.hedge_after = hedge_after;
        let random = self.random.fork();
        let call = Call::new(CallConfig::default(), request, candidates, random, now);
        self.calls.insert(id, call);
    }

    pub(super) fn cancel(&mut self, now: Instant, id: CallId, mode: CancelMode) {
        self.tell(now, id, CallInput::Cancel(mode));
    }

    /// Tells a call, if it still runs.
    pub(super) fn tell(&mut self, now: Instant, id: CallId, input: CallInput) {
        self.now = now;
        if let Some(call) = self.calls.get_mut(&id) {
            call.handle_input(now, input);
        }
    }

    pub(super) fn sent(&mut self, id: CallId, attempt: u32, to: Provider) {
        self.attempts.entry(id).or_default().push((attempt, to));
    }

    /// An answer from `from`; one from a provider that no longer has the call comes on a stream that nobody reads.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        from: Provider,
        id: CallId,
        answer: Result<CallResult, Failure>,
    ) {
        let is_from =
            |to: Provider| to == from || (to.is_here() && from == Provider::Member(self.id));
        // This node may have tried several registrations of its own; the last of them answers.
        let sent = self.attempts.get(&id).into_iter().flatten();
        if let Some((attempt, _)) = sent.rev().find(|(_, to)| is_from(*to)) {
            let attempt = *attempt;
            self.tell(now, id, CallInput::Answer { attempt, answer });
        }
    }

    /// The link to `node` is gone, and with it the streams of the calls that it had.
    pub(super) fn lost(&mut self, now: Instant, node: NodeId) {
        let sent = self.attempts.iter();
        let sent = sent.flat_map(|(id, all)| all.iter().map(|(attempt, to)| (*id, *attempt, *to)));
        let had: Vec<(CallId, u32)> = sent
            .filter(|(_, _, to)| *to == Provider::Member(node))
            .map(|(id, attempt, _)| (id, attempt))
            .collect();
        for (id, attempt) in had {
            self.tell(now, id, CallInput::Lost { attempt });
        }
        self.rpc.handle_input(now, Input::MemberDown { node });
    }

    /// An incoming call; whether it ran.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        caller: NodeId,
        id: CallId,
        name: &Procedure,
        deadline_ms: u32,
    ) -> bool {
        self.now = now;
        let deadline = now + Duration::from_millis(u64::from(deadline_ms));
        let table = self.rpc.table();
        let here = table.candidates_here(name);
        let Some(candidate) = here.get(self.random.index(here.len())) else {
            self.invocations.refuse(now, caller, id, deadline);
            let failure = Failure::new(ErrorCode::NO_SUCH_PROCEDURE, "no such procedure here");
            self.reply(caller, id, Err(failure));
            return false;
        };
        let slots = table.slots(candidate.provider).unwrap().clone();
        let admission = match self.invocations.admit(now, caller, id, deadline) {
            Ok(admission) => admission,
            // The repeated call is on a stream of its own, which nobody reads.
            Err(failure) if failure.code == ErrorCode::CALL_GONE => return false,
            Err(failure) => {
                self.reply(caller, id, Err(failure));
                return false;
            }
        };
        let entry = match admission.enter(now, &slots) {
            Ok(entry) => entry,
            Err(failure) => {
                self.reply(caller, id, Err(failure));
                return false;
            }
        };
        let result = CallResult {
            call: id,
            content: ContentType::Bytes,
            payload: Bytes::copy_from_slice(self.id.as_bytes()),
        };
        let (millis, answer) = match self.random.below(10) {
            0 | 1 => {
                let failure = Failure::new(ErrorCode::UNAVAILABLE, "not at present");
                self.reply(caller, id, Err(failure));
                return false;
            }
            2 => (10, Err(Failure::new(ErrorCode::APPLICATION, "no"))),
            // Longer than anybody waits.
            3 => (30_000, Ok(result)),
            _ => (self.random.below(300), Ok(result)),
        };
        let due = now + Duration::from_millis(1 + millis);
        self.next_job += 1;
        self.jobs.insert(
            (due, self.next_job),
            Job {
                admission,
                _entry: entry,
                answer,
            },
        );
        true
    }

    /// The caller no longer wants it.
    pub(super) fn stop(&mut self, caller: NodeId, id: CallId) {
        self.jobs
            .retain(|_, job| job.admission.caller() != caller || job.admission.call() != id);
    }

    fn reply(&mut self, to: NodeId, call: CallId, answer: Result<CallResult, Failure>) {
        self.replies.push_back(Reply { to, call, answer });
    }
}

impl Machine for Node {
    type Input = Input;
    type Output = NodeOutput;

    fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.rpc.handle_input(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.rpc.handle_timeout(now);
        for call in self.calls.values_mut() {
            call.handle_timeout(now);
        }
        while let Some(entry) = self.jobs.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let Job {
                admission, answer, ..
            } = entry.remove();
            self.reply(admission.caller(), admission.call(), answer);
        }
    }

    fn poll_output(&mut self) -> Option<NodeOutput> {
        if let Some(output) = self.rpc.poll_output() {
            return Some(NodeOutput::Rpc(output));
        }
        if let Some(reply) = self.replies.pop_front() {
            return Some(NodeOutput::Reply(reply));
        }
        let mut found = None;
        for (id, call) in &mut self.calls {
            if let Some(output) = call.poll_output() {
                let name = call.request().procedure.clone();
                found = Some((*id, name, output));
                break;
            }
        }
        let (id, name, output) = found?;
        if matches!(output, CallOutput::Done(_)) {
            self.calls.remove(&id);
        }
        Some(NodeOutput::Call(id, name, output))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.replies.is_empty() {
            return Some(self.now);
        }
        let calls = self.calls.values().filter_map(Machine::poll_timeout);
        let job = self.jobs.keys().next().map(|(due, _)| *due);
        calls.chain(self.rpc.poll_timeout()).chain(job).min()
    }
}
