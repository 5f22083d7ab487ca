//! Files over streamed calls: one node keeps them, another one puts and gets them, each with its progress.
//!
//! A call has a stream of QUIC of its own, so a slow file holds up nothing but itself: who sends waits as soon as who
//! receives does not keep up.
//!
//! Run it: `cargo run --release -p macula --example file_transfer`. It puts a file of 32 MiB, gets it back, takes a
//! third call back half way, and ends with an error if a byte differs.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/realm.rs"]
mod realm;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use macula::wire::ErrorCode;
use macula::wire::message::CancelMode;
use macula::{CallFailure, CallOptions, Codec, Invocation, Node, RegisterOptions, Reply, Served};
use realm::{Failed, Realm};
use serde::{Deserialize, Serialize};

/// How much of a file goes in one part.
const PART: usize = 64 << 10;
const FILE_LEN: usize = 32 << 20;
/// How long a transfer may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is said of a file before its bytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Header {
    name: String,
    length: usize,
}

/// The files by name. A real one would write to a disk, part by part, in the same places.
type Shelf = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut realm = Realm::create("be.acme.files")?;
    let (keeper, user) = (realm.member().await?, realm.member().await?);
    let served = serve(&keeper).await?;
    let file: Vec<u8> = (0..FILE_LEN)
        .map(|at| u8::try_from(at % 251).unwrap_or_default())
        .collect();

    put(&user, "readings.bin", &file).await?;
    let back = get(&user, "readings.bin").await?;
    if back != file {
        return Err("what came back is not what was put".into());
    }
    match get(&user, "nothing.bin").await {
        Err(error) if error.to_string().contains("no such file") => {}
        other => return Err(format!("a file that is not there was answered by {other:?}").into()),
    }
    take_back(&user, "readings.bin").await?;
    println!("put and got {} MiB, every byte as it was", FILE_LEN >> 20);
    drop(served);
    Ok(())
}

/// Serves `files.put` and `files.get`.
async fn serve(node: &Node) -> Result<[Served; 2], Failed> {
    let shelf = Shelf::default();
    let of_put = Arc::clone(&shelf);
    let put = node.register("files.put", RegisterOptions::default(), move |invocation| {
        keep(Arc::clone(&of_put), invocation)
    });
    let get = node.register("files.get", RegisterOptions::default(), move |invocation| {
        send(Arc::clone(&shelf), invocation)
    });
    Ok([put.await?, get.await?])
}

/// Takes a file part by part, and says after each how much is there.
async fn keep(shelf: Shelf, invocation: Invocation) -> Result<Reply, CallFailure> {
    let header: Header = invocation.value()?;
    let mut bytes = Vec::new();
    while let Some(part) = invocation.next_part().await {
        bytes.extend_from_slice(&part.payload);
        if bytes.len() > header.length {
            return Err(CallFailure::code(
                ErrorCode::PAYLOAD_TOO_LARGE,
                "the file is longer than was said",
            ));
        }
        invocation.progress(invocation.reply(&bytes.len())?).await?;
    }
    if bytes.len() < header.length {
        return Err(CallFailure::application(
            "cut-off",
            "the file ended before its length",
        ));
    }
    let length = bytes.len();
    shelf
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(header.name, bytes);
    invocation.reply(&length)
}

/// Sends a file part by part.
async fn send(shelf: Shelf, invocation: Invocation) -> Result<Reply, CallFailure> {
    let name: String = invocation.value()?;
    let found = shelf
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&name)
        .cloned();
    let bytes = found.ok_or_else(|| CallFailure::application("no-such-file", "no such file"))?;
    for part in bytes.chunks(PART) {
        invocation.progress(Reply::bytes(part.to_vec())).await?;
    }
    invocation.reply(&Header {
        name,
        length: bytes.len(),
    })
}

/// Puts a file, and shows how far it is.
async fn put(node: &Node, name: &str, file: &[u8]) -> Result<(), Failed> {
    let begun = tokio::time::Instant::now();
    let header = Header {
        name: name.to_owned(),
        length: file.len(),
    };
    let mut call = node
        .open_call("files.put", Codec::Json.encode(&header)?, options())
        .await?;
    let mut shown = Progress::new("put", name, file.len());
    for part in file.chunks(PART) {
        call.send(Reply::bytes(part.to_vec())).await?;
        if let Some(told) = call.next().await {
            shown.at(told.value()?);
        }
    }
    call.finish();
    let length: usize = call.result().await?.value()?;
    shown.done(length, begun.elapsed());
    Ok(())
}

/// Gets a file, and shows how far it is.
async fn get(node: &Node, name: &str) -> Result<Vec<u8>, Failed> {
    let begun = tokio::time::Instant::now();
    let mut call = node
        .open_call("files.get", Codec::Json.encode(name)?, options())
        .await?;
    call.finish();
    let mut shown = Progress::new("get", name, FILE_LEN);
    let mut bytes = Vec::new();
    while let Some(part) = call.next().await {
        bytes.extend_from_slice(&part.payload);
        shown.at(bytes.len());
    }
    let header: Header = call.result().await?.value()?;
    shown.done(header.length, begun.elapsed());
    if bytes.len() != header.length {
        return Err(format!("{} of {} bytes came", bytes.len(), header.length).into());
    }
    Ok(bytes)
}

/// Begins to get a file, and takes the call back before its end.
async fn take_back(node: &Node, name: &str) -> Result<(), Failed> {
    let mut call = node
        .open_call("files.get", Codec::Json.encode(name)?, options())
        .await?;
    call.next().await.ok_or("no part came")?;
    call.cancel(CancelMode::KillNoWait);
    match call.result().await {
        Err(error) if error.code() == ErrorCode::CANCELED => {
            println!("get  {name:14}  taken back after its first part");
            Ok(())
        }
        other => Err(format!("a call that was taken back ended with {other:?}").into()),
    }
}

fn options() -> CallOptions {
    CallOptions::default()
        .deadline(DEADLINE)
        .content(Codec::Json.content_type())
}

/// How far a transfer is, a line for every quarter.
struct Progress {
    what: &'static str,
    name: String,
    length: usize,
    quarters: usize,
}

impl Progress {
    fn new(what: &'static str, name: &str, length: usize) -> Self {
        Self {
            what,
            name: name.to_owned(),
            length,
            quarters: 0,
        }
    }

    fn at(&mut self, bytes: usize) {
        let quarters = bytes
            .saturating_mul(4)
            .checked_div(self.length)
            .unwrap_or(0);
        if quarters > self.quarters && quarters < 4 {
            self.quarters = quarters;
            println!(
                "{}  {:14}  {:3} %",
                self.what,
                self.name,
                quarters.saturating_mul(25)
            );
        }
    }

    fn done(&self, bytes: usize, took: Duration) {
        println!(
            "{}  {:14}  100 %  {} MiB in {took:.2?}",
            self.what,
            self.name,
            bytes >> 20
        );
    }
}
