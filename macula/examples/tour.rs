//! A tour of the library: every part that a program meets, one after the other. docs/api.md explains the parts.
//!
//! Run it: `cargo run -p macula --example tour`.

#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "an example shows what it does, with numbers that are small"
)]

use std::time::Duration;

use macula::realm::{IssueRequest, RealmRoot};
use macula::wire::ErrorCode;
use macula::{
    CallFailure, CallOptions, Codec, Delivery, DeliveryBatch, EventBatch, EventOptions, History,
    Node, Overflow, PublishOptions, Qos, RegisterOptions, Reply, ServiceOptions, SubscribeOptions,
    Subscription,
};
use serde::{Deserialize, Serialize};

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Reading {
    celsius: f64,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let root = RealmRoot::create(
        "be.acme.iot".parse()?,
        macula::unix_time(),
        RealmRoot::DEFAULT_VALIDITY,
    )?;
    let describe = || -> Result<_, Failed> {
        let identity = root.issue(&IssueRequest::default(), macula::unix_time())?;
        Ok(Node::builder()
            .identity(identity)
            .trust(root.bundle().clone())
            .listen("127.0.0.1:0".parse()?))
    };
    let one = describe()?.start().await?;
    let two = describe()?.join(one.local_addr()).start().await?;

    events(&one, &two).await?;
    batches(&one, &two).await?;
    values(&one, &two).await?;
    options(&one, &two).await?;
    receipts(&one, &two).await?;
    earlier(&one, &two).await?;
    calls(&one, &two).await?;
    parts(&one, &two).await?;
    everybody(&one, &two).await?;
    services(&one, &two).await?;
    errors(&one).await?;

    one.shutdown().await;
    two.shutdown().await;
    println!("every part did what docs/api.md says");
    Ok(())
}

async fn events(one: &Node, two: &Node) -> Result<(), Failed> {
    let mut readings = two
        .subscribe("home.*.temperature", SubscribeOptions::default())
        .await?;
    one.wait_for_subscribers("home.42.temperature").await?;
    one.publish("home.42.temperature", "21.5").await?;
    match readings.next().await {
        Some(Delivery::Event(event)) => assert_eq!(&event.payload()[..], b"21.5"),
        other => return Err(format!("no event, but {other:?}").into()),
    }
    Ok(())
}

async fn batches(one: &Node, two: &Node) -> Result<(), Failed> {
    let options = SubscribeOptions::default().overflow(Overflow::Block);
    let mut ticks = two.subscribe("ticks", options).await?;
    one.wait_for_subscribers("ticks").await?;
    let publisher = one.publisher("ticks", PublishOptions::default()).await?;
    let publishing = async {
        let mut batch = EventBatch::new();
        for tick in 0..10_000_u64 {
            while !batch.push(&tick.to_be_bytes()) {
                publisher.publish_batch(&mut batch).await?;
            }
        }
        publisher.publish_batch(&mut batch).await
    };
    let taking = async {
        let mut next = 0_u64;
        while next < 10_000 {
            match ticks.next_batch().await {
                Some(DeliveryBatch::Events(events)) => {
                    for event in events {
                        assert_eq!(event.payload(), next.to_be_bytes());
                        next += 1;
                    }
                }
                other => return Err(Failed::from(format!("no events, but {other:?}"))),
            }
        }
        Ok(())
    };
    let (published, taken) = tokio::join!(publishing, taking);
    published?;
    taken
}

async fn values(one: &Node, two: &Node) -> Result<(), Failed> {
    let mut readings = two
        .subscribe("typed.*", SubscribeOptions::default())
        .await?;
    one.wait_for_subscribers("typed.reading").await?;
    one.publish_value("typed.reading", &Reading { celsius: 21.5 }, Codec::Json)
        .await?;
    let reading: Reading = next(&mut readings).await?.value()?;
    assert_eq!(reading, Reading { celsius: 21.5 });

    let served = two
        .register_value(
            "typed.double",
            RegisterOptions::default(),
            |reading: Reading| async move {
                Ok(Reading {
                    celsius: reading.celsius * 2.0,
                })
            },
        )
        .await?;
    let doubled: Reading = one
        .call_value(
            "typed.double",
            &reading,
            Codec::Cbor,
            CallOptions::default(),
        )
        .await?;
    assert_eq!(doubled, Reading { celsius: 43.0 });
    drop(served);
    Ok(())
}

async fn options(one: &Node, two: &Node) -> Result<(), Failed> {
    let slow = SubscribeOptions::default()
        .max_events(100)
        .overflow(Overflow::LatestPerKey);
    let mut readings = two.subscribe("options.**", slow).await?;
    let publisher = one
        .publisher("options.reading", PublishOptions::default())
        .await?;
    let options = EventOptions::default()
        .key("kitchen")
        .ttl(Duration::from_secs(60))
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    publisher.publish_with("21.5", &options).await?;
    let event = next(&mut readings).await?;
    assert_eq!(event.key().map(|key| &key[..]), Some(&b"kitchen"[..]));
    assert!(event.header("traceparent").is_some());
    Ok(())
}

