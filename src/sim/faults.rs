//! The faults by name, and how often each is injected.

use serde::Serialize;

/// Something that goes wrong in the simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Links lose messages.
    Loss,
    /// Links delay messages by up to seconds.
    Delay,
    /// Links deliver messages twice.
    Duplicate,
    /// Links deliver messages in another order.
    Reorder,
    /// The network falls into two halves.
    Halves,
    /// One node hears nobody, and nobody hears it.
    Isolate,
    /// Two groups hear each other only through one node that is in both.
    Bridge,
    /// Each node hears only its two neighbours.
    Ring,
    /// Messages of one node to some others get lost, and theirs arrive.
    OneWay,
    /// One node hears all others, and they do not hear each other.
    SeesAll,
    /// One link holds everything back for seconds, then delivers it all.
    Clog,
    /// A process is killed; the machine keeps what was written.
    Kill,
    /// A machine loses power, and with it everything that was not synced.
    PowerLoss,
    /// A machine loses power; what was not synced survives in part, torn and in any order.
    TornWrites,
    /// The power fails in the middle of one of the next operations of the disk.
    MidWrite,
    /// All machines lose power at once.
    Blackout,
    /// A node stops for a while, and goes on where it was.
    Pause,
    /// A node's clock runs at another rate.
    ClockRate,
    /// A node's clock jumps forward.
    ClockJump,
    /// Syncs take long.
    SlowSync,
    /// Syncs do not return for seconds.
    StallSync,
    /// A sync fails, and what it should have made durable is lost; the node stops.
    FailSync,
    /// A write fails half-way; the node stops.
    FailWrite,
    /// The disk is full.
    FullDisk,
    /// Bytes that were durable change. The node notices when it restarts, and is lost for good.
    Rot,
    /// The operator moves the leadership.
    Transfer,
    /// The digest of a node's state at one checkpoint is wrong, as if the state were damaged in memory. Only where the
    /// protocol tolerates lies: the others can tell, and the node must notice and repair itself.
    WrongState,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 27] = [
        Self::Loss,
        Self::Delay,
        Self::Duplicate,
        Self::Reorder,
        Self::Halves,
        Self::Isolate,
        Self::Bridge,
        Self::Ring,
        Self::OneWay,
        Self::SeesAll,
        Self::Clog,
        Self::Kill,
        Self::PowerLoss,
        Self::TornWrites,
        Self::MidWrite,
        Self::Blackout,
        Self::Pause,
        Self::ClockRate,
        Self::ClockJump,
        Self::SlowSync,
        Self::StallSync,
        Self::FailSync,
        Self::FailWrite,
        Self::FullDisk,
        Self::Rot,
        Self::Transfer,
        Self::WrongState,
    ];

    /// The fault's name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Halves => "halves",
            Self::Isolate => "isolate",
            Self::Bridge => "bridge",
            Self::Ring => "ring",
            Self::OneWay => "one-way",
            Self::SeesAll => "sees-all",
            Self::Clog => "clog",
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::TornWrites => "torn-writes",
            Self::MidWrite => "mid-write",
            Self::Blackout => "blackout",
            Self::Pause => "pause",
            Self::ClockRate => "clock-rate",
            Self::ClockJump => "clock-jump",
            Self::SlowSync => "slow-sync",
            Self::StallSync => "stall-sync",
            Self::FailSync => "fail-sync",
            Self::FailWrite => "fail-write",
            Self::FullDisk => "full-disk",
            Self::Rot => "rot",
            Self::Transfer => "transfer",
            Self::WrongState => "wrong-state",
        }
    }

    /// The group by which the command line can name several.
    const fn group(self) -> &'static str {
        match self {
            Self::Loss | Self::Delay | Self::Duplicate | Self::Reorder | Self::Clog => "links",
            Self::Halves | Self::Isolate | Self::Bridge | Self::Ring | Self::OneWay | Self::SeesAll => {
                "partitions"
            }
            Self::Kill | Self::PowerLoss | Self::TornWrites | Self::MidWrite | Self::Blackout => "crashes",
            Self::Pause | Self::ClockRate | Self::ClockJump | Self::Transfer | Self::WrongState => "nodes",
            Self::SlowSync
            | Self::StallSync
            | Self::FailSync
            | Self::FailWrite
            | Self::FullDisk
            | Self::Rot => "disks",
        }
    }

    const fn default_weight(self) -> u32 {
        match self {
            Self::Kill | Self::PowerLoss | Self::TornWrites | Self::Isolate | Self::Duplicate => 8,
            Self::MidWrite | Self::Halves | Self::Loss | Self::Delay | Self::Reorder | Self::Transfer => 6,
            Self::Rot => 1,
            Self::Blackout | Self::FullDisk | Self::FailWrite => 2,
            _ => 4,
        }
    }
}

