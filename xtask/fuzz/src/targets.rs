//! The table of targets.

mod call;
mod configuration;
mod estate;
mod frame;
mod invocation;
mod kad;
mod laws;
mod machine;
mod name;
mod overlay;
mod pubsub;
mod realm;
mod replay;
mod rpc;
mod swim;
mod tree;
mod value;

use macula_wire::Kind;

/// Targets by name; every message of the protocol has one besides, `message_` and its name.
const TABLE: &[(&str, fn(&[u8]))] = &[
    ("batch_builder", value::batch_builder),
    ("batch_entries", value::batch_entries),
    ("content_type", value::content_type),
    ("earlier", value::earlier),
    ("envelope", value::envelope),
    ("estate_machine", estate::machine),
    ("frame_header", frame::header),
    ("frame_pieces", frame::pieces),
    ("frame_stream", frame::stream),
    ("kad_machine", kad::machine),
    ("name_node_id", name::node_id),
    ("name_pattern", name::pattern),
    ("name_pattern_match", name::pattern_match),
    ("name_procedure", name::procedure),
    ("name_realm", name::realm),
    ("name_topic", name::topic),
    ("negotiate", value::negotiate),
    ("node_config", configuration::node),
    ("node_members", configuration::members),
    ("overlay_machine", overlay::machine),
    ("pubsub_forwarder", pubsub::forwarder),
    ("pubsub_machine", machine::pubsub),
    ("pubsub_table", pubsub::table),
    ("realm_certificate", realm::certificate),
    ("realm_chain", realm::chain),
    ("realm_key", realm::key),
    ("realm_rules", realm::rules),
    ("realm_trust_bundle", realm::trust_bundle),
    ("replay_machine", replay::machine),
    ("rpc_call", call::call),
    ("rpc_invocations", invocation::admission),
    ("rpc_machine", rpc::machine),
    ("swim_machine", swim::machine),
    ("swim_verify", swim::verification::holds),
    ("tree_machine", tree::machine),
    ("varint", value::varint),
];

/// A property that has to hold for any bytes.
pub struct Target {
    name: String,
    property: Property,
}

enum Property {
    /// A function of the table.
    Bytes(fn(&[u8])),
    /// The body of a message.
    Message(Kind),
}

impl Target {
    /// The name that selects it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Panics if the property does not hold for `data`.
    pub fn run(&self, data: &[u8]) {
        match self.property {
            Property::Bytes(holds) => holds(data),
            Property::Message(kind) => frame::message(kind, data),
        }
    }
}

/// All targets, sorted by name.
pub fn all() -> Vec<Target> {
    let table = TABLE.iter().map(|(name, holds)| Target {
        name: (*name).to_owned(),
        property: Property::Bytes(*holds),
    });
    let messages = Kind::ALL.iter().map(|kind| Target {
        name: format!("message_{}", kind.name().to_lowercase()),
        property: Property::Message(*kind),
    });
    let mut all: Vec<Target> = table.chain(messages).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}
