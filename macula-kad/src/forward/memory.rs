//! What a node remembers of what it passed on.

use macula_wire::{ErrorCode, Instant, NodeId};

use super::allowance::Allowance;
use super::attempt::Attempts;
use super::choice::Learned;
use super::fate::{DropCause, WayfinderStats};
use super::route::Routes;

/// Learned routes, attempts, and what answers cost. All of it may be lost without harm.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) routes: Routes,
    pub(super) attempts: Attempts,
    errors: Allowance,
    traces: Allowance,
    stats: WayfinderStats,
}

/// Which answers are counted together. A storm of errors leaves room for tracing what is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Error,
    Trace,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            routes: Routes::default(),
            attempts: Attempts::new(),
            errors: Allowance::new(),
            traces: Allowance::new(),
            stats: WayfinderStats::default(),
        }
    }

    /// Takes in that something of `origin` came by `peer`.
    pub(super) fn hear(&mut self, now: Instant, origin: NodeId, peer: NodeId) {
        self.routes.hear(now, origin, peer);
        self.attempts.hear(origin, peer);
    }

    /// What is known of the way to `target`.
    pub(super) fn learned(&self, now: Instant, target: NodeId) -> Learned {
        Learned {
            by: self.routes.get(now, &target),
            failed: self.attempts.failed(now, target),
        }
    }

    /// Takes in an answer, and says why it does not count, if it does not.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        target: NodeId,
        peer: NodeId,
        code: ErrorCode,
    ) -> Result<(), DropCause> {
        let asked = self.attempts.answer(now, target, peer, code);
        asked.then_some(()).ok_or(DropCause::Unasked)
    }

    /// Whether one more answer may be sent to `origin` because of what came from `peer`.
    pub(super) fn may_answer(
        &mut self,
        now: Instant,
        answer: Answer,
        origin: NodeId,
        peer: NodeId,
    ) -> bool {
        let allowance = match answer {
            Answer::Error => &mut self.errors,
            Answer::Trace => &mut self.traces,
        };
        let may = allowance.take(now, origin, peer);
        if !may {
            self.count(DropCause::Limited);
        }
        may
    }

    pub(super) const fn count(&mut self, cause: DropCause) {
        self.stats.count(cause);
    }

    pub(super) fn stats(&self) -> WayfinderStats {
        WayfinderStats {
            routes: self.routes.len(),
            attempts: self.attempts.len(),
            counted: self.errors.len().max(self.traces.len()),
            ..self.stats
        }
    }
}
