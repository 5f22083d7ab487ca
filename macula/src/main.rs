//! The command `macula`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
