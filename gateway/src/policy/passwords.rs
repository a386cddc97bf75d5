//! Password hashes, and the memory of passwords that were verified.
//!
//! A hash is a PHC string of argon2id. Verifying one is meant to be slow (some 20 ms and 19 MiB with
//! the default cost), so a password that was verified once is remembered by a keyed digest over the
//! stored hash, the user and the password. The key lives as long as the process and is never shown; a
//! changed or removed hash changes the digest, so a reload forgets by itself.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::PasswordHasher;
use argon2::PasswordVerifier;
use argon2::password_hash::phc;
use blake2::Blake2sMac256;
use blake2::digest::FixedOutput;
use blake2::digest::KeyInit;
use blake2::digest::Update;
use common::secret::Secret;

use super::basic::Credentials;

/// Most verified passwords that are remembered; at the bound the memory starts anew.
pub const MOST_REMEMBERED: usize = 20_000;
/// Highest memory cost of a hash that is accepted, in KiB: 256 MiB.
pub const HIGHEST_MEMORY: u32 = 256 * 1024;

/// A stored password hash: a PHC string of argon2id. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash(Arc<phc::PasswordHash>);

impl StoredHash {
    /// Hashes a new password with a random salt and the default cost (19 MiB, 2 passes, 1 lane).
    pub fn of(password: &Secret) -> Result<Self, HashError> {
        let hash =
            Argon2::default().hash_password(password.expose().as_bytes()).map_err(|_| HashError::Cost)?;
        Ok(Self(Arc::new(hash)))
    }

    /// Says whether the password is the one that was hashed. Slow on purpose: call it off the runtime.
    pub fn verify(&self, password: &Secret) -> bool {
        Argon2::default().verify_password(password.expose().as_bytes(), &*self.0).is_ok()
    }

    /// Returns the PHC string, for the users file.
    pub fn to_phc(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// Why a text is no usable password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not a PHC string.
    #[error("this is no PHC string; make the line with `la-gateway users add`")]
    NotPhc,
    /// Another algorithm.
    #[error("only argon2id hashes are accepted; make the line with `la-gateway users add`")]
    NotArgon2id,
    /// Parameters that are not valid or too dear.
    #[error("the hash's cost is not valid, or needs more than 256 MiB")]
    Cost,
}

impl FromStr for StoredHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| HashError::NotPhc)?;
        if Algorithm::try_from(hash.algorithm.as_str()) != Ok(Algorithm::Argon2id) {
            return Err(HashError::NotArgon2id);
        }
        let params = argon2::Params::try_from(&hash).map_err(|_| HashError::Cost)?;
        if params.m_cost() > HIGHEST_MEMORY || hash.hash.is_none() || hash.salt.is_none() {
            return Err(HashError::Cost);
        }
        Ok(Self(Arc::new(hash)))
    }
}

/// The digest under which a verified password is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// The verified passwords of this process.
pub struct Verified {
    key: [u8; 32],
    digests: Mutex<HashSet<Digest>>,
}

impl Verified {
    /// Makes an empty memory under a random key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, digests: Mutex::default() }
    }

    /// Returns the digest of credentials against a stored hash.
    pub fn digest(&self, hash: &StoredHash, credentials: &Credentials) -> Digest {
        let phc = hash.to_phc();
        let mut mac = Blake2sMac256::new(&self.key.into());
        for part in [phc.as_bytes(), credentials.user.as_bytes(), credentials.password.expose().as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Digest(mac.finalize_fixed().into())
    }

    /// Says whether these credentials were verified before.
    pub fn knows(&self, digest: Digest) -> bool {
        self.lock().contains(&digest)
    }

    /// Remembers verified credentials.
    pub fn remember(&self, digest: Digest) {
        let mut digests = self.lock();
        if digests.len() >= MOST_REMEMBERED {
            digests.clear();
        }
        digests.insert(digest);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn a_password_is_verified_against_its_own_hash_only() {
        let hash = StoredHash::of(&Secret::new("p@ss:wörd".to_owned())).expect("hashes");
        let read: StoredHash = hash.to_phc().parse().expect("reads back");
        assert!(read.verify(&Secret::new("p@ss:wörd".to_owned())));
        assert!(!read.verify(&Secret::new("p@ss:word".to_owned())));
        assert_eq!(format!("{hash:?}"), "[hash]");
    }

    #[test]
    fn other_algorithms_and_broken_strings_are_refused_with_what_to_do() {
        let salt = "$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
        let cases = [
            (String::new(), HashError::NotPhc),
            ("secret".to_owned(), HashError::NotPhc),
            (format!("$argon2i$v=19$m=256,t=1,p=1{salt}"), HashError::NotArgon2id),
            (format!("$argon2d$v=19$m=256,t=1,p=1{salt}"), HashError::NotArgon2id),
            (format!("$argon2id$v=19$m=4194304,t=1,p=1{salt}"), HashError::Cost),
            ("$argon2id$v=19$m=256,t=1,p=1".to_owned(), HashError::Cost),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<StoredHash>(), Err(expected), "{text}");
        }
        assert!(format!("$argon2id$v=19$m=256,t=1,p=1{salt}").parse::<StoredHash>().is_ok());
    }

    #[test]
    fn a_remembered_password_is_known_for_this_user_and_this_hash_only() {
        let memory = Verified::new([7; 32]);
        let hash: StoredHash = StoredHash::of(&Secret::new("x".to_owned())).expect("hashes");
        let other: StoredHash = StoredHash::of(&Secret::new("x".to_owned())).expect("hashes");
        memory.remember(memory.digest(&hash, &credentials("ann", "x")));
        assert!(memory.knows(memory.digest(&hash, &credentials("ann", "x"))));
        assert!(!memory.knows(memory.digest(&hash, &credentials("ann", "y"))));
        assert!(!memory.knows(memory.digest(&hash, &credentials("an", "nx"))));
        assert!(!memory.knows(memory.digest(&other, &credentials("ann", "x"))));
    }

    #[test]
    fn the_memory_is_bounded() {
        let memory = Verified::new([7; 32]);
        for at in 0..=MOST_REMEMBERED {
            memory.remember(Digest([(at % 251) as u8; 32].map(|b: u8| b.wrapping_add((at / 251) as u8))));
        }
        assert!(memory.lock().len() <= MOST_REMEMBERED);
    }
}
