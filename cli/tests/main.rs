//! The `kya` command against servers, real and made up. One program: a program for
//! each file would be linked dozens of times.

mod agents;
mod approvals;
mod audit_export;
mod audit_kills;
mod audit_read;
mod audit_server;
mod audit_verify;
mod bad_input;
mod capability_tokens;
mod changes;
mod commands;
mod delegation;
mod drill;
mod keys;
mod kills;
mod nodes;
mod operators;
mod pages;
mod policies;
mod receipts;
mod servers;
mod status;
mod stops;
mod support;
mod suspensions;
mod tls;
mod tokens;
