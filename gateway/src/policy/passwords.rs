//! Password hashes, and the memory of passwords that were verified.
//!
//! A hash is a PHC string of argon2id, or a bcrypt string as `htpasswd -B` writes it. Verifying one is meant
//! to be slow (some 20 ms and 19 MiB with argon2id's default cost), so a password that was verified once is remembered by a keyed digest over the
//! stored hash, the user and the password. The key lives as long as the process and is never shown; a
//! changed or removed hash changes the digest, so a reload forgets by itself.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use argon2::Argon2;
use argon2::Block;
use argon2::Params;
use argon2::PasswordHasher;
use argon2::Version;
use argon2::password_hash::phc;
use blake2::Blake2s256;
use blake2::Blake2sMac256;
use blake2::digest::Digest as _;
use blake2::digest::FixedOutput;
use blake2::digest::KeyInit;
use blake2::digest::Update;
use common::secret::Secret;

use super::basic::Credentials;

/// Most verified passwords that are remembered; at the bound the memory starts anew.
pub const MOST_REMEMBERED: usize = 20_000;
/// Highest memory cost of a hash that is accepted, in KiB: 256 MiB.
pub const HIGHEST_MEMORY: u32 = 256 * 1024;
/// Most passes and lanes of a hash that is accepted: without a bound one check holds a processor for hours.
pub const MOST_PASSES: u32 = 16;

/// Highest cost of a bcrypt hash that is accepted: some 300 ms of work.
pub const HIGHEST_BCRYPT: u32 = 12;

/// Longest password that bcrypt looks at to its end, in bytes.
pub const LONGEST_BCRYPT: usize = 72;

/// Most memory that is kept from one check to the next, in KiB: what a hash of the default cost needs.
const MOST_KEPT: usize = Params::DEFAULT_M_COST as usize;

/// Memory that checks work in, one after the other. Taken from the allocator for each check, it would stay behind in every arena
/// that a thread had it from.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

/// A stored password hash: argon2id or bcrypt. It cannot be printed. One pointer wide: every tunnel holds the hash that let it in.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash(Arc<Stored>);

#[derive(PartialEq, Eq)]
struct Stored {
    kind: Kind,
    /// As it stands in the users file.
    text: String,
    /// What stands for it in digests: each request needs one, and the text is longer than all else in it.
    short: [u8; 32],
}

#[derive(PartialEq, Eq)]
enum Kind {
    Argon2id(Box<phc::PasswordHash>),
    Bcrypt,
}

impl StoredHash {
    /// Hashes a new password with a random salt and the default cost (19 MiB, 2 passes, 1 lane).
    pub fn of(password: &Secret) -> Result<Self, HashError> {
        let hash =
            Argon2::default().hash_password(password.expose().as_bytes()).map_err(|_| HashError::Cost)?;
        Ok(Self::argon2id(hash))
    }

    fn argon2id(hash: phc::PasswordHash) -> Self {
        let text = hash.to_string();
        Self::new(Kind::Argon2id(Box::new(hash)), text)
    }

    fn new(kind: Kind, text: String) -> Self {
        Self(Arc::new(Stored { kind, short: Blake2s256::digest(text.as_bytes()).into(), text }))
    }

    /// Says whether the password is the one that was hashed. Slow on purpose: call it off the runtime.
    pub fn verify(&self, password: &Secret, memory: &mut HashMemory) -> bool {
        let password = password.expose().as_bytes();
        match &self.0.kind {
            Kind::Argon2id(hash) => memory.gives(password, hash).unwrap_or(false),
            // A longer password is refused, not cut. The crate's own check refuses one of 72 bytes, too.
            Kind::Bcrypt => {
                password.len() <= LONGEST_BCRYPT && bcrypt::verify(password, &self.0.text).unwrap_or(false)
            }
        }
    }

    /// Returns the hash as it stands in the users file.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl HashMemory {
    /// Returns whether this password gives this hash; nothing if such a hash cannot be computed.
    fn gives(&mut self, password: &[u8], stored: &phc::PasswordHash) -> Option<bool> {
        let params = Params::try_from(stored).ok()?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let (expected, salt) = (stored.hash.as_ref()?, stored.salt.as_ref()?);
        let blocks = params.block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::default());
        }
        let mut output = [0; phc::Output::MAX_LENGTH];
        let output = output.get_mut(..expected.len())?;
        let argon = Argon2::new(argon2::Algorithm::Argon2id, version, params);
        let hashed = argon.hash_password_into_with_memory(password, salt, output, &mut *self.0);
        if self.0.len() > MOST_KEPT {
            self.0 = Vec::new();
        }
        hashed.ok()?;
        // In constant time, as the type compares.
        Some(phc::Output::new(output).ok()? == *expected)
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
    /// Neither a PHC string nor bcrypt.
    #[error("this is no password hash; make the line with `la-gateway users add` or `htpasswd -B`")]
    NotAHash,
    /// Another algorithm.
    #[error(
        "only argon2id and bcrypt are accepted; make the line with `la-gateway users add` or `htpasswd -B`"
    )]
    Algorithm,
    /// Parameters that are not valid or too dear.
    #[error(
        "the hash's cost is not valid, or too high: more than 256 MiB (argon2id), or more than 12 (bcrypt)"
    )]
    Cost,
}

