//! The outside: gateways, requests, couriers.

pub mod courier;
pub mod gateways;
pub mod https;
pub mod identity;
pub mod onboarding;
pub mod roots;
pub mod rule;
#[cfg(test)]
mod testing;
pub mod token;
pub mod topology;
