//! Which incoming calls may run.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_rpc::{Admission, Entry, InvocationConfig, Invocations, Slots};
use macula_wire::{CallId, ErrorCode, Instant, NodeId};

/// When the first call comes.
const START: Instant = Instant::from_millis(10_000);
/// How many ids are remembered beside those that run.
const MAX_IDS: usize = 6;
/// How many calls run at a time.
const MAX_RUNNING: u32 = 4;
/// How long an id is remembered at least.
const WINDOW: Duration = Duration::from_millis(100);

/// No call id runs twice while it has to be remembered, no bound is exceeded, and nothing else is refused.
///
/// Input: steps of a kind, an id and a time (1 byte each).
pub fn admission(data: &[u8]) {
    let mut config = InvocationConfig::default();
    config.max_ids = MAX_IDS;
    config.max_running = MAX_RUNNING;
    config.shards = 1;
    config.window = WINDOW;
    let mut callee = Callee {
        invocations: Invocations::new(&config),
        slots: [Slots::new(1), Slots::new(3)],
        now: START,
        running: Vec::new(),
        spent: Vec::new(),
        admitted: 0,
        refused: BTreeSet::new(),
    };
    for [kind, id, time] in data.as_chunks::<3>().0 {
        callee.step(*kind, *id, u64::from(*time));
    }
    callee.running.clear();
    assert_eq!(callee.invocations.stats().running, 0);
    assert_eq!([0, 1].map(|which| callee.slots[which].used()), [0, 0]);
}

/// A call that runs by a registration.
struct Running {
    admission: Admission,
    _entry: Entry,
}

/// The subject, and what a correct one does.
struct Callee {
    invocations: Invocations,
    slots: [Slots; 2],
    now: Instant,
    running: Vec<(usize, Running)>,
    /// Every id that was used and may have been noted, in that order, with the time until which it counts.
    spent: Vec<((NodeId, CallId), Instant)>,
    admitted: u64,
    /// Of which slots somebody found none free.
    refused: BTreeSet<usize>,
}

impl Callee {
    fn step(&mut self, kind: u8, id: u8, time: u64) {
        let caller = NodeId::from_bytes([id & 3; 32]);
        let call = CallId::from_bytes([id >> 2; 16]);
        // Three of four deadlines lie in the future, some of them behind the window.
        let deadline = match time % 4 {
            0 => self.now - Duration::from_millis(time),
            1 => self.now + Duration::from_millis(time * 2),
            _ => self.now + Duration::from_millis(1 + time / 4),
        };
        match kind % 8 {
            0 => self.now = self.now + Duration::from_millis(time),
            1 | 2 if !self.running.is_empty() => {
                let at = usize::from(id) % self.running.len();
                let (_, running) = self.running.swap_remove(at);
                assert!(running.admission.deadline() > START);
                running.admission.finish();
            }
            3 => {
                self.invocations.refuse(self.now, caller, call, deadline);
                self.note((caller, call), deadline);
            }
            _ => self.admit(caller, call, deadline, usize::from(kind >> 7)),
        }
        let stats = self.invocations.stats();
        assert_eq!(stats.running as usize, self.running.len());
        assert_eq!(stats.admitted, self.admitted);
        for (which, slots) in self.slots.iter().enumerate() {
            let used = self.running.iter().filter(|(of, _)| *of == which).count();
            assert_eq!(slots.used() as usize, used);
        }
    }

    fn admit(&mut self, caller: NodeId, call: CallId, deadline: Instant, which: usize) {
        let key = (caller, call);
        let slots = self.slots[which].clone();
        let answer = self.invocations.admit(self.now, caller, call, deadline);
        let code = answer.as_ref().err().map(|failure| failure.code);
        if deadline <= self.now {
            assert_eq!(code, Some(ErrorCode::DEADLINE_EXCEEDED));
            return;
        }
        if self.must_be_known(key) {
            assert_eq!(code, Some(ErrorCode::CALL_GONE));
            return;
        }
        if code == Some(ErrorCode::CALL_GONE) {
            assert!(self.spent.iter().any(|(spent, _)| *spent == key));
            return;
        }
        self.note(key, deadline);
        let full = self.running.len() >= MAX_RUNNING as usize;
        assert_eq!(code, full.then_some(ErrorCode::BUSY));
        let Ok(admission) = answer else {
            return;
        };
        assert_eq!((admission.caller(), admission.call()), key);
        self.admitted += 1;
        let used = slots.used();
        match admission.enter(self.now, &slots) {
            Ok(entry) => {
                assert!(used < slots.limit());
                let _entry = entry;
                self.running.push((which, Running { admission, _entry }));
            }
            // Some of the free ones may be kept for others that were refused before.
            Err(failure) => {
                assert_eq!(failure.code, ErrorCode::BUSY);
                assert!(used >= slots.limit() || self.refused.contains(&which));
                self.refused.insert(which);
            }
        }
    }

    fn note(&mut self, key: (NodeId, CallId), deadline: Instant) {
        self.spent.push((key, (self.now + WINDOW).max(deadline)));
    }

    /// Whether the id runs, or was spent so lately that nothing can have pushed it out.
    ///
    /// A refusal of an id that is remembered already does not prolong it, so that the first time counts.
    fn must_be_known(&self, key: (NodeId, CallId)) -> bool {
        let runs = |(_, running): &(usize, Running)| {
            (running.admission.caller(), running.admission.call()) == key
        };
        let first = self.spent.iter().position(|(spent, _)| *spent == key);
        let fresh = first.is_some_and(|first| {
            self.spent.len() - first <= MAX_IDS && self.spent[first].1 > self.now
        });
        fresh || self.running.iter().any(runs)
    }
}
