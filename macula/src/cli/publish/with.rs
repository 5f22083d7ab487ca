//! What `macula pub` publishes its events with.

use std::time::Duration;

use macula::wire::NodeId;
use macula::wire::message::Roles;
use macula::{EventOptions, Subscribers};

use crate::cli::duration;

/// The options of each event.
#[derive(clap::Args, Debug)]
pub(crate) struct With {
    /// A named value beside the payload, for instance traceparent; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The ordering key: subscribers that keep the latest keep one of each.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Names the event: of several under one id within five minutes subscribers get the first.
    #[arg(long, value_name = "ID")]
    dedup_id: Option<String>,
    /// How long it is worth delivering, as in 30s.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Stays as the last value of the topic; an empty payload takes it back.
    #[arg(long)]
    retain: bool,
    /// How long to wait for room, as in 2s; by default as long as it takes.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    deadline: Option<Duration>,
    /// Not for subscribers of the node that publishes.
    #[arg(long)]
    exclude_self: bool,
    /// Only for subscribers of node=ID, role=NAME or tenant=NAME; may be given several times.
    #[arg(long, value_name = "WHO", value_parser = who)]
    eligible: Vec<Who>,
    /// Not for subscribers of node=ID, role=NAME or tenant=NAME; may be given several times.
    #[arg(long, value_name = "WHO", value_parser = who)]
    exclude: Vec<Who>,
}

/// A part of those who subscribed.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Who {
    Node(NodeId),
    Role(Roles),
    Tenant(String),
}

fn who(text: &str) -> Result<Who, String> {
    let wrong = || {
        format!("{text:?} is nobody: write node=ID with its 64 digits, role=NAME or tenant=NAME")
    };
    let (kind, name) = text.split_once('=').ok_or_else(wrong)?;
    match kind {
        "node" => name.parse().map(Who::Node).map_err(|_| wrong()),
        "role" => role(name).map(Who::Role).ok_or_else(wrong),
        "tenant" if !name.is_empty() => Ok(Who::Tenant(name.to_owned())),
        _ => Err(wrong()),
    }
}

fn role(name: &str) -> Option<Roles> {
    let all = [
        Roles::MEMBER,
        Roles::CLIENT,
        Roles::GATEWAY,
        Roles::STORE,
        Roles::RELAY,
    ];
    all.into_iter()
        .find(|role| role.names().any(|known| known == name))
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.trim_start().into())),
        _ => Err(format!("{text:?} is no header: write KEY:VALUE")),
    }
}

fn subscribers(all: &[Who]) -> Option<Subscribers> {
    let chosen = all
        .iter()
        .fold(Subscribers::default(), |chosen, who| match who {
            Who::Node(node) => chosen.and_node(*node),
            Who::Role(role) => chosen.and_role(*role),
            Who::Tenant(tenant) => chosen.and_tenant(tenant),
        });
    (!all.is_empty()).then_some(chosen)
}

impl With {
    /// What each event is published with.
    pub(crate) fn options(&self) -> EventOptions {
        let mut options = EventOptions::default();
        for (key, value) in &self.headers {
            options = options.header(key, value.clone());
        }
        options.key = self.key.clone().map(Into::into);
        options.dedup_id = self.dedup_id.clone().map(Into::into);
        options.ttl = self.ttl;
        options.retain = self.retain;
        options.deadline = self.deadline;
        options.exclude_self = self.exclude_self;
        options.eligible = subscribers(&self.eligible);
        options.exclude = subscribers(&self.exclude);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_subscribers_are_read_as_people_write_them() {
        assert_eq!(header("a: b:c"), Ok(("a".into(), "b:c".into())));
        assert!(header("a").is_err() && header(":b").is_err());
        assert_eq!(who("role=store"), Ok(Who::Role(Roles::STORE)));
        assert_eq!(who("tenant=acme"), Ok(Who::Tenant("acme".into())));
        let node = "ab".repeat(32);
        assert_eq!(
            who(&format!("node={node}")),
            Ok(Who::Node(node.parse().unwrap()))
        );
        for wrong in ["node=ab", "role=king", "tenant=", "acme", "zone=x"] {
            assert!(who(wrong).is_err(), "{wrong}");
        }
    }
}
