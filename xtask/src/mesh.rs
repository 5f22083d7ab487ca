//! `test-mesh`: scenarios with real node processes.

use crate::failure::Failure;

/// Runs the scenarios that `arguments` name.
///
/// # Errors
///
/// Always: there are no scenarios.
pub(crate) fn run(_arguments: &[String]) -> Result<(), Failure> {
    Err(Failure::usage("no scenarios"))
}
