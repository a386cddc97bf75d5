//! Peers: other proxies, as Debian packages them, with the gateway's policy as near as each can come to it, and without
//! an access log. Each gets the cheapest form of passwords that it has, and no limit that the load could reach.
//!
//! Squid and Traffic Server ask for their names in the stage's hosts file; the others ask the system. HAProxy answers no
//! CONNECT: it ends TLS before a bare relay ([`super::floor`]), whose time is not counted.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::bail;
use benches::HOST;
use benches::listed_host;

use super::network::hosts_file;
use super::programs::USER;
use super::programs::user_and_password;
use super::stage::Stage;

/// The password of the load's user: SHA-1, and Apache's MD5.
const SHA: &str = "{SHA}3WBs1Ju70GtMJgb8JEn4+4eXV4Y=";
const MD5: &str = "$apr1$loadload$EUICY5ci6Hd9vtV3GFLkG0";
/// Tunnels at once, where that is a number to write.
const TUNNELS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Squid,
    Tinyproxy,
    Apache,
    TrafficServer,
    Haproxy,
}

/// What a peer is started with.
pub(crate) struct Place<'a> {
    pub stage: &'a Stage,
    pub folder: &'a Path,
    pub address: SocketAddr,
    /// Where it speaks TLS, if it is to.
    pub tls: Option<SocketAddr>,
    /// Where packages are unpacked; `/` where they are installed.
    pub root: &'a Path,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Squid, Self::Tinyproxy, Self::Apache, Self::TrafficServer, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Apache => "apache2",
            Self::TrafficServer => "trafficserver",
            Self::Haproxy => "haproxy",
        }
    }

    pub(crate) fn program(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Squid => "usr/sbin/squid",
            Self::Tinyproxy => "usr/bin/tinyproxy",
            Self::Apache => "usr/sbin/apache2",
            Self::TrafficServer => "usr/bin/traffic_server",
            Self::Haproxy => "usr/sbin/haproxy",
        })
    }

    /// Returns whether it answers a CONNECT.
    pub(crate) fn is_proxy(self) -> bool {
        self != Self::Haproxy
    }

    /// Returns whether it is measured with TLS to the proxy here.
    pub(crate) fn speaks_tls(self) -> bool {
        matches!(self, Self::Squid | Self::Haproxy)
    }

    /// Writes its configuration, and returns how it is started.
    pub(crate) fn command(self, place: &Place<'_>) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program(place.root));
        fs::set_permissions(place.folder, fs::Permissions::from_mode(0o777))?;
        match self {
            Self::Squid => {
                let file = place.write("squid.conf", &place.squid()?)?;
                command.args(["-N", "-f"]).arg(file);
            }
            Self::Tinyproxy => {
                let file = place.write("tinyproxy.conf", &place.tinyproxy()?)?;
                command.args(["-d", "-c"]).arg(file);
            }
            Self::Apache => {
                let file = place.write("apache.conf", &place.apache()?)?;
                command.args(["-D", "FOREGROUND", "-f"]).arg(file);
            }
            Self::TrafficServer => {
                command.arg(format!("--run-root={}", place.traffic_server()?.display()));
            }
            Self::Haproxy => {
                let file = place.write("haproxy.cfg", &place.haproxy()?)?;
                command.args(["-db", "-f"]).arg(file);
            }
        }
        Ok(command)
    }
}

