//! A chat: rooms, presence, who is online by a call, and the last ten messages for who comes later.
//!
//! With a directory of a node it is a program to chat with; docs/hello-world.md builds it step by step:
//!
//! ```text
//! cargo run -p macula --example chat -- --dir mesh/node --name ada --room lobby
//! ```
//!
//! Without arguments it plays a short talk of three people on three nodes, and ends with an error if anything is not
//! heard.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/realm.rs"]
mod realm;

use std::collections::BTreeSet;
use std::time::Duration;

use macula::{
    CallOptions, Codec, Delivery, Event, GapCause, History, Node, NodeDirectory, PublishOptions,
    Publisher, RegisterOptions, Served, SubscribeOptions, Subscription,
};
use realm::{Failed, Realm};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

/// How many messages who enters a room is shown.
const SHOWN: u32 = 10;
/// How long who enters a room looks for others.
const ARRIVAL: Duration = Duration::from_secs(1);
/// How long each part of the talk may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Said {
    name: String,
    text: String,
    /// When it was said, in seconds since 1970.
    at: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Presence {
    name: String,
    is_here: bool,
}

/// One person in one room.
struct Chat {
    node: Node,
    room: String,
    name: String,
    said: Publisher,
    presence: Publisher,
    here: Served,
    heard: Subscription,
}

/// What is heard in a room.
#[derive(Debug)]
enum Heard {
    Said(Said),
    Presence(Presence),
    Missed(Delivery),
}

impl Chat {
    /// Enters a room.
    async fn enter(node: Node, room: &str, name: &str) -> Result<Self, Failed> {
        let json = PublishOptions::default().content(Codec::Json.content_type());
        let said = node
            .publisher(&format!("chat.{room}.said"), json.clone().history(SHOWN))
            .await?;
        let topic = format!("chat.{room}.presence");
        let presence = node.publisher(&topic, json).await?;
        // Who is there already is to hear of it; the first one in a room waits in vain.
        drop(tokio::time::timeout(ARRIVAL, node.wait_for_subscribers(&topic)).await);
        let options = SubscribeOptions::default().history(History::Last(SHOWN));
        let heard = node.subscribe(&format!("chat.{room}.*"), options).await?;
        let own = name.to_owned();
        let here = node
            .register_value(
                &format!("chat.{room}.who"),
                RegisterOptions::default(),
                move |()| {
                    let own = own.clone();
                    async move { Ok(own) }
                },
            )
            .await?;
        let chat = Self {
            node,
            room: room.to_owned(),
            name: name.to_owned(),
            said,
            presence,
            here,
            heard,
        };
        chat.show(true).await?;
        Ok(chat)
    }

    /// Tells the room that this person has come, or goes.
    async fn show(&self, is_here: bool) -> Result<(), Failed> {
        let name = self.name.clone();
        let presence = Presence { name, is_here };
        Ok(self.presence.publish_value(&presence).await?)
    }

    /// Says something.
    async fn say(&self, text: &str) -> Result<(), Failed> {
        let said = Said {
            name: self.name.clone(),
            text: text.to_owned(),
            at: macula::unix_time(),
        };
        Ok(self.said.publish_value(&said).await?)
    }

    /// Who is in the room: everybody in it answers for themselves.
    async fn who(&self) -> Result<BTreeSet<String>, Failed> {
        let options = CallOptions::default()
            .content(Codec::Json.content_type())
            .deadline(Duration::from_secs(2));
        let mut replies = self
            .node
            .call_all(&format!("chat.{}.who", self.room), "null", options, 0)
            .await?;
        let mut names = BTreeSet::new();
        while let Some(reply) = replies.next().await? {
            if let Ok(reply) = reply.result {
                names.insert(reply.value()?);
            }
        }
        Ok(names)
    }

    /// The next thing that is heard; nothing when the node has stopped.
    async fn hear(&mut self) -> Result<Option<Heard>, Failed> {
        Ok(match self.heard.next().await {
            None | Some(Delivery::Closed(_)) => None,
            Some(Delivery::Event(event)) => Some(heard(&event)?),
            Some(other) => Some(Heard::Missed(other)),
        })
    }

    /// Leaves the room.
    async fn leave(self) -> Result<(), Failed> {
        self.show(false).await?;
        self.presence.flush().await;
        Ok(self.node.unregister(self.here).await?)
    }
}

