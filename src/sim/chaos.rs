//! Faults as they begin and end.

use std::path::{Path, PathBuf};

use super::dice::Dice;
use super::event::{Step, What};
use super::faults::Fault;
use super::network::is_partition;
use super::node::{Blow, Doom, Standing, WrongState};
use super::schedule::{Injection, Target};
use super::simulated::{Checked, Simulated, Watch as _};
use super::trace::TraceKind;
use super::world::{DATA_DIR, World};
use crate::consensus::NodeId;
use crate::engine::Event;
use crate::wal::{self, BatchState, Crash, Disk as _, Inspection};

impl<P: Simulated> World<P> {
    /// A fault begins. What does not apply, as a crash of a node that is down, is passed over and not counted.
    pub(super) fn inject(&mut self, position: usize) -> Checked {
        let injection = self.schedule[position].clone();
        let n = match injection.target {
            Target::Leader => self.leader().unwrap_or(0),
            Target::Node(n) => n,
        };
        let mut dice = Dice::new(injection.seed, 1);
        if !self.begin(n, &injection, &mut dice)? {
            return Ok(());
        }
        *self.stats.injected.entry(injection.fault.name()).or_default() += 1;
        self.tell(n, TraceKind::Fault, || format!("✗ {injection}"));
        self.recorder.fact(self.now, injection.to_string());
        self.schedule[position].target = Target::Node(n);
        self.queue.at(self.now + injection.lasts, What::Heal(position));
        Ok(())
    }

    fn begin(&mut self, n: usize, injection: &Injection, dice: &mut Dice) -> Checked<bool> {
        let up = self.nodes[n].replica.is_some();
        let away = injection.lasts;
        match injection.fault {
            Fault::Loss | Fault::Delay | Fault::Duplicate | Fault::Reorder | Fault::Clog => {
                self.network.begin(injection, n);
                Ok(true)
            }
            fault if is_partition(fault) => {
                self.network.begin(injection, n);
                Ok(true)
            }
            Fault::Kill | Fault::PowerLoss | Fault::TornWrites if up => {
                let blow = blow(injection.fault, away, dice);
                self.nodes[n].doom =
                    Some(Doom { effects: dice.below(*dice.clone().pick(&[1, 8, 40])), blow });
                Ok(true)
            }
            // One failure of a disk at a time.
            Fault::MidWrite | Fault::FailSync | Fault::FailWrite if self.nodes[n].armed.is_some() => {
                Ok(false)
            }
            Fault::MidWrite if up => {
                self.nodes[n].disk.power_off_after(dice.below(12));
                self.nodes[n].armed = Some(blow(Fault::TornWrites, away, dice));
                Ok(true)
            }
            Fault::FailSync | Fault::FailWrite if up => {
                if injection.fault == Fault::FailSync {
                    self.nodes[n].disk.fail_next_sync();
                } else {
                    self.nodes[n].disk.fail_next_write();
                }
                let kind = *dice.pick(&[Fault::Kill, Fault::PowerLoss, Fault::TornWrites]);
                self.nodes[n].armed = Some(blow(kind, away, dice));
                Ok(true)
            }
            Fault::Blackout => {
                for n in 0..self.nodes.len() {
                    if self.nodes[n].replica.is_some() {
                        let away = away / 4 + dice.below(away);
                        let blow = blow(Fault::TornWrites, away, dice);
                        self.crash(n, &blow);
                    }
                }
                Ok(true)
            }
            Fault::Pause => {
                self.nodes[n].paused += 1;
                Ok(true)
            }
            Fault::ClockRate | Fault::ClockJump => {
                self.turn_clock(n, injection.fault, dice);
                Ok(true)
            }
            Fault::SlowSync => {
                self.nodes[n].slow_sync =
                    dice.between(5_000, *dice.clone().pick(&[20_000, 100_000, 800_000]));
                Ok(true)
            }
            Fault::StallSync => {
                self.nodes[n].stalled += 1;
                Ok(true)
            }
            Fault::FullDisk => {
                let disk = &self.nodes[n].disk;
                // What a file takes is room, or a file descriptor.
                if dice.below(4) == 0 {
                    disk.refuse_opens(true);
                } else {
                    disk.set_capacity(Some(disk.used() + dice.below(64 << 10)));
                }
                self.nodes[n].full = true;
                Ok(true)
            }
            Fault::Rot => Ok(self.begin_rot(n, away, dice)),
            Fault::WrongState => Ok(self.begin_wrong_state(n)),
            Fault::Transfer => self.transfer(dice),
            // Crashes of nodes that are down.
            _ => Ok(false),
        }
    }

