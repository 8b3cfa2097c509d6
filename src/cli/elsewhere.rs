//! Looking at clusters whose nodes somebody else started, as on several hosts.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, CliResult, Context};
use crate::cluster::Watched;
use crate::config::ClusterConfig;

/// The options that choose such a cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct ElsewhereArgs {
    /// The configuration of a cluster whose nodes were started with `node`, on any host
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Nodes of such a cluster, as host:port, separated by commas; they name the others
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', conflicts_with = "config")]
    endpoints: Vec<String>,
}

impl ElsewhereArgs {
    /// The cluster that was chosen; without these options, one of this machine.
    pub(super) async fn watched(&self, context: &mut Context<'_>) -> CliResult<Watched> {
        if self.config.is_none() && self.endpoints.is_empty() {
            return Ok(Watched::Supervised(context.cluster().await?));
        }
        not_by_name(context)?;
        if let Some(file) = &self.config {
            return Ok(Watched::from(&ClusterConfig::load(file)?));
        }
        let (watched, silent) = Watched::at(&self.endpoints).await?;
        for warning in silent {
            context.out.warn(&warning);
        }
        Ok(watched)
    }
}

/// A cluster is chosen in one way.
pub(super) fn not_by_name(context: &Context<'_>) -> CliResult {
    match &context.name {
        None => Ok(()),
        Some(name) => Err(CliError::usage(format!(
            "--cluster {name} names a cluster of this machine, and another option a cluster anywhere"
        ))
        .hint("remove one of them")),
    }
}
