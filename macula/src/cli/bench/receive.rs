//! The subscriber of a measurement: counts events and checks their order.

use macula::{Delivery, DeliveryBatch, Subscription};

use super::measure::{percentile_us, wall_nanos};
use super::mesh::{LAST, kinds, number};
use super::process::PeerReport;
use super::{Task, Workload};

/// What a subscriber counts.
struct Receiver {
    report: PeerReport,
    kinds: u64,
    next: u64,
    /// Publish to delivery, where that is measured.
    nanos: Option<Vec<u64>>,
}

impl Receiver {
    fn new(task: &Task) -> Self {
        Self {
            report: PeerReport::default(),
            kinds: kinds(task),
            next: 0,
            nanos: (task.workload == Workload::Latency).then(Vec::new),
        }
    }

    /// Counts an event. `false` if it was the last.
    fn take(&mut self, payload: &[u8]) -> bool {
        let sequence = number(payload, 0);
        if sequence == LAST {
            return false;
        }
        let report = &mut self.report;
        if Some(sequence) != self.next.checked_rem(self.kinds) {
            report.out_of_order = report.out_of_order.saturating_add(1);
        }
        let seen = if self.kinds == LAST {
            sequence
        } else {
            self.next
        };
        self.next = seen.saturating_add(1);
        report.received = report.received.saturating_add(1);
        if let Some(nanos) = &mut self.nanos {
            nanos.push(wall_nanos().saturating_sub(number(payload, 8)));
        }
        true
    }

    async fn one_by_one(&mut self, subscription: &mut Subscription) {
        while let Some(delivery) = subscription.next().await {
            if let Delivery::Event(event) = delivery
                && !self.take(event.payload())
            {
                return;
            }
        }
    }

    async fn in_batches(&mut self, subscription: &mut Subscription) {
        while let Some(batch) = subscription.next_batch().await {
            if let DeliveryBatch::Events(mut events) = batch
                && !events.all(|event| self.take(event.payload()))
            {
                return;
            }
        }
    }
}

/// Counts events until the last one.
pub(super) async fn receive(subscription: &mut Subscription, task: &Task) -> PeerReport {
    let mut receiver = Receiver::new(task);
    if task.gathers() {
        receiver.in_batches(subscription).await;
    } else {
        receiver.one_by_one(subscription).await;
    }
    let (mut report, mut nanos) = (receiver.report, receiver.nanos.unwrap_or_default());
    nanos.sort_unstable();
    report.p50_us = percentile_us(&nanos, 0.5);
    report.p99_us = percentile_us(&nanos, 0.99);
    report
}
