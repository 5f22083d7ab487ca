//! `macula errors`: what the codes mean.

use macula::wire::ErrorCode;
use serde::Serialize;

use super::exit::{Exit, Failed, retry_name};
use super::output::Output;
use super::table::Table;

/// Explain error codes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  macula errors\n  macula errors lookup NO_SUCH_PROCEDURE")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Lookup(LookupArgs),
}

/// Explain one code.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula errors lookup 0x30")]
struct LookupArgs {
    /// Its number, as in 48 or 0x30, or its name.
    #[arg(value_name = "CODE|NAME")]
    code: String,
}

#[derive(Serialize)]
struct Meaning {
    event: &'static str,
    code: &'static str,
    number: u8,
    meaning: &'static str,
    retry: &'static str,
    http_status: u16,
    exit: u8,
}

impl Meaning {
    fn new(code: ErrorCode) -> Self {
        Self {
            event: "code",
            code: code.name(),
            number: code.number(),
            meaning: code.advice(),
            retry: retry_name(code.retry()),
            http_status: code.http_status(),
            exit: Exit::of(code).number(),
        }
    }
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    if let Some(Command::Lookup(args)) = &args.command {
        let code = find(&args.code).ok_or_else(|| {
            let detail = format!(
                "there is no code {:?}: `macula errors` lists all",
                args.code
            );
            Failed::new(Exit::NotFound, detail)
        })?;
        let meaning = Meaning::new(code);
        output.either(&meaning, || {
            format!(
                "{} ({}, {:#04x}): {}\nretry: {}\nHTTP status: {}\nexit code: {}",
                meaning.code,
                meaning.number,
                meaning.number,
                meaning.meaning,
                meaning.retry,
                meaning.http_status,
                meaning.exit
            )
        })?;
        return Ok(Exit::Ok);
    }
    let all = ErrorCode::ALL.iter().copied().map(Meaning::new);
    if output.is_json() {
        all.into_iter()
            .try_for_each(|meaning| output.object(&meaning))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["code", "name", "exit", "retry", "meaning"]);
    for meaning in all {
        table.row([
            format!("{:#04x}", meaning.number),
            meaning.code.to_owned(),
            meaning.exit.to_string(),
            meaning.retry.to_owned(),
            meaning.meaning.to_owned(),
        ]);
    }
    table
        .lines()
        .iter()
        .try_for_each(|line| output.line(line))?;
    Ok(Exit::Ok)
}

/// The code of this number or name, if version 1 has it.
fn find(text: &str) -> Option<ErrorCode> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    match number.map(ErrorCode::from_number) {
        Some(code) => ErrorCode::ALL.contains(&code).then_some(code),
        None => ErrorCode::from_name(&text.to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_by_number_and_by_name() {
        for text in ["48", "0x30", "NO_SUCH_PROCEDURE", "no_such_procedure"] {
            assert_eq!(find(text), Some(ErrorCode::NO_SUCH_PROCEDURE), "{text}");
        }
        for text in ["", "238", "0xee", "256", "NOPE"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