    fn turn_clock(&mut self, n: usize, fault: Fault, dice: &mut Dice) {
        let rate = self.nodes[n].clock.rate();
        if fault == Fault::ClockRate {
            let rate = *dice.pick(&[300, 700, 950, 1050, 1500, 3000]);
            self.nodes[n].clock.set(self.now, rate, 0);
        } else {
            let jump = *dice.pick(&[10_000, 300_000, 2_000_000, 60_000_000]);
            self.nodes[n].clock.set(self.now, rate, dice.between(1, jump));
        }
        self.set_timer_anew(n);
    }

    /// A clock was set: what was due at one time is due at another.
    fn set_timer_anew(&mut self, n: usize) {
        if let Some(replica) = self.nodes[n].replica.as_mut() {
            replica.timer_at = None;
            self.set_timer(n);
        }
    }

    fn transfer(&mut self, dice: &mut Dice) -> Checked<bool> {
        let Some(leader) = self.leader().filter(|leader| self.nodes[*leader].paused == 0) else {
            return Ok(false);
        };
        let to = NodeId(dice.between(0, self.cast.nodes as u64));
        let to = Some(to).filter(|to| *to != NodeId::ZERO);
        self.core(leader, Event::TransferLeadership(to))?;
        Ok(true)
    }

    /// Rot strikes only as many nodes as may be lost for good.
    fn begin_rot(&mut self, n: usize, away: u64, dice: &mut Dice) -> bool {
        if self.spare() == 0 || self.nodes[n].replica.is_none() || self.nodes[n].lies {
            return false;
        }
        self.nodes[n].rot = Some(dice.any());
        let blow = blow(Fault::TornWrites, away, dice);
        self.crash(n, &blow);
        true
    }

    /// A state may be damaged in memory where others can tell, and only of as many nodes as may be faulty.
    fn begin_wrong_state(&mut self, n: usize) -> bool {
        if P::LIES.is_empty() || self.spare() == 0 || self.nodes[n].is_faulty() {
            return false;
        }
        self.nodes[n].wrong_state = WrongState::Due;
        self.watch.struck(self.nodes[n].id);
        true
    }

    /// How many nodes more may be faulty for good, beside those that are.
    fn spare(&self) -> usize {
        let members = self.nodes.iter().take(self.cast.nodes);
        let faulty = members.filter(|node| node.is_faulty()).count();
        P::tolerates(self.cast.nodes).saturating_sub(faulty)
    }

    /// Flips bits where the disk was durable and the node has to notice: anywhere in the newest snapshot, or in the log
    /// before its last batch. Damage in that one cannot be told from a torn write, and is outside the fault model.
    pub(super) fn damage(&mut self, n: usize) {
        let Some(seed) = self.nodes[n].rot.take() else { return };
        let mut dice = Dice::new(seed, 2);
        let mut places = Vec::new();
        let mut segments = Vec::new();
        let disk = self.disk(n);
        let inspected =
            wal::inspect(disk, Path::new(DATA_DIR), &Inspection::default(), &mut |entry| match entry {
                wal::Entry::Segment(segment) => segments.push((segment.id, segment.file)),
                wal::Entry::Batch(batch) if batch.state == BatchState::Ok && batch.bytes > 0 => {
                    let file =
                        segments.iter().find(|(id, _)| *id == batch.segment).map(|(_, file)| file.clone());
                    places.push((file.unwrap_or_default(), batch.offset, batch.bytes));
                }
                wal::Entry::Batch(_) | wal::Entry::Record(_) => {}
            });
        places.pop();
        places.extend(snapshot_files(disk));
        if inspected.is_err() || places.is_empty() {
            return;
        }
        let (file, offset, bytes) = dice.pick(&places).clone();
        let at = offset + dice.below(bytes);
        disk.rot(&file, at, 1 << dice.below(8));
        self.nodes[n].rotten = true;
        self.tell(n, TraceKind::Fault, || format!("✗ byte {at} of {} rots", file.display()));
    }

