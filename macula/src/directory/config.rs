//! The configuration file of a node.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use macula_wire::{Pattern, limit};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{DEFAULT_PORT, ForwardingConfig, NodeBuilder};

/// What `node.toml` says. Every key may be left out; an unknown one is refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The UDP address to listen at; by default port 4433 of every IPv4 interface.
    pub listen: SocketAddr,
    /// The addresses that others are to dial, at most 8; by default that of the interface.
    pub advertise: Vec<SocketAddr>,
    /// Members to join by; none for the first node of a realm.
    pub join: Vec<SocketAddr>,
    /// Whether health and metrics are served over HTTP/3 on the same port; by default yes.
    pub http: bool,
    /// Marks that other members see, at most 16.
    pub tags: BTreeMap<String, String>,
    /// What the node keeps for others, if its certificate has the role `store`.
    pub store: StoreConfig,
    /// Limits; each has a default.
    pub limits: LimitsConfig,
}

/// What a node of the role `store` keeps in memory, for subscriptions that begin with history.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The patterns of which events are kept; by default none.
    pub patterns: Vec<String>,
    /// How many events are kept of each publisher and topic, by default 100, at most 4,096.
    pub events: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            events: 100,
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            advertise: Vec::new(),
            join: Vec::new(),
            http: true,
            tags: BTreeMap::new(),
            store: StoreConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

/// The limits of a node. What happens beyond each stands in docs/defaults.md.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// The largest payload of an event or a call in bytes, by default 1 MiB, at most about 16 MiB.
    pub max_payload: usize,
    /// Connections that the node accepts, by default 4,096.
    pub max_connections: usize,
    /// Connections from one address, by default 64.
    pub max_connections_per_ip: usize,
    /// Links of one identity as a client, by default 8.
    pub max_client_links_per_identity: usize,
    /// Handshakes under way before addresses have to prove themselves, by default 64.
    pub max_pending_handshakes: usize,
    /// Calls that one peer may have open, by default 64.
    pub max_call_streams: u32,
    /// Subscriptions of one client, by default 10,000.
    pub max_session_subscriptions: usize,
    /// Bytes that may wait for one link in each priority, by default 4 MiB.
    pub event_outbox_bytes: usize,
    /// Up to how many members the node has a link to every one, by default 64. Above it, links that nobody needs are
    /// closed while there are more. The same on every node of a realm.
    pub link_pool: usize,
    /// To how many members the node sends an event itself, by default 16; to more it goes along a tree. 0 sends along a tree
    /// whatever anybody wants.
    pub direct_members: usize,
    /// Bytes in a second that each peer may have carried to others or to this node, by default 4 MiB.
    pub max_forward_rate: u64,
    /// Bytes that each peer may have carried at once after a quiet time, by default 1 MiB. 0 carries nothing.
    pub max_forward_burst: u64,
    /// Seconds that a TLS handshake may take, by default 10.
    pub handshake_timeout_s: u64,
    /// Seconds that HANDSHAKE may take after that, by default 5.
    pub hello_timeout_s: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let transport = macula_transport::Config::default();
        let pubsub = macula_pubsub::Config::default();
        let forwarding = ForwardingConfig::default();
        Self {
            max_payload: limit::DEFAULT_MAX_PAYLOAD_LEN,
            max_connections: transport.max_connections,
            max_connections_per_ip: transport.max_connections_per_ip,
            max_client_links_per_identity: transport.max_client_links_per_identity,
            max_pending_handshakes: transport.max_pending_handshakes,
            max_call_streams: transport.max_call_streams,
            max_session_subscriptions: pubsub.max_session_subscriptions,
            event_outbox_bytes: transport.event_outbox_bytes,
            link_pool: macula_swim::Config::default().link_pool,
            direct_members: crate::DEFAULT_DIRECT,
            max_forward_rate: forwarding.max_rate,
            max_forward_burst: forwarding.max_burst,
            handshake_timeout_s: transport.handshake_timeout.as_secs(),
            hello_timeout_s: transport.hello_timeout.as_secs(),
        }
    }
}

/// A mistake in a configuration file, with the line it is on.
#[derive(Clone, Debug, Error)]
#[error("{path}: {message}", path = path.display())]
pub struct ConfigError {
    path: PathBuf,
    message: String,
}

