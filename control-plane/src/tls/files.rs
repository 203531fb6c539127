//! The files of a listener's TLS, and what they make together.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kya_core::UnixSeconds;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

use super::validity::not_after;

/// More than any chain, key or set of authorities.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where a listener has its certificates from: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and after it the intermediate ones.
    pub cert: PathBuf,
    /// The private key of the first.
    pub key: PathBuf,
    /// The authorities of client certificates. If it is there, every client must
    /// show one.
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct TlsError {
    path: String,
    problem: String,
}

/// The content of the files at one moment.
#[derive(PartialEq, Eq)]
pub(super) struct Content {
    files: TlsFiles,
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsFiles {
    /// Checks the files without using them.
    ///
    /// # Errors
    /// What is wrong, and in which file.
    pub fn check(&self) -> Result<(), TlsError> {
        self.read()?.config(b"http/1.1").map(drop)
    }

    /// Reads the files as they are now.
    pub(super) fn read(&self) -> Result<Content, TlsError> {
        Ok(Content {
            files: self.clone(),
            cert: read(&self.cert)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// True when everybody on this machine can read the private key.
    pub(super) fn key_is_public(&self) -> bool {
        self.key.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
    }
}

impl Content {
    /// When the first certificate of the chain ends, if that can be read.
    pub(super) fn expires(&self) -> Option<UnixSeconds> {
        let chain = certificates(&self.files.cert, &self.cert).ok()?;
        chain.iter().filter_map(|certificate| not_after(certificate)).min()
    }

    /// TLS 1.2 and later with these certificates, for one protocol.
    pub(super) fn config(&self, alpn: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
        let TlsFiles { cert, key, client_ca } = &self.files;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(cert, error))?;
        let builder = match client_ca.as_ref().zip(self.client_ca.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((path, content)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, content)? {
                    roots.add(authority).map_err(|error| problem(path, error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| problem(path, error))?)
            }
        };
        let chain = certificates(cert, &self.cert)?;
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| problem(key, format!("no PEM private key in it: {error}")))?;
        let mut config = builder.with_single_cert(chain, private).map_err(|error| {
            problem(key, format!("does not fit the certificate in {}: {error}", cert.display()))
        })?;
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut content = Vec::new();
    let length = File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content))
        .map_err(|error| problem(path, error))?;
    match u64::try_from(length) {
        Ok(length) if length <= MAX_BYTES => Ok(content),
        _ => Err(problem(path, format!("more than {MAX_BYTES} bytes"))),
    }
}

fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match found {
        Ok(found) if found.is_empty() => Err(problem(path, "there is no PEM certificate in it")),
        found => found.map_err(|error| problem(path, format!("not PEM certificates: {error}"))),
    }
}

fn problem(path: &Path, problem: impl Display) -> TlsError {
    TlsError { path: path.display().to_string(), problem: problem.to_string() }
}
