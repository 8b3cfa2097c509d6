//! The lives of nodes: how they start on what their disks hold, and how they end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agreement::Fingerprint;
use super::event::{Answer, Step, What};
use super::node::{Blow, Caller, Replica, Standing};
use super::simulated::{Checked, Simulated, Violation, Watch as _};
use super::stages::REQUEST_TIMEOUT;
use super::trace::TraceKind;
use super::world::{DATA_DIR, World};
use crate::consensus::Pressure;
use crate::engine::{self, EngineConfig, OpenError, Opened};
use crate::text::counted;
use crate::wal::{Crash, WalError, WalOptions};

impl<P: Simulated> World<P> {
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
            piece_bytes: self.piece_bytes,
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
            undurable: std::collections::VecDeque::new(),
            undurable_bytes: 0,
            syncing: false,
            sync_waits: false,
            work: std::collections::VecDeque::new(),
            executing: false,
            archiving: false,
        }));
        let (life, index) = (node.life, recovery.snapshot.unwrap_or_default());
        self.tell(n, TraceKind::Life, || {
            let torn = if recovery.torn.is_some() { ", after a torn batch" } else { "" };
            format!(
                "starts: snapshot {index}, {} up to {last_lsn}{torn}",
                counted(recovery.records as u64, "record", "records")
            )
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
            self.tell(n, TraceKind::Life, || format!("does not start: {error}"));
            return Ok(());
        }
        let full = matches!(error, OpenError::Wal(error) if error.shortage().is_some());
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
                self.tell(n, TraceKind::Life, || format!("stops: {error}"));
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
        self.tell(n, TraceKind::Life, || format!("✗ crash: {}", blow.why));
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
}
