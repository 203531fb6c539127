//! Real Envoys. One program, as a program for each file would be linked so many times.

mod answers;
mod armed;
mod audit;
mod audit_exactly_once;
mod audit_failover;
mod audit_listener;
mod authority;
mod capability_tokens;
mod chaos_control_plane;
mod chaos_listener;
mod chaos_restart;
mod chaos_wire;
mod chaos_worker;
mod configuration;
mod key_rotation;
mod kill;
mod kill_report;
mod outage;
mod source_commands;
mod stops;
mod thousand_kills;
