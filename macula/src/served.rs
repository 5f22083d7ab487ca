//! A registration as its owner holds it.

use std::sync::Arc;

use macula_rpc::Match;
use macula_wire::{NameError, Pattern, Procedure, RealmName};

use crate::Error;
use crate::plane::tally::Tally;
use crate::subscription::Release;

/// Procedures that this process serves: one, or all that a pattern covers. Dropping it ends the registration; calls that
/// run go on.
pub struct Served {
    pattern: Pattern,
    tally: Arc<Tally>,
    release: Option<Release>,
}

impl Served {
    pub(crate) fn new(pattern: Pattern, tally: Arc<Tally>, release: Release) -> Self {
        Self {
            pattern,
            tally,
            release: Some(release),
        }
    }

    /// What is served.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// How many calls run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tally.read().running
    }

    /// Ends the registration, and returns when the calls that run have ended. Further calls go to other providers.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the registration has ended, and calls that run go on.
    pub async fn drain(mut self) {
        self.withdraw();
        self.tally.idle().await;
    }

    /// Resolves when the registration has ended by itself, with the reason:
    /// [`POLICY_CONFLICT`](macula_wire::ErrorCode::POLICY_CONFLICT) if somebody serves the same by another policy and was
    /// first, [`ALREADY_REGISTERED`](macula_wire::ErrorCode::ALREADY_REGISTERED) if somebody has taken it over.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ended(&self) -> Error {
        self.tally.ended().await
    }

    fn withdraw(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}

/// The pattern that `name` stands for, with or without the name of the own realm in front.
pub(crate) fn pattern(
    realm: &RealmName,
    name: &str,
    matching: Match,
) -> Result<Pattern, NameError> {
    match matching {
        Match::Wildcard => Pattern::in_realm(realm, name),
        Match::Exact | Match::Prefix => {
            matching.pattern(Procedure::in_realm(realm, name)?.as_str())
        }
    }
}
