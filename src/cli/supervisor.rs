//! `supervisor`: what `cluster up` starts in the background.

use std::io::Write;

use clap::Args;

use super::cluster::WishArgs;
use super::{CliError, CliResult, Context, interrupted, logging};
use crate::cluster::{self, Boot, Reply};

/// Arguments of `supervisor`.
#[derive(Debug, Args)]
pub struct SupervisorArgs {
    #[command(flatten)]
    wish: WishArgs,
}

/// Runs a supervisor until it is asked to end. What happens until the cluster serves is told on standard output, as
/// replies of the supervisor's protocol, one a line.
pub(super) async fn run(context: &mut Context<'_>, args: SupervisorArgs) -> CliResult {
    // Out of the session of whoever started it: a Ctrl-C or a closed terminal there is not for us. It fails only for a
    // process that leads a session already, which is as good.
    let _ = nix::unistd::setsid();
    let interrupted = interrupted()?;
    let _log = logging::start(context.log.as_deref(), "info", None)?;
    let boot = boot(context, &args.wish)?;
    let tell = |reply: &Reply| {
        let text = serde_json::to_string(reply).unwrap_or_default();
        // Whoever started us may be gone; the cluster comes up all the same.
        let _ = writeln!(std::io::stdout(), "{text}");
    };
    let progress = |text: String| tell(&Reply::Progress { text });
    let ended = cluster::run(boot, interrupted, &progress, |info| tell(&Reply::Done { info })).await;
    if let Err(error) = &ended {
        tell(&Reply::Failed { error: error.clone() });
    }
    Ok(ended?)
}

/// What to bring up, from the command line.
pub(super) fn boot(context: &Context<'_>, wish: &WishArgs) -> CliResult<Boot> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find this program's own file: {error}")))?;
    let (in_process, fresh, wish) = (wish.in_process, wish.fresh, wish.to_wish()?);
    let name = match &context.name {
        Some(name) => name.clone(),
        None => wish.default_name()?,
    };
    let dir = context.state()?.cluster(&name)?;
    Ok(Boot { dir, wish, in_process, fresh, program, log: context.log.clone() })
}
