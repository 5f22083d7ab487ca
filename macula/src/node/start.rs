//! Starting a node: binding, composing the machine, and the tasks that run it.

mod plane;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use macula_kad::Kad;
use macula_pubsub::{MatchKey, PubSub};
use macula_realm::{NodeIdentity, TrustBundle};
use macula_rpc::Rpc;
use macula_swim::{Overlay, OwnRecord, Swim};
use macula_transport::unix::{self, UnixIncoming};
use macula_transport::{BindError, Clock, Driver, Endpoint, Hello, Incoming, TlsIdentity};
use macula_wire::message::{Role, Tag};
use macula_wire::{Epoch, ErrorCode, Random};
use tokio::sync::{broadcast, mpsc};

use self::plane::plane_with_log;
use super::Node;
use super::cache::MemberCache;
use super::control::{Control, MAX_CALLS, MAX_INPUTS, MAX_MEMBER_EVENTS, Outputs};
use super::dial::{Dialled, Dialler, Ways};
use super::link::LinkRunner;
use super::news::MemberNews;
use super::watch;
use crate::Error;
use crate::credentials::RealmCredentials;
use crate::keep::MAX_RETAINED;
use crate::machine::{NodeInput, NodeMachine};
use crate::plane::Plane;
use crate::plane::forward::ForwardingConfig;
use crate::plane::trees::{self, Trees};

/// How often drops that nobody was told of yet are looked for.
const TELL_DROPS_PERIOD: Duration = Duration::from_millis(200);
/// How often the machine is told of round trips.
const TELL_ROUND_TRIPS_PERIOD: Duration = Duration::from_secs(5);
/// How often the machine is told the wall clock.
const TELL_TIME_PERIOD: Duration = Duration::from_secs(60);
/// How many bytes of records are kept of one member.
const MAX_OWNER_BYTES: usize = 32 << 20;
/// How many records are kept of all members.
const MAX_RECORDS: usize = 1_000_000;
/// How many bytes they take at most.
const MAX_RECORD_BYTES: usize = 256 << 20;
/// How many links may wait to be admitted.
const MAX_DIALLED: usize = 64;

/// What a node is made of, complete and checked.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) identity: NodeIdentity,
    pub(crate) trust: TrustBundle,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Vec<SocketAddr>,
    pub(crate) join: Vec<SocketAddr>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) transport: macula_transport::Config,
    pub(crate) swim: macula_swim::Config,
    pub(crate) pubsub: macula_pubsub::Config,
    pub(crate) replay: macula_pubsub::ReplayConfig,
    pub(crate) forwarding: ForwardingConfig,
    pub(crate) direct: usize,
    pub(crate) max_payload_len: usize,
    pub(crate) http: bool,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) member_cache: Option<PathBuf>,
    pub(crate) event_log: Option<PathBuf>,
}

/// The program and its version, as peers see it.
pub(crate) const AGENT: &str = concat!("macula/", env!("CARGO_PKG_VERSION"));

pub(crate) async fn start(plan: Plan) -> Result<Node, Error> {
    let clock = Clock::new();
    let wall_ms = clock.unix_ms();
    let epoch = plan.epoch.unwrap_or_else(|| Epoch::new(wall_ms));
    let credentials = Arc::new(RealmCredentials::new(&plan.identity, plan.trust.clone()));
    let mut hello = Hello::new(Role::Member, epoch);
    hello.agent = AGENT.into();
    let transport = transport(&plan, wall_ms / 1_000)?;
    #[cfg(feature = "http3")]
    let (transport, face) = super::face::Face::serve(transport);
    let (endpoint, incoming) = Endpoint::bind(
        plan.listen,
        transport.clone(),
        hello.clone(),
        vec![credentials.clone()],
    )
    .map_err(|error| super::socket::bind_error(&error, plan.listen))?;
    let local = listen_locally(&plan, &credentials, transport, hello).await?;
    let plane = plane_with_log(&plan, epoch, clock).await?;
    let cache = cache(&plan, &plane, wall_ms);
    let machine = machine(&plan, &plane, &endpoint)?;
    let (calls, call_queue) = mpsc::channel(MAX_CALLS);
    let (inputs, input_queue) = mpsc::channel(MAX_INPUTS);
    let (dialled, dialled_queue) = mpsc::channel(MAX_DIALLED);
    let (members, _) = broadcast::channel(MAX_MEMBER_EVENTS);
    let control = Control {
        calls,
        inputs,
        plane: Arc::clone(&plane),
        late: Arc::default(),
    };
    let forwarding = plan.forwarding.clone();
    let dialler = Dialler::new(control.clone(), endpoint.clone(), forwarding, dialled);
    let news = MemberNews::new(&plane)?;
    let outputs = Outputs {
        plane: Arc::clone(&plane),
        dialler: dialler.clone(),
        members: members.clone(),
        news: news.clone(),
    };
    let driver = Driver::new(machine, outputs, clock, call_queue, input_queue);
    plane.tasks.spawn("control", driver.run());
    let runner = LinkRunner {
        plane: Arc::clone(&plane),
        control: control.clone(),
        dialler: dialler.clone(),
        swim: plan.swim.clone(),
    };
    dialler.start();
    if let Some(local) = local {
        let local = run_local_links(runner.clone(), local);
        plane.tasks.spawn("local links", local);
    }
    let links = run_links(runner, incoming, dialled_queue);
    plane.tasks.spawn("links", links);
    keep_up(&plane, &control, news);
    grow_trees(&plan, &plane, &control);
    let remembered = cache.as_ref().map_or(&[][..], |cache| cache.found());
    let ways = Ways::new(&plan.join, remembered, plane.random());
    if !ways.is_empty() {
        plane.tasks.spawn("join", dialler.clone().keep_joined(ways));
    }
    if let Some(cache) = &cache {
        let keeping = Arc::clone(cache).keep(Arc::clone(&plane), control.clone());
        plane.tasks.spawn("member cache", keeping);
    }
    let node = Node::running(plane, control, endpoint, dialler, members, cache);
    complete(&node);
    #[cfg(feature = "http3")]
    if plan.http {
        let refreshing = face.refresh(node.downgrade());
        node.plane().tasks.spawn("http3 face", refreshing);
    }
    Ok(node)
}

