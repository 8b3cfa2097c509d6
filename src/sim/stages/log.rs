//! The log thread.

use super::FULL_DISK_RETRY;
use crate::consensus::Pressure;
use crate::engine::Event;
use crate::sim::event::Step;
use crate::sim::simulated::{Checked, Simulated, Watch as _};
use crate::sim::trace::TraceKind;
use crate::sim::world::World;
use crate::wal::Preparation;

impl<P: Simulated> World<P> {
    pub(super) fn poke_log(&mut self, n: usize) {
        let replica = self.replica(n);
        if !std::mem::replace(&mut replica.logging, true) {
            self.hand(n, Step::LogWrite);
        }
    }

    pub(super) fn log_write(&mut self, n: usize) -> Checked {
        if self.strikes(n) {
            return Ok(());
        }
        if let Some(prepared) = self.replica(n).prepared.take() {
            match self.replica(n).logger.prepared(prepared) {
                Ok(room) => self.report_room(n, room),
                Err(error) => return self.disk_failed(n, &error),
            }
        }
        match self.replica(n).logger.write() {
            Ok(true) => {
                self.replica(n).syncing = true;
                let delay = self.sync_delay(n);
                self.later(n, delay, Step::LogSynced);
                Ok(())
            }
            Ok(false) => {
                self.end_of_turn(n, false);
                Ok(())
            }
            Err(error) => self.disk_failed(n, &error),
        }
    }

    pub(super) fn sync_delay(&mut self, n: usize) -> u64 {
        let rare = if self.handover.chance(10) { self.handover.between(1000, 30_000) } else { 0 };
        self.handover.between(100, 600) + rare + self.nodes[n].slow_sync
    }

    /// The sync returns: what it made durable is durable from this moment on, not before.
    pub(super) fn log_synced(&mut self, n: usize) -> Checked {
        if self.nodes[n].stalled > 0 {
            self.replica(n).sync_waits = true;
            return Ok(());
        }
        if self.strikes(n) {
            return Ok(());
        }
        self.replica(n).syncing = false;
        let logged = match self.replica(n).logger.sync() {
            Ok(logged) => logged,
            Err(error) => return self.disk_failed(n, &error),
        };
        self.tell(n, TraceKind::Disk, || format!("durable up to {}", logged.durable));
        self.mix(logged.durable.0);
        self.nodes[n].highest_lsn = logged.durable;
        let replica = self.replica(n);
        while let Some((_, bytes)) = replica.undurable.pop_front_if(|(lsn, _)| *lsn <= logged.durable) {
            replica.undurable_bytes -= bytes;
        }
        if !self.nodes[n].lies {
            self.watch.durable(self.nodes[n].id, logged.durable)?;
        }
        self.report(n, Event::Durable(logged.durable));
        self.report_room(n, logged.room);
        self.end_of_turn(n, true);
        Ok(())
    }

    /// The log thread has done a turn: a segment may have to be made ready, and more may wait to be written. What could
    /// not be written for want of room waits for a segment, or until the disk is tried again.
    pub(super) fn end_of_turn(&mut self, n: usize, wrote: bool) {
        let replica = self.replica(n);
        replica.logging = false;
        let more = replica.prepared.is_some() || (wrote && !replica.logger.is_idle());
        if let Some(preparation) = replica.logger.preparation() {
            let delay = self.handover.between(100, 5000);
            self.later(n, delay, Step::Prepare(Box::new(preparation)));
        }
        if more {
            self.poke_log(n);
        }
    }

    pub(super) fn report_room(&mut self, n: usize, room: Pressure) {
        if std::mem::replace(&mut self.replica(n).room, room) != room {
            self.report(n, Event::Storage(room));
        }
    }

    pub(super) fn prepare(&mut self, n: usize, preparation: Preparation) {
        if self.strikes(n) {
            return;
        }
        let prepared = preparation.run();
        if prepared.failure().is_some_and(|error| error.shortage().is_some()) {
            self.later(n, FULL_DISK_RETRY, Step::Retry);
        }
        self.hand(n, Step::Prepared(Box::new(prepared)));
    }

    pub(super) fn retry(&mut self, n: usize) {
        let replica = self.replica(n);
        replica.logger.retry();
        replica.archive.retry();
        self.poke_archive(n);
        self.poke_log(n);
    }
}
