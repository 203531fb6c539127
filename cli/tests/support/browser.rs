//! Chromium without a window, steered by its DevTools protocol over two pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    last: u64,
    /// What it said on the console.
    pub complaints: Vec<String>,
    /// What was asked for, the page itself included.
    pub requests: Vec<String>,
    _folder: TempDir,
}

/// Reads the descriptors 3 and 4, which are named pipes here: what is to be done, and what
/// was.
const START: &str = r#"exec "$0" "$@" 3<to 4>from"#;
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "about:blank",
];

impl Browser {
    /// Opens a file in it.
    pub fn open(page: &Path) -> Self {
        let chromium = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("chromium");
        assert!(chromium.exists(), "there is no {}: run `cargo xtask setup`", chromium.display());
        let folder = tempfile::tempdir().unwrap();
        let pipes = ["to", "from"].map(|it| folder.path().join(it));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        let child = Command::new("sh")
            .args(["-c", START])
            .arg(chromium)
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .args(ARGUMENTS)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each waits for the other end.
        let to = OpenOptions::new().write(true).open(&pipes[0]).unwrap();
        let from = BufReader::new(File::open(&pipes[1]).unwrap());
        let (complaints, requests) = (Vec::new(), Vec::new());
        let mut it =
            Self { child, to, from, session: None, last: 0, complaints, requests, _folder: folder };
        let target = it.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = it.ask("Target.attachToTarget", attach);
        it.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable", "Network.enable"] {
            it.ask(domain, json!({}));
        }
        it.ask("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        while it.next()["method"] != "Page.loadEventFired" {}
        it
    }

    /// What an expression is.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let it = self.ask("Runtime.evaluate", asked);
        assert_eq!(it["exceptionDetails"], Value::Null, "{expression}");
        it["result"]["value"].clone()
    }

    /// A picture of the page, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let it = self.ask("Page.captureScreenshot", asked);
        base64::prelude::BASE64_STANDARD.decode(it["data"].as_str().unwrap()).unwrap()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        loop {
            let message = self.next();
            if message["id"] == self.last {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
        }
    }

    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&message).unwrap();
        match message["method"].as_str().unwrap_or_default() {
            "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => {
                self.complaints.push(message["params"].to_string());
            }
            "Network.requestWillBeSent" => {
                let url = message["params"]["request"]["url"].as_str();
                self.requests.push(url.unwrap_or_default().to_owned());
            }
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The shell has become the browser, whose other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
