//! Asking another server for a small document by HTTPS, or giving it one: one request, no
//! redirect, bounded in time and size.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Position, Url};

use crate::config::without_query;

/// From the first packet to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of a document.
const MAX_BYTES: usize = 256 * 1024;

/// Asks, and believes these authorities.
pub(crate) struct Fetcher(TlsConnector);

/// Why a document is not there.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The file of authorities cannot be used.
    #[error("{0}: cannot be used as CA certificates: {1}")]
    Authorities(PathBuf, String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// No connection, or one that ended early.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// Too slow.
    #[error("{0} has not answered within {seconds} s", seconds = TIMEOUT.as_secs())]
    Late(String),
    /// Not 200, or of what was given not 2xx; a redirect is not followed.
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    /// Too much.
    #[error("{0} answers more than {MAX_BYTES} bytes")]
    TooLarge(String),
}

/// An address that may be asked: `https://`, or `http://` of this machine alone.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|why| format!("`{text}` is not an address such as https://id.example: {why}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("`{text}` is not an https:// address")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it, which are not sent".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("`{text}` has a fragment, which is not sent"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        "http" => Err(format!(
            "`{text}` would be asked in the clear, and whoever is on the way could answer with keys of their own: only https:// is, but for this machine"
        )),
        _ => Err(format!("`{text}` is not an https:// address")),
    }
}

/// Whether only whoever is on the same wire has it, such as what tells virtual machines their
/// secrets: nothing there is asked, whatever name leads to it.
fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

impl Fetcher {
    /// Believes the authorities in a PEM file, or those of the machine.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, FetchError> {
        let roots = match ca {
            Some(file) => {
                let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
                authorities(read).map_err(|why| FetchError::Authorities(file.to_owned(), why))?
            }
            None => {
                let mut roots = RootCertStore::empty();
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                roots
            }
        };
        Self::believing(roots)
    }

    /// Believes the authorities in this PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let roots = authorities(CertificateDer::pem_slice_iter(pem).collect())?;
        Self::believing(roots).map_err(|why| why.to_string())
    }

    fn believing(roots: RootCertStore) -> Result<Self, FetchError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| FetchError::Tls(why.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config).into()))
    }

    /// The document at an address that [`endpoint`] takes.
    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let request = Request::get(&url[Position::BeforePath..]).header(ACCEPT, "application/json");
        let only = |status| status == StatusCode::OK;
        self.exchange(url, request, Bytes::new(), only).await
    }

    /// Puts a text at an address that [`endpoint`] takes.
    pub(crate) async fn put(&self, url: &Url, text: String) -> Result<(), FetchError> {
        let request = Request::put(&url[Position::BeforePath..])
            .header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let fine = |status: StatusCode| status.is_success();
        self.exchange(url, request, text.into(), fine).await.map(drop)
    }

    async fn exchange(
        &self,
        url: &Url,
        request: Builder,
        body: Bytes,
        fine: impl Fn(StatusCode) -> bool,
    ) -> Result<Vec<u8>, FetchError> {
        let late = |_| FetchError::Late(without_query(url));
        timeout(TIMEOUT, self.talk(url, request, body, fine)).await.map_err(late)?
    }

    /// A connection to the host of an address: by TLS, or in the clear if it is `None`.
    pub(crate) async fn connect(tls: Option<&Self>, url: &Url) -> io::Result<Box<dyn Stream>> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        let found = lookup_host((host, port)).await?.filter(|it| !is_link_local(it.ip()));
        let found: Vec<_> = found.collect();
        let stream = TcpStream::connect(&*found).await?;
        stream.set_nodelay(true)?;
        let Some(Self(tls)) = tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    async fn talk(
        &self,
        url: &Url,
        request: Builder,
        body: Bytes,
        fine: impl Fn(StatusCode) -> bool,
    ) -> Result<Vec<u8>, FetchError> {
        // A query may be a secret.
        let shown = without_query(url);
        let lost =
            |why: &dyn std::fmt::Display| FetchError::Unreachable(shown.clone(), why.to_string());
        let tls = Some(self).filter(|_| url.scheme() == "https");
        let stream = Self::connect(tls, url).await.map_err(|why| lost(&why))?;
        let request = request
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .body(Full::new(body))
            .map_err(|why| lost(&why))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|why| lost(&why))?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let mut answer = sender.send_request(request).await.map_err(|why| lost(&why))?;
        if !fine(answer.status()) {
            return Err(FetchError::Status(shown, answer.status()));
        }
        let mut body = Vec::new();
        while let Some(frame) = answer.frame().await {
            if let Ok(data) = frame.map_err(|why| lost(&why))?.into_data() {
                if body.len().saturating_add(data.len()) > MAX_BYTES {
                    return Err(FetchError::TooLarge(shown));
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(body)
    }
}

/// Certificates as those of authorities.
fn authorities(
    read: Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error>,
) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read.map_err(|why| why.to_string())? {
        roots.add(certificate).map_err(|why| why.to_string())?;
    }
    match roots.is_empty() {
        true => Err("there is no PEM certificate in it".to_owned()),
        false => Ok(roots),
    }
}

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_that_is_only_on_the_same_wire_is_asked() {
        for (address, is) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.0.1", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("169.253.0.1", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(is_link_local(address.parse().unwrap()), is, "{address}");
        }
        let url = Url::parse("http://169.254.169.254/latest/meta-data").unwrap();
        let refused = Fetcher::connect(None, &url).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    }
}
