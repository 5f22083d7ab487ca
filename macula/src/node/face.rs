//! The node's HTTP/3 face: health for everybody, numbers for the realm and for this machine.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use macula_transport::Config;
use macula_transport::http3::{HttpHandler, HttpRequest, HttpResponse};

use crate::node::WeakNode;
use crate::system::NodeInfo;
use crate::{MemberInfo, Node, NodeStats, PeerInfo};

/// How old the numbers may be that the face shows.
const REFRESH_PERIOD: Duration = Duration::from_secs(1);

/// What the face shows of the node.
#[derive(Debug, serde::Serialize)]
struct Snapshot {
    node: NodeInfo,
    members: Vec<MemberInfo>,
    peers: Vec<PeerInfo>,
    stats: NodeStats,
}

/// Answers `/healthz`, `/metrics` and `/v1/node`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Face(Arc<ArcSwapOption<Snapshot>>);

impl Face {
    /// A face that answers the requests of an endpoint with these settings.
    pub(crate) fn serve(mut config: Config) -> (Config, Self) {
        let face = Self::default();
        config.http = Some(Arc::new(face.clone()));
        (config, face)
    }

    /// Keeps the snapshot fresh as long as the node runs.
    pub(crate) async fn refresh(self, node: WeakNode) {
        let mut ticks = tokio::time::interval(REFRESH_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(node) = node.upgrade() else { return };
            self.take(&node).await;
        }
    }

    async fn take(&self, node: &Node) {
        if let (Ok(members), Ok(stats)) = (node.members().await, node.stats().await) {
            self.0.store(Some(Arc::new(Snapshot {
                node: node.info(),
                members,
                peers: node.peers(),
                stats,
            })));
        }
    }
}

impl HttpHandler for Face {
    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let trusted = request.peer.is_some() || request.remote.ip().to_canonical().is_loopback();
        match request.path.as_str() {
            "/healthz" => HttpResponse::text(200, "ok\n"),
            "/metrics" | "/v1/node" if !trusted => HttpResponse::text(
                403,
                "shown to certificates of the realm and to this machine only: use `macula http get --identity DIR`\n",
            ),
            "/metrics" => self.answer(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                metrics::text,
            ),
            "/v1/node" => self.answer("application/json", |snapshot| {
                serde_json::to_string(snapshot).ok()
            }),
            _ => HttpResponse::text(404, "not here: try /healthz, /metrics or /v1/node\n"),
        }
    }
}

impl Face {
    fn answer(
        &self,
        content_type: &'static str,
        render: impl FnOnce(&Snapshot) -> Option<String>,
    ) -> HttpResponse {
        match self.0.load().as_deref().and_then(render) {
            Some(text) => HttpResponse::new(200, content_type, text),
            None => HttpResponse::text(503, "the node is starting: try again in a second\n"),
        }
    }
}
