//! Calls: at most one run, an end in time, the right result.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::Limits;
use super::faults::micros;
use super::index::{Call, Index, Run};
use super::{Did, History, Name, Rule, Violation};

pub(super) fn check(history: &History, index: &Index, limits: &Limits) -> Vec<Violation> {
    let mut by_call: BTreeMap<(Name, u64), Vec<Run>> = BTreeMap::new();
    for run in index.runs.values().flatten() {
        by_call.entry((run.by, run.number)).or_default().push(*run);
    }
    let mut checker = Checker {
        history,
        index,
        limits,
        found: Vec::new(),
    };
    for runs in index.runs.values() {
        checker.once("a call id runs twice", runs);
    }
    for (key, call) in &index.calls {
        let runs = by_call.get(key).map_or(&[][..], Vec::as_slice);
        checker.ends(*key, call);
        checker.result(*key, call, runs);
        checker.runs(call, runs);
        checker.loss(call, runs);
        checker.cancel(call, runs);
    }
    checker.found
}

struct Checker<'a> {
    history: &'a History,
    index: &'a Index,
    limits: &'a Limits,
    found: Vec<Violation>,
}

impl Checker<'_> {
    fn at(&self, place: usize) -> u64 {
        self.history
            .records()
            .get(place)
            .map_or(0, |record| record.at)
    }

    fn broken(&mut self, rule: Rule, detail: String, excerpt: impl IntoIterator<Item = usize>) {
        self.found.push(Violation::new(rule, detail, excerpt));
    }

    fn once(&mut self, detail: &str, runs: &[Run]) {
        if let [first, second, ..] = runs {
            self.broken(
                Rule::RunsOnce,
                detail.to_owned(),
                [first.begun, second.begun],
            );
        }
    }

    /// A call that may not be repeated runs once, whatever ids it had.
    fn runs(&mut self, call: &Call, runs: &[Run]) {
        let (Some(invoked), false) = (call.invoked, call.repeatable) else {
            return;
        };
        let [first, rest @ ..] = runs else {
            return;
        };
        let id = |run: &Run| match self
            .history
            .records()
            .get(run.begun)
            .map(|record| record.did)
        {
            Some(Did::Begun { call, .. }) => Some(call),
            _ => None,
        };
        if let Some(second) = rest.iter().find(|run| id(run) != id(first)) {
            let excerpt = [invoked, first.begun, second.begun];
            let detail = "a call that may not be repeated runs under two ids";
            self.broken(Rule::RunsOnce, detail.to_owned(), excerpt);
        }
    }

    fn ends(&mut self, (by, number): (Name, u64), call: &Call) {
        let Some(invoked) = call.invoked else {
            return;
        };
        let begin = self.at(invoked);
        let Some(end) = call.ended.or(self.index.quiet) else {
            return;
        };
        // Who took it back is told so at once, or not at all.
        let is_open = call.ended.is_none();
        if is_open && (self.index.faults.killed(by, begin).is_some() || call.cancelled.is_some()) {
            return;
        }
        let took = self.at(end).saturating_sub(begin);
        let still = self.index.faults.stood_still(by, begin, self.at(end));
        let allowed = micros(Duration::from_millis(call.deadline_ms))
            .saturating_add(micros(self.limits.slack))
            .saturating_add(still);
        if took > allowed {
            let (ms, took) = (call.deadline_ms, took / 1_000);
            let detail = format!("call #{number} had {ms} ms and took {took} ms");
            self.broken(Rule::CallEnds, detail, [invoked, end]);
        }
    }

    fn result(&mut self, (caller, number): (Name, u64), call: &Call, runs: &[Run]) {
        let Some(ended) = call.ended else {
            return;
        };
        let did = self.history.records().get(ended).map(|record| record.did);
        let Some(Did::Answered { by, of, .. }) = did else {
            return;
        };
        if (by, of) != (caller, number) {
            let detail = format!("call #{number} got another one's result");
            self.broken(Rule::OwnResult, detail, [ended]);
        } else if runs.is_empty() {
            let detail = format!("call #{number} got a result and was not run");
            self.broken(Rule::OwnResult, detail, [ended]);
        }
    }

    /// Who waits for a process that is killed knows soon.
    fn loss(&mut self, call: &Call, runs: &[Run]) {
        let [run] = runs else {
            return;
        };
        let begun = self.at(run.begun);
        let Some((killed_at, killed)) = self.index.faults.killed(run.actor, begun) else {
            return;
        };
        if run.ended.is_some_and(|ended| ended < killed) || call.cancelled.is_some() {
            return;
        }
        let Some(end) = call.ended.or(self.index.quiet) else {
            return;
        };
        let took = self.at(end).saturating_sub(killed_at);
        let due = self.index.faults.due(killed_at, self.limits.callee_lost);
        if self.at(end) > due {
            let detail = format!(
                "its callee was dead for {} ms before the call ended",
                took / 1_000
            );
            self.broken(Rule::LossKnown, detail, [run.begun, killed, end]);
        }
    }

    fn cancel(&mut self, call: &Call, runs: &[Run]) {
        let Some(cancelled) = call.cancelled else {
            return;
        };
        for run in runs {
            let since = self.at(cancelled).max(self.at(run.begun));
            let told = run.ended.into_iter().chain(run.stopped).min();
            let Some(end) = told.or(self.index.quiet) else {
                continue;
            };
            let died = self
                .index
                .faults
                .killed(run.actor, self.at(run.begun))
                .is_some();
            let due = self.index.faults.due(since, self.limits.cancelled);
            let late = self.at(end) > due;
            if late && !(told.is_none() && died) {
                let excerpt = [cancelled, run.begun, end];
                let detail = "the callee went on after the caller had cancelled".to_owned();
                self.broken(Rule::CancelKnown, detail, excerpt);
            }
        }
    }
}