/// How often each fault is injected, relative to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultMix {
    weights: [u32; Fault::ALL.len()],
}

impl Default for FaultMix {
    fn default() -> Self {
        Self { weights: Fault::ALL.map(Fault::default_weight) }
    }
}

impl FaultMix {
    /// No faults at all.
    pub fn none() -> Self {
        Self { weights: [0; Fault::ALL.len()] }
    }

    /// Reads a list such as `crashes,loss=3,-torn-writes`: names of faults or groups (`all`, `none`, `links`,
    /// `partitions`, `crashes`, `nodes`, `disks`), each with a weight or left out with a minus. A list that begins with
    /// a minus or a weight changes the default; any other holds only what it names.
    pub fn parse(list: &str) -> Result<Self, String> {
        let items: Vec<&str> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        let changes_default = items.first().is_some_and(|item| item.starts_with('-'));
        let mut mix = if changes_default { Self::default() } else { Self::none() };
        for item in items {
            mix.apply(item)?;
        }
        Ok(mix)
    }

    fn apply(&mut self, item: &str) -> Result<(), String> {
        let (name, weight) = match (item.strip_prefix('-'), item.split_once('=')) {
            (Some(name), _) => (name, Some(0)),
            (None, Some((name, weight))) => {
                let weight = weight.parse().map_err(|_| format!("`{item}`: the weight is not a number"))?;
                (name, Some(weight))
            }
            (None, None) => (item, None),
        };
        if name == "none" {
            *self = Self::none();
            return Ok(());
        }
        let mut known = false;
        for (fault, slot) in Fault::ALL.into_iter().zip(&mut self.weights) {
            if name == "all" || name == fault.name() || name == fault.group() {
                *slot = weight.unwrap_or(fault.default_weight());
                known = true;
            }
        }
        if known { Ok(()) } else { Err(unknown(name)) }
    }

    /// Whether the fault may be injected.
    pub fn has(&self, fault: Fault) -> bool {
        self.weights[fault as usize] > 0
    }

    /// The faults that a protocol can be exposed to, which tolerates lies or does not, and their weights.
    pub(super) fn of_interest(&self, lies: bool) -> Vec<(Fault, u32)> {
        let weighted = Fault::ALL.into_iter().zip(self.weights);
        weighted.filter(|(fault, _)| lies || *fault != Fault::WrongState).collect()
    }

    /// Whether there are no faults at all.
    pub fn is_none(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 0)
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    format!(
        "there is no fault `{name}`: use all, none, a group (links, partitions, crashes, nodes, disks) or one of {}",
        names.join(", ")
    )
}

impl std::fmt::Display for FaultMix {
    /// The list that [`FaultMix::parse`] turns into this mix again.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::default() {
            return f.write_str("all");
        }
        let named = Fault::ALL.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0);
        let list: Vec<_> = named
            .map(|(fault, weight)| {
                let usual = *weight == fault.default_weight();
                if usual { fault.name().to_owned() } else { format!("{}={weight}", fault.name()) }
            })
            .collect();
        f.write_str(if list.is_empty() { "none".to_owned() } else { list.join(",") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_stand_in_the_order_of_their_numbers() {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number, "{}", fault.name());
        }
    }

    #[test]
    fn lists_choose_and_leave_out() {
        let only = FaultMix::parse("partitions,loss=3").unwrap();
        assert!(only.has(Fault::Ring) && only.has(Fault::Loss) && !only.has(Fault::Kill));
        let without = FaultMix::parse("-crashes,-rot").unwrap();
        assert!(without.has(Fault::Pause) && !without.has(Fault::Kill) && !without.has(Fault::Rot));
        assert!(FaultMix::parse("rings").unwrap_err().contains("there is no fault `rings`"));
        assert_eq!(FaultMix::parse("none").unwrap(), FaultMix::none());
    }

    #[test]
    fn a_mix_is_printed_as_a_list_that_gives_it_again() {
        for list in ["all", "none", "-crashes", "loss=3,ring", "disks,kill"] {
            let mix = FaultMix::parse(list).unwrap();
            assert_eq!(FaultMix::parse(&mix.to_string()).unwrap(), mix, "{list}");
        }
    }
}
