//! Values instead of bytes: publishing, receiving, calling and serving types that serde reads and writes.

use std::sync::Arc;

use bytes::Bytes;
use macula_rpc::RegisterOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{CallFailure, CallOptions, Invocation, Reply};
use crate::codec::{Codec, decode};
use crate::{Client, Error, Event, EventOptions, Node, PublishOptions, Publisher, Served};

impl Event {
    /// The payload as a value, by its content type.
    ///
    /// # Errors
    ///
    /// [`UNSUPPORTED_FEATURE`](macula_wire::ErrorCode::UNSUPPORTED_FEATURE) if the content type is none of values,
    /// [`INVALID_ARGUMENT`](macula_wire::ErrorCode::INVALID_ARGUMENT) if the payload is no `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(self.content_type(), self.payload())
    }
}

impl Reply {
    /// A reply that is a value.
    ///
    /// # Errors
    ///
    /// Those of [`Codec::encode`].
    pub fn of<T: Serialize + ?Sized>(value: &T, codec: Codec) -> Result<Self, Error> {
        Ok(Self::new(codec.content_type(), codec.encode(value)?))
    }

    /// The result as a value, by its content type.
    ///
    /// # Errors
    ///
    /// As [`Event::value`].
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(&self.content, &self.payload)
    }
}

impl Invocation {
    /// The arguments as a value, by their content type.
    ///
    /// # Errors
    ///
    /// A failure for the caller, with the codes of [`Event::value`].
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, CallFailure> {
        decode(&self.content, &self.payload).map_err(|error| failure(&error))
    }

    /// A reply that is a value, written as the arguments were; as JSON if they were none.
    ///
    /// # Errors
    ///
    /// A failure for the caller, with the codes of [`Codec::encode`].
    pub fn reply<T: Serialize + ?Sized>(&self, value: &T) -> Result<Reply, CallFailure> {
        let codec = Codec::of(&self.content).unwrap_or_default();
        Reply::of(value, codec).map_err(|error| failure(&error))
    }
}

fn failure(error: &Error) -> CallFailure {
    CallFailure::code(error.code(), error.detail())
}

impl Publisher {
    /// Publishes a value, written by the content type that the publisher was declared with, or as JSON if that is none of
    /// values. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// Those of [`publish_with`](Self::publish_with) and of [`Codec::encode`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_value<T: Serialize + Sync + ?Sized>(
        &self,
        value: &T,
    ) -> Result<(), Error> {
        let codec = Codec::of(self.content()).unwrap_or_default();
        let options = EventOptions::default().content(codec.content_type());
        self.publish_with(codec.encode(value)?, &options).await
    }
}

/// What serves a procedure by a function of values.
fn serving<A, R, F, O>(
    function: F,
) -> impl Fn(Invocation) -> std::pin::Pin<Box<dyn Future<Output = Result<Reply, CallFailure>> + Send>>
+ Send
+ Sync
+ 'static
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + Sync + 'static,
    F: Fn(A) -> O + Send + Sync + 'static,
    O: Future<Output = Result<R, CallFailure>> + Send + 'static,
{
    let function = Arc::new(function);
    move |invocation| {
        let function = Arc::clone(&function);
        Box::pin(async move {
            let result = function(invocation.value()?).await?;
            invocation.reply(&result)
        })
    }
}

macro_rules! verbs {
    ($($type:ident)*) => {$(
        impl $type {
            /// Calls a procedure with a value, and reads the result as one by its content type.
            ///
            /// # Errors
            ///
            /// Those of [`call`](Self::call), of [`Codec::encode`] and of [`Reply::value`].
            ///
            /// # Cancel safety
            ///
            /// As [`call`](Self::call).
            pub async fn call_value<A, R>(
                &self,
                procedure: &str,
                arguments: &A,
                codec: Codec,
                options: CallOptions,
            ) -> Result<R, Error>
            where
                A: Serialize + Sync + ?Sized,
                R: DeserializeOwned,
            {
                let payload: Bytes = codec.encode(arguments)?;
                let options = options.content(codec.content_type());
                self.call(procedure, payload, options).await?.value()
            }

            /// Serves a procedure by a function from value to value, until the registration is dropped. It answers in the
            /// codec of the call. Arguments that are no `A` are refused with
            /// [`INVALID_ARGUMENT`](macula_wire::ErrorCode::INVALID_ARGUMENT) before the function is called.
            ///
            /// # Errors
            ///
            /// Those of [`register`](Self::register).
            ///
            /// # Cancel safety
            ///
            /// As [`register`](Self::register).
            pub async fn register_value<A, R, F, O>(
                &self,
                procedure: &str,
                options: RegisterOptions,
                function: F,
            ) -> Result<Served, Error>
            where
                A: DeserializeOwned + Send + 'static,
                R: Serialize + Send + Sync + 'static,
                F: Fn(A) -> O + Send + Sync + 'static,
                O: Future<Output = Result<R, CallFailure>> + Send + 'static,
            {
                self.register(procedure, options, serving(function)).await
            }
        }
    )*};
}

verbs!(Node Client);

impl Node {
    /// Publishes one value with default options. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish) and of [`Codec::encode`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_value<T: Serialize + Sync + ?Sized>(
        &self,
        topic: &str,
        value: &T,
        codec: Codec,
    ) -> Result<(), Error> {
        let options = PublishOptions::default().content(codec.content_type());
        self.publisher(topic, options)
            .await?
            .publish_value(value)
            .await
    }
}

impl Client {
    /// Publishes one value with default options. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish) and of [`Codec::encode`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_value<T: Serialize + Sync + ?Sized>(
        &self,
        topic: &str,
        value: &T,
        codec: Codec,
    ) -> Result<(), Error> {
        let options = PublishOptions::default().content(codec.content_type());
        self.publisher(topic, options)?.publish_value(value).await
    }
}
