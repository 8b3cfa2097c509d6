//! What every subcommand works with.

use std::env;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::args::Global;
use super::{CliError, CliResult, Exit, Output, logging};
use crate::cluster::{Cluster, ClusterDir, Error, ErrorKind, StateDir};
use crate::config::ConfigError;
use crate::wal::WalError;

/// What every subcommand works with.
pub struct Context<'a> {
    /// Where its facts and talk go.
    pub out: &'a mut Output,
    /// The directory of all clusters, or why there is none; only some commands need it.
    state: Result<StateDir, Error>,
    /// The cluster that was chosen by name.
    pub name: Option<String>,
    /// Which events are wanted in logs.
    pub log: Option<String>,
}

impl<'a> Context<'a> {
    pub(super) fn new(global: &Global, out: &'a mut Output) -> CliResult<Self> {
        logging::check(global.log.as_deref())?;
        Ok(Self {
            out,
            state: StateDir::new(global.state_dir.clone().or_else(state_dir_of_environment)),
            name: global.cluster.clone(),
            log: global.log.clone(),
        })
    }

    /// The directory of all clusters.
    pub fn state(&self) -> CliResult<&StateDir> {
        self.state.as_ref().map_err(|error| error.clone().into())
    }

    /// The chosen cluster, which must run.
    pub async fn cluster(&self) -> CliResult<Cluster> {
        Ok(Cluster::choose(self.state()?, self.name.as_deref()).await?)
    }

    /// The directory of the chosen cluster, which need not run.
    pub fn dir(&self) -> CliResult<ClusterDir> {
        Ok(self.state()?.choose(self.name.as_deref())?)
    }
}

/// The directory that the environment names. It is not the parser that looks: what it takes from there it shows in its
/// usage lines as if it had been typed.
fn state_dir_of_environment() -> Option<PathBuf> {
    env::var_os("CONSENSUSCTL_STATE_DIR").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Waits for Ctrl-C or SIGTERM. From the moment this is called (not awaited) they no longer end the process.
pub fn interrupted() -> CliResult<impl Future<Output = ()>> {
    let listen =
        |kind| signal(kind).map_err(|error| CliError::failed(format!("cannot listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A Ctrl-C or SIGTERM that several can hear of, now or later. While this is held they do not end the process.
#[derive(Debug)]
pub struct Interrupt {
    came: watch::Receiver<bool>,
    listening: JoinHandle<()>,
}

impl Interrupt {
    /// Begins to listen.
    pub fn listen() -> CliResult<Self> {
        let interrupted = interrupted()?;
        let (interrupt, came) = watch::channel(false);
        let listening = tokio::spawn(async move {
            interrupted.await;
            interrupt.send_replace(true);
            // Kept until the end: a channel that closes says nothing.
            std::future::pending::<()>().await;
        });
        Ok(Self { came, listening })
    }

    /// Turns true when it comes.
    pub fn told(&self) -> watch::Receiver<bool> {
        self.came.clone()
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        *self.came.borrow()
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Failed => Exit::Failed,
            ErrorKind::Partial => Exit::Partial,
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Unreachable => Exit::Unreachable,
        };
        Self { message: error.message, hint: error.hint, exit }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Error::from(error).into()
    }
}

impl From<WalError> for CliError {
    fn from(error: WalError) -> Self {
        Self::failed(error.to_string())
    }
}