async fn receipts(one: &Node, two: &Node) -> Result<(), Failed> {
    let mut orders = two
        .subscribe("orders.*", SubscribeOptions::default())
        .await?;
    let publisher = one
        .publisher(
            "orders.new",
            PublishOptions::default().qos(Qos::AtLeastOnce),
        )
        .await?;
    let pending = publisher
        .publish_with_receipt("42", &EventOptions::default())
        .await?;
    next(&mut orders).await?;
    let receipt = pending.receipt().await?;
    assert_eq!((receipt.matched, receipt.acked), (1, 1));
    Ok(())
}

async fn earlier(one: &Node, two: &Node) -> Result<(), Failed> {
    let options = PublishOptions::default().history(10);
    let publisher = one.publisher("news.today", options).await?;
    for number in 1..=12 {
        publisher.publish(number.to_string()).await?;
    }
    publisher.flush().await;
    let options = SubscribeOptions::default().history(History::Last(10));
    let mut news = two.subscribe("news.*", options).await?;
    assert_eq!(&next(&mut news).await?.payload()[..], b"3");
    Ok(())
}

async fn calls(one: &Node, two: &Node) -> Result<(), Failed> {
    let served = two
        .register("home.mean", RegisterOptions::default(), |call| async move {
            if call.payload.is_empty() {
                return Err(CallFailure::application("no-readings", "send some"));
            }
            Ok(Reply::text("21.7"))
        })
        .await?;
    let options = CallOptions::default().deadline(Duration::from_secs(2));
    let reply = one.call("home.mean", "21.5 21.9", options.clone()).await?;
    assert_eq!(&reply.payload[..], b"21.7");

    let refused = one.call("home.mean", "", options).await;
    assert!(refused.is_err_and(|error| error.code() == ErrorCode::APPLICATION));
    one.send(two.node_id(), "home.mean", "21.5").await?;
    two.unregister(served).await?;
    Ok(())
}

async fn parts(one: &Node, two: &Node) -> Result<(), Failed> {
    let served = two
        .register(
            "text.upper",
            RegisterOptions::default(),
            |call| async move {
                while let Some(part) = call.next_part().await {
                    let upper = part.payload.to_ascii_uppercase();
                    call.progress(Reply::bytes(upper)).await?;
                }
                Ok(Reply::text("done"))
            },
        )
        .await?;
    let mut call = one
        .open_call("text.upper", "", CallOptions::default())
        .await?;
    for word in ["one", "two"] {
        call.send(Reply::text(word)).await?;
        let part = call.next().await.ok_or("the call ended too early")?;
        assert_eq!(part.payload, word.to_ascii_uppercase());
    }
    call.finish();
    assert_eq!(&call.result().await?.payload[..], b"done");
    drop(served);
    Ok(())
}

async fn everybody(one: &Node, two: &Node) -> Result<(), Failed> {
    let mut served = Vec::new();
    for node in [one, two] {
        let options = RegisterOptions::default();
        let id = node.node_id().to_string();
        let register = node.register("who.is.there", options, move |_| {
            let id = id.clone();
            async move { Ok(Reply::text(id)) }
        });
        served.push(register.await?);
    }
    let mut answers = 0;
    while answers < 2 {
        answers = 0;
        let options = CallOptions::default();
        let mut replies = one.call_all("who.is.there", "", options, 0).await?;
        while let Some(reply) = replies.next().await? {
            answers += usize::from(reply.result.is_ok());
        }
    }
    Ok(())
}

async fn services(one: &Node, two: &Node) -> Result<(), Failed> {
    let about = ServiceOptions::new("thermostat", "1.0.0").description("heats the house");
    let service = two.service(about)?;
    let heat = service.register("heat.up", RegisterOptions::default(), |_| async {
        Ok(Reply::text("warmer"))
    });
    let _served = heat.await?;
    one.call("heat.up", "", CallOptions::default()).await?;
    let told = loop {
        let options = CallOptions::default();
        match one.call("$svc.stats.thermostat", "", options).await {
            Ok(told) => break told,
            // Its names are announced within 100 ms.
            Err(error) if error.code() == ErrorCode::NO_SUCH_PROCEDURE => {}
            Err(error) => return Err(error.into()),
        }
    };
    println!("{}", String::from_utf8_lossy(&told.payload));
    Ok(())
}

async fn errors(one: &Node) -> Result<(), Failed> {
    let refused = one.publish("home.*.temperature", "21.5").await;
    let Err(error) = refused else {
        return Err("a pattern is no topic".into());
    };
    assert_eq!(error.code(), ErrorCode::INVALID_NAME);
    println!("{error}; {:?}", error.retry());
    Ok(())
}

/// The next event; gaps and the end are errors here.
async fn next(subscription: &mut Subscription) -> Result<macula::Event, Failed> {
    match subscription.next().await {
        Some(Delivery::Event(event)) => Ok(event),
        other => Err(format!("no event, but {other:?}").into()),
    }
}
