//! Where the control socket is.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

use super::Problem;
use super::read_file;
use crate::system;

/// Where the control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSocket {
    /// Nowhere.
    Off,
    /// In its usual place: [`system::usual_control_socket`].
    Usual,
    /// Here.
    At(PathBuf),
}

/// Of a configuration, no more than this.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    control: Table,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Table {
    socket: Option<PathBuf>,
}

impl ControlSocket {
    /// Reads what is written; a name is relative to the folder of the configuration.
    pub(super) fn of(written: Option<PathBuf>, folder: &Path) -> Self {
        match written {
            None => Self::Usual,
            Some(socket) if socket == Path::new("off") => Self::Off,
            Some(socket) => Self::At(folder.join(socket)),
        }
    }

    /// Reads where a running gateway is from its configuration, which may be wrong in everything else: that is
    /// when it is asked.
    pub fn find(named: Option<&Path>) -> Result<Self, Problem> {
        let usual = system::usual_place();
        let Some(file) = named.or_else(|| usual.exists().then_some(usual.as_path())) else {
            return Ok(Self::Usual);
        };
        let text = read_file(file)?;
        let problem = |error: toml::de::Error| Problem {
            file: file.to_owned(),
            place: None,
            text: format!("{}; say where the gateway is with --socket", error.message()),
        };
        let written: File = toml::from_str(&text).map_err(problem)?;
        Ok(Self::of(written.control.socket, file.parent().unwrap_or(Path::new(""))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_in_a_configuration_that_is_wrong_in_everything_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.toml");
        // On Windows it is of the folder's drive.
        let mut absolute = folder.path().to_owned();
        absolute.push("/run/c.sock");
        let cases = [
            ("[control]\nsocket = \"c.sock\"\n[nonsense]\n", ControlSocket::At(folder.path().join("c.sock"))),
            ("[control]\nsocket = \"/run/c.sock\"\n", ControlSocket::At(absolute)),
            ("[control]\nsocket = \"off\"\n", ControlSocket::Off),
            ("[tunnel]\ndrain = \"soon\"\n", ControlSocket::Usual),
        ];
        for (text, found) in cases {
            std::fs::write(&file, text).expect("written");
            assert_eq!(ControlSocket::find(Some(&file)).expect("found"), found, "{text}");
        }
        std::fs::write(&file, "[control\n").expect("written");
        let problem = ControlSocket::find(Some(&file)).expect_err("no TOML").to_string();
        assert!(problem.contains("--socket"), "{problem}");
    }
}
