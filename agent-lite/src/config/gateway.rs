//! `[gateway]`: the only way out.

use std::path::Path;

use common::document::Problem;
use common::document::Source;
use common::document::read_file;
use common::proxy_url::ProxyUrl;
use toml::Spanned;

use super::file;
use super::settings::GatewaySettings;
use super::values::GATEWAY_PORT;
use super::values::Proxy;

/// Most gateways.
pub(super) const MOST_GATEWAYS: usize = 16;

pub(super) fn read(
    written: Option<Spanned<file::Gateway>>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> GatewaySettings {
    let span = written.as_ref().map(Spanned::span);
    let written = written.map(Spanned::into_inner).unwrap_or_default();
    let mut proxies: Vec<ProxyUrl> = written.proxies.values().map(|Proxy(proxy)| proxy.clone()).collect();
    let named = !written.proxies.0.is_empty();
    let mut say = |text: &str| match span.clone() {
        Some(span) => problems.push(source.problem(span, text)),
        None => problems.push(source.problem_of_file(text)),
    };
    match (&written.proxy_conf, named) {
        (Some(_), true) => say("`proxies` and `proxy_conf` say the same; leave one of them out"),
        (Some(file), false) => match legacy(&folder.join(file)) {
            Ok(proxy) => proxies.push(proxy),
            Err(text) => say(&text),
        },
        (None, false) => say(
            "`[gateway]` needs `proxies = [\"http://gateway:8080\"]`: without a gateway nothing can be sent, there is no direct way",
        ),
        (None, true) => {}
    }
    if proxies.len() > MOST_GATEWAYS {
        say(&format!("more than {MOST_GATEWAYS} gateways"));
    }
    GatewaySettings {
        proxies,
        ca: written.ca.map(|ca| folder.join(ca)),
        connect: written.connect.0.0,
        return_after: written.return_after.0.0,
    }
}

/// Reads the legacy agent's `proxy.conf`: one line with a proxy value.
fn legacy(file: &Path) -> Result<ProxyUrl, String> {
    let text = read_file(file).map_err(|problem| problem.to_string())?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(format!("{}: one line with the proxy's value must stand there", file.display()));
    };
    ProxyUrl::with_default_port(line, GATEWAY_PORT).map_err(|error| format!("{}: {error}", file.display()))
}
