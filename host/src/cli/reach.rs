//! How a subcommand finds the host that runs: by its configuration, its socket, or its address.
//!
//! Entry type: [`Reach`], to be flattened into a subcommand's arguments; [`Reach::ask`] runs what it asks.

use std::path::PathBuf;

use anyhow::{Context, anyhow};

use super::Failure;
use crate::admin::{Client, ClientError};
use crate::config::admin_socket;

/// Which host.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// The configuration that the host runs with.
    #[arg(long, value_name = "FILE", default_value = "callbox.toml", conflicts_with_all = ["socket", "url"])]
    config: PathBuf,
    /// The socket of its admin API.
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    socket: Option<PathBuf>,
    /// The address of its admin API.
    #[arg(long, value_name = "http://ADDRESS:PORT", requires = "token_env")]
    url: Option<String>,
    /// The environment variable that holds the token for --url.
    #[arg(long, value_name = "VARIABLE", requires = "url")]
    token_env: Option<String>,
}

impl Reach {
    /// The host that runs with this configuration.
    pub(super) fn of(config: PathBuf) -> Self {
        Self {
            config,
            socket: None,
            url: None,
            token_env: None,
        }
    }

    /// Asks the host. What it refuses is exit status 1, what cannot be asked 2.
    pub(super) fn ask<T>(
        &self,
        what: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let client = self.client().map_err(Failure::NotTried)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot wait for an answer")?;
        runtime.block_on(what(&client)).map_err(|error| match error {
            ClientError::Problem(problem) => {
                Failure::Failed(anyhow!("{}", super::table::plain(&problem.to_string())))
            }
            error => Failure::NotTried(error.into()),
        })
    }

    fn client(&self) -> anyhow::Result<Client> {
        if let (Some(url), Some(variable)) = (&self.url, &self.token_env) {
            let token = std::env::var(variable).with_context(|| {
                format!("{variable} is not in the environment, or not UTF-8 (--token-env)")
            })?;
            return Ok(Client::url(url, token)?);
        }
        if let Some(socket) = &self.socket {
            return Ok(Client::socket(socket.clone()));
        }
        let socket = admin_socket(&self.config).context(
            "cannot find the host: name its configuration with --config, or its socket with --socket",
        )?;
        Ok(Client::socket(socket))
    }
}