/// Starts what needs the node itself.
fn complete(node: &Node) {
    let system = crate::system::handler(node.downgrade());
    let fresh = node.plane().system.set(system).is_ok();
    let executing = crate::testament::execute(node.downgrade(), node.member_events());
    node.plane().tasks.spawn("testaments of members", executing);
    let reacher = super::Reacher(node.downgrade());
    let fresh = node.plane().reacher.set(reacher).is_ok() && fresh;
    debug_assert!(fresh, "a plane has one node");
}

/// Starts what a node does all the time: telling drops and round trips and the time, and watching for the data plane.
fn keep_up(plane: &Arc<Plane>, control: &Control, news: MemberNews) {
    let tasks = &plane.tasks;
    let both = || (Arc::clone(plane), control.clone());
    tasks.spawn("drops", tell_drops(Arc::clone(plane), news));
    tasks.spawn("kept events", Arc::clone(plane).keep_reliable());
    let (shared, told) = both();
    tasks.spawn("round trips", tell_round_trips(shared, told));
    let (shared, told) = both();
    tasks.spawn("services", crate::services::announce(shared, told));
    let (shared, told) = both();
    tasks.spawn("wall clock", tell_time(shared, told));
    let (shared, told) = both();
    tasks.spawn("announcements", crate::keep::announce(shared, told));
    let (watches, watch_queue) = mpsc::channel(watch::MAX_REQUESTS);
    plane.watches.serve_by(watches);
    let (shared, asked) = both();
    tasks.spawn("watches", watch::run(shared, asked, watch_queue));
}

/// Starts what sends events of topics that many want along trees.
fn grow_trees(plan: &Plan, plane: &Arc<Plane>, control: &Control) {
    let (trees, inputs) = Trees::new(plan.direct, plan.identity.signer(), plan.identity.chain());
    let fresh = plane.trees.set(trees).is_ok();
    debug_assert!(fresh, "a plane has its trees once");
    let running = trees::run(Arc::clone(plane), control.clone(), inputs);
    plane.tasks.spawn("trees", running);
}

fn cache(plan: &Plan, plane: &Plane, wall_ms: u64) -> Option<Arc<MemberCache>> {
    let path = plan.member_cache.clone()?;
    let realm = plane.realm.clone();
    Some(Arc::new(MemberCache::open(
        path,
        realm,
        plane.node(),
        wall_ms,
    )))
}

/// The transport's settings, with a certificate for HTTP/3 where it is wanted.
fn transport(plan: &Plan, now_unix_s: u64) -> Result<macula_transport::Config, Error> {
    let mut config = plan.transport.clone();
    if plan.http {
        let web = macula_realm::web_identity(&["localhost"], now_unix_s)
            .map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
        config.web_identity = Some(TlsIdentity::new(
            web.chain().to_vec(),
            web.key_pkcs8().to_vec(),
        ));
    }
    Ok(config)
}

/// Clients of this machine attach by the socket of the plan, if there is one.
async fn listen_locally(
    plan: &Plan,
    credentials: &RealmCredentials,
    transport: macula_transport::Config,
    hello: Hello,
) -> Result<Option<UnixIncoming>, Error> {
    let Some(path) = &plan.socket else {
        return Ok(None);
    };
    let own = credentials.own_identity();
    match unix::listen(path, own, transport, hello).await {
        Ok(incoming) => Ok(Some(incoming)),
        Err(error @ BindError::SocketInUse { .. }) => Err(Error::caused(
            ErrorCode::UNAVAILABLE,
            format!("another node runs in this directory: {error}"),
            error,
        )),
        Err(error) => Err(Error::caused(ErrorCode::INTERNAL, error.to_string(), error)),
    }
}

