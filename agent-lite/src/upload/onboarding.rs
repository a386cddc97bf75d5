//! onboarding.
