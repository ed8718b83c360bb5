//! TLS on the link, where a certificate is given.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// The files of the certificate by which activators know the autoscaler, in PEM. They are read anew
/// for each connection: whoever gives certificates writes new ones before the last ones end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The certificate, and those between it and its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a connection could not be secured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or holds something else.
    #[error("{} is no certificate or no key", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known.
    #[error("the certificate cannot be used")]
    Unfit(#[from] rustls::Error),
    /// The peer speaks no TLS, or does not trust us.
    #[error("no TLS with the peer: {0}")]
    Handshake(#[source] io::Error),
}

impl Certificate {
    /// Reads the files, to see whether they can be used.
    ///
    /// # Errors
    /// [`TlsError`], but for the handshake.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| TlsError::File { path, source }
        };
        let chain = CertificateDer::pem_file_iter(&self.chain).map_err(failed(&self.chain))?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed(&self.chain))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(failed(&self.key))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        self.acceptor()?.accept(stream).await.map_err(TlsError::Handshake)
    }
}
