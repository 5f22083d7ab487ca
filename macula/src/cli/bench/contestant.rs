//! Identities for the two sides of a measurement, from a realm that lives as long as it takes.

use macula::realm::{IssueRequest, NodeIdentity, NodeKey, RealmRoot, TrustBundle};
use macula::transport::TlsIdentity;
use macula::wire::RealmName;
use serde::{Deserialize, Serialize};

use super::failed;
use crate::cli::exit::Failed;
use crate::cli::output::hex;

/// One side's certificates and key, as they pass the pipe to the other process.
#[derive(Deserialize, Serialize)]
pub(super) struct Contestant {
    trust: String,
    chain: Vec<String>,
    key: String,
}

/// This process and `peers` others, all of one realm.
pub(super) fn sides(peers: usize) -> Result<(Contestant, Vec<Contestant>), Failed> {
    let now = macula::unix_time();
    let realm: RealmName = "org.example.bench"
        .parse()
        .map_err(|error| failed("realm", error))?;
    let root = RealmRoot::create(realm, now, RealmRoot::DEFAULT_VALIDITY)
        .map_err(|error| failed("realm", error))?;
    let issue = || -> Result<Contestant, Failed> {
        let identity = root
            .issue(&IssueRequest::default(), now)
            .map_err(|error| failed("certificate", error))?;
        Ok(Contestant {
            trust: root.bundle().to_text(),
            chain: identity.chain().iter().map(|der| hex(der)).collect(),
            key: hex(identity.key_pkcs8()),
        })
    };
    let others = (0..peers).map(|_| issue()).collect::<Result<_, _>>()?;
    Ok((issue()?, others))
}

impl Contestant {
    pub(super) fn trust(&self) -> Result<TrustBundle, Failed> {
        TrustBundle::parse(&self.trust).map_err(|error| failed("trust", error))
    }

    pub(super) fn identity(&self) -> Result<NodeIdentity, Failed> {
        let key = NodeKey::from_pkcs8(&unhex(&self.key)?).map_err(|error| failed("key", error))?;
        NodeIdentity::new(key, self.chain()?).map_err(|error| failed("certificate", error))
    }

    pub(super) fn tls(&self) -> Result<TlsIdentity, Failed> {
        Ok(TlsIdentity::new(self.chain()?, unhex(&self.key)?))
    }

    fn chain(&self) -> Result<Vec<Vec<u8>>, Failed> {
        self.chain.iter().map(|text| unhex(text)).collect()
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, Failed> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| failed("identity", "not hexadecimal"))?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high.saturating_mul(16).saturating_add(*low)).unwrap_or(0),
        _ => 0,
    };
    Ok(digits.chunks_exact(2).map(byte).collect())
}
