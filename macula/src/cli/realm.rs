//! `macula realm`: the root of a realm.

use std::path::{Path, PathBuf};

use macula::realm::RealmRoot;
use macula::wire::RealmName;
use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::Output;

/// Make and keep realms.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = "Example:\n  macula realm create --realm be.acme.iot --out mesh/realm")]
pub(crate) enum Command {
    Create(CreateArgs),
}

/// Make the root of a new realm.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula realm create --realm be.acme.iot --out mesh/realm")]
pub(crate) struct CreateArgs {
    /// The name of the realm, a domain name in reverse.
    #[arg(long, value_name = "NAME")]
    realm: RealmName,
    /// The directory to make it in.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Created<'a> {
    event: &'static str,
    realm: &'a str,
    root: &'a Path,
    not_after: u64,
    next: String,
}

pub(crate) fn run(command: &Command, output: Output) -> Result<Exit, Failed> {
    let Command::Create(args) = command;
    for taken in ["root.key", "root.crt", "realm.trust"].map(|name| args.out.join(name)) {
        refuse_existing(&taken)?;
    }
    let root = RealmRoot::create(
        args.realm.clone(),
        macula::unix_time(),
        RealmRoot::DEFAULT_VALIDITY,
    )?;
    root.save(&args.out)?;
    output.note(&format!(
        "keep {} offline: who has root.key can add nodes to the realm; no node needs it to run",
        args.out.display()
    ));
    let created = Created {
        event: "created",
        realm: args.realm.as_str(),
        root: &args.out,
        not_after: root.certificate().not_after(),
        next: format!(
            "macula cert issue --realm {} --out NODE",
            args.out.display()
        ),
    };
    output.either(&created, || {
        format!(
            "realm {} has its root in {}\nnext: {}",
            created.realm,
            args.out.display(),
            created.next
        )
    })?;
    Ok(Exit::Ok)
}

/// Refuses to go on where a file would be overwritten.
pub(crate) fn refuse_existing(path: &Path) -> Result<(), Failed> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Failed::usage(format!(
            "{} exists and is not overwritten: choose another directory, or move it away",
            path.display()
        ))),
    }
}
