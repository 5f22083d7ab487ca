//! What may cross threads, and which futures may be spawned.

use macula::wire::NodeId;
use macula::{
    CallOptions, Client, ClientBuilder, Delivery, Error, Event, EventBatch, Gap, Invocation, Node,
    NodeBuilder, NodeDirectory, NodeInput, NodeMachine, NodeOutput, NodeStats, Publisher, Reply,
    Served, SubscribeOptions, Subscription,
};
use macula_rpc::RegisterOptions;

const fn is_shared<T: Send + Sync + 'static>() {}
const fn is_moved<T: Send + 'static>() {}
const fn can_be_spawned(_: &(impl Future + Send)) {}

#[test]
fn handles_are_shared_and_machines_move() {
    is_shared::<Node>();
    is_shared::<Client>();
    is_shared::<Publisher>();
    is_shared::<Served>();
    is_shared::<Event>();
    is_shared::<Gap>();
    is_shared::<Delivery>();
    is_shared::<Error>();
    is_shared::<Reply>();
    is_shared::<Invocation>();
    is_shared::<NodeStats>();
    is_shared::<NodeDirectory>();
    is_moved::<Subscription>();
    is_moved::<EventBatch>();
    is_moved::<NodeBuilder>();
    is_moved::<ClientBuilder>();
    is_moved::<NodeMachine>();
    is_moved::<NodeInput>();
    is_moved::<NodeOutput>();
}

/// Never called: that it compiles is the test.
#[expect(dead_code, reason = "that it compiles is the test")]
fn futures_can_be_spawned(node: &Node, client: &Client, publisher: &Publisher) {
    let address = node.local_addr();
    can_be_spawned(&Node::builder().start());
    can_be_spawned(&node.connect(address));
    can_be_spawned(&node.publish("a", "x"));
    can_be_spawned(&node.subscribe("a", SubscribeOptions::default()));
    can_be_spawned(&node.call("a", "x", CallOptions::default()));
    can_be_spawned(&node.register("a", RegisterOptions::default(), |_| async {
        Ok(Reply::default())
    }));
    can_be_spawned(&node.stats());
    can_be_spawned(&node.shutdown());
    can_be_spawned(&Client::builder().expect(NodeId::default()).connect(address));
    can_be_spawned(&client.subscribe("a", SubscribeOptions::default()));
    can_be_spawned(&client.call("a", "x", CallOptions::default()));
    can_be_spawned(&client.closed());
    can_be_spawned(&client.close());
    can_be_spawned(&publisher.publish("x"));
    can_be_spawned(&publisher.publish_batch(&mut EventBatch::new()));
    can_be_spawned(&publisher.publish_many(["x"]));
    can_be_spawned(&publisher.flush());
}
