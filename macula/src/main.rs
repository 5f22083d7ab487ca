//! The command `macula`.
fn main() {}
