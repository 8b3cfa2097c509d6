//! The simulated world: all nodes, their network, their clients, and what is to happen next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agreement::{Agreement, Fingerprint};
use super::cast::{self, Cast};
use super::client::Client;
use super::dice::Dice;
use super::event::{Answer, Phase, Queue, Step, What};
use super::network::{Fate, Network};
use super::node::{Blow, Caller, Node, Replica, Standing};
use super::run::RunOptions;
use super::schedule::{self, Injection};
use super::simulated::{Checked, Simulated, Violation, Watch as _};
use super::stages::REQUEST_TIMEOUT;
use super::stats::Stats;
use super::trace::Trace;
use crate::check::Recorder;
use crate::consensus::{Keys, NodeId, Pressure};
use crate::engine::{self, EngineConfig, OpenError, Opened};
use crate::wal::{Crash, FaultyDisk, WalError, WalOptions};

/// Within so many microseconds of calm every client must have been served, and within so many of quiet all replicas
/// that can must be equal: some election time-outs, client time-outs, and the transfer of a snapshot.
pub(super) const SERVED_BOUND: u64 = 15_000_000;

/// How often convergence is looked at.
const CONVERGE_EVERY: u64 = 50_000;

/// For so many microseconds each sender knows the same ones of twins: some request timers.
const TWINS_STRETCH: u64 = 2_000_000;

/// No run needs more steps for a simulated second: beyond it, something spins.
const STEPS_PER_SECOND: u64 = 200_000;

/// Where a node's data lies on its disk.
pub(super) const DATA_DIR: &str = "/data";

/// The streams of a run's seed.
#[derive(Clone, Copy)]
enum Stream {
    Faults = 1,
    Network,
    Handover,
    Settings,
    Clocks,
    Calm,
    Twins,
    Clients = 1000,
}

/// A run under way.
pub(super) struct World<P: Simulated> {
    pub(super) options: RunOptions,
    pub(super) cast: Cast,
    keys: BTreeMap<NodeId, Keys>,
    /// The nodes that clients ask: those that do not lie.
    pub(super) gateways: Vec<usize>,
    pub(super) now: u64,
    pub(super) queue: Queue<P>,
    pub(super) network: Network,
    pub(super) nodes: Vec<Node<P>>,
    pub(super) clients: Vec<Client>,
    pub(super) schedule: Vec<Injection>,
    pub(super) watch: P::Watch,
    pub(super) agreement: Agreement,
    pub(super) recorder: Recorder,
    pub(super) stats: Stats,
    pub(super) trace: Trace,
    pub(super) handover: Dice,
    settings: P::Options,
    wal: WalOptions,
    /// How long the archive takes over a piece of a snapshot, in microseconds, at most.
    pub(super) piece_delay: u64,
    /// When the calm began.
    pub(super) calm: Option<u64>,
    pub(super) quiet: bool,
    pub(super) done: bool,
    pub(super) digest: Fingerprint,
}

impl<P: Simulated> World<P> {
    pub(super) fn new(options: RunOptions, trace: Trace) -> Self {
        let seed = options.seed;
        let stream = |stream: Stream| Dice::new(seed, stream as u64);
        let cast = Cast::draw::<P>(&options);
        let (members, liars) = (cast.members(), cast.liars());
        let gateways: Vec<usize> = (0..cast.nodes).filter(|n| !liars.contains(&members[*n])).collect();
        let mut settings = stream(Stream::Settings);
        let mut clocks = stream(Stream::Clocks);
        let node = |id: &NodeId| Node::new(*id, clocks.below(1 << 40), liars.contains(id));
        let mut nodes: Vec<_> = members.iter().map(node).collect();
        nodes.extend(cast.twins().map(|id| Node::twin(id, clocks.below(1 << 40))));
        let wal = WalOptions::with_segment_bytes(*settings.pick(P::segments_kib(cast.nodes)) << 10);
        let clients = (0..options.clients)
            .map(|number| {
                Client::new(
                    number,
                    Dice::new(seed, Stream::Clients as u64 + number as u64),
                    &options,
                    &gateways,
                )
            })
            .collect();
        let mut schedule = {
            let faults = options.faults.of_interest(!P::LIES.is_empty());
            schedule::draw(&mut stream(Stream::Faults), &faults, cast.nodes, options.calm_at())
        };
        if let Some(keep) = &options.keep {
            schedule.retain(|injection| keep.contains(&injection.number));
        }
        Self {
            now: 0,
            queue: Queue::new(),
            network: Network::new(nodes.len(), stream(Stream::Network)),
            nodes,
            clients,
            schedule,
            watch: P::Watch::new(&members, &liars),
            agreement: Agreement::default(),
            recorder: Recorder::new(options.header(P::NAME, &cast)),
            stats: Stats::default(),
            trace,
            handover: stream(Stream::Handover),
            settings: P::small_options(&mut settings),
            // Slow ones let the log grow by whole segments while a snapshot is on its way to the disk.
            piece_delay: *settings.pick(&[3_000, 3_000, P::SLOW_PIECE_US]),
            wal,
            calm: None,
            quiet: false,
            done: false,
            digest: Fingerprint::default(),
            keys: cast::keys(seed, options.signatures, &members),
            cast,
            gateways,
            options,
        }
    }

