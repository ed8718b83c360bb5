//! TLS on the link, where autoscalers are known by a certificate.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Looks whether the file holds authorities.
///
/// # Errors
/// A sentence: it cannot be read, or holds something else.
pub fn check(authorities: &Path) -> Result<(), String> {
    roots(authorities).map(drop)
}

fn roots(authorities: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", authorities.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(authorities).map_err(|it| failed(&it))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|it| failed(&it))?;
        roots.add(certificate).map_err(|it| failed(&it))?;
    }
    match roots.is_empty() {
        true => Err(failed(&"holds no certificate")),
        false => Ok(roots),
    }
}

/// Secures a connection to one whose certificate for `host` is of an authority in the file, which
/// is read anew, for authorities change while we run.
///
/// # Errors
/// A sentence: the file cannot be used, or the peer is not known by it.
pub(crate) async fn secure(
    stream: TcpStream,
    host: &str,
    authorities: &Path,
) -> Result<TlsStream<TcpStream>, String> {
    let roots = roots(authorities)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}
