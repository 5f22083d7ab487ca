//! A realm inside one process: what the examples share, so that each can be started by itself and needs no files.
//!
//! In real use the root of a realm stays offline, and each member has a directory of its own (`macula init`,
//! `macula cert issue`).

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use macula::Node;
use macula::realm::{IssueRequest, RealmRoot};

/// What an example may fail by.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// A realm whose members are all started here.
#[derive(Debug)]
pub(crate) struct Realm {
    root: RealmRoot,
    seed: Option<SocketAddr>,
}

impl Realm {
    /// A new realm of this name.
    pub(crate) fn create(name: &str) -> Result<Self, Failed> {
        let now = macula::unix_time();
        let root = RealmRoot::create(name.parse()?, now, RealmRoot::DEFAULT_VALIDITY)?;
        Ok(Self { root, seed: None })
    }

    /// Starts a member with a certificate of its own, which joins by the first one.
    pub(crate) async fn member(&mut self) -> Result<Node, Failed> {
        let identity = self
            .root
            .issue(&IssueRequest::default(), macula::unix_time())?;
        let mut builder = Node::builder()
            .identity(identity)
            .trust(self.root.bundle().clone())
            .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if let Some(seed) = self.seed {
            builder = builder.join(seed);
        }
        let node = builder.start().await?;
        self.seed.get_or_insert_with(|| node.local_addr());
        Ok(node)
    }
}
