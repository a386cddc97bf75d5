//! The Azure clouds that have an Azure Monitor of their own.

use std::fmt;
use std::str::FromStr;

/// One Azure cloud. The clouds share host name patterns and differ in their domains.
///
/// Source: Microsoft's "Azure Monitor endpoint access" and national cloud pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cloud {
    /// Azure public cloud (`opinsights.azure.com`).
    Public,
    /// Azure Government (`opinsights.azure.us`).
    UsGovernment,
    /// Azure operated by 21Vianet (`opinsights.azure.cn`).
    China,
}

impl Cloud {
    /// Every cloud, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Returns the name used in configuration: `public`, `us-government` or `china`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::UsGovernment => "us-government",
            Self::China => "china",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cloud name that is none of the three.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown cloud `{0}`; write `public`, `us-government` or `china`")]
pub struct UnknownCloud(String);

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(text: &str) -> Result<Self, UnknownCloud> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == text).ok_or_else(|| UnknownCloud(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_read_back_from_its_own_name() {
        for cloud in Cloud::ALL {
            assert_eq!(cloud.name().parse(), Ok(cloud));
        }
        assert!("Public".parse::<Cloud>().is_err());
    }
}
