//! The last refused request of each reason, for who wants to know why.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use common::host_port::HostPort;

/// One refused request, from parsed values only.
#[derive(Clone, Debug)]
pub struct Example {
    /// When.
    pub at: Instant,
    /// Where it was to go.
    pub target: HostPort,
    /// The user named by the credentials, if there is one of that name.
    pub user: Option<Arc<str>>,
    /// Where it came from.
    pub from: IpAddr,
}

/// The last example of each reason: as many as there are reasons.
#[derive(Default)]
pub struct Examples(Mutex<BTreeMap<&'static str, Example>>);

impl Examples {
    /// Takes note of a refused request.
    pub fn note(&self, reason: &'static str, example: Example) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reason, example);
    }

    /// Returns all of them by reason.
    pub fn all(&self) -> BTreeMap<&'static str, Example> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Example {
    /// Returns the command that explains such a request, for a shell. `option` says where the configuration is.
    pub fn command(&self, option: &str) -> String {
        let (host, port) = (self.target.name(), self.target.port());
        let mut command = format!("la-gateway{option} explain {host}:{port}");
        if let Some(user) = &self.user {
            command.push_str(&format!(" --user={}", quoted(user)));
        }
        command.push_str(&format!(" --from {}", self.from.to_canonical()));
        command
    }
}

/// Returns a word that a shell takes as it stands. A name is written by whoever may name users.
pub fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_whatever_a_user_is_called() {
        let command = |user: Option<&str>| {
            let target = "a.example:443".parse().expect("a target");
            let from = "::ffff:10.0.0.9".parse().expect("an address");
            Example { at: Instant::now(), target, user: user.map(Into::into), from }.command("")
        };
        assert_eq!(command(None), "la-gateway explain a.example:443 --from 10.0.0.9");
        assert_eq!(command(Some("ann")), "la-gateway explain a.example:443 --user=ann --from 10.0.0.9");
        let hostile = "a'; $(reboot) #";
        assert!(
            command(Some(hostile)).contains(r"--user='a'\''; $(reboot) #' --from"),
            "{}",
            command(Some(hostile))
        );
    }
}
