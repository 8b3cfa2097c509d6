//! The simulated world: all nodes, their network, their clients, and what is to happen next.

use std::collections::BTreeMap;

use super::agreement::{Agreement, Fingerprint};
use super::cast::{self, Cast};
use super::client::Client;
use super::dice::Dice;
use super::event::{Answer, Phase, Queue, What};
use super::network::{Fate, Network};
use super::node::{Caller, Node};
use super::phases::SERVED_BOUND;
use super::run::RunOptions;
use super::schedule::{self, Injection};
use super::simulated::{Checked, Simulated, Violation, Watch as _};
use super::stats::Stats;
use super::trace::Trace;
use crate::check::Recorder;
use crate::consensus::{Keys, NodeId};
use crate::kv::PIECE_BYTES;
use crate::wal::{FaultyDisk, WalOptions};

/// For so many microseconds each sender knows the same ones of twins: some request timers.
const TWINS_STRETCH: u64 = 2_000_000;

/// No run needs more steps for a simulated second: beyond it, something spins.
const STEPS_PER_SECOND: u64 = 200_000;

/// Where a node's data lies on its disk.
pub(super) const DATA_DIR: &str = "/data";

/// The streams of a run's seed.
#[derive(Clone, Copy)]
pub(super) enum Stream {
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
    pub(super) keys: BTreeMap<NodeId, Keys>,
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
    pub(super) settings: P::Options,
    pub(super) wal: WalOptions,
    /// How long the archive takes over a piece of a snapshot, in microseconds, at most.
    pub(super) piece_delay: u64,
    /// About how large these pieces are: small ones make states of many pieces.
    pub(super) piece_bytes: usize,
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
            piece_bytes: *settings.pick(&[512, 4096, PIECE_BYTES]),
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
        let fate = self.network.route(self.now, from, to);
        self.tell_sent(from, to, &message, fate);
        match fate {
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
