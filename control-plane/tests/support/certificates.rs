//! Certificates of the tests, their files, and clients that know them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kya_control_plane::tls::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that the certificates of servers are for.
pub const SERVER: &str = "control-plane.test";

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Certified {
    pub pem: String,
    pub der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn issue(&self, name: &str) -> Certified {
        self.issue_until(name, None)
    }

    /// One that ends on this day, if one is given.
    pub fn issue_until(&self, name: &str, end: Option<(i32, u8, u8)>) -> Certified {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if let Some((year, month, day)) = end {
            params.not_after = rcgen::date_time_ymd(year, month, day);
        }
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certified { pem: certificate.pem(), der: certificate.der().clone(), key }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

impl Certified {
    /// Accepts TLS with this certificate.
    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .unwrap();
        Arc::new(config).into()
    }

    /// Writes or replaces certificate and key in a directory.
    pub fn write(&self, dir: &Path) -> TlsFiles {
        let files =
            TlsFiles { cert: dir.join("tls.crt"), key: dir.join("tls.key"), client_ca: None };
        std::fs::write(&files.cert, &self.pem).unwrap();
        std::fs::write(&files.key, self.key.serialize_pem()).unwrap();
        files
    }
}

/// The same files, and the authority of clients beside them.
pub fn asking_for_clients(files: TlsFiles, dir: &Path, clients: &Authority) -> TlsFiles {
    let client_ca: PathBuf = dir.join("clients.pem");
    std::fs::write(&client_ca, clients.pem()).unwrap();
    TlsFiles { client_ca: Some(client_ca), ..files }
}

/// A client that believes one authority.
#[derive(Clone)]
pub struct TlsClient {
    config: ClientConfig,
}

impl TlsClient {
    pub fn new(authority: &Authority) -> Self {
        Self::of(authority, None, &[&TLS12, &TLS13])
    }

    /// Shows a certificate when it is asked for one.
    pub fn with_certificate(authority: &Authority, own: &Certified) -> Self {
        Self::of(authority, Some(own), &[&TLS12, &TLS13])
    }

    pub fn of(
        authority: &Authority,
        own: Option<&Certified>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
                builder.with_client_auth_cert(vec![own.der.clone()], key).unwrap()
            }
        };
        Self { config }
    }

    /// Connects and offers these protocols.
    pub async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(SERVER).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The certificate that a server shows now.
    pub async fn shown(&self, address: SocketAddr) -> Option<CertificateDer<'static>> {
        let stream = self.connect(address, &[]).await.ok()?;
        Some(stream.get_ref().1.peer_certificates()?[0].clone().into_owned())
    }

    /// Asks for a path and returns the whole answer.
    pub async fn get(&self, address: SocketAddr, path: &str) -> io::Result<String> {
        let mut stream = self.connect(address, &["h2", "http/1.1"]).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