impl FromStr for StoredHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::NotAHash)?;
            return match parts.get_cost() {
                4..=HIGHEST_BCRYPT => Ok(Self::new(Kind::Bcrypt, text.to_owned())),
                _ => Err(HashError::Cost),
            };
        }
        let hash = phc::PasswordHash::new(text).map_err(|_| HashError::NotAHash)?;
        if argon2::Algorithm::try_from(hash.algorithm.as_str()) != Ok(argon2::Algorithm::Argon2id) {
            return Err(HashError::Algorithm);
        }
        let params = Params::try_from(&hash).map_err(|_| HashError::Cost)?;
        let dear = params.m_cost() > HIGHEST_MEMORY
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_PASSES;
        if dear || hash.hash.is_none() || hash.salt.is_none() {
            return Err(HashError::Cost);
        }
        Ok(Self::argon2id(hash))
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

    /// Returns the digest of credentials against a stored hash. What it is over can be read back in one way only: the first two
    /// parts have known lengths.
    pub fn digest(&self, hash: &StoredHash, credentials: &Credentials) -> Digest {
        let mut mac = Blake2sMac256::new(&self.key.into());
        mac.update(&hash.0.short);
        mac.update(&(credentials.user.len() as u32).to_le_bytes());
        mac.update(credentials.user.as_bytes());
        mac.update(credentials.password.expose().as_bytes());
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
        let read: StoredHash = hash.text().parse().expect("reads back");
        let mut memory = HashMemory::default();
        assert!(read.verify(&Secret::new("p@ss:wörd".to_owned()), &mut memory));
        assert!(!read.verify(&Secret::new("p@ss:word".to_owned()), &mut memory));
        assert_eq!(format!("{hash:?}"), "[hash]");
    }

    #[test]
    fn memory_of_one_check_serves_the_next_of_any_cost_and_no_more_than_the_default_is_kept() {
        let hashed = |cost, password: &str| {
            let params = Params::new(cost, 1, 1, None).expect("parameters in range");
            let hash = Argon2::from(params).hash_password(password.as_bytes()).expect("hashes");
            StoredHash::argon2id(hash)
        };
        let (right, wrong) = (Secret::new("right".to_owned()), Secret::new("wrong".to_owned()));
        let mut memory = HashMemory::default();
        let most = u32::try_from(MOST_KEPT).expect("a small number");
        for (cost, kept) in [(256, 256), (64, 256), (1024, 1024), (64, 1024), (most + 4, 0), (64, 64)] {
            let hash = hashed(cost, "right");
            assert!(hash.verify(&right, &mut memory), "{cost}");
            assert!(!hash.verify(&wrong, &mut memory), "{cost}");
            assert_eq!(memory.0.len(), kept, "{cost}");
        }
    }

    #[test]
    fn a_line_of_htpasswd_with_bcrypt_is_verified_and_72_bytes_are_the_most() {
        // Made by Apache's own tool: `htpasswd -nbBC 5 ann 'p@ss:word'`.
        let hash: StoredHash =
            "$2y$05$31E4mE/gbiO44u6hDpRSd.WThdv/m3.iWE9rOeug3PvTF4l/z325C".parse().expect("a hash");
        let mut memory = HashMemory::default();
        assert!(hash.verify(&Secret::new("p@ss:word".to_owned()), &mut memory));
        assert!(!hash.verify(&Secret::new("p@ss:wore".to_owned()), &mut memory));
        let long = "x".repeat(72);
        let hash: StoredHash = bcrypt::hash(&long, 4).expect("hashes").parse().expect("a hash");
        assert!(hash.verify(&Secret::new(long.clone()), &mut memory));
        assert!(!hash.verify(&Secret::new(format!("{long}y")), &mut memory));
    }

    #[test]
    fn other_algorithms_and_broken_strings_are_refused_with_what_to_do() {
        let salt = "$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
        let cases = [
            (String::new(), HashError::NotAHash),
            ("secret".to_owned(), HashError::NotAHash),
            (format!("$argon2i$v=19$m=256,t=1,p=1{salt}"), HashError::Algorithm),
            (format!("$argon2d$v=19$m=256,t=1,p=1{salt}"), HashError::Algorithm),
            (format!("$argon2id$v=19$m=4194304,t=1,p=1{salt}"), HashError::Cost),
            ("$argon2id$v=19$m=256,t=1,p=1".to_owned(), HashError::Cost),
            (format!("$argon2id$v=19$m=256,t=4294967295,p=1{salt}"), HashError::Cost),
            ("$2y$05$short".to_owned(), HashError::NotAHash),
            ("$2y$20$c29tZXNhbHRzb21lc2FsdOu3F0oVvTz3mOaXxMfOZPkZ8QYbW3vHa".to_owned(), HashError::Cost),
            ("$apr1$salt$hash".to_owned(), HashError::NotAHash),
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
