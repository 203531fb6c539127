//! Chromium without a window, steered by its DevTools protocol over two pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use kya_core::testing::audit::audit_key;

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    last: u64,
    complaints: Vec<String>,
    folder: TempDir,
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
    pub fn start(page: &Path) -> Self {
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
        let (session, complaints) = (None, Vec::new());
        let mut it = Self { child, to, from, session, last: 0, complaints, folder };
        let address = format!("file://{}", page.display());
        let target = it.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = it.ask("Target.attachToTarget", attach);
        it.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable", "DOM.enable"] {
            it.ask(domain, json!({}));
        }
        it.ask("Page.navigate", json!({ "url": address }));
        it.until("Page.loadEventFired");
        it
    }

    /// Chooses these files, types the key, presses the button: the report, and what is shown.
    pub fn verify(&mut self, file: &[u8], checkpoints: &[String]) -> (Value, String) {
        let export = self.written("trail.jsonl", file);
        let kept = checkpoints.iter().enumerate();
        let kept: Vec<_> =
            kept.map(|(n, it)| self.written(&format!("{n}.checkpoint"), it.as_bytes())).collect();
        self.evaluate("document.getElementById('form').reset()");
        self.choose("#file", &[export]);
        self.choose("#checkpoints", &kept);
        self.evaluate(&format!("document.getElementById('keys').value = '{}'", audit_key(1)));
        self.press()
    }

    /// Chooses this export alone.
    pub fn choose_export(&mut self, file: &[u8]) {
        let export = self.written("trail.jsonl", file);
        self.choose("#file", &[export]);
    }

    /// Presses the button and waits for what comes of it.
    pub fn press(&mut self) -> (Value, String) {
        self.after("document.getElementById('verify').click()")
    }

    /// Does this and waits for what comes of it: the report, and what is shown.
    pub fn after(&mut self, what: &str) -> (Value, String) {
        let report = self.evaluate(&format!(
            "new Promise((done) => {{
               document.addEventListener('kya-verified', (it) => done(it.detail), {{ once: true }});
               {what};
             }})"
        ));
        let shown = self.evaluate("document.getElementById('result').innerText");
        let report = report.as_str().map_or(Value::Null, |it| serde_json::from_str(it).unwrap());
        (report, shown.as_str().unwrap().to_owned())
    }

    /// What an expression is, once it is settled.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let it = self.ask("Runtime.evaluate", asked);
        assert_eq!(it["exceptionDetails"], Value::Null, "{expression}");
        it["result"]["value"].clone()
    }

    /// What the browser said on the console: what a page may not do, for example.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }

    fn written(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn choose(&mut self, input: &str, files: &[PathBuf]) {
        let root = self.ask("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let node = self.ask("DOM.querySelector", json!({ "nodeId": root, "selector": input }));
        let asked = json!({ "nodeId": node["nodeId"], "files": files });
        self.ask("DOM.setFileInputFiles", asked);
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

    fn until(&mut self, event: &str) {
        while self.next()["method"] != event {}
    }

    fn next(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&message).unwrap();
        let method = message["method"].as_str().unwrap_or_default();
        if matches!(
            method,
            "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown"
        ) {
            self.complaints.push(message["params"].to_string());
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
