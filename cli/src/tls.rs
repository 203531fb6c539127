//! TLS to the control plane: whom this client believes, who it is itself, and
//! what it says when a handshake fails.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, InvalidMessage,
    RootCertStore,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::args::Global;
use crate::error::Error;

/// How every connection to an `https://` server is made.
pub(crate) struct Tls(TlsConnector);

impl Tls {
    /// Reads the files that were named.
    pub(crate) fn new(global: &Global) -> Result<Self, Error> {
        let roots = match &global.ca_file {
            Some(file) => roots_of(file)?,
            None => roots_of_this_machine()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Usage(format!("cannot set up TLS: {error}")))?
            .with_root_certificates(roots);
        let mut config = match (&global.client_cert, &global.client_key) {
            (Some(cert), Some(key)) => {
                let wrong =
                    |error| named("the client certificate and its key", cert, &error as &TlsError);
                config
                    .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                    .map_err(wrong)?
            }
            _ => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config).into()))
    }

    /// Shakes hands over a connection. The error says what was wrong, and what
    /// to do.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate can have"))?;
        self.0.connect(name, stream).await.map_err(|error| {
            explain(&error, host).unwrap_or_else(|| format!("the TLS handshake failed: {error}"))
        })
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| named("the CA certificate", file, &error))?;
    }
    Ok(roots)
}

fn roots_of_this_machine() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(Error::Usage(
            "this machine has no certificate authorities that it trusts: name those of the control plane with --ca-file".to_owned(),
        )),
    }
}

/// The certificates in a PEM file, as PEM: whatever else is in it stays here.
pub(crate) fn authorities_of(file: &Path) -> Result<String, Error> {
    let mut pem = String::new();
    for certificate in certificates(file)? {
        let encoded = STANDARD.encode(&certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // Lines of 64 (RFC 7468 section 2); there is no other character in them.
        for line in encoded.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match read {
        Ok(found) if found.is_empty() => {
            Err(Error::Usage(format!("{}: there is no PEM certificate in it", file.display())))
        }
        read => read.map_err(|error| named("PEM certificates", file, &error)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| named("a PEM private key", file, &error))
}

fn named(what: &str, file: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Usage(format!("{}: cannot be used as {what}: {error}", file.display()))
}

/// What a failure of TLS means to whoever asked for the connection; `None` if it
/// was none of TLS.
pub(crate) fn explain(error: &(dyn StdError + 'static), host: &str) -> Option<String> {
    Some(match tls_error(error)? {
        TlsError::InvalidCertificate(why) => match why {
            // The latter of a new authority under the name of the old one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate was not issued by an authority that is trusted here: give --ca-file the PEM file of its authority".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for {host}: ask by a name that is in it, or have one issued ({why})")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("its certificate has expired, or a clock is wrong ({why})")
            }
            why => format!("its certificate is not valid: {why}"),
        },
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => "it refuses this client: if it asks for client certificates, give --client-cert and --client-key".to_owned(),
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError),
        ) => format!("it does not accept the client certificate ({alert:?})"),
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it does not speak HTTP on this port: is this the gRPC port (7081)? The HTTP API is on 7080 by default".to_owned()
        }
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS on this port: is its address http:// and not https://?".to_owned()
        }
        other => format!("the TLS connection failed: {other}"),
    })
}

/// The error of TLS in a chain of causes. An `io::Error` passes over the one that
/// it holds when it is asked for its source.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error
            .downcast_ref::<TlsError>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref::<TlsError>()));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}
