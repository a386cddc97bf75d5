//! The outside: gateways, requests, couriers.
