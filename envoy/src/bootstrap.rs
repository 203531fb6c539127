use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What `envoy/sidecar.yaml` leaves open.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Envoy's `node.id`, unique in the fleet.
    pub node_id: String,
    /// Envoy's `node.cluster`.
    pub node_cluster: String,
    /// Where agents connect; port 0 for any free one.
    pub listen: SocketAddr,
    /// Port of the admin page; 0 for any free one.
    pub admin_port: u16,
    /// The service that is protected.
    pub upstream: SocketAddr,
    /// The gRPC address of the control plane.
    pub control_plane: SocketAddr,
    /// The HTTP address of the control plane.
    pub control_plane_http: SocketAddr,
    /// The compiled filter.
    pub filter_wasm: PathBuf,
    /// Whose signed updates count: `ed25519:…`.
    pub update_key: String,
}

impl Bootstrap {
    /// Fills in `template`.
    ///
    /// # Errors
    /// When a value could change the shape of the file, or a placeholder is
    /// left that nothing fills.
    pub fn render(&self, template: &str) -> Result<String> {
        let mut yaml = template.to_owned();
        for (name, value) in self.values() {
            if value.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
                bail!("{name} must hold no quotes, backslashes or control characters: {value:?}");
            }
            yaml = yaml.replace(&format!("${{{name}}}"), &value);
        }
        let open = yaml
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .find(|line| line.contains("${"));
        match open {
            Some(line) => bail!("a placeholder was left open: {}", line.trim()),
            None => Ok(yaml),
        }
    }

    /// Fills in the template at `path`.
    pub fn render_file(&self, path: &Path) -> Result<String> {
        let template = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the bootstrap {}", path.display()))?;
        self.render(&template)
    }

    fn values(&self) -> [(&'static str, String); 13] {
        [
            ("KYA_NODE_ID", self.node_id.clone()),
            ("KYA_NODE_CLUSTER", self.node_cluster.clone()),
            ("KYA_LISTEN_ADDRESS", self.listen.ip().to_string()),
            ("KYA_LISTEN_PORT", self.listen.port().to_string()),
            ("KYA_ADMIN_PORT", self.admin_port.to_string()),
            ("KYA_UPSTREAM_ADDRESS", self.upstream.ip().to_string()),
            ("KYA_UPSTREAM_PORT", self.upstream.port().to_string()),
            ("KYA_CONTROL_PLANE_HOST", self.control_plane.ip().to_string()),
            ("KYA_CONTROL_PLANE_PORT", self.control_plane.port().to_string()),
            ("KYA_CONTROL_PLANE_HTTP_HOST", self.control_plane_http.ip().to_string()),
            ("KYA_CONTROL_PLANE_HTTP_PORT", self.control_plane_http.port().to_string()),
            ("KYA_FILTER_WASM", self.filter_wasm.display().to_string()),
            ("KYA_UPDATE_KEY", self.update_key.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Artifacts;

    fn bootstrap() -> Bootstrap {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Bootstrap {
            node_id: "payments-1".into(),
            node_cluster: "payments".into(),
            listen: loopback(0),
            admin_port: 0,
            upstream: loopback(3000),
            control_plane: loopback(7081),
            control_plane_http: loopback(7080),
            filter_wasm: "/etc/kya/kya_filter.wasm".into(),
            update_key: "ed25519:AAAA".into(),
        }
    }

    #[test]
    fn every_value_finds_its_place_in_the_shipped_file() {
        let template = std::fs::read_to_string(Artifacts::debug().bootstrap()).unwrap();
        for (name, _) in bootstrap().values() {
            assert!(template.contains(&format!("${{{name}}}")), "{name} is used nowhere");
            assert!(template.contains(&format!("export {name}=")), "{name} is explained nowhere");
        }
        assert!(bootstrap().render(&template).is_ok());
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let said = bootstrap().render("port: ${KYA_OTHER}").unwrap_err().to_string();
        assert!(said.contains("${KYA_OTHER}"), "{said}");
    }

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let mut sly = bootstrap();
        sly.node_id = "x\", admin: \"".into();
        assert!(sly.render("id: \"${KYA_NODE_ID}\"").is_err());
        sly.node_id = "x\nadmin:".into();
        assert!(sly.render("id: \"${KYA_NODE_ID}\"").is_err());
    }
}