/// What an event says, by its topic.
fn heard(event: &Event) -> Result<Heard, Failed> {
    Ok(if event.topic().as_str().ends_with(".presence") {
        Heard::Presence(event.value()?)
    } else {
        Heard::Said(event.value()?)
    })
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(said) => write!(f, "{}: {}", said.name, said.text),
            Self::Presence(presence) if presence.is_here => {
                write!(f, "* {} is here", presence.name)
            }
            Self::Presence(presence) => write!(f, "* {} has left", presence.name),
            Self::Missed(Delivery::Gap(gap)) if gap.cause() == GapCause::PublisherLost => {
                write!(f, "* the node {} is gone", gap.publisher().short())
            }
            Self::Missed(delivery) => write!(f, "* something was missed: {delivery:?}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => talk().await,
        ["--dir", dir, "--name", name, "--room", room] => chat(dir, name, room).await,
        _ => Err("usage: chat [--dir DIR --name NAME --room ROOM]".into()),
    }
}

/// Chats by standard input and output, until its end or `/quit`.
async fn chat(dir: &str, name: &str, room: &str) -> Result<(), Failed> {
    let node = NodeDirectory::new(dir).builder()?.start().await?;
    let mut chat = Chat::enter(node.clone(), room, name).await?;
    println!("* you are in {room}; /who shows who is here, /quit leaves");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            heard = chat.hear() => match heard? {
                Some(heard) => println!("{heard}"),
                None => break,
            },
            line = lines.next_line() => match line?.as_deref() {
                None | Some("/quit") => break,
                Some("/who") => println!("* here: {}", names(&chat.who().await?)),
                Some("") => {}
                Some(text) => chat.say(text).await?,
            },
        }
    }
    chat.leave().await?;
    node.shutdown().await;
    Ok(())
}

fn names(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A talk of three people, on a node each.
async fn talk() -> Result<(), Failed> {
    let mut realm = Realm::create("be.acme.chat")?;
    let (one, two, three) = (
        realm.member().await?,
        realm.member().await?,
        realm.member().await?,
    );
    let mut ada = Chat::enter(one, "lobby", "ada").await?;
    let mut bob = Chat::enter(two, "lobby", "bob").await?;
    until(&mut ada, "* bob is here").await?;
    for number in 1..=12 {
        ada.say(&format!("message {number}")).await?;
        until(&mut bob, &format!("ada: message {number}")).await?;
    }
    bob.say("I heard twelve").await?;
    until(&mut ada, "bob: I heard twelve").await?;

    let mut eve = Chat::enter(three, "lobby", "eve").await?;
    until(&mut ada, "* eve is here").await?;
    let first = until(&mut eve, "ada: message 12").await?;
    let earlier: Vec<&str> = first
        .iter()
        .filter_map(|line| line.strip_prefix("ada: message "))
        .collect();
    if earlier != ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"] {
        return Err(format!("eve was shown {earlier:?} of twelve messages").into());
    }
    online(&eve, &["ada", "bob", "eve"]).await?;
    bob.leave().await?;
    until(&mut ada, "* bob has left").await?;
    online(&ada, &["ada", "eve"]).await?;
    println!("everybody heard what was said, and eve the last ten messages");
    Ok(())
}

/// Takes what is heard until `line`. Returns all of it.
async fn until(chat: &mut Chat, line: &str) -> Result<Vec<String>, Failed> {
    let mut all = Vec::new();
    let hearing = async {
        while let Some(heard) = chat.hear().await? {
            let heard = heard.to_string();
            println!("{:>5} hears  {heard}", chat.name);
            all.push(heard);
            if all.last().is_some_and(|last| last == line) {
                return Ok(());
            }
        }
        Err(Failed::from("the node stopped"))
    };
    match tokio::time::timeout(PATIENCE, hearing).await {
        Ok(heard) => heard.map(|()| all),
        Err(_) => Err(format!("{} did not hear `{line}` within {PATIENCE:?}", chat.name).into()),
    }
}

/// Asks who is online, until it is as expected: who has come is known within a second.
async fn online(chat: &Chat, expected: &[&str]) -> Result<(), Failed> {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let asking = async {
        while chat.who().await? != expected {
            tokio::task::yield_now().await;
        }
        println!("{:>5} asks   who is here? {}", chat.name, names(&expected));
        Ok(())
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_| {
        Err(format!("not exactly {expected:?} are online within {PATIENCE:?}").into())
    })
}
