//! `macula init`: from nothing to a node that can run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use macula::realm::{IssueRequest, RealmRoot};
use macula::wire::RealmName;
use macula::{NodeConfig, NodeDirectory};
use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::Output;
use super::{address, realm};

/// Make a realm and its first node.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula init --realm be.acme.iot --dir mesh && macula node run --dir mesh/node"
)]
pub(crate) struct Args {
    /// The name of the realm, a domain name in reverse.
    #[arg(long, value_name = "NAME")]
    realm: RealmName,
    /// Where to make the directories `realm` and `node`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The UDP address that the node listens at.
    #[arg(long, value_name = "ADDR", value_parser = address::parse, default_value = "0.0.0.0:4433")]
    listen: SocketAddr,
}

#[derive(Serialize)]
struct Created<'a> {
    event: &'static str,
    realm: &'a str,
    root: &'a Path,
    node: String,
    dir: &'a Path,
    listen: SocketAddr,
    next: String,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    let (realm_dir, node_dir) = (args.dir.join("realm"), args.dir.join("node"));
    for taken in ["root.key", "root.crt", "realm.trust"].map(|name| realm_dir.join(name)) {
        realm::refuse_existing(&taken)?;
    }
    for taken in
        ["node.key", "node.crt", "node.toml", "realm.trust"].map(|name| node_dir.join(name))
    {
        realm::refuse_existing(&taken)?;
    }
    let now = macula::unix_time();
    let root = RealmRoot::create(args.realm.clone(), now, RealmRoot::DEFAULT_VALIDITY)?;
    let identity = root.issue(&IssueRequest::default(), now)?;
    root.save(&realm_dir)?;
    identity.save(&node_dir)?;
    root.bundle().save(&node_dir)?;
    let mut config = NodeConfig::default();
    config.listen = args.listen;
    NodeDirectory::new(&node_dir).create_config(&config)?;
    output.note(&format!(
        "keep {} offline: who has root.key can add nodes to the realm; no node needs it to run",
        realm_dir.display()
    ));
    let created = Created {
        event: "created",
        realm: args.realm.as_str(),
        root: &realm_dir,
        node: identity.node().to_string(),
        dir: &node_dir,
        listen: args.listen,
        next: format!("macula node run --dir {}", node_dir.display()),
    };
    output.either(&created, || {
        format!(
            "realm {} has its root in {}\nnode {} is in {}\nnext: {}",
            created.realm,
            realm_dir.display(),
            created.node,
            node_dir.display(),
            created.next
        )
    })?;
    Ok(Exit::Ok)
}
