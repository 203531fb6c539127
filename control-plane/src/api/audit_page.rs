//! The page on which an auditor verifies an export of the trail, in their own browser.
//!
//! It is made of WebAssembly (`cargo xtask verifier`), which no build of this server makes,
//! so it is a file beside the program, and a server without it says so.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OnceCell;

/// Name of the file.
const FILE: &str = "kya-audit-verify.html";
/// Larger than it is ever.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// What the page may do is said in it, by the hashes of its scripts; this is what a page
/// cannot say of itself, and what holds whatever file stands there.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static PAGE: OnceCell<Bytes> = OnceCell::const_new();

/// It holds no secret and nothing of this installation, so it takes no key.
pub(super) async fn serve() -> Response {
    let place = std::env::current_exe().map(|program| program.with_file_name(FILE));
    page(&PAGE, place).await
}

async fn page(cell: &OnceCell<Bytes>, place: io::Result<PathBuf>) -> Response {
    match cell.get_or_try_init(|| async { read(&place?).await }).await {
        Ok(page) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (headers, page.clone()).into_response()
        }
        Err(_) => {
            let text = format!(
                "There is no {FILE} beside the program of this server. `cargo xtask verifier` makes it; it is one file, which also works when it is opened from a disk.\n"
            );
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

async fn read(path: &Path) -> io::Result<Bytes> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        if std::fs::metadata(&path)?.len() > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read(&path)
    });
    read.await.map_err(io::Error::other)?.map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_is_served_when_it_is_there() {
        let (cell, folder) = (OnceCell::new(), tempfile::tempdir().unwrap());
        let place = || Ok(folder.path().join(FILE));
        let missing = page(&cell, place()).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        std::fs::write(folder.path().join(FILE), "<!doctype html>").unwrap();
        let served = page(&cell, place()).await;
        assert_eq!(served.status(), StatusCode::OK);
        let policy = served.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert_eq!(served.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[tokio::test]
    async fn what_is_no_page_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join(FILE)).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let answer = page(&OnceCell::new(), Ok(folder.path().join(FILE))).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}
