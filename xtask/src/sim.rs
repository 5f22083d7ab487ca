//! `sim`: membership and the overlay, simulated by the program of `xtask/sim`.

use crate::failure::Failure;
use crate::process::{Tool, cargo, root};

/// Builds the program with optimisations and hands it all arguments.
///
/// # Errors
///
/// When it cannot be built, or does not succeed; it has said why.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    cargo("build --quiet --release --locked -p macula-sim").run()?;
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = folder
        .join("release")
        .join(format!("macula-sim{}", std::env::consts::EXE_SUFFIX));
    // Ten thousand nodes are some hundred MiB that are visited in no order: where glibc is, it asks for large pages, which
    // saves a fifth of the time.
    let tool = Tool::new(program).env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    let tool = arguments.iter().fold(tool, Tool::arg);
    match tool.exit_code()? {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::usage("wrong arguments")),
        _ => Err(Failure::failed("the run did not succeed")),
    }
}
