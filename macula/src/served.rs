//! A registration as its owner holds it.

use macula_wire::Procedure;

use crate::subscription::Release;

/// A procedure that this process serves. Dropping it ends the registration.
pub struct Served {
    procedure: Procedure,
    release: Option<Release>,
}

impl Served {
    pub(crate) fn new(procedure: Procedure, release: Release) -> Self {
        Self {
            procedure,
            release: Some(release),
        }
    }

    /// What is served.
    #[must_use]
    pub fn procedure(&self) -> &Procedure {
        &self.procedure
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("procedure", &self.procedure)
            .finish_non_exhaustive()
    }
}
