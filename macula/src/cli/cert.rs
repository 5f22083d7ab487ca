//! `macula cert`: certificates of nodes and clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use macula::realm::{Certificate, FileError, IssueRequest, RealmRoot, Tenant, Zone};
use macula::wire::message::Roles;
use macula::{NodeConfig, NodeDirectory};
use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::{Output, hex};
use super::{address, pem, realm};

const DAY_S: u64 = 86_400;
/// The largest file that is taken for a certificate.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Issue and read certificates.
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Example:\n  macula cert issue --realm mesh/realm --out mesh/two --join 127.0.0.1:4433"
)]
pub(crate) enum Command {
    Issue(IssueArgs),
    Show(ShowArgs),
}

/// Make a node or a client of a realm.
///
/// The directory gets the key, the certificate, the trust bundle and a node.toml, so that a node can run in it at
/// once.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula cert issue --realm mesh/realm --out mesh/two --join 127.0.0.1:4433"
)]
pub(crate) struct IssueArgs {
    /// The directory of the realm's root.
    #[arg(long, value_name = "DIR")]
    realm: PathBuf,
    /// The directory to make.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What it may be: member, client, gateway, store or relay; may be given several times; by
    /// default member and client.
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<Roles>,
    /// The tenant it belongs to, so that it may use names below this one only.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Tenant::new(text).map_err(|error| error.to_string()))]
    tenant: Option<Tenant>,
    /// Where it stands.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Zone::new(text).map_err(|error| error.to_string()))]
    zone: Option<Zone>,
    /// For how many days it is valid.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// The UDP address that the node is to listen at.
    #[arg(long, value_name = "ADDR", value_parser = address::parse, default_value = "0.0.0.0:4433")]
    listen: SocketAddr,
    /// A member for the node to join by; may be given several times.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    join: Vec<SocketAddr>,
}

/// Tell what a certificate says.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula cert show mesh/node")]
pub(crate) struct ShowArgs {
    /// A directory with a node.crt, or a certificate in PEM.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
}

fn role(text: &str) -> Result<Roles, String> {
    Roles::from_name(text).ok_or_else(|| {
        format!("{text:?} is no role: write member, client, gateway, store or relay")
    })
}

pub(crate) fn run(command: &Command, output: Output) -> Result<Exit, Failed> {
    match command {
        Command::Issue(args) => issue(args, output),
        Command::Show(args) => show(args, output),
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    node: String,
    realm: &'a str,
    roles: Vec<&'static str>,
    tenant: Option<String>,
    zone: Option<String>,
    not_before: u64,
    not_after: u64,
    days_left: u64,
    serial: String,
    sha256: String,
    path: &'a Path,
}

impl<'a> Shown<'a> {
    fn new(event: &'static str, certificate: &'a Certificate, path: &'a Path) -> Self {
        Self {
            event,
            node: certificate.node().to_string(),
            realm: certificate.realm().as_str(),
            roles: certificate.roles().names().collect(),
            tenant: certificate.tenant().map(ToString::to_string),
            zone: certificate.zone().map(ToString::to_string),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            days_left: certificate.not_after().saturating_sub(macula::unix_time()) / DAY_S,
            serial: hex(certificate.serial()),
            sha256: hex(certificate.sha256()),
            path,
        }
    }

    fn text(&self) -> String {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        format!(
            "node    {}\nrealm   {}\nroles   {}\ntenant  {}\nzone    {}\nvalid   {} days more\nserial  {}\nsha256  {}",
            self.node,
            self.realm,
            self.roles.join(", "),
            or_none(&self.tenant),
            or_none(&self.zone),
            self.days_left,
            self.serial,
            self.sha256
        )
    }
}

fn issue(args: &IssueArgs, output: Output) -> Result<Exit, Failed> {
    for taken in ["node.key", "node.crt", "node.toml"].map(|name| args.out.join(name)) {
        realm::refuse_existing(&taken)?;
    }
    let root = RealmRoot::load(&args.realm)?;
    let asked = args.roles.iter().copied().reduce(Roles::with);
    let request = asked
        .map_or_else(IssueRequest::default, IssueRequest::new)
        .with_tenant(args.tenant.clone())
        .with_zone(args.zone.clone())
        .with_validity(Duration::from_secs(
            u64::from(args.days).saturating_mul(DAY_S),
        ));
    let identity = root.issue(&request, macula::unix_time())?;
    identity.save(&args.out)?;
    root.bundle().save(&args.out)?;
    let mut config = NodeConfig::default();
    config.listen = args.listen;
    config.join.clone_from(&args.join);
    NodeDirectory::new(&args.out).create_config(&config)?;
    let shown = Shown::new("issued", identity.certificate(), &args.out);
    output.either(&shown, || {
        format!(
            "{}\nnext: macula node run --dir {}",
            shown.text(),
            args.out.display()
        )
    })?;
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs, output: Output) -> Result<Exit, Failed> {
    let path = if args.path.is_dir() {
        args.path.join("node.crt")
    } else {
        args.path.clone()
    };
    let certificate = read(&path)?;
    let shown = Shown::new("certificate", &certificate, &path);
    output.either(&shown, || shown.text())?;
    Ok(Exit::Ok)
}

/// Reads the first certificate of a file.
fn read(path: &Path) -> Result<Certificate, Failed> {
    let unreadable = |source: std::io::Error| {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::NotFound {
            FileError::Missing { path }
        } else {
            FileError::Unreadable { path, source }
        }
    };
    let damaged = |why: &str| FileError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_LEN {
        return Err(damaged("it is larger than 1 MiB").into());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text in PEM"))?;
    let der = pem::first_certificate(text).map_err(damaged)?;
    Ok(Certificate::from_der(&der).map_err(|error| damaged(&error.to_string()))?)
}