    /// A fault ends.
    pub(super) fn heal(&mut self, position: usize) {
        let injection = self.schedule[position].clone();
        let Target::Node(n) = injection.target else { return };
        if self.calm.is_some() {
            return;
        }
        match injection.fault {
            Fault::Kill | Fault::PowerLoss | Fault::TornWrites => {
                // It did nothing in all that time: then it crashes while it does nothing.
                if let Some(doom) = self.nodes[n].doom.take() {
                    self.crash(n, &doom.blow);
                }
            }
            Fault::MidWrite => self.strike_armed(n),
            Fault::Pause => self.resume(n),
            Fault::ClockRate => {
                self.nodes[n].clock.set(self.now, 1000, 0);
                self.set_timer_anew(n);
            }
            Fault::SlowSync => self.nodes[n].slow_sync = 0,
            Fault::StallSync => self.release_sync(n),
            Fault::FullDisk => {
                self.nodes[n].disk.set_capacity(None);
                self.nodes[n].disk.refuse_opens(false);
                self.nodes[n].full = false;
            }
            _ => self.network.end(injection.number),
        }
    }

    /// A disk that is about to fail does so now.
    fn strike_armed(&mut self, n: usize) {
        if let Some(blow) = self.nodes[n].armed.clone() {
            self.crash(n, &blow);
        }
    }

    /// A paused node goes on, with everything that came meanwhile.
    fn resume(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.paused = node.paused.saturating_sub(1);
        if node.paused == 0 {
            for what in std::mem::take(&mut node.stash) {
                self.queue.at_once(what);
            }
        }
    }

    fn release_sync(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.stalled = node.stalled.saturating_sub(1);
        if node.stalled > 0 {
            return;
        }
        if node.replica.as_mut().is_some_and(|replica| std::mem::take(&mut replica.sync_waits)) {
            let what = What::Node { node: n, life: node.life, step: Step::LogSynced };
            self.queue.at_once(what);
        }
    }

    /// All faults end, but for a minority that may stay away for good.
    pub(super) fn calm_down(&mut self, mut dice: Dice) {
        self.network.heal();
        for n in 0..self.nodes.len() {
            self.nodes[n].disk.set_capacity(None);
            self.nodes[n].disk.refuse_opens(false);
            self.nodes[n].full = false;
            self.nodes[n].slow_sync = 0;
            self.nodes[n].stalled = 1;
            self.release_sync(n);
            self.nodes[n].clock.set(self.now, 1000, 0);
            self.set_timer_anew(n);
            self.nodes[n].paused = 1;
            self.resume(n);
            let doom = self.nodes[n].doom.take();
            if let Some(doom) = doom {
                self.crash(n, &doom.blow);
            }
            if self.nodes[n].armed.is_some() {
                let blow = blow(Fault::PowerLoss, 0, &mut dice);
                self.crash(n, &blow);
            }
            let away = dice.below(500_000);
            let life = self.nodes[n].life;
            self.queue.at(self.now + away, What::Restart { node: n, life });
        }
        self.leave_some_away(&mut dice);
        if self.trace.is_on() {
            self.tell_of("world".to_owned(), TraceKind::Fault, "the faults end".to_owned());
        }
    }

    /// In some runs as many nodes stay down or cut off as may be, for whatever reason they were lost.
    fn leave_some_away(&mut self, dice: &mut Dice) {
        let spare = self.spare();
        if spare == 0 || self.options.faults.is_none() || !dice.chance(500) {
            return;
        }
        let mut order: Vec<usize> =
            self.gateways.iter().copied().filter(|n| !self.nodes[*n].is_faulty()).collect();
        dice.shuffle(&mut order);
        for n in order.into_iter().take(dice.between(1, spare as u64) as usize) {
            if dice.chance(500) {
                self.network.isolate(n);
                self.tell(n, TraceKind::Fault, || "✗ stays cut off".to_owned());
            } else {
                let blow = blow(Fault::PowerLoss, 0, dice);
                self.crash(n, &blow);
                self.nodes[n].standing = Standing::Retired;
            }
        }
    }
}

/// What a crash does to the disk.
fn blow(fault: Fault, away: u64, dice: &mut Dice) -> Blow {
    let (disk, why) = match fault {
        Fault::Kill => (None, "the process is killed"),
        Fault::PowerLoss => (Some(Crash::Lose), "power is lost, and what was not synced"),
        _ => (Some(Crash::Random(dice.any())), "power is lost, and what was not synced is torn"),
    };
    Blow { disk, away, why }
}

fn snapshot_files(disk: &wal::FaultyDisk) -> Vec<(PathBuf, u64, u64)> {
    let dir = Path::new(DATA_DIR).join("snapshots");
    let names = disk.list(&dir).unwrap_or_default();
    let files = names.into_iter().map(|name| dir.join(name));
    files
        .filter_map(|file| {
            let bytes = disk.open(&file, wal::OpenMode::Read).and_then(|open| open.len()).ok()?;
            (bytes > 0).then_some((file, 0, bytes))
        })
        .collect()
}
