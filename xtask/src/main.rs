//! The task runner of the workspace: `cargo xtask TASK`.
fn main() {}
