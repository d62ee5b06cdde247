//! A PostgreSQL that speaks TLS, with certificates of a private authority.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::sync::OnceCell;

use super::cluster::Cluster;
use super::{Database, connect, eventually, password};

/// A role that may only come with its certificate.
pub(crate) const CARDHOLDER: &str = "cardholder";
/// A role that is asked for its password.
pub(crate) const ASKED: &str = "asked";
/// The password of that role.
pub(crate) const PASSWORD: &str = "hunter2";

/// The server; its certificate is for `localhost` and `db.example`, not for 127.0.0.1.
pub(crate) struct Encrypted {
    cluster: Cluster,
    folder: PathBuf,
}

impl Encrypted {
    /// The one server of this process.
    pub(crate) async fn server() -> &'static Self {
        static SERVER: OnceCell<Encrypted> = OnceCell::const_new();
        SERVER.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let cluster = Cluster::start(&["fsync=off", "shared_buffers=16MB"]);
        let client = connect(&cluster.url).await;
        let data: String = client.query_one("show data_directory", &[]).await.unwrap().get(0);
        // Removed with the cluster.
        let server = Self { folder: Path::new(&data).parent().unwrap().to_owned(), cluster };
        server.write_certificates(Path::new(&data));
        std::fs::write(Path::new(&data).join("pg_hba.conf"), rules()).unwrap();
        let settings = [
            "ssl = on",
            "ssl_cert_file = 'server.crt'",
            "ssl_key_file = 'server.key'",
            "ssl_ca_file = 'ca.crt'",
        ];
        for setting in settings {
            client.batch_execute(&format!("alter system set {setting}")).await.unwrap();
        }
        client
            .batch_execute(&format!(
                "create role {CARDHOLDER} login; create role {ASKED} login password '{PASSWORD}'; select pg_reload_conf()"
            ))
            .await
            .unwrap();
        eventually("the server speaks TLS", || async {
            let client = connect(&server.cluster.url).await;
            client.query_one("show ssl", &[]).await.unwrap().get::<_, &str>(0) == "on"
        })
        .await;
        server
    }

    fn write_certificates(&self, data: &Path) {
        let (authority, other) = (authority("ours"), authority("another"));
        let [server_key, client_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let mut names = CertificateParams::new(["localhost".to_owned(), "db.example".to_owned()]).unwrap();
        names.distinguished_name.push(DnType::CommonName, "db.example");
        let server = names.signed_by(&server_key, &authority).unwrap();
        let mut role = CertificateParams::new([]).unwrap();
        role.distinguished_name.push(DnType::CommonName, CARDHOLDER);
        let client = role.signed_by(&client_key, &authority).unwrap();
        for (name, pem) in [
            ("ca.crt", authority.pem()),
            ("other.crt", other.pem()),
            ("client.crt", client.pem()),
            ("client.key", client_key.serialize_pem()),
        ] {
            write_secret(&self.folder.join(name), &pem);
        }
        let owner = std::fs::metadata(data).unwrap();
        for (name, pem) in [
            ("ca.crt", authority.pem()),
            ("server.crt", server.pem()),
            ("server.key", server_key.serialize_pem()),
        ] {
            let path = data.join(name);
            write_secret(&path, &pem);
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }

    /// The path of `ca.crt`, `other.crt`, `client.crt` or `client.key`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).into_os_string().into_string().unwrap()
    }

    /// `127.0.0.1:5432`
    pub(crate) fn address(&self) -> &str {
        self.cluster.url.rsplit('@').next().unwrap().split('/').next().unwrap()
    }

    /// Its port.
    pub(crate) fn port(&self) -> &str {
        self.address().rsplit(':').next().unwrap()
    }

    /// A URL, as superuser or somebody else, by a name of the host; `=ca.crt` in the options becomes a path of ours.
    pub(crate) fn url(&self, user: &str, host: &str, options: &str) -> String {
        let options = options.replace("=ca.crt", &format!("={}", self.file("ca.crt")));
        let options = options.replace("=other.crt", &format!("={}", self.file("other.crt")));
        let login = if user == "postgres" { self.login() } else { user.to_owned() };
        format!("postgres://{login}@{host}:{}/postgres?{options}", self.port())
    }

    /// A database of its own, without the schema.
    pub(crate) async fn database(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("encrypted_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.database_named(&name).await
    }

    /// A database of that name, without the schema.
    pub(crate) async fn database_named(&self, name: &str) -> Database {
        let client = connect(&self.cluster.url).await;
        client.batch_execute(&format!("create database {name} template template0")).await.unwrap();
        Database::at(&format!("postgres://{}@{}/{name}", self.login(), self.address())).await
    }

    /// The superuser and its password.
    fn login(&self) -> String {
        format!("postgres:{}", self.password())
    }

    /// The superuser's password.
    pub(crate) fn password(&self) -> &str {
        password(&self.cluster.url).unwrap()
    }
}

fn rules() -> String {
    format!("hostssl all {CARDHOLDER} all cert\nhost all all all scram-sha-256\n")
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}
