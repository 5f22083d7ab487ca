//! Types that are published and called.

use macula::wire::{ContentType, ErrorCode};
use macula::{CallFailure, CallOptions, Codec, RegisterOptions};
use serde::{Deserialize, Serialize};

use crate::clients::listen;
use crate::mesh::{Realm, event, offered, subscribe, told, within};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Reading {
    celsius: f64,
    room: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Mean {
    celsius: f64,
    count: usize,
}

fn readings() -> Vec<Reading> {
    let room = |celsius, room: Option<&str>| Reading {
        celsius,
        room: room.map(str::to_owned),
    };
    vec![room(20.0, Some("kitchen")), room(22.0, None)]
}

const ALL: [Codec; 3] = [Codec::Json, Codec::Cbor, Codec::Bincode];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_published_and_received_in_every_codec() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&two).await;
    let mut near = subscribe(&two, "typed.x").await;
    let mut far = listen(&client, "typed.x").await;
    told(&two, &one).await;
    for codec in ALL {
        within(one.publish_value("typed.x", &readings(), codec))
            .await
            .unwrap();
        for subscription in [&mut near, &mut far] {
            let event = event(subscription).await;
            assert_eq!(*event.content_type(), codec.content_type());
            assert_eq!(event.value::<Vec<Reading>>().unwrap(), readings());
            let other = event.value::<Mean>();
            assert_eq!(other.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
        }
    }
    one.publish("typed.x", "bytes").await.unwrap();
    let untyped = event(&mut near).await.value::<String>();
    assert_eq!(untyped.unwrap_err().code(), ErrorCode::UNSUPPORTED_FEATURE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_values_is_served_and_called_in_every_codec() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&two).await;
    let mean = |readings: Vec<Reading>| async move {
        let count = readings.len();
        if count == 0 {
            return Err(CallFailure::application("empty", "no readings"));
        }
        let sum: f64 = readings.iter().map(|reading| reading.celsius).sum();
        let celsius = sum / f64::from(u32::try_from(count).unwrap());
        Ok(Mean { celsius, count })
    };
    let options = RegisterOptions::default();
    let _served = one
        .register_value("typed.mean", options, mean)
        .await
        .unwrap();
    offered(&one, &two).await;
    let expected = Mean {
        celsius: 21.0,
        count: 2,
    };
    for codec in ALL {
        let options = CallOptions::default;
        let args = readings();
        let found: Mean = within(two.call_value("typed.mean", &args, codec, options()))
            .await
            .unwrap();
        assert_eq!(found, expected, "{codec:?}");
        let found: Mean = within(client.call_value("typed.mean", &args, codec, options()))
            .await
            .unwrap();
        assert_eq!(found, expected, "{codec:?}");
        let none: Vec<Reading> = Vec::new();
        let failed = within(two.call_value::<_, Mean>("typed.mean", &none, codec, options())).await;
        assert_eq!(failed.unwrap_err().code(), ErrorCode::APPLICATION);
        let wrong = within(two.call_value::<_, Mean>("typed.mean", "text", codec, options())).await;
        assert_eq!(
            wrong.unwrap_err().code(),
            ErrorCode::INVALID_ARGUMENT,
            "{codec:?}"
        );
    }
    let untyped = CallOptions::default().content(ContentType::Text);
    let refused = within(two.call("typed.mean", "[]", untyped)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::UNSUPPORTED_FEATURE);
}
