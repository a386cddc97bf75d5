//! The fake against a faithful client, and every check against one that is not.

mod blobs;
mod caller;
mod collector;
mod faults;
mod ingestion;
mod items;
mod onboarding;
