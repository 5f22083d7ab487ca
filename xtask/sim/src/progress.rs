//! A bar on a terminal while a run goes on.

use indicatif::{ProgressBar, ProgressStyle};

/// The steps of a bar.
const STEPS: u64 = 1_000;

/// How far a run has come; shown on a terminal, silent elsewhere.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Nothing is shown.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// A bar on the standard error, if that is a terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(STEPS);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} % {elapsed} {msg}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Says what is done now.
    pub(crate) fn says(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// `part` of `whole` is done.
    pub(crate) fn reached(&self, part: f64, whole: f64) {
        if whole > 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast from a float saturates"
            )]
            self.0.set_position((part / whole * 1_000.0) as u64);
        }
    }

    /// Removes the bar.
    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}
