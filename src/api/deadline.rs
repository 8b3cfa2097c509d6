//! [`Deadline`]: an answer before the caller gives up.
//!
//! A caller says with `grpc-timeout` how long it waits. When nothing is heard until then, its library makes up an error of
//! its own, in which the reason is lost: that there is no leader, say. So the answer goes out a little earlier. Callers
//! that say nothing are answered after the request time-out of the cluster.

use std::time::Duration;

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::executor::{Answered, Executor};

/// Where a caller says how long it waits: the gRPC protocol over HTTP/2, "Requests".
const HEADER: &str = "grpc-timeout";
/// How much earlier than that it is answered, so that the answer arrives in time: a tenth, but no more than this.
const MARGIN: Duration = Duration::from_millis(250);

/// How long a caller may be kept waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline(Option<Duration>);

impl Deadline {
    /// What the caller said. What cannot be read says nothing.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let said = metadata.get(HEADER).and_then(|value| duration(value.to_str().ok()?));
        Self(said.map(|time| time.saturating_sub((time / 10).min(MARGIN))))
    }

    /// The answer, or once the time is up, why there is none yet. `writes` is whether it may be carried out all the same.
    pub(super) async fn keep(
        self,
        executor: &Executor,
        writes: bool,
        answer: impl Future<Output = Answered>,
    ) -> Answered {
        let Some(time) = self.0 else { return answer.await };
        match tokio::time::timeout(time, answer).await {
            Ok(answered) => answered,
            Err(_) => Err(executor.overdue(writes).await),
        }
    }
}

/// Reads at most eight digits and a unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

impl Executor {
    /// Why a caller has no answer when its time is up.
    async fn overdue(&self, writes: bool) -> Status {
        match self {
            Self::Node(node) => {
                let leaderless = node.status(false).await.is_ok_and(|status| status.status.leader.is_none());
                super::errors::overdue(leaderless, writes)
            }
            // Who leads is one replica's word there.
            Self::Gateway(_) => super::errors::overdue(false, writes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_answered_a_little_before_it_gives_up() {
        let deadline = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert(HEADER, text.parse().unwrap());
            Deadline::of(&metadata).0
        };
        let millis = |number| Some(Duration::from_millis(number));
        assert_eq!(deadline("5S"), millis(4750));
        assert_eq!(deadline("4999939u"), Some(Duration::from_micros(4_749_939)));
        assert_eq!(deadline("100m"), millis(90));
        assert_eq!(deadline("1H"), millis(3_600_000 - 250));
        assert_eq!(deadline("2M"), millis(120_000 - 250));
        assert_eq!(deadline("1000n"), Some(Duration::from_nanos(900)));
        assert_eq!(deadline("0S"), Some(Duration::ZERO));
        for wrong in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "5 S"] {
            assert_eq!(deadline(wrong), None, "{wrong:?}");
        }
        assert_eq!(Deadline::of(&MetadataMap::new()), Deadline(None));
    }
}
