//! Golden traces: `testscripts/NAME` says in prose what happens, gives commands, and shows what follows from each.
//!
//! After a change that is meant, `UPDATE_GOLDENFILES=1 cargo test golden` writes them anew: read the difference.

use std::error::Error;

use goldenscript::{Command, Context, Runner};

use super::cluster::{Cluster, describe};
use crate::consensus::{Pressure, Shortage};

/// Runs a script on a cluster.
#[derive(Default)]
struct Script(Option<Cluster>);

impl Script {
    fn cluster(&mut self) -> Result<&mut Cluster, Box<dyn Error>> {
        self.0.as_mut().ok_or_else(|| "begin with `cluster` or `led`".into())
    }
}

impl Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut words = command.consume_args();
        let mut args: Vec<u64> = Vec::new();
        while let Some(word) = words.next_pos() {
            args.push(word.parse()?);
        }
        let arg = |n: usize| args.get(n).copied().ok_or_else(|| format!("argument {} is missing", n + 1));
        match command.name.as_str() {
            "cluster" => self.0 = Some(Cluster::new(arg(0)?)),
            "led" => {
                let mut cluster = Cluster::led(arg(0)?);
                cluster.journal.clear();
                self.0 = Some(cluster);
            }
            "campaign" => self.cluster()?.campaign(arg(0)?),
            "timeout" => self.cluster()?.timeout(arg(0)?),
            "advance" => self.cluster()?.advance(arg(0)?),
            "settle" => self.cluster()?.settle(),
            "deliver" => {
                let (from, to) = (arg(0)?, arg(1)?);
                if !self.cluster()?.deliver_if(|e| (e.from, e.to) == (from, to)) {
                    return Err(format!("nothing is under way from n{from} to n{to}").into());
                }
            }
            "lose" => self.cluster()?.network.clear(),
            "propose" => drop(self.cluster()?.propose(arg(0)?, "x")),
            "read" => self.cluster()?.read(arg(0)?, arg(1)?),
            "crash" => self.cluster()?.crash(arg(0)?),
            "restart" => self.cluster()?.restart(arg(0)?),
            "isolate" => self.cluster()?.isolate(arg(0)?),
            "heal" => self.cluster()?.heal(),
            "stall" => self.cluster()?.node_mut(arg(0)?).disk_on = false,
            "sync" => self.cluster()?.sync(arg(0)?),
            "full" => self.cluster()?.storage(arg(0)?, Pressure::Full(Shortage::Disk)),
            "network" => {
                let lines = self.cluster()?.network.iter();
                let lines = lines.map(|e| format!("n{} => n{}: {}\n", e.from, e.to, describe(&e.message)));
                return Ok(lines.collect());
            }
            "status" => {
                let cluster = self.cluster()?;
                let line = |(id, node): (&u64, &super::cluster::Node)| {
                    let status = node.status();
                    format!(
                        "n{id} {} term={} last={} committed={} {}\n",
                        status.role.name(),
                        status.epoch,
                        status.last,
                        status.committed,
                        status.why.join("; ")
                    )
                };
                return Ok(cluster.nodes.iter().filter(|(_, node)| node.runs()).map(line).collect());
            }
            other => return Err(format!("no command {other}").into()),
        }
        Ok(std::mem::take(&mut self.cluster()?.journal))
    }
}

macro_rules! golden {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/raft/testscripts/", stringify!($name));
            goldenscript::run(&mut Script::default(), path).unwrap();
        }
    )*};
}

golden! {
    election_of_three,
    append_base_missing_after_lost_entries,
    append_conflict_with_a_deposed_leader,
    leader_counts_itself_after_its_fsync,
    pre_vote_after_isolation_changes_no_term,
    read_waits_for_the_noop_of_a_new_term,
}
