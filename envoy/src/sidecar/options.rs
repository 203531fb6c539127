use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::Artifacts;
use crate::bootstrap::Bootstrap;

/// One sidecar to be.
#[derive(Debug, Clone)]
pub struct SidecarOptions {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// Worker threads.
    pub workers: u32,
    /// The service behind it.
    pub upstream: SocketAddr,
    /// The gRPC address of the control plane.
    pub control_plane: SocketAddr,
    /// The HTTP address of the control plane.
    pub control_plane_http: SocketAddr,
    /// Whose signed updates count.
    pub update_key: String,
    /// By which it authenticates to the control plane.
    pub node_credential: String,
    /// What is different from what is shipped.
    pub changes: Changes,
}

/// What a test changes in a sidecar. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Another filter than the one that was built.
    pub filter_wasm: Option<PathBuf>,
    /// Where agents connect, instead of any free port.
    pub listen: Option<SocketAddr>,
    /// Texts of the bootstrap, each there exactly once, and what takes their place.
    pub replace: Vec<(String, String)>,
    /// The listener is in a file of its own: [`Sidecar::listener_file`](crate::Sidecar::listener_file).
    pub listener_file: bool,
    /// Hot restart is possible, and this is the number of those that came before.
    pub restart_epoch: Option<u32>,
    /// Arguments of Envoy beside the usual ones.
    pub arguments: Vec<String>,
    /// Variables of its environment beside the usual ones.
    pub environment: Vec<(String, String)>,
}

impl Changes {
    /// The same with `to` in the place of `from` in the bootstrap.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        self.replace.push((from.to_owned(), to.to_owned()));
        self
    }

    /// The same with an argument of Envoy and its value.
    pub fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }
}

impl SidecarOptions {
    /// The shipped bootstrap with these options, before [`Changes::replace`].
    ///
    /// # Errors
    /// When the filter was not built.
    pub fn bootstrap(&self, artifacts: &Artifacts) -> Result<Bootstrap> {
        let filter_wasm = match &self.changes.filter_wasm {
            Some(path) => path.clone(),
            None => artifacts.filter_wasm()?,
        };
        Ok(Bootstrap {
            node_id: self.node_id.clone(),
            node_cluster: "payments".into(),
            listen: self.changes.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
            admin_port: 0,
            upstream: self.upstream,
            control_plane: self.control_plane,
            control_plane_http: self.control_plane_http,
            filter_wasm,
            update_key: self.update_key.clone(),
        })
    }

    /// What Envoy is to read.
    ///
    /// # Errors
    /// When the filter was not built, or a text to be replaced is not there once.
    pub fn yaml(&self, artifacts: &Artifacts) -> Result<String> {
        let mut yaml = self.bootstrap(artifacts)?.render_file(&artifacts.bootstrap())?;
        for (from, to) in &self.changes.replace {
            let count = yaml.matches(from.as_str()).count();
            ensure!(count == 1, "{from:?} is {count} times in the bootstrap");
            yaml = yaml.replace(from, to);
        }
        Ok(yaml)
    }
}
