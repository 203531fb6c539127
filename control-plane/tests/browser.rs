//! The page of the HTTP API in a browser: the Chromium that `cargo xtask setup` has found or
//! installed.

use std::path::Path;
use std::process::{Output, Stdio};

use reqwest::Method;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{ControlPlane, PATIENCE};

/// Nothing of it asks anybody else, and nothing of it is left.
const ARGUMENTS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--dump-dom",
];

/// The page at `address` as a browser has understood it, and what the browser says.
async fn open(address: &str) -> Output {
    let chromium = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("chromium");
    assert!(chromium.exists(), "there is no {}: run `cargo xtask setup`", chromium.display());
    let profile = tempfile::tempdir().unwrap();
    let child = Command::new(chromium)
        .args(ARGUMENTS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its other processes end with it.
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    output.expect("the browser should open a page in time").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_every_operation_and_breaks_no_rule_of_its_own() {
    let plane = ControlPlane::start().await;
    let document = plane.api.get("/openapi.json").await.expect(200);
    let opened = open(&format!("{}/docs", plane.api.base)).await;
    let (page, said) =
        (String::from_utf8_lossy(&opened.stdout), String::from_utf8_lossy(&opened.stderr));
    assert!(opened.status.success(), "{said}");

    let mut shown = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let id = operation["operationId"].as_str().unwrap();
            let line = format!(
                "<details id=\"{id}\"><summary><b>{method}</b> <code>{path}</code> <span>{}</span></summary>",
                operation["summary"].as_str().unwrap()
            );
            assert!(page.contains(&line), "{line} is not in the page: {page}");
            shown += 1;
        }
    }
    // A section each, and those of the schemas.
    let schemas = document["components"]["schemas"].as_object().unwrap().len();
    assert_eq!(page.matches("<details ").count(), shown + schemas);

    // A browser says on the console what a page may not load.
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
