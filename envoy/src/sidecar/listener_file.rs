//! The listener in a file of its own, which Envoy reads again when it is
//! replaced (filesystem LDS): how a test changes it under traffic.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const LISTENERS: &str = "static_resources:\n  listeners:\n";
const CLUSTERS: &str = "\n  clusters:\n";
const ITEM: &str = "- name:";

/// A listener in a file that Envoy watches.
#[derive(Debug)]
pub struct ListenerFile {
    path: PathBuf,
    text: String,
    version: u32,
}

impl ListenerFile {
    /// Takes the one listener out of `bootstrap` and puts it into a file at
    /// `path`; returns it beside the bootstrap that names the file.
    ///
    /// # Errors
    /// When the bootstrap does not have the shape of `sidecar.yaml`.
    pub(super) fn split(bootstrap: &str, path: &Path) -> Result<(String, Self)> {
        let (before, rest) = bootstrap.split_once(LISTENERS).context("there are no listeners")?;
        let (listener, after) = rest.split_once(CLUSTERS).context("there are no clusters")?;
        // `  - name: …` becomes `- name: …`.
        let listener: String = listener
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
            .collect();
        ensure!(listener.matches(ITEM).count() > 0 && listener.starts_with(ITEM), "not a list");
        let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
        let listener = listener.replacen(ITEM, &format!("- \"@type\": {kind}\n  name:"), 1);
        let lds = format!(
            "dynamic_resources:\n  lds_config:\n    resource_api_version: V3\n    \
             path_config_source: {{ path: \"{}\" }}\n",
            path.display()
        );
        let bootstrap = format!("{before}{lds}\nstatic_resources:{CLUSTERS}{after}");
        let file = Self { path: path.to_owned(), text: listener, version: 0 };
        file.write()?;
        Ok((bootstrap, file))
    }

    /// Puts `to` in the place of `from` in the listener, and the file in the
    /// place of the old one. Envoy takes it up a moment later.
    ///
    /// # Errors
    /// When `from` is not in it exactly once.
    pub fn change(&mut self, from: &str, to: &str) -> Result<()> {
        let count = self.text.matches(from).count();
        ensure!(count == 1, "{from:?} is {count} times in the listener");
        self.text = self.text.replace(from, to);
        self.version += 1;
        self.write()
    }

    /// Envoy looks only when the file is replaced as a whole.
    fn write(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, format!("version_info: \"{}\"\nresources:\n{}", self.version, self.text))?;
        Ok(fs::rename(&new, &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Artifacts;

    #[test]
    fn the_shipped_bootstrap_comes_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("listener.yaml");
        let template = fs::read_to_string(Artifacts::debug().bootstrap()).unwrap();
        let (bootstrap, mut file) = ListenerFile::split(&template, &path).unwrap();
        assert!(bootstrap.contains("lds_config") && !bootstrap.contains("- name: kya_ingress"));
        assert!(bootstrap.contains("static_resources:\n  clusters:\n"), "{bootstrap}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("resources:\n- \"@type\": type.googleapis.com/"), "{text}");
        assert!(text.contains("\n  name: kya_ingress\n"), "{text}");

        file.change("vm_id: kya", "vm_id: other").unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("vm_id: other"));
        assert!(file.change("vm_id: kya", "vm_id: other").is_err());
    }
}
