//! What may cross threads.

use std::sync::Arc;

use macula_pubsub::{Forwarder, Input, Output, PubSub, Table};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}

#[test]
fn tables_and_forwarders_are_shared_and_machines_move() {
    is_send::<PubSub>();
    is_send::<Input>();
    is_send::<Output>();
    is_send::<Arc<Table>>();
    is_sync::<Table>();
    is_send::<Forwarder>();
    is_sync::<Forwarder>();
}