    /// Runs to the end, or to the first promise that is broken.
    pub(super) fn run(&mut self) -> Checked {
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        for client in 0..self.clients.len() {
            self.queue.at(1000 + client as u64 * 997, What::Client(client));
        }
        for position in 0..self.schedule.len() {
            self.queue.at(self.schedule[position].at, What::Inject(position));
        }
        let calm = self.options.calm_at();
        self.queue.at(calm, What::Phase(Phase::Calm));
        self.queue.at(calm + SERVED_BOUND, What::Phase(Phase::Served));
        self.queue.at(self.options.time_us.max(calm), What::Phase(Phase::Quiet));
        while !self.done {
            let Some((time, what)) = self.queue.pop(self.now) else { break };
            self.now = time;
            self.stats.steps += 1;
            if self.stats.steps > (time / 1_000_000 + 10) * STEPS_PER_SECOND {
                return Err(Violation::new(
                    "time-moves-on",
                    "the nodes do more and more without any time passing",
                ));
            }
            self.happen(what)?;
        }
        Ok(())
    }

    fn happen(&mut self, what: What<P>) -> Checked {
        match what {
            What::Node { node, life, step } => {
                if !self.nodes[node].runs(life) {
                    return Ok(());
                }
                if self.nodes[node].paused > 0 {
                    self.nodes[node].stash.push(What::Node { node, life, step });
                    return Ok(());
                }
                self.mix(node as u64 | u64::from(life) << 8);
                self.step(node, step)
            }
            What::Deliver { from, to, message } => {
                if self.nodes[to].replica.is_none() {
                    self.stats.messages_lost += 1;
                    return Ok(());
                }
                if self.nodes[to].paused > 0 {
                    self.nodes[to].stash.push(What::Deliver { from, to, message });
                    return Ok(());
                }
                self.mix((from as u64) << 16 | (to as u64) << 24 | 1);
                self.deliver(from, to, message)
            }
            What::Request { node, caller, ask } => {
                if self.nodes[node].replica.is_none() {
                    self.answer(node, caller, Answer::Unreachable);
                    return Ok(());
                }
                if self.nodes[node].paused > 0 {
                    self.nodes[node].stash.push(What::Request { node, caller, ask });
                    return Ok(());
                }
                self.request(node, caller, ask);
                Ok(())
            }
            What::Answer { caller, node, answer } => {
                self.on_answer(caller, node, answer);
                Ok(())
            }
            What::GiveUp(caller) => {
                self.on_give_up(caller);
                Ok(())
            }
            What::Client(client) => {
                self.on_client(client);
                Ok(())
            }
            What::Inject(position) => self.inject(position),
            What::Heal(position) => {
                self.heal(position);
                Ok(())
            }
            What::Restart { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].replica.is_none() {
                    return self.start(node);
                }
                Ok(())
            }
            What::Phase(phase) => self.enter(phase),
        }
    }

    /// Adds to the digest of everything that happened.
    pub(super) fn mix(&mut self, value: u64) {
        self.digest.mix(value ^ self.now << 1);
    }

    /// Hands a message to the network.
    pub(super) fn transmit(&mut self, from: usize, to: usize, message: P::Message) {
        match self.network.route(self.now, from, to) {
            Fate::Lost(_) => self.stats.messages_lost += 1,
            Fate::At(at) => self.queue.at(at, What::Deliver { from, to, message }),
            Fate::Twice(at, again) => {
                self.stats.messages_duplicated += 1;
                self.queue.at(at, What::Deliver { from, to, message: message.clone() });
                self.queue.at(again, What::Deliver { from, to, message });
            }
        }
    }

    /// Whom a message to a node reaches: the node, and of twins one or both. For a while each sender knows the same ones,
    /// so that each of the twins lives among others.
    pub(super) fn places(&self, from: usize, to: usize) -> Vec<usize> {
        let id = self.nodes[to].id;
        let twin = (self.cast.nodes..self.nodes.len()).find(|twin| self.nodes[*twin].id == id);
        let Some(twin) = twin else { return vec![to] };
        let stretch = self.now / TWINS_STRETCH;
        let seed = self.options.seed ^ stretch << 32 ^ (from as u64) << 8 ^ to as u64;
        match Dice::new(seed, Stream::Twins as u64).below(5) {
            0 | 1 => vec![to],
            2 | 3 => vec![twin],
            _ => vec![to, twin],
        }
    }

    /// An answer leaves a node for a client.
    pub(super) fn answer(&mut self, node: usize, caller: Caller, answer: Answer) {
        let delay = self.clients[caller.client].delay();
        self.queue.at(self.now + delay, What::Answer { caller, node, answer });
    }

    // ---- Starting and stopping nodes --------------------------------------------------------------------------------

    /// Opens a node's data and starts it.
    pub(super) fn start(&mut self, n: usize) -> Checked {
        self.damage(n);
        let node = &self.nodes[n];
        if node.standing != Standing::Serves {
            return Ok(());
        }
        let mut salt = Fingerprint(self.options.seed);
        salt.mix(node.id.0);
        salt.mix(node.life.into());
        if n >= self.cast.nodes {
            salt.mix(n as u64); // A twin has other dice.
        }
        let config = EngineConfig::<P> {
            keys: self.keys[&node.id].clone(),
            id: node.id,
            cluster_id: 1,
            members: self.cast.members(),
            data_dir: DATA_DIR.into(),
            create: !node.initialised,
            seed: salt.0,
            now: node.clock.at(self.now),
            request_timeout: REQUEST_TIMEOUT,
            wal: WalOptions { salt: salt.0, ..self.wal },
            options: self.settings.clone(),
            misbehaviour: self.cast.misbehaviour(node.id, self.options.seed),
        };
        match engine::open(Arc::new(node.disk.clone()), config) {
            Ok(opened) => self.started(n, opened),
            Err(error) => self.did_not_start(n, &error),
        }
    }

    fn started(&mut self, n: usize, opened: Opened<P>) -> Checked {
        let node = &mut self.nodes[n];
        self.stats.restarts += u64::from(node.life > 0);
        self.stats.torn_writes += u64::from(opened.recovery.torn.is_some());
        let first = !std::mem::replace(&mut node.initialised, true);
        node.rotten = false;
        let Opened { sequencer, logger, executor, archive, checker, data_dir, recovery } = opened;
        let last_lsn = recovery.last_lsn;
        let snapshot = archive.newest();
        if first {
            assert_eq!(recovery.records, 0, "an empty disk holds no records");
        } else {
            if last_lsn < node.highest_lsn {
                return Err(Violation::new(
                    "promises-survive",
                    format!(
                        "node {} starts again with records up to {last_lsn}, but record {} was durable",
                        node.id, node.highest_lsn
                    ),
                ));
            }
            if !node.lies {
                self.watch.found(node.id, last_lsn)?;
                self.watch.restarted(node.id, sequencer.protocol(), snapshot.as_ref())?;
            }
        }
        node.highest_lsn = last_lsn;
        node.replica = Some(Box::new(Replica {
            sequencer,
            logger,
            executor,
            archive,
            checker,
            _data_dir: data_dir,
            incarnation: recovery.incarnation,
            effects: engine::Effects::default(),
            done: engine::Executed::default(),
            last_lsn,
            timer_at: None,
            reports_at: 0,
            requests: Vec::new(),
            waking: false,
            waiting: BTreeMap::new(),
            commands: 0,
            reads: 0,
            asked_at: BTreeMap::new(),
            logging: true,
            prepared: None,
            room: Pressure::Ok,
            syncing: false,
            sync_waits: false,
            work: std::collections::VecDeque::new(),
            executing: false,
            archiving: false,
        }));
        let (life, index) = (node.life, recovery.snapshot.unwrap_or_default());
        self.tell(n, || {
            let torn = if recovery.torn.is_some() { ", after a torn batch" } else { "" };
            format!("starts: snapshot {index}, {} records up to {last_lsn}{torn}", recovery.records)
        });
        // The log thread's first turn makes the next segment ready.
        self.queue.at_once(What::Node { node: n, life, step: Step::LogWrite });
        self.set_timer(n);
        Ok(())
    }

    /// A node may refuse to start on a damaged disk, and must then; and it cannot on a full or failing one.
    fn did_not_start(&mut self, n: usize, error: &OpenError) -> Checked {
        let node = &mut self.nodes[n];
        if std::mem::take(&mut node.rotten) {
            node.standing = Standing::Damaged;
            self.stats.rot_detected += 1;
            self.tell(n, || format!("does not start: {error}"));
            return Ok(());
        }
        let full = matches!(error, OpenError::Wal(error) if error.is_full());
        if full && node.full {
            let what = What::Restart { node: n, life: node.life };
            self.queue.at(self.now + 500_000, what);
            return Ok(());
        }
        if let Some(blow) = node.armed.take() {
            self.crash(n, &blow);
            return Ok(());
        }
        Err(Violation::new("restart", format!("node {} does not start: {error}", node.id)))
    }

    /// A stage met an error of the disk: the node stops, as in production.
    pub(super) fn disk_failed(&mut self, n: usize, error: &WalError) -> Checked {
        match self.nodes[n].armed.take() {
            Some(blow) => {
                self.tell(n, || format!("stops: {error}"));
                self.crash(n, &blow);
                Ok(())
            }
            None => Err(Violation::new(
                "disk-errors-have-causes",
                format!("node {} stops on a healthy disk: {error}", self.nodes[n].id),
            )),
        }
    }

    /// Whether a crash strikes now, between two effects.
    pub(super) fn strikes(&mut self, n: usize) -> bool {
        let Some(doom) = self.nodes[n].doom.as_mut() else { return false };
        if doom.effects > 0 {
            doom.effects -= 1;
            return false;
        }
        let blow = doom.blow.clone();
        self.stats.crashes_between_effects += 1;
        self.crash(n, &blow);
        true
    }

    /// The node is gone, with everything that was not on its disk.
    pub(super) fn crash(&mut self, n: usize, blow: &Blow) {
        self.stats.crashes += 1;
        self.tell(n, || format!("✗ crash: {}", blow.why));
        let node = &mut self.nodes[n];
        let unsynced = node.replica.as_ref().is_some_and(|replica| replica.syncing);
        let callers: Vec<Caller> = node.replica.take().map_or_else(Vec::new, |replica| {
            let asked = replica.requests.iter().map(|(caller, _)| *caller);
            replica.waiting.values().copied().chain(asked).collect()
        });
        node.doom = None;
        node.life += 1;
        node.stash.clear();
        // A disk that was about to fail is replaced by what it holds: the fault was meant for this life.
        let armed = node.armed.take().map(|_| Crash::Keep);
        if let Some(crash) = blow.disk.as_ref().or(armed.as_ref()) {
            self.stats.lost_writes += u64::from(unsynced);
            let full = node.full.then(|| node.disk.used());
            node.disk = node.disk.crash(crash);
            node.disk.set_capacity(full);
        }
        let what = What::Restart { node: n, life: node.life };
        self.queue.at(self.now + blow.away, what);
        for caller in callers {
            self.answer(n, caller, Answer::Broken);
        }
        self.mix(n as u64 | 0xdead << 32);
    }

    // ---- Phases -----------------------------------------------------------------------------------------------------

    fn enter(&mut self, phase: Phase) -> Checked {
        match phase {
            Phase::Calm => {
                self.calm = Some(self.now);
                let dice = Dice::new(self.options.seed, Stream::Calm as u64);
                self.calm_down(dice);
                Ok(())
            }
            Phase::Served => self.all_served(),
            Phase::Quiet if self.unserved().is_empty() => {
                self.quiet = true;
                self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Converge));
                Ok(())
            }
            Phase::Quiet => {
                self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Quiet));
                Ok(())
            }
            Phase::Converge => self.converge(),
        }
    }

    /// Progress: every client has been served since the faults ended.
    fn all_served(&self) -> Checked {
        let unserved = self.unserved();
        if unserved.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{} s after the faults ended, clients {unserved:?} have had no answer; {}",
            SERVED_BOUND / 1_000_000,
            self.waits()
        );
        Err(Violation::new("progress", detail))
    }

    fn unserved(&self) -> Vec<usize> {
        (0..self.clients.len()).filter(|client| !self.clients[*client].served).collect()
    }

    /// Convergence: all replicas that can have executed the same, with the same result.
    fn converge(&mut self) -> Checked {
        let able: Vec<usize> =
            self.gateways.iter().copied().filter(|node| self.can_converge(*node)).collect();
        let mut states = Vec::new();
        for n in &able {
            let id = self.nodes[*n].id;
            let Some(replica) = self.nodes[*n].replica.as_mut() else { continue };
            let store = replica.executor.status(true);
            if let Some(digest) = store.digest {
                self.agreement.digest(id, store.applied, digest)?;
                states.push((store.applied, digest));
            }
        }
        if states.len() == able.len() && states.windows(2).all(|pair| pair[0] == pair[1]) {
            if let Some((applied, digest)) = states.first() {
                self.digest.mix(applied.0);
                self.digest.bytes(&digest.0);
            }
            self.done = true;
            return Ok(());
        }
        let since = self.now - self.options.time_us.max(self.options.calm_at());
        if since > SERVED_BOUND + SERVED_BOUND {
            return Err(Violation::new(
                "convergence",
                format!("the replicas stay different; {}", self.waits()),
            ));
        }
        self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Converge));
        Ok(())
    }

    fn can_converge(&self, n: usize) -> bool {
        let reaches = (0..self.nodes.len())
            .filter(|other| {
                *other != n && self.network.connects(n, *other) && self.network.connects(*other, n)
            })
            .count();
        self.nodes[n].standing == Standing::Serves && (reaches > 0 || self.nodes.len() == 1)
    }

    /// What each node waits for, in its own words.
    pub(super) fn waits(&self) -> String {
        let nodes = self.nodes.iter().map(|node| {
            let Some(replica) = &node.replica else {
                return format!("{} is down ({:?})", node.name, node.standing);
            };
            let status = replica.sequencer.status();
            format!(
                "{} is {} of epoch {}, leader {:?}, last {}, committed {}, applied {}: {}",
                node.name,
                status.role.name(),
                status.epoch,
                status.leader,
                status.last,
                status.committed,
                replica.executor.store().applied(),
                if status.why.is_empty() { "healthy".to_owned() } else { status.why.join("; ") }
            )
        });
        nodes.collect::<Vec<_>>().join("\n  ")
    }

    /// The counts so far.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            simulated_us: self.now,
            elections: self.watch.elections(),
            messages_delayed: self.network.delayed,
            messages_reordered: self.network.reordered,
            digests_compared: self.agreement.compared,
            ..self.stats.clone()
        }
    }

    /// Who leads, by the highest epoch.
    pub(super) fn leader(&self) -> Option<usize> {
        let leads = |n: &usize| {
            let replica = self.nodes[*n].replica.as_ref()?;
            replica.sequencer.protocol().leads().then(|| replica.sequencer.status().epoch)
        };
        (0..self.nodes.len()).filter(|n| leads(n).is_some()).max_by_key(|n| leads(n))
    }

    /// The disk of a node, for those who damage it.
    pub(super) fn disk(&self, n: usize) -> &FaultyDisk {
        &self.nodes[n].disk
    }
}