impl NodeConfig {
    /// Reads the text of `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for what is not TOML, an unknown key, or a value out of range; the line is shown.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let error = |message: String| ConfigError {
            path: path.to_owned(),
            message,
        };
        let config: Self = toml::from_str(text)
            .map_err(|mistake| error(mistake.to_string().trim_end().to_owned()))?;
        config.check().map_err(error)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.limits.max_payload > limit::FORMAT_MAX_PAYLOAD_LEN {
            return Err(format!(
                "limits.max_payload is over {}",
                limit::FORMAT_MAX_PAYLOAD_LEN
            ));
        }
        if self.advertise.len() > limit::MAX_ADDRESSES {
            return Err(format!(
                "advertise has more than {} addresses",
                limit::MAX_ADDRESSES
            ));
        }
        if self.tags.len() > limit::MAX_TAGS {
            return Err(format!("tags has more than {} entries", limit::MAX_TAGS));
        }
        let fits = |text: &String| {
            text.len() <= limit::MAX_TEXT_LEN && !text.chars().any(char::is_control)
        };
        if !self
            .tags
            .iter()
            .all(|(key, value)| fits(key) && fits(value) && !key.is_empty())
        {
            return Err(format!(
                "a tag is empty, over {} bytes, or has control characters",
                limit::MAX_TEXT_LEN
            ));
        }
        for pattern in &self.store.patterns {
            if let Err(error) = Pattern::new(pattern) {
                return Err(format!("store.patterns has {pattern:?}: {error}"));
            }
        }
        let limits = &self.limits;
        let zero = [
            ("max_connections", limits.max_connections),
            ("max_connections_per_ip", limits.max_connections_per_ip),
            (
                "max_client_links_per_identity",
                limits.max_client_links_per_identity,
            ),
            ("event_outbox_bytes", limits.event_outbox_bytes),
            ("link_pool", limits.link_pool),
        ]
        .into_iter()
        .find(|(_, value)| *value == 0);
        match zero {
            Some((name, _)) => Err(format!("limits.{name} is 0: nothing could pass")),
            None => Ok(()),
        }
    }

    /// The file that says this, with a line of explanation for each key.
    #[must_use]
    pub fn to_text(&self) -> String {
        let list = |addresses: &[SocketAddr]| {
            let quoted: Vec<String> = addresses
                .iter()
                .map(|address| format!("\"{address}\""))
                .collect();
            quoted.join(", ")
        };
        let mut text = format!(
            "# A node of Macula. Every key may be left out; docs/defaults.md tells all of them.\n\
             # The UDP address to listen at.\n\
             listen = \"{}\"\n\
             # Addresses that others are to dial, if they differ from it.\n\
             advertise = [{}]\n\
             # Members to join by; none for the first node of a realm.\n\
             join = [{}]\n\
             # Health and metrics over HTTP/3 on the same port.\n\
             http = {}\n",
            self.listen,
            list(&self.advertise),
            list(&self.join),
            self.http,
        );
        for (heading, table) in [
            ("tags", toml::to_string(&self.tags)),
            ("store", toml::to_string(&self.store)),
            ("limits", toml::to_string(&self.limits)),
        ] {
            text.push_str(&format!("\n[{heading}]\n"));
            text.push_str(&table.unwrap_or_default());
        }
        text
    }

    /// Puts what the file says into a builder.
    #[must_use]
    pub fn apply(&self, mut builder: NodeBuilder) -> NodeBuilder {
        let limits = &self.limits;
        let mut transport = macula_transport::Config::default();
        transport.max_connections = limits.max_connections;
        transport.max_connections_per_ip = limits.max_connections_per_ip;
        transport.max_client_links_per_identity = limits.max_client_links_per_identity;
        transport.max_pending_handshakes = limits.max_pending_handshakes;
        transport.max_call_streams = limits.max_call_streams;
        transport.event_outbox_bytes = limits.event_outbox_bytes;
        transport.handshake_timeout = std::time::Duration::from_secs(limits.handshake_timeout_s);
        transport.hello_timeout = std::time::Duration::from_secs(limits.hello_timeout_s);
        let mut interest = macula_pubsub::Config::default();
        interest.max_session_subscriptions = limits.max_session_subscriptions;
        let mut membership = macula_swim::Config::default();
        membership.link_pool = limits.link_pool;
        let forwarding = ForwardingConfig {
            max_rate: limits.max_forward_rate,
            max_burst: limits.max_forward_burst,
            ..ForwardingConfig::default()
        };
        builder = builder
            .membership(membership)
            .direct_members(limits.direct_members)
            .listen(self.listen)
            .http(self.http)
            .max_payload_len(limits.max_payload)
            .transport(transport)
            .interest(interest)
            .forwarding(forwarding);
        for address in &self.advertise {
            builder = builder.advertise(*address);
        }
        for address in &self.join {
            builder = builder.join(*address);
        }
        for (key, value) in &self.tags {
            builder = builder.tag(key, value);
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
        NodeConfig::parse(Path::new("node.toml"), text)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut config = NodeConfig::default();
        config.join.push("127.0.0.1:4433".parse().unwrap());
        config.tags.insert("site".into(), "a".into());
        assert_eq!(parse(&config.to_text()).unwrap(), config);
        assert_eq!(parse("").unwrap(), NodeConfig::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse("http = true\nlissten = \"127.0.0.1:1\"\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("lissten"),
            "{error}"
        );
        let error = parse("[limits]\nmax_paylod = 3\n").unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("max_paylod"),
            "{error}"
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "[limits]\nmax_payload = 99999999\n",
            "[limits]\nmax_connections = 0\n",
            "[limits]\nlink_pool = 0\n",
            "[tags]\na = \"\\u0007\"\n",
            "listen = \"somewhere\"\n",
            "[store]\npatterns = [\"a..b\"]\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("[limits]\nmax_payload = 99999\n").is_ok());
        assert!(parse("[store]\npatterns = [\"a.**\"]\n").is_ok());
    }
}
