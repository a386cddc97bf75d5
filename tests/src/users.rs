//! Lines of a users file, with hashes that are cheap to check.

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use argon2::password_hash::PasswordHasher;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use crate::installed;

/// Returns the text of a users file with these names and passwords.
pub fn users_file(users: &[(&str, &str)]) -> String {
    let mut text = String::from("# made for a test: far too cheap for any other use\n");
    users.iter().for_each(|(name, password)| text.push_str(&format!("{name}:{}\n", hash(password))));
    text
}

/// Returns the line the real `htpasswd` writes with these options, or says `skipped: …`.
pub async fn htpasswd(options: &str, name: &str, password: &str) -> Option<String> {
    let mut command = Command::new("htpasswd");
    command.args(options.split(' ')).args([name, password]);
    let output = installed::output(&mut command).await?;
    let said = String::from_utf8(output.stdout).expect("a line in UTF-8");
    assert!(output.status.success(), "htpasswd failed: {}", String::from_utf8_lossy(&output.stderr));
    Some(format!("{}\n", said.trim()))
}

/// Returns the value of a `Proxy-Authorization` field.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn hash(password: &str) -> String {
    let params = Params::new(256, 1, 1, None).expect("parameters in range");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hasher.hash_password(password.as_bytes()).expect("a hash").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_the_name_and_an_argon2id_hash() {
        let text = users_file(&[("agent-1", "p@ss")]);
        let line = text.lines().nth(1).expect("one user");
        assert!(line.starts_with("agent-1:$argon2id$v=19$m=256,t=1,p=1$"), "{line}");
        assert!(!text.contains("p@ss"));
    }

    #[test]
    fn basic_credentials_are_those_of_rfc_7617() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
