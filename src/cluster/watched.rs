//! A cluster that somebody looks at: one that a supervisor of this machine runs, or one whose nodes others started.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::POLL;
use super::{Cluster, ClusterStatus, Condition, Error, Result, Roster, Surveyor};
use crate::client::{ControlClient, Error as ClientError, NodeReport};
use crate::config::ClusterConfig;

/// How long a node has to say who belongs to its cluster.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster that can be looked at.
#[derive(Debug)]
pub enum Watched {
    /// Its supervisor is asked, too.
    Supervised(Cluster),
    /// Only its nodes are asked.
    Unwatched(Unwatched),
}

/// A cluster whose nodes somebody else started.
#[derive(Debug)]
pub struct Unwatched {
    roster: Roster,
    surveyor: Surveyor,
}

impl From<&ClusterConfig> for Watched {
    fn from(config: &ClusterConfig) -> Self {
        Self::unwatched(config.into())
    }
}

impl Watched {
    fn unwatched(roster: Roster) -> Self {
        Self::Unwatched(Unwatched { roster, surveyor: Surveyor::default() })
    }

    /// The cluster of the nodes at these addresses, all its members included. Answers also what to say of addresses that
    /// did not answer.
    ///
    /// # Errors
    /// If nobody answers, or nodes of several clusters do.
    pub async fn at(endpoints: &[String]) -> Result<(Self, Vec<String>)> {
        let mut asked = Vec::new();
        for endpoint in endpoints {
            let client = ControlClient::new(endpoint).map_err(|error| Error::usage(error.to_string()))?;
            let client = client.with_timeout(ANSWER_TIMEOUT);
            asked.push((endpoint, tokio::spawn(async move { who_is_there(&client).await })));
        }
        let (mut found, mut silent) = (Vec::new(), Vec::new());
        for (endpoint, answer) in asked {
            match answer.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(there) => found.push((endpoint, there)),
                Err(why) => silent.push(format!("no answer from {why}")),
            }
        }
        let Some((first, (report, members))) = found.first().cloned() else {
            return Err(Error::unreachable(silent.join("; "))
                .hint("name nodes that run, as --endpoints host1:5001,host2:5001"));
        };
        if let Some((endpoint, (other, _))) =
            found.iter().find(|(_, (other, _))| other.cluster_id != report.cluster_id)
        {
            return Err(Error::usage(format!(
                "{first} is a node of {}, and {endpoint} of another cluster, {} (ids {:x} and {:x})",
                report.cluster_name, other.cluster_name, report.cluster_id, other.cluster_id
            ))
            .hint("name nodes of one cluster"));
        }
        let mut addresses: BTreeMap<u64, String> = members.into_iter().collect();
        // Where it was reached is better than where others of the cluster reach it.
        addresses.extend(found.iter().map(|(endpoint, (report, _))| (report.id, (*endpoint).clone())));
        let roster = Roster::unwatched(report.cluster_name, report.protocol, report.cluster_id, addresses);
        Ok((Self::unwatched(roster), silent))
    }

    /// Whom to ask, as it is known now.
    pub async fn roster(&self) -> Result<Roster> {
        match self {
            Self::Supervised(cluster) => Ok(cluster.info().await?.into()),
            Self::Unwatched(Unwatched { roster, .. }) => Ok(roster.clone()),
        }
    }

    /// How the cluster is.
    pub async fn status(&mut self, with_digest: bool) -> Result<ClusterStatus> {
        match self {
            Self::Supervised(cluster) => cluster.status(with_digest).await,
            Self::Unwatched(Unwatched { roster, surveyor }) => Ok(surveyor.survey(roster, with_digest).await),
        }
    }

    /// Waits until all of `conditions` hold at once. The error says what is missing.
    pub async fn wait(&mut self, conditions: &[Condition], limit: Duration) -> Result<ClusterStatus> {
        if let Self::Supervised(cluster) = self {
            return cluster.wait(conditions, limit).await;
        }
        let hint = "wait longer with --timeout, or see more with `status` and the same options";
        let held = until(conditions, limit, async |with_digest| self.status(with_digest).await).await?;
        held.map_err(|missing| missing.hint(hint))
    }
}

type Members = Vec<(u64, String)>;

async fn who_is_there(client: &ControlClient) -> std::result::Result<(NodeReport, Members), String> {
    let report = client.status(true).await.map_err(ClientError::of_one_node)?;
    let members = client.members().await.map_err(ClientError::of_one_node)?;
    Ok((report, members))
}

/// Asks again and again until all of `conditions` hold; else the inner error says what is missing after `limit`.
pub(super) async fn until(
    conditions: &[Condition],
    limit: Duration,
    mut ask: impl AsyncFnMut(bool) -> Result<ClusterStatus>,
) -> Result<Result<ClusterStatus>> {
    let with_digest = conditions.iter().any(|c| matches!(c, Condition::Converged | Condition::Healthy));
    let mut missing = "its nodes have not answered".to_owned();
    let held = async {
        loop {
            let status = ask(with_digest).await?;
            let lacking = conditions.iter().find_map(|condition| condition.missing(&status));
            match lacking {
                None => return Ok(status),
                Some(what) => missing = what,
            }
            tokio::time::sleep(POLL).await;
        }
    };
    if let Ok(held) = tokio::time::timeout(limit, held).await {
        return held.map(Ok);
    }
    let limit = humantime::format_duration(limit);
    Ok(Err(Error::failed(format!("after {limit} still {missing}"))))
}
