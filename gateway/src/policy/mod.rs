//! Decides, and does nothing: no socket, no file, no clock, nothing asynchronous.
//!
//! Each station takes the evidence value of the one before it. [`accounts`] turns a request into a
//! [`accounts::Client`] with its role, [`limits`] gives that client a slot, [`destinations`] gives a
//! permit for a target, and [`addresses`] turns what the name servers said into addresses that may
//! be dialled.

pub mod accounts;
pub mod addresses;
pub mod basic;
pub mod bundles;
pub mod canaries;
pub mod class;
pub mod destinations;
pub mod expectations;
pub mod filter;
pub mod fleet;
pub mod guessing;
pub mod limits;
pub mod names;
pub mod passwords;
pub mod pattern;
pub mod readiness;
pub mod relays;
pub mod suggestions;
pub mod surge;
pub mod via;

use self::accounts::Accounts;
use self::addresses::Addresses;

/// Everything that decides about a CONNECT. A request takes one snapshot and keeps it to its end.
#[derive(Debug)]
pub struct Policy {
    /// Who a client is and which role it has.
    pub accounts: Accounts,
    /// Which addresses may be dialled.
    pub addresses: Addresses,
}
