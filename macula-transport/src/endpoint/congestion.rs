//! Cubic, with one word more: a connection that closes may say so.
//!
//! quinn holds CONNECTION_CLOSE back while the window is full and data waits. Nothing empties the window of a closed
//! connection, so the peer would learn of the end only from its own idle time-out.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// Makes the controllers of connections.
#[derive(Debug, Default)]
pub(super) struct Congestion {
    cubic: Arc<CubicConfig>,
}

/// The controller of a connection. Its copies share whether the connection closes.
struct Closing {
    cubic: Box<dyn Controller>,
    closes: Arc<AtomicBool>,
}

/// Lets `connection` send its last packet. Has to be called right before it is closed.
pub(super) fn open_window(connection: &quinn::Connection) {
    if let Ok(controller) = connection
        .congestion_state()
        .into_any()
        .downcast::<Closing>()
    {
        controller.closes.store(true, Ordering::Relaxed);
    }
}

impl ControllerFactory for Congestion {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Closing {
            cubic: Arc::clone(&self.cubic).build(now, mtu),
            closes: Arc::default(),
        })
    }
}

impl Controller for Closing {
    fn on_sent(&mut self, now: Instant, bytes: u64, last: u64) {
        self.cubic.on_sent(now, bytes, last);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &quinn_proto::RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.cubic.on_congestion_event(now, sent, persistent, lost);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.cubic.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        if self.closes.load(Ordering::Relaxed) {
            // Half of what there is, because it is added to.
            u64::MAX >> 1
        } else {
            self.cubic.window()
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            closes: Arc::clone(&self.closes),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