impl Place<'_> {
    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Writes as many users as the gateway has; only the load's own is ever asked for.
    fn users(&self, own: &str) -> anyhow::Result<PathBuf> {
        let line = |at| format!("{}:{}\n", benches::user(at), if at == USER { own } else { SHA });
        self.write("users", &(0..self.stage.users).map(line).collect::<String>())
    }

    /// Returns the suffixes that are allowed: of the load's host, and of the rules beside it.
    fn suffixes(&self) -> Vec<String> {
        let own = HOST.split_once('.').map_or(HOST, |(_, suffix)| suffix).to_owned();
        let others = (0..self.stage.rules).map(|at| listed_host(at).replace("*.", ""));
        std::iter::once(own).chain(others).collect()
    }

    /// Returns the same as one regular expression.
    fn pattern(&self, end: &str) -> String {
        let all: Vec<String> = self.suffixes().iter().map(|suffix| suffix.replace('.', "\\.")).collect();
        format!("\\.({}){end}$", all.join("|"))
    }

    fn tls_files(&self) -> (String, String) {
        let files = &self.stage.certificate;
        (files.certificate.display().to_string(), files.key.display().to_string())
    }

    fn squid(&self) -> anyhow::Result<String> {
        let suffixes: Vec<String> = self.suffixes().iter().map(|suffix| format!(".{suffix}")).collect();
        let (certificate, key) = self.tls_files();
        let https = |at| format!("https_port {at} tls-cert={certificate} tls-key={key}\n");
        Ok(format!(
            "http_port {}\n{}hosts_file {}\nauth_param basic program {} {}\nauth_param basic children 2 startup=1\n\
             auth_param basic credentialsttl 2 hours\nacl known proxy_auth REQUIRED\nacl tls port 443\n\
             acl listed dstdomain {}\nhttp_access deny !tls\nhttp_access deny !CONNECT\nhttp_access deny !known\n\
             http_access allow listed\nhttp_access deny all\naccess_log none\ncache_log {}\ncache deny all\n\
             cache_store_log none\npid_filename none\npinger_enable off\nnetdb_filename none\nvisible_hostname load\n\
             max_filedescriptors 16384\nshutdown_lifetime 1 seconds\n",
            self.address,
            self.tls.map(https).unwrap_or_default(),
            hosts_file(self.stage.folder()).display(),
            self.root.join("usr/lib/squid/basic_ncsa_auth").display(),
            self.users(MD5)?.display(),
            suffixes.join(" "),
            self.folder.join("cache.log").display(),
        ))
    }

    fn tinyproxy(&self) -> anyhow::Result<String> {
        // One line each: a line has 512 bytes at most.
        let rule = |suffix: &String| format!("\\.{}$\n", suffix.replace('.', "\\."));
        let filter = self.write("filter", &self.suffixes().iter().map(rule).collect::<String>())?;
        let (_, password) = user_and_password();
        let user = |at| format!("BasicAuth {} {password}\n", benches::user(at));
        let users: String = (0..self.stage.users).map(user).collect();
        Ok(format!(
            "Listen {}\nPort {}\nTimeout 600\nMaxClients {TUNNELS}\nLogLevel Critical\n{users}ConnectPort 443\n\
             Filter {:?}\nFilterExtended On\nFilterDefaultDeny Yes\n",
            self.address.ip(),
            self.address.port(),
            filter.display().to_string(),
        ))
    }

    fn apache(&self) -> anyhow::Result<String> {
        const MODULES: [&str; 8] = [
            "mpm_event",
            "authn_core",
            "authn_file",
            "authz_core",
            "authz_user",
            "auth_basic",
            "proxy",
            "proxy_connect",
        ];
        let load = |module: &&str| {
            let file = self.root.join(format!("usr/lib/apache2/modules/mod_{module}.so"));
            format!("LoadModule {module}_module {}\n", file.display())
        };
        let folder = self.folder.display();
        Ok(format!(
            "{}ServerRoot {folder}\nServerName localhost\nListen {}\nPidFile {folder}/pid\nErrorLog {folder}/error\n\
             LogLevel crit\nDefaultRuntimeDir {folder}\nUser nobody\nGroup nogroup\nThreadLimit 500\nThreadsPerChild 500\n\
             ServerLimit 20\nMaxRequestWorkers {TUNNELS}\nStartServers 2\nTimeout 600\nProxyTimeout 600\n\
             ProxyRequests On\nAllowCONNECT 443\n<Proxy \"*\">\n  AuthType Basic\n  AuthName proxy\n  AuthUserFile {}\n\
             \x20 Require all denied\n</Proxy>\n<ProxyMatch \"{}\">\n  Require valid-user\n</ProxyMatch>\n",
            MODULES.iter().map(load).collect::<String>(),
            self.address,
            self.users(SHA)?.display(),
            self.pattern(":443"),
        ))
    }

    fn traffic_server(&self) -> anyhow::Result<PathBuf> {
        let folder = self.folder.display();
        for name in ["etc", "log", "run", "cache"] {
            fs::create_dir(self.folder.join(name))?;
            fs::set_permissions(self.folder.join(name), fs::Permissions::from_mode(0o777))?;
        }
        for file in ["ip_allow.yaml", "logging.yaml", "sni.yaml", "strategies.yaml"] {
            let _ =
                fs::copy(self.root.join("etc/trafficserver").join(file), self.folder.join("etc").join(file));
        }
        for file in ["cache", "hosting", "parent", "remap", "socks", "splitdns", "ssl_multicert", "volume"] {
            self.write(&format!("etc/{file}.config"), "")?;
        }
        self.write("etc/storage.config", &format!("{folder}/cache 128M\n"))?;
        self.write("etc/plugin.config", "header_rewrite.so policy.conf\n")?;
        let (_, password) = user_and_password();
        let token = |at| {
            end_to_end::users::basic(&benches::user(at), password).replace("Basic ", "").replace('+', "\\+")
        };
        let tokens: Vec<String> = (0..self.stage.users).map(token).collect();
        let policy = format!(
            "cond %{{READ_REQUEST_HDR_HOOK}} [AND]\ncond %{{CLIENT-HEADER:Proxy-Authorization}} /^Basic ({})$/ [NOT]\n  \
             set-status 407 [L]\ncond %{{READ_REQUEST_HDR_HOOK}} [AND]\ncond %{{CLIENT-URL:HOST}} /{}/ [NOT]\n  \
             set-status 403 [L]\n",
            tokens.join("|"),
            self.pattern(""),
        );
        self.write("etc/policy.conf", &policy)?;
        let records = [
            ("http.server_ports STRING", format!("{}:ip-in={}", self.address.port(), self.address.ip())),
            ("http.connect_ports STRING", "443".to_owned()),
            ("url_remap.remap_required INT", "0".to_owned()),
            ("reverse_proxy.enabled INT", "0".to_owned()),
            ("http.cache.http INT", "0".to_owned()),
            ("hostdb.host_file.path STRING", hosts_file(self.stage.folder()).display().to_string()),
            ("log.logging_enabled INT", "0".to_owned()),
            ("log.hostname STRING", "localhost".to_owned()),
            ("admin.user_id STRING", "nobody".to_owned()),
        ];
        let record = |(name, value): &(&str, String)| format!("CONFIG proxy.config.{name} {value}\n");
        self.write("etc/records.config", &records.iter().map(record).collect::<String>())?;
        let root = self.root.display();
        let root = if self.root == Path::new("/") { String::new() } else { root.to_string() };
        let layout = format!(
            "prefix: {folder}\nexec_prefix: {root}/usr\nbindir: {root}/usr/bin\nsbindir: {root}/usr/bin\n\
             sysconfdir: {folder}/etc\ndatadir: {root}/usr/share/trafficserver\nlibdir: {root}/usr/lib/trafficserver\n\
             libexecdir: {root}/usr/lib/trafficserver/modules\nlocalstatedir: {folder}/run\nruntimedir: {folder}/run\n\
             logdir: {folder}/log\ncachedir: {folder}/cache\n"
        );
        self.write("runroot.yaml", &layout)
    }

    fn haproxy(&self) -> anyhow::Result<String> {
        let Some(tls) = self.tls else { bail!("HAProxy answers no CONNECT: it is measured with TLS alone") };
        let (certificate, key) = self.tls_files();
        let pem = format!("{}{}", fs::read_to_string(certificate)?, fs::read_to_string(key)?);
        let pem = self.write("haproxy.pem", &pem)?;
        Ok(format!(
            "global\n  maxconn {}\ndefaults\n  mode tcp\n  timeout connect 30s\n  timeout client 600s\n  \
             timeout server 600s\nlisten relay\n  bind {tls} ssl crt {}\n  server one {}\n",
            TUNNELS / 2,
            pem.display(),
            self.address,
        ))
    }
}