fn machine(plan: &Plan, plane: &Plane, endpoint: &Endpoint) -> Result<NodeMachine, Error> {
    let certificate = plan.identity.certificate();
    let advertise = if plan.advertise.is_empty() {
        vec![super::socket::advertised(endpoint.local_addr())]
    } else {
        plan.advertise.clone()
    };
    let mut own = OwnRecord::new(plane.epoch);
    let addresses = advertise.clone();
    own.addresses = advertise;
    own.roles = certificate.roles();
    own.zone = certificate.zone().map(ToString::to_string);
    own.agent = AGENT.into();
    own.tags.clone_from(&plan.tags);
    let mut random: Random = plane.random();
    // Both clocks at one moment: by them nodes agree who registered first.
    let (now, wall_ms) = (plane.clock.now(), plane.clock.unix_ms());
    let signer = Arc::new(plan.identity.signer());
    let swim = Swim::new(
        plan.swim.clone(),
        plane.realm.clone(),
        Arc::clone(&signer) as _,
        own,
        random.fork(),
        now,
        wall_ms,
    )
    .map_err(|error| Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error))?;
    let overlay = Overlay::new(
        macula_swim::overlay::Config::default(),
        plane.node(),
        addresses,
        random.fork(),
        now,
    );
    let mut events = plan.pubsub.clone();
    let mut key = [0; 16];
    random.fork().fill(&mut key);
    events.match_key = MatchKey::from_bytes(key);
    let pubsub = PubSub::new(events, plane.node(), now);
    let mut calls = macula_rpc::Config::default();
    calls.started_ms = wall_ms;
    calls.zone = certificate.zone().cloned();
    let routing = routing(&plan.pubsub, &calls);
    let rpc = Rpc::new(calls, plane.node(), now);
    let realm = plane.realm.clone();
    let kad = Kad::new(routing, realm, signer, random.fork(), now, wall_ms);
    Ok(NodeMachine::new(swim, overlay, pubsub, rpc, kad)
        .with_link_pool(plan.swim.link_pool)
        .with_direct_members(plan.direct))
}

/// The settings of routing in a realm whose root issues every id: what one member may announce is bounded by what it may
/// want and serve, and no host can make up neighbours of a key.
fn routing(events: &macula_pubsub::Config, calls: &macula_rpc::Config) -> macula_kad::Config {
    let mut config = macula_kad::Config::default();
    // A value and an index for each topic with a value.
    let kept = MAX_RETAINED.saturating_mul(2);
    let announced = events
        .max_patterns
        .saturating_add(calls.max_procedures)
        .saturating_add(kept);
    // Two keys for each procedure that is called, and one for each that is served.
    let procedures = calls
        .max_watched
        .saturating_mul(2)
        .saturating_add(calls.max_procedures);
    let watched = events.max_publications.saturating_add(procedures);
    config.max_per_network = usize::MAX;
    // This node's own record, and the keys of wildcards.
    config.max_own_records = announced.saturating_add(1);
    config.max_own_watches = watched.saturating_add(2);
    config.max_owner_records = announced.saturating_add(1);
    config.max_owner_bytes = MAX_OWNER_BYTES;
    config.max_records = MAX_RECORDS;
    config.max_bytes = MAX_RECORD_BYTES;
    config
}

/// Starts a task for each link that comes up, dialled or accepted.
async fn run_links(
    runner: LinkRunner,
    mut incoming: Incoming,
    mut dialled: mpsc::Receiver<Dialled>,
) {
    loop {
        let (link, receiver) = tokio::select! {
            Some(accepted) = incoming.accept() => accepted,
            Some(dialled) = dialled.recv() => dialled,
            else => return,
        };
        runner.start(link, receiver);
    }
}

async fn run_local_links(runner: LinkRunner, mut incoming: UnixIncoming) {
    while let Some((link, receiver)) = incoming.accept().await {
        runner.start(link, receiver);
    }
}

/// Tells the machine how long round trips take, as QUIC measures them.
async fn tell_round_trips(plane: Arc<Plane>, control: Control) {
    let mut ticks = tokio::time::interval(TELL_ROUND_TRIPS_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for attached in plane.links.members() {
            let (peer, rtt) = (attached.link.peer().node, attached.link.stats().rtt);
            let now = plane.clock.now();
            control.input(now, NodeInput::Rtt { peer, rtt }).await;
        }
    }
}

/// Tells the machine the wall clock, which may be set.
async fn tell_time(plane: Arc<Plane>, control: Control) {
    let mut ticks = tokio::time::interval(TELL_TIME_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let wall_ms = plane.clock.unix_ms();
        let now = plane.clock.now();
        control.input(now, NodeInput::WallClock(wall_ms)).await;
    }
}

async fn tell_drops(plane: Arc<Plane>, news: MemberNews) {
    let mut ticks = tokio::time::interval(TELL_DROPS_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        plane.tell_drops();
        news.tell_missed(&plane);
        if let Some(meta) = plane.meta.get() {
            meta.tell_missed(&plane);
        }
    }
}
