//! Receivers that speak TLS, well or badly, with certificates of a private authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Folder;
use super::misbehaving_server::read_request;

/// A name that certificates are for, beside `localhost`, and that leads where a test says.
pub(crate) const MOVING: &str = "moving.test";

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Nothing.
    Fine,
    /// Its certificate ended in 2001.
    Expired,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate is signed by itself.
    SelfSigned,
    /// Its certificate is signed by an authority that nobody knows.
    Unknown,
    /// It speaks no TLS that is younger than 1.0.
    Old,
    /// It asks for a certificate of the client.
    WantsCertificate,
    /// It takes the connection and says nothing.
    Stalls,
    /// It speaks plain HTTP.
    Plain,
}

/// An authority, and a receiver for each fault.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ours");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: Folder::new() }
    }

    /// The file that says whom to trust, as `SSL_CERT_FILE`.
    pub(crate) fn file(&self) -> String {
        self.folder.write("ca.crt", &self.issuer.pem())
    }

    /// Its certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a client and its private key, in PEM.
    pub(crate) fn client_pem(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["postrider".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }

    /// Takes connections as a receiver with this fault does, and agrees to one of these protocols, if there are any.
    pub(crate) fn acceptor(&self, tls: Tls, protocols: &[&str]) -> TlsAcceptor {
        let mut config =
            if tls == Tls::Unknown { Self::new().server_config(tls) } else { self.server_config(tls) };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn server_config(&self, tls: Tls) -> ServerConfig {
        let names = if tls == Tls::WrongName { &["elsewhere.example"][..] } else { &["localhost", MOVING] };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if tls == Tls::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = if tls == Tls::SelfSigned {
            params.self_signed(&key).unwrap()
        } else {
            params.signed_by(&key, &self.issuer).unwrap()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if tls == Tls::WantsCertificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let certificate: CertificateDer<'static> = certificate.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        config.with_single_cert(vec![certificate], key).unwrap()
    }
}

/// A receiver; gone when dropped.
pub(crate) struct TlsReceiver {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl TlsReceiver {
    /// Starts one with this fault.
    pub(crate) async fn start(authority: &Authority, tls: Tls) -> Self {
        let acceptor = authority.acceptor(tls, &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(tls, acceptor.clone(), stream, Arc::clone(&counted)));
            }
        });
        Self { address, requests, _server: server }
    }

    /// Its URL, by name: an address has no name to be wrong.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }

    /// How many requests it could read.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(tls: Tls, acceptor: TlsAcceptor, mut stream: TcpStream, requests: Arc<AtomicUsize>) {
    match tls {
        Tls::Stalls => drop(stream.read_to_end(&mut Vec::new()).await),
        // Of TLS 1.0: fatal, protocol_version.
        Tls::Old => {
            drop(stream.read(&mut [0; 1024]).await);
            drop(stream.write_all(b"\x15\x03\x01\x00\x02\x02\x46").await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
        Tls::Plain => {
            let mut first = [0; 4];
            if stream.read_exact(&mut first).await.is_ok() && &first == b"POST" {
                requests.fetch_add(1, Ordering::SeqCst);
            }
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await);
        }
        Tls::Fine
        | Tls::Expired
        | Tls::WrongName
        | Tls::SelfSigned
        | Tls::Unknown
        | Tls::WantsCertificate => {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut buffer = Vec::new();
            while read_request(&mut stream, &mut buffer).await.is_some() {
                requests.fetch_add(1, Ordering::SeqCst);
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
            }
        }
    }
}
