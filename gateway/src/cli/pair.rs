//! `la-gateway pair`: one user, and one small file with all that `agent-lite onboard --pairing` needs.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::proxy_url::ProxyUrl;
use common::secret::Secret;
use la_gateway::config::Config;
use la_gateway::config::Listener;
use la_gateway::config::users::check_name;
use la_gateway::system;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::replace::fill;
use super::users::set_password;

/// Random bytes of a password: 160 bits.
const PASSWORD_BYTES: usize = 20;
/// Most bytes of a file with the CA, a chain of certificates: 256 KiB.
const LARGEST_CA: u64 = 256 * 1024;

/// What to pair.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The machine: the name of its user at the gateway, and of the file
    name: String,
    /// The role whose users file gets the user [default: the only one that has one]
    #[arg(long)]
    role: Option<String>,
    /// Where the machine reaches the gateway, HOST:PORT [default: the first listener's address]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// The CA of the listener's certificate, PEM [default: the certificate itself if it is self-signed]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Let the machine speak plain HTTP to a gateway that has TLS
    #[arg(long)]
    plain: bool,
    /// The file to write [default: NAME.toml]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Makes the user and writes the file. The file comes first: without it nobody would know the password.
pub(super) fn pair(config: &Config, what: &Arguments) -> anyhow::Result<ExitCode> {
    if let Err(problem) = check_name(&what.name) {
        bail!("{problem}");
    }
    let users_file = users_file(config, what.role.as_deref())?;
    let listener = config.listeners.first().context("the configuration has no listener")?;
    let address = address(listener, what.address.as_deref())?;
    let ca = match &listener.tls {
        Some(tls) if !what.plain => Some(ca(what.ca.as_deref(), &tls.certificate)?),
        Some(_) if !listener.plain => bail!("this listener speaks TLS only; leave out --plain"),
        _ if what.ca.is_some() => {
            bail!("--ca is for a listener with TLS, and this machine is told to speak plain")
        }
        _ => None,
    };
    let password = password()?;
    let scheme = if ca.is_some() { "https" } else { "http" };
    let user = utf8_percent_encode(&what.name, NON_ALPHANUMERIC);
    let proxy = format!("{scheme}://{user}:{}@{address}", password.expose());
    // What is written must be what the agent can read.
    proxy.parse::<ProxyUrl>().with_context(|| format!("`{address}` is no HOST:PORT"))?;
    let file = what.output.clone().unwrap_or_else(|| PathBuf::from(file_name(&what.name)));
    write(&file, &text(&what.name, &proxy, ca.as_deref()))?;
    if let Err(error) = set_password(&what.name, users_file, &password) {
        // A pairing for a user that is not there only misleads.
        let _ = fs::remove_file(&file);
        return Err(error);
    }
    eprintln!(
        "{}: written; take it to the machine and run `agent-lite onboard --pairing {} -w WORKSPACE -k KEY_FILE`, then delete it in both places",
        file.display(),
        file.file_name().unwrap_or_default().display()
    );
    Ok(ExitCode::SUCCESS)
}

fn users_file<'a>(config: &'a Config, role: Option<&str>) -> anyhow::Result<&'a Path> {
    let with_file: Vec<_> = config
        .roles
        .all
        .iter()
        .filter(|summary| role.is_none_or(|role| *summary.role.name == *role))
        .filter_map(|summary| summary.users_file.as_deref())
        .collect();
    match (with_file.as_slice(), role) {
        ([one], _) => Ok(one),
        ([], Some(role)) => bail!("there is no role `{role}` with a `users_file`"),
        ([], None) => bail!("no role has a `users_file`; give one to the role of the agents"),
        _ => bail!("several roles have a `users_file`; choose one with --role"),
    }
}

fn address(listener: &Listener, named: Option<&str>) -> anyhow::Result<String> {
    match named {
        Some(named) => Ok(named.to_owned()),
        None if listener.address.ip().is_unspecified() || listener.address.port() == 0 => Err(anyhow!(
            "the first listener is {}, which is no address to connect to; say with --address HOST:PORT where the machine reaches the gateway",
            listener.address
        )),
        None => Ok(listener.address.to_string()),
    }
}

/// Returns the certificates that vouch for the listener, as PEM. Nothing else of the file is passed on: many keep the
/// key beside the certificate.
fn ca(named: Option<&Path>, certificate: &Path) -> anyhow::Result<String> {
    let file = named.unwrap_or(certificate);
    let size = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > LARGEST_CA {
        bail!("{} is larger than 256 KiB", file.display());
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let wrong = || anyhow!("{}: there is something that is no certificate in PEM", file.display());
    let ders: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let chain: Vec<Certificate> =
        ders.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if chain.is_empty() {
        return Err(wrong());
    }
    let is_root = |one: &Certificate| one.tbs_certificate().issuer() == one.tbs_certificate().subject();
    if named.is_none() && !(chain.len() == 1 && chain.iter().all(is_root)) {
        bail!(
            "{} is vouched for by a CA; name the CA's certificate with --ca FILE, so that the machine can verify the gateway",
            file.display()
        );
    }
    Ok(ders.iter().map(|der| pem_of(der)).collect())
}

fn pem_of(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

fn password() -> anyhow::Result<Secret> {
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Returns the name of the file: what is no letter, digit, `-`, `_` or `.` becomes `_`.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    format!("{}.toml", name.chars().map(plain).collect::<String>())
}

fn text(name: &str, proxy: &str, ca: Option<&str>) -> String {
    let mut text = format!(
        "# Pairing of agent-lite with la-gateway for `{name}`. A password stands in it: delete it after\n\
         # `agent-lite onboard --pairing`.\n[gateway]\nproxies = [\"{proxy}\"]\n"
    );
    if let Some(ca) = ca {
        text.push_str(&format!("ca_pem = \"\"\"\n{ca}\"\"\"\n"));
    }
    text
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let made = system::create_private(file);
    let out = made.with_context(|| format!("cannot make {}; it must not be there yet", file.display()))?;
    fill(out, file, text)
}
