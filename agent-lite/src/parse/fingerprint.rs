//! What tells a machine from its clones: a seal over several of its parts.
//!
//! ```text
//! hardware   firmware  network  disk  instance      of its own on every machine, or at least on every virtual one
//! software   machine-id  file-system                copied with an image
//! ```
//!
//! A seal holds salted hashes only. A part that cannot be read now, or could not be then, is not compared. Of the
//! hardware that can be, half must be the same; [`Seal::judge`] has the exceptions.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::hmac;
use serde::Deserialize;
use serde::Serialize;

/// Most values of one part: a machine may have many disks and interfaces.
const MOST_VALUES: usize = 64;
/// Longest value, in bytes; longer ones are nobody's serial number.
const LONGEST_VALUE: usize = 256;
/// Bytes of a salt.
pub const SALT: usize = 32;
/// The one form of a seal so far.
const VERSION: u8 = 1;
/// What vendors and hypervisors write where a number of its own should stand.
const PLACEHOLDERS: [&str; 19] = [
    "to be filled",
    "o.e.m",
    "default string",
    "not specified",
    "not applicable",
    "not available",
    "system serial",
    "board serial",
    "base board",
    "uninitialized",
    "unknown",
    "invalid",
    "0123456789",
    "qm0000",
    "datasource-none",
    "nocloud",
    "none",
    "0200-0400-0500-0006-0007",
    "0003-0004-0005-0006-0007",
];

/// A part of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The UUID of the firmware (SMBIOS), or a serial number of the board.
    Firmware,
    /// The built-in addresses of network cards.
    Network,
    /// Serial numbers of disks.
    Disk,
    /// What the cloud calls this machine.
    Instance,
    /// What the system calls itself: `/etc/machine-id`.
    MachineId,
    /// The UUIDs of file systems.
    FileSystem,
}

impl Part {
    /// Returns what an operator calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Network => "network cards",
            Self::Disk => "disks",
            Self::Instance => "cloud instance",
            Self::MachineId => "machine-id",
            Self::FileSystem => "file systems",
        }
    }

    fn is_hardware(self) -> bool {
        match self {
            Self::Firmware | Self::Network | Self::Disk | Self::Instance => true,
            Self::MachineId | Self::FileSystem => false,
        }
    }
}

/// The parts of a machine as they were read. Serial numbers are in it, so it shows none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parts(BTreeMap<Part, BTreeSet<String>>);

impl Parts {
    /// Adds a value, unless it is one that many machines have.
    pub fn add(&mut self, part: Part, value: &str) {
        let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_ascii_lowercase();
        let values = self.0.get(&part).map_or(0, BTreeSet::len);
        if values < MOST_VALUES && value.len() <= LONGEST_VALUE && is_its_own(&value) {
            self.0.entry(part).or_default().insert(value);
        }
    }

    /// Returns whether this part could be read.
    pub fn has(&self, part: Part) -> bool {
        self.0.contains_key(&part)
    }

    /// Returns the parts that could be read.
    pub fn known(&self) -> impl Iterator<Item = Part> {
        self.0.keys().copied()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Returns whether a value may be one machine's own.
fn is_its_own(value: &str) -> bool {
    let different: BTreeSet<char> = value.chars().filter(char::is_ascii_alphanumeric).collect();
    value.len() >= 4 && different.len() >= 3 && !PLACEHOLDERS.iter().any(|known| value.contains(known))
}

/// A machine, as it can be recognised but not described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    version: u8,
    salt: String,
    parts: BTreeMap<Part, BTreeSet<String>>,
}

/// What a seal says of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is the one that was sealed.
    pub machine: Machine,
    /// Parts that are the same.
    pub same: Vec<Part>,
    /// Parts that are others now.
    pub different: Vec<Part>,
}

/// Whether a machine is the one that was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// It is, as far as its parts tell.
    TheSame,
    /// It is not: this is a clone.
    Another,
}

impl Seal {
    /// Seals a machine; the salt is random.
    pub fn new(salt: &[u8; SALT], parts: &Parts) -> Self {
        let mut seal = Self { version: VERSION, salt: STANDARD_NO_PAD.encode(salt), parts: BTreeMap::new() };
        seal.parts = seal.hashed(parts);
        seal
    }

    /// Reads a seal as it was written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let seal: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match (seal.version, STANDARD_NO_PAD.decode(&seal.salt)) {
            (VERSION, Ok(salt)) if salt.len() == SALT => Ok(seal),
            (VERSION, _) => Err("its salt is none".to_owned()),
            (version, _) => Err(format!("it has version {version}, this program knows {VERSION}")),
        }
    }

    /// Returns the parts that are sealed.
    pub fn known(&self) -> impl Iterator<Item = Part> {
        self.parts.keys().copied()
    }

    /// Compares a machine with the one that was sealed.
    pub fn judge(&self, parts: &Parts) -> Judgement {
        let now = self.hashed(parts);
        let both = self.parts.iter().filter_map(|(part, sealed)| Some((*part, sealed, now.get(part)?)));
        let compared: Vec<(Part, bool)> =
            both.map(|(part, sealed, here)| (part, !sealed.is_disjoint(here))).collect();
        let of = |wanted: bool| {
            compared.iter().filter(|(_, same)| *same == wanted).map(|(part, _)| *part).collect()
        };
        let machine = if is_the_same(&compared) { Machine::TheSame } else { Machine::Another };
        Judgement { machine, same: of(true), different: of(false) }
    }

    /// Returns the seal with the parts as they are now; what cannot be read now stays as it was.
    pub fn renewed(&self, parts: &Parts) -> Self {
        let mut seal = self.clone();
        seal.parts.append(&mut self.hashed(parts));
        seal
    }

    fn hashed(&self, parts: &Parts) -> BTreeMap<Part, BTreeSet<String>> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt.as_bytes());
        let hash = |part: Part, value: &String| {
            let text = format!("{}\0{value}", part.name());
            STANDARD_NO_PAD.encode(hmac::sign(&key, text.as_bytes()))
        };
        let all = |(part, values): (&Part, &BTreeSet<String>)| {
            (*part, values.iter().map(|value| hash(*part, value)).collect())
        };
        parts.0.iter().map(all).collect()
    }
}

/// Decides by the parts that can be compared, each with whether it is the same.
///
/// Hardware counts, because an image brings machine-id and file systems along. Where a card or a disk is all the
/// hardware that can be compared and another one, everything else must be the same. A minority of the hardware is
/// enough if the disk itself is here, with all that is on it: then it has moved, and was not copied. Where no
/// hardware can be compared, one of the other parts is enough.
fn is_the_same(compared: &[(Part, bool)]) -> bool {
    let (hardware, software): (Vec<_>, Vec<_>) =
        compared.iter().copied().partition(|(part, _)| part.is_hardware());
    let here = hardware.iter().filter(|(_, same)| *same).count();
    let image_is_whole = !software.is_empty() && software.iter().all(|(_, same)| *same);
    match hardware.as_slice() {
        [] => software.is_empty() || software.iter().any(|(_, same)| *same),
        [(Part::Network | Part::Disk, false)] => image_is_whole,
        all if here * 2 >= all.len() => true,
        all => image_is_whole && all.contains(&(Part::Disk, true)),
    }
}
