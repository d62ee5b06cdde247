//! TLS to the database: translates `sslmode` and its companions for rustls.
//!
//! Files are read once, when the connection string is; a renewed certificate needs a restart.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::{Environment, Options};

/// How a connection over TCP is protected. Over a Unix socket nothing of it applies.
#[derive(Clone)]
pub(super) struct Tls {
    /// For the driver, which knows no verification.
    pub(super) mode: SslMode,
    /// The other half of it.
    pub(super) connector: MakeRustlsConnect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: [(&str, Mode); 6] = [
    ("disable", Mode::Disable),
    // libpq would try without TLS first, which protects no better and takes a connection more.
    ("allow", Mode::Prefer),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

impl Tls {
    /// Reads the options and the files that they name.
    ///
    /// # Errors
    /// Names the option, and the file that cannot be used.
    pub(super) fn of(options: &Options, environment: &Environment) -> Result<Self, String> {
        let home = environment.home().map(|home| Path::new(home).join(".postgresql"));
        let with_system_roots = options.text("sslrootcert") == Some("system");
        let default = if with_system_roots { Mode::VerifyFull } else { Mode::Prefer };
        let mode = options.choice("sslmode", &MODES)?.unwrap_or(default);
        if with_system_roots && mode != Mode::VerifyFull {
            // Anybody can have a certificate from one of those authorities.
            return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
        }
        let check = check(mode, options, home.as_deref())?;
        let identity = if mode == Mode::Disable { None } else { identity(options, home.as_deref())? };
        Ok(Self {
            mode: match mode {
                Mode::Disable => SslMode::Disable,
                Mode::Prefer => SslMode::Prefer,
                Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
            },
            connector: MakeRustlsConnect::new(client_config(check, identity)?),
        })
    }
}

/// What is verified of the server's certificate.
#[derive(Debug)]
enum Check {
    /// Nothing. Somebody in between may read along.
    Nothing,
    /// That one of ours signed it.
    Chain(Roots),
    /// That, and that it is for the host we asked for.
    ChainAndName(Roots),
}

fn check(mode: Mode, options: &Options, home: Option<&Path>) -> Result<Check, String> {
    let given = options.text("sslrootcert").filter(|path| *path != "system").map(PathBuf::from);
    let usual = || home.map(|home| home.join("root.crt")).filter(|path| path.exists());
    let file = match mode {
        Mode::Disable => None,
        // Somebody may have meant the file for other servers: these modes ask for no verification.
        Mode::Prefer => given,
        Mode::Require | Mode::VerifyCa => given.or_else(usual),
        Mode::VerifyFull if options.text("sslrootcert").is_some() => given,
        Mode::VerifyFull => usual(),
    };
    match (mode, file) {
        (Mode::VerifyFull, Some(path)) => Ok(Check::ChainAndName(Roots::of_file(&path)?)),
        (Mode::VerifyFull, None) => Ok(Check::ChainAndName(Roots::of_system()?)),
        (Mode::VerifyCa, None) => Err(
            "sslmode=verify-ca needs sslrootcert=FILE: the system's authorities sign for anybody; or write sslmode=verify-full"
                .to_owned(),
        ),
        (_, Some(path)) => Ok(Check::Chain(Roots::of_file(&path)?)),
        (_, None) => Ok(Check::Nothing),
    }
}

/// Whose signatures count.
#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// The same, to be compared: a server's own self-signed certificate may be trusted as it is.
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn of_file(path: &Path) -> Result<Self, String> {
        let certificates = read_certificates("sslrootcert", path)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|fault| format!("sslrootcert: {} is of no use: {fault}", path.display()))?;
        }
        Ok(Self { store, certificates })
    }

    fn of_system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            return Err("sslrootcert: this system has no certificates of authorities; give sslrootcert=FILE"
                .to_owned());
        }
        Ok(Self { store, certificates: Vec::new() })
    }
}

/// The client's own certificate chain and key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(options: &Options, home: Option<&Path>) -> Result<Option<Identity>, String> {
    let path = |name: &str, usual: &str| {
        let given = options.text(name).map(PathBuf::from);
        given.or_else(|| home.map(|home| home.join(usual)).filter(|path| path.exists()))
    };
    let certificate = path("sslcert", "postgresql.crt");
    let key = path("sslkey", "postgresql.key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Ok(Some((read_certificates("sslcert", &certificate)?, read_key(&key)?)))
        }
        (Some(path), None) => Err(format!("sslcert={} needs sslkey=FILE", path.display())),
        (None, _) => match options.text("sslkey") {
            Some(_) => Err("sslkey needs sslcert=FILE".to_owned()),
            None => Ok(None),
        },
    }
}

fn read_certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read_file(option, path)?).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{option}: {} holds no certificate in PEM form", path.display())),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let pem = read_file("sslkey", path)?;
    let metadata =
        std::fs::metadata(path).map_err(|fault| format!("sslkey: cannot read {shown}: {fault}"))?;
    // As libpq: a group may read root's key, because only root can give it to a group of its choice.
    let (forbidden, remedy) = if metadata.uid() == 0 { (0o037, "640") } else { (0o077, "600") };
    if metadata.mode() & forbidden != 0 {
        return Err(format!("sslkey: others may read {shown}; chmod {remedy} it"));
    }
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_fault| format!("sslkey: {shown} holds no private key in PEM form without a passphrase"))
}

fn read_file(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|fault| format!("{option}: cannot read {}: {fault}", path.display()))
}

fn client_config(check: Check, identity: Option<Identity>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier { check, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| format!("TLS cannot be set up: {fault}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|fault| format!("sslcert and sslkey do not go together: {fault}")),
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check_chain(
        &self,
        roots: &Roots,
        chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let (own, intermediates) = chain;
        // `openssl req -x509` makes a certificate that is an authority too, which webpki lets no server be. PostgreSQL's
        // manual recommends it for a start, with a copy of it as root.crt.
        if roots.certificates.contains(own) {
            return Ok(());
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(own)?,
            &roots.store,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.check {
            Check::Nothing => {}
            Check::Chain(roots) => self.check_chain(roots, (own, intermediates), now)?,
            Check::ChainAndName(roots) => {
                self.check_chain(roots, (own, intermediates), now)?;
                verify_server_name(&ParsedCertificate::try_from(own)?, server)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // Signatures are verified whatever the mode: channel binding trusts that the server holds its certificate's key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// As `openssl req -x509` makes one: a server's, and an authority's at once.
    fn self_signed(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    fn verify(trusted: &CertificateDer<'static>, own: &CertificateDer<'static>, name: &'static str) -> bool {
        let mut store = RootCertStore::empty();
        store.add(trusted.clone()).unwrap();
        let roots = Roots { store, certificates: vec![trusted.clone()] };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier { check: Check::ChainAndName(roots), provider };
        let server = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_hours(500_000));
        verifier.verify_server_cert(own, &[], &server, &[], now).is_ok()
    }

    #[test]
    fn a_servers_own_certificate_may_be_its_authority() {
        let own = self_signed("db.example");

        assert!(verify(&own, &own, "db.example"));
        assert!(!verify(&own, &own, "other.example"));
        assert!(!verify(&self_signed("db.example"), &own, "db.example"));
    }
}
