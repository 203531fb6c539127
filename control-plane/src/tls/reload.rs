//! Certificates that are replaced while the server runs.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::Tls;
use super::files::{Content, TlsError};

impl Tls {
    /// Looks at the files again and again, and takes them over when their content
    /// has changed. What cannot be used changes nothing: it is logged, once, and
    /// the certificates from before stay. Never returns.
    pub(crate) async fn follow_files(self: Arc<Self>, interval: Duration) {
        if self.files.key_is_public() {
            let key = self.files.key.display();
            tracing::warn!("every user of this machine can read the private key in {key}");
        }
        // What was loaded at the start is loaded once more, which changes nothing.
        let mut seen = None;
        loop {
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || files.read()).await;
            if let Ok(content) = read
                && seen.as_ref() != Some(&content)
            {
                self.take_over(&content, seen.is_some());
                seen = Some(content);
            }
            sleep(interval).await;
        }
    }

    fn take_over(&self, content: &Result<Content, TlsError>, changed: bool) {
        let (listener, cert) = (self.listener.name(), self.files.cert.display());
        let made = content.as_ref().map_err(TlsError::clone);
        let made = made.and_then(|content| Ok((content, content.config(self.listener.alpn())?)));
        match made {
            Ok((content, config)) => {
                self.note_expiry(content);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                if changed {
                    tracing::info!(listener, %cert, "took over new certificates");
                }
            }
            Err(error) => {
                self.metrics.tls_files_refused(listener);
                tracing::error!(listener, %error, "kept the certificates from before");
            }
        }
    }
}
