//! Builds the fuzz crate with coverage counters, which needs neither nightly nor cargo-fuzz.

use super::target::Fuzzer;
use crate::failure::Failure;
use crate::process::{cargo, host, root};

/// What makes rustc insert the counters and hooks that libFuzzer reads.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=yes",
    "-Ccodegen-units=1",
    "--cfg fuzzing",
];

/// Builds the one binary that holds all targets.
///
/// With an explicit `--target`, the flags reach neither procedural macros nor build scripts, which
/// could not be linked with them.
///
/// # Errors
///
/// When the build fails.
pub(super) fn build() -> Result<Fuzzer, Failure> {
    let host = host()?;
    let folder = root().join("xtask/fuzz");
    cargo("build --quiet --release --locked --manifest-path xtask/fuzz/Cargo.toml --target")
        .arg(&host)
        .words("--target-dir xtask/fuzz/target")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", FLAGS.join(" "))
        .run()?;
    let name = format!("macula-fuzz{}", std::env::consts::EXE_SUFFIX);
    Fuzzer::new(
        folder.join("target").join(host).join("release").join(name),
        folder,
    )
}
