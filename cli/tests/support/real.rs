//! A real control plane, and `kya` as its admin.

use std::process::Child;

use kya_control_plane::config::Config;
use kya_control_plane::{RunningServer, Server};
use serde_json::Value;

use super::process::{Ended, command, end};

/// It has a directory of its own, and ends with the test.
pub struct Real {
    pub server: RunningServer,
    pub url: String,
    /// That of the admin.
    pub key: String,
    _data: tempfile::TempDir,
}

impl Real {
    pub async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(Config::ephemeral(data.path())).await.unwrap();
        let key = std::fs::read_to_string(data.path().join("admin.key")).unwrap();
        let url = format!("http://{}", server.http_addr);
        Self { server, url, key: key.trim().to_owned(), _data: data }
    }

    /// `kya`, which goes on.
    pub fn spawn(&self, args: &[&str]) -> Child {
        command(&self.url, args).env("KYA_TOKEN", &self.key).spawn().unwrap()
    }

    /// `kya`, while the control plane goes on.
    pub async fn kya(&self, args: &[&str]) -> Ended {
        self.kya_as(&self.key, args).await
    }

    /// The same with the key of somebody else.
    pub async fn kya_as(&self, key: &str, args: &[&str]) -> Ended {
        let child = command(&self.url, args).env("KYA_TOKEN", key.trim()).spawn().unwrap();
        tokio::task::spawn_blocking(|| end(child)).await.unwrap()
    }

    /// What it prints with `-o json`.
    pub async fn json(&self, args: &[&str]) -> Value {
        let ended = self.kya(&[&["-o", "json"], args].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }
}
