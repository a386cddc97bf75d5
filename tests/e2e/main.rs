//! The journeys: real clients through the real program to small real servers.

// A journey that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod agent_bad_input;
mod agent_commands;
mod agent_crashes;
mod agent_doctor;
mod agent_faults;
mod agent_gateways;
mod agent_load;
mod agent_onboarding;
mod agent_only_way;
mod agent_outages;
mod agent_queue;
mod agent_rotation;
mod agent_rsyslog;
mod agent_service;
mod agent_sources;
mod agent_stage;
mod agent_trial;
mod balancers;
mod certificates;
mod control_socket;
mod dns_outage;
mod drain;
mod exhaustion;
mod families;
mod fleet;
mod framing;
mod hand_over;
mod handshake;
mod hostile_text;
mod identity;
mod lifecycle;
mod limits;
mod logs;
mod loops;
mod names;
mod passwords;
mod readiness;
mod relay_answers;
mod relays;
mod reload;
mod reload_files;
mod reload_storm;
mod replacing;
mod report_mode;
mod service_manager;
mod socket_activation;
mod stage;
mod surge;
mod table;
mod targets;
mod tls_listener;
mod upload_caps;
mod volume;
